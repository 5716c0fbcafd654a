"""A run on disk, complete and never half written.

    run/
      config.json               the recipe, as resolved
      metrics.jsonl             one object a line: training, evaluation, alarms
      checkpoints/
        step-00001000/          all it takes to go on: model, ema, optimizer, slots (safetensors), progress.json
      model/                    config.json + model.safetensors: what is shared and loaded for inference

A checkpoint folder is written under another name, flushed to disk, and then renamed: at any moment every
`step-*` folder is whole. The newest two are kept.
"""

import fcntl
import json
import os
import shutil
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from gram_reasoning.errors import UserError
from gram_reasoning.files import sync_folder, write_whole

FORMAT = 1
"""Version of the checkpoint's layout."""


def save_folder(folder: Path, tensors: dict[str, dict[str, Tensor]], values: dict[str, Any]) -> None:
    """Write `<name>.safetensors` and `<name>.json` files into `folder`, all or nothing."""
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    retired = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        for name, group in tensors.items():
            contiguous = {key: t.detach().cpu().contiguous() for key, t in group.items()}
            _write(temporary / f"{name}.safetensors", safetensors.torch.save(contiguous))
        for name, value in values.items():
            _write(temporary / f"{name}.json", (json.dumps(value, indent=1) + "\n").encode())
        if folder.exists():
            shutil.rmtree(retired, ignore_errors=True)
            folder.rename(retired)
        temporary.rename(folder)
        shutil.rmtree(retired, ignore_errors=True)
        sync_folder(folder.parent)
    except OSError as error:
        if retired.exists() and not folder.exists():
            retired.rename(folder)
        shutil.rmtree(temporary, ignore_errors=True)
        raise UserError(f"{folder}: cannot be written ({error.strerror}); what was there before is kept") from error


def save_json(path: Path, value: Any) -> None:
    """Write one JSON file, all or nothing, and its folder if need be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from error
    write_whole(path, json.dumps(value, indent=1) + "\n")


def check_tensors(found: dict[str, Tensor], expected: dict[str, Tensor], path: Path) -> None:
    """UserError unless a file's tensors have the names, shapes and types expected."""
    for name, tensor in expected.items():
        if name not in found:
            raise UserError(f"{path}: tensor {name!r} is missing, expected shape {tuple(tensor.shape)}")
        if found[name].shape != tensor.shape or found[name].dtype != tensor.dtype:
            got, want = (f"{tuple(t.shape)} {t.dtype}" for t in (found[name], tensor))
            raise UserError(f"{path}: tensor {name!r} is {got}, expected {want}")
    if extra := sorted(set(found) - set(expected)):
        raise UserError(f"{path}: unknown tensor {extra[0]!r}, expected those of the model and run it belongs to")


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def load_tensors(path: Path, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """The tensors of a safetensors file; a missing, foreign or truncated file is a UserError. Never a pickle."""
    if not path.is_file():
        raise UserError(f"{path}: no such file, expected the weights of a gram checkpoint")
    try:
        return safetensors.torch.load_file(path, device=str(device))
    except (SafetensorError, struct.error, OSError) as error:
        raise UserError(f"{path}: not a whole safetensors file ({error})") from error


def load_json(path: Path) -> Any:
    """The value of a JSON file; a missing or foreign file is a UserError."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file, expected the {path.name} of a gram checkpoint") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({error})") from error


def checkpoints(run: Path) -> list[Path]:
    """The whole checkpoints of a run, oldest first."""
    return sorted((run / "checkpoints").glob("step-*"))


def save_checkpoint(run: Path, step: int, tensors: dict[str, dict[str, Tensor]], values: dict[str, Any]) -> None:
    """Write the checkpoint of `step`, then drop all but the newest two."""
    progress = {"format": FORMAT, "step": step, **values}
    save_folder(run / "checkpoints" / f"step-{step:08d}", tensors, {"progress": progress})
    for old in checkpoints(run)[:-2]:
        shutil.rmtree(old.rename(old.with_name(f".{old.name}.old")))


@contextmanager
def claimed(run: Path) -> Iterator[None]:
    """Inside, the run belongs to this process; the claim ends with the process, however that ends."""
    config = run / "config.json"
    with config.open("r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{run}: another process trains here, expected it to have ended, or another --out"
            ) from None
        except OSError:  # a file system that has no locks
            pass
        yield


def sweep(run: Path) -> None:
    """Remove what a process that was killed left half written or half removed."""
    for leftover in [*run.glob(".*"), *(run / "checkpoints").glob(".*")]:
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()


def load_checkpoint(folder: Path, device: torch.device | str) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """The tensors, by file, and the progress of a checkpoint."""
    progress = load_json(folder / "progress.json")
    if not isinstance(progress, dict) or progress.get("format") != FORMAT:
        raise UserError(f"{folder / 'progress.json'}: expected a gram checkpoint of format {FORMAT}")
    names = ("model", "ema", "optimizer", "slots")
    return {name: load_tensors(folder / f"{name}.safetensors", device) for name in names}, progress


def optimizer_tensors(optimizers: list[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """The state of several optimizers as named tensors: `<optimizer>.<parameter>.<entry>`."""
    return {
        f"{i}.{parameter}.{entry}": value
        for i, optimizer in enumerate(optimizers)
        for parameter, entries in optimizer.state_dict()["state"].items()
        for entry, value in entries.items()
    }


def load_optimizers(optimizers: list[torch.optim.Optimizer], tensors: dict[str, Tensor], path: Path) -> None:
    """Restore what `optimizer_tensors` gave and a file holds; another optimizer's state is a UserError."""
    expected: dict[str, Tensor] = {}
    states: list[dict[int, dict[str, Tensor]]] = []
    for i, optimizer in enumerate(optimizers):
        muon = isinstance(optimizer, torch.optim.Muon)
        entries = ("momentum_buffer",) if muon else ("step", "exp_avg", "exp_avg_sq")
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        states.append({})
        for number, parameter in enumerate(parameters):
            names = {entry: f"{i}.{number}.{entry}" for entry in entries}
            expected |= {n: torch.tensor(0.0) if entry == "step" else parameter for entry, n in names.items()}
            states[-1][number] = {entry: tensors[n] for entry, n in names.items() if n in tensors}
    check_tensors(tensors, expected, path)
    for optimizer, state in zip(optimizers, states, strict=True):
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
