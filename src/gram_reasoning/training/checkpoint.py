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

import json
import os
import shutil
import struct
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from gram_reasoning.errors import UserError

FORMAT = 1
"""Version of the checkpoint's layout."""


def save_folder(folder: Path, tensors: dict[str, dict[str, Tensor]], values: dict[str, Any]) -> None:
    """Write `<name>.safetensors` and `<name>.json` files into `folder`, all or nothing."""
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        for name, group in tensors.items():
            contiguous = {key: t.detach().cpu().contiguous() for key, t in group.items()}
            _write(temporary / f"{name}.safetensors", safetensors.torch.save(contiguous))
        for name, value in values.items():
            _write(temporary / f"{name}.json", (json.dumps(value, indent=1) + "\n").encode())
        if folder.exists():
            retired = folder.with_name(f".{folder.name}.old")
            shutil.rmtree(retired, ignore_errors=True)
            folder.rename(retired)
            temporary.rename(folder)
            shutil.rmtree(retired)
        else:
            temporary.rename(folder)
        _sync(folder.parent)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise UserError(f"{folder}: cannot be written ({error.strerror}); what was there before is kept") from error


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


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
        shutil.rmtree(old)


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


def load_optimizers(optimizers: list[torch.optim.Optimizer], tensors: dict[str, Tensor]) -> None:
    """Restore what `optimizer_tensors` gave."""
    for i, optimizer in enumerate(optimizers):
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            number, parameter, entry = name.split(".", 2)
            if int(number) == i:
                state.setdefault(int(parameter), {})[entry] = value
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
