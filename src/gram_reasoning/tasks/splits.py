"""Which inputs are held out: a seeded hash of the input itself decides, not the order in which it was found."""

from abc import abstractmethod
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from gram_reasoning.errors import UserError
from gram_reasoning.tasks.base import Problems, Task
from gram_reasoning.tasks.configs import SplitConfig


class HeldOutTask(Task):
    """A task that makes all its problems itself and holds some out; its config is a SplitConfig."""

    @abstractmethod
    def problems(self) -> Problems:
        """All distinct inputs with their solutions, of every split together."""

    def codes(self, problems: Problems) -> np.ndarray:
        """An integer for each input (M,); inputs of one code come into one split."""
        return row_codes(problems.inputs.numpy()).view(np.int64)

    @cached_property
    def _parts(self) -> dict[str, Problems]:
        problems = self.problems()
        parts = split_by_code(self.codes(problems), self.config)
        return {part: problems.subset(index) for part, index in parts.items()}

    def make_split(self, name: str) -> Problems:
        return self._parts[name]


def split_by_code(codes: np.ndarray, config: SplitConfig) -> dict[str, Tensor]:
    """Row numbers of the "test", "validation" and "train" parts.

    Args:
        codes: an integer for each unique input (M,); rows of one code come into one part.
        config: the shares and the seed; the parts are as large as the shares say, or as whole codes allow.
    """
    M = len(codes)
    test, validation = round(config.test_share * M), max(1, round(config.validation_share * M))
    order = np.argsort(hashed(codes, config.split_seed), kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=codes[order[0]] + 1)) if M else np.zeros(0, np.int64)
    room = {"test": test, "validation": validation, "train": M}
    parts: dict[str, list[np.ndarray]] = {name: [] for name in room}
    for rows in np.split(order, starts[1:]):
        name = next(name for name, left in room.items() if len(rows) <= left)
        parts[name].append(rows)
        room[name] -= len(rows)
    if any(not rows for rows in parts.values()):
        raise UserError(f"task: {M} unique inputs cannot be split, expected more inputs or other shares")
    return {name: torch.from_numpy(np.concatenate(rows)) for name, rows in parts.items()}


def row_codes(rows: np.ndarray) -> np.ndarray:
    """A number for each row (M, cells) that depends on its cells alone: (M,) uint64."""
    base = np.uint64(0x9E3779B97F4A7C15)
    code = np.zeros(len(rows), np.uint64)
    for column in rows.T:
        code = hashed(code * base + column)
    return code


def hashed(codes: np.ndarray, seed: int = 0) -> np.ndarray:
    """splitmix64's finaliser of each code, seeded: a fixed pseudo-random number for each, uint64."""
    x = codes.astype(np.uint64) + np.uint64((seed * 2 + 1) * 0x9E3779B97F4A7C15 % 2**64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
