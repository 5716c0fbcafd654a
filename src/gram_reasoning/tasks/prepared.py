"""Prepared data on disk: made once, with a manifest that says from what, and checked whenever it is read.

One folder a data set: data.safetensors, then manifest.json with the settings, the counts and the SHA-256 of the data.
A folder without a manifest is unfinished and is made again; one whose data do not fit it is refused.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from gram_reasoning.errors import UserError
from gram_reasoning.storage.cache import cache_folder, made
from gram_reasoning.storage.files import write_whole
from gram_reasoning.tasks.base import Problems

FORMAT = 1
TENSORS = ("inputs", "solutions", "members", "first", "count")


def prepared(name: str, settings: dict[str, Any], make: Callable[[], Problems]) -> Problems:
    """The problems that `make` gives, from disk if they were made before.

    Args:
        name: first part of the folder's name.
        settings: all that decides what `make` gives, as JSON values: seed, source and its SHA-256, sizes.

    Raises:
        UserError: the folder is damaged or cannot be written.
    """
    settings = json.loads(json.dumps({"format": FORMAT, **settings}))
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    folder = cache_folder() / f"{name}-{digest[:16]}"
    if (folder / "manifest.json").exists():
        return _read(folder, settings)
    made(folder)  # refused before the work
    problems = make()
    _write(folder, settings, problems)
    return problems


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(folder: Path, settings: dict[str, Any], problems: Problems) -> None:
    data = safetensors.torch.save({name: getattr(problems, name).clone() for name in TENSORS})
    manifest = {
        "settings": settings,
        "inputs": len(problems),
        "pairs": int(problems.count.sum()),
        "complete": problems.complete,
        "inputs_sha256": hashlib.sha256(problems.inputs.numpy().tobytes()).hexdigest(),
        "data_sha256": hashlib.sha256(data).hexdigest(),
    }
    write_whole(folder / "data.safetensors", data)
    write_whole(folder / "manifest.json", json.dumps(manifest, indent=1) + "\n")


def _read(folder: Path, settings: dict[str, Any]) -> Problems:
    remedy = f"remove {folder} to have it made again"
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        data = (folder / "data.safetensors").read_bytes()
        fits = manifest["settings"] == settings and manifest["data_sha256"] == hashlib.sha256(data).hexdigest()
        complete = bool(manifest["complete"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder}: damaged prepared data ({error}), expected data and manifest; {remedy}") from error
    if not fits:
        raise UserError(f"{folder}: damaged prepared data, expected data with the SHA-256 of its manifest; {remedy}")
    return Problems(**safetensors.torch.load(data), complete=complete)


def with_counts(inputs: torch.Tensor, solutions: torch.Tensor, count: torch.Tensor, complete: bool) -> Problems:
    """Problems from inputs (M, L) and their solutions (sum of counts, L), those of one input after the other."""
    return Problems(inputs, solutions, torch.arange(len(solutions)), count.cumsum(0) - count, count, complete)


def with_all_solutions(inputs: torch.Tensor, solutions: list[torch.Tensor], complete: bool) -> Problems:
    """Problems from each input (M, L) and its solutions (n, L)."""
    return with_counts(inputs, torch.cat(solutions), torch.tensor([len(own) for own in solutions]), complete)
