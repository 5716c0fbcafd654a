"""A run on disk, complete and never half written.

    run/
      .lock                     empty; locked while a process trains here
      config.json               the recipe, as resolved
      metrics.jsonl             one object a line: training, evaluation, alarms
      checkpoints/
        step-00001000/          all it takes to go on: model, ema, optimizer, slots (safetensors), progress.json
      model/                    config.json + model.safetensors: what is shared and loaded for inference

A checkpoint folder is written under another name, flushed to disk, and then renamed: at any moment every
`step-*` folder is whole. The newest two are kept.
"""

import hashlib
import json
import math
import os
import shutil
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.overrides import TorchFunctionMode

from gram_reasoning.errors import UserError
from gram_reasoning.storage.files import sync_folder, write_whole

FORMAT = 1
"""Version of the checkpoint's layout."""
LARGEST = 2**30
"""Bytes of one file of a run; what is more goes into several."""


def save_folder(
    folder: Path,
    tensors: dict[str, dict[str, Tensor]],
    values: dict[str, Any],
    texts: dict[str, str] | None = None,
    largest: int | None = None,
) -> None:
    """Write `<name>.safetensors`, `<name>.json` and text files as the whole of `folder`, all or nothing.

    Args:
        texts: by the whole name of their file.
        largest: bytes that a tensor file may have; more tensors than that go into several files,
            `<name>-00001-of-00003.safetensors` and so on, with `<name>.safetensors.index.json` to find them.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: cannot be written (a file of that name is there)")
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    retired = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        for name, group in tensors.items():
            contiguous = {key: t.detach().cpu().contiguous() for key, t in group.items()}
            shards = split(contiguous, largest)
            names = [f"{name}-{i:05}-of-{len(shards):05}.safetensors" for i in range(1, len(shards) + 1)]
            if len(shards) == 1:
                names = [f"{name}.safetensors"]
            else:
                size = sum(t.nbytes for t in contiguous.values())
                where = {key: file for file, shard in zip(names, shards, strict=True) for key in shard}
                values = {
                    **values,
                    f"{name}.safetensors.index": {"metadata": {"total_size": size}, "weight_map": where},
                }
            for file, shard in zip(names, shards, strict=True):
                _write(temporary / file, safetensors.torch.save(shard))
        for name, value in values.items():
            _write(temporary / f"{name}.json", (json.dumps(value, indent=1) + "\n").encode())
        for name, text in (texts or {}).items():
            _write(temporary / name, text.encode())
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


HEADER = 64 * 1024
"""Bytes left for what a safetensors file says about its tensors."""


def split(tensors: dict[str, Tensor], largest: int | None) -> list[dict[str, Tensor]]:
    """The tensors in their order, in as few pieces as fit into files of at most `largest` bytes."""
    pieces: list[dict[str, Tensor]] = [{}]
    free = room = float("inf") if largest is None else largest - HEADER
    for name, tensor in tensors.items():
        if tensor.nbytes > room:
            raise UserError(
                f"tensor {name!r} has {tensor.nbytes / 1e6:.1f} MB, expected files of at least "
                f"{(tensor.nbytes + HEADER) / 1e6:.1f} MB"
            )
        if tensor.nbytes > free:
            pieces.append({})
            free = room
        pieces[-1][name] = tensor
        free -= tensor.nbytes
    return pieces


def load_weights(folder: Path, name: str = "model", device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """The tensors that a folder has under a name, such as its model's weights, from one file or from several."""
    index = folder / f"{name}.safetensors.index.json"
    if not index.exists():
        return load_tensors(folder / f"{name}.safetensors", device)
    where = load_json(index)
    where = where.get("weight_map") if isinstance(where, dict) else None
    if not isinstance(where, dict) or not all(isinstance(v, str) and Path(v).name == v for v in where.values()):
        raise UserError(f"{index}: expected a weight_map from tensors to files of this folder")
    shards = {file: load_tensors(folder / file, device) for file in sorted(set(where.values()))}
    for name, file in where.items():
        if name not in shards[file]:
            raise UserError(f"{folder / file}: tensor {name!r} is missing, which {index.name} says it has")
    return {name: shards[file][name] for name, file in where.items()}


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


class Room(TorchFunctionMode):
    """Builds no model that is much larger than a file's tensors: a UserError comes before the memory is taken.

    The meta device would tell the shapes too, but its first use loads torch's compiler, for a second.
    """

    MADE = (torch.empty, torch.zeros, torch.ones, torch.randn)
    BESIDE = 1 << 24
    """Numbers that are computed, not stored: tables of positions and relations."""

    def __init__(self, found: dict[str, Tensor], path: Path) -> None:
        super().__init__()
        self.path, self.stored = path, sum(tensor.numel() for tensor in found.values())
        self.taken = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        if func in self.MADE:
            self.taken += math.prod(args[0] if args and isinstance(args[0], Sequence) else args)
            if self.taken > self.stored + self.BESIDE:
                raise UserError(f"{self.path}: holds {self.stored:,} numbers, expected those of a far larger model")
        return func(*args, **(kwargs or {}))


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
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({error})") from error


def checkpoints(run: Path) -> list[Path]:
    """The whole checkpoints of a run, oldest first."""
    return sorted((run / "checkpoints").glob("step-*"))


def step_of(folder: Path) -> int:
    """The step at which a checkpoint was written."""
    return int(folder.name.removeprefix("step-"))


def digest(weights: dict[str, Tensor]) -> str:
    """What tells these weights from all others."""
    ordered = {name: weights[name].cpu().contiguous() for name in sorted(weights)}
    return hashlib.sha256(safetensors.torch.save(ordered)).hexdigest()[:16]


def save_checkpoint(run: Path, step: int, tensors: dict[str, dict[str, Tensor]], values: dict[str, Any]) -> None:
    """Write the checkpoint of `step`, then drop all but the newest two."""
    progress = {"format": FORMAT, "step": step, **values}
    save_folder(run / "checkpoints" / f"step-{step:08d}", tensors, {"progress": progress}, largest=LARGEST)
    for old in checkpoints(run)[:-2]:
        shutil.rmtree(old.rename(old.with_name(f".{old.name}.old")))


CLAIM = ".lock"
"""The file of a run that is locked while it trains; empty, and left there."""


@contextmanager
def claimed(run: Path) -> Iterator[None]:
    """Inside, the run belongs to this process; the claim ends with the process, however that ends."""
    import filelock  # wanted here alone: who loads a model needs no locks

    lock = filelock.FileLock(run / CLAIM)
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        raise UserError(f"{run}: another process trains here, expected it to have ended, or another --out") from None
    except OSError:  # a file system that has no locks
        pass
    try:
        yield
    finally:
        lock.release()


def sweep(run: Path) -> None:
    """Remove what a process that was killed left half written or half removed."""
    for leftover in [*run.glob(".*"), *(run / "checkpoints").glob(".*")]:
        if leftover == run / CLAIM:
            continue
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()


def load_checkpoint(folder: Path, device: torch.device | str) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """The tensors, by file, and the progress of a checkpoint."""
    progress = load_json(folder / "progress.json")
    if not isinstance(progress, dict) or progress.get("format") != FORMAT:
        raise UserError(f"{folder / 'progress.json'}: expected a gram checkpoint of format {FORMAT}")
    names = ("model", "ema", "optimizer", "slots")
    return {name: load_weights(folder, name, device) for name in names}, progress


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
