"""What a task is: an encoding, a set of problems with all their solutions, and the rules.

Training and evaluation see a task only through this file.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gram_reasoning import noise


@dataclass(frozen=True)
class Problems:
    """M inputs and, for each, all of its solutions.

    Solutions are stored once; input i has the solutions `members[first[i] : first[i] + count[i]]`.
    """

    inputs: Tensor  # (M, L) uint8
    solutions: Tensor  # (all solutions, L) uint8
    members: Tensor  # (sum of counts,) int64, into `solutions`
    first: Tensor  # (M,) int64
    count: Tensor  # n (M,) int64

    def __len__(self) -> int:
        return len(self.inputs)

    def to(self, device: torch.device | str) -> "Problems":
        return Problems(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))

    def subset(self, index: Tensor) -> "Problems":
        """The problems at `index`; the solution table is shared."""
        return Problems(self.inputs[index], self.solutions, self.members, self.first[index], self.count[index])

    def solution(self, index_B: Tensor, which_B: Tensor) -> Tensor:
        """Solution number `which` of problem `index`: (B, L) int64."""
        return self.solutions[self.members[self.first[index_B] + which_B]].long()

    def candidates(self, index_B: Tensor, limit: int, key_B: Tensor) -> tuple[Tensor, Tensor]:
        """Up to `limit` solutions of each problem, in a cyclic window that starts at a random one.

        Returns:
            candidates (B, C, L) int64 with C = min(limit, the largest count of all problems), and a mask (B, C) of
            those that exist.
        """
        width = min(limit, self._largest)
        offsets = torch.arange(width, device=index_B.device)
        count = self.count[index_B][:, None]
        which = (noise.choice(key_B, self.count[index_B])[:, None] + offsets) % count
        return self.solution(index_B[:, None], which), offsets < count

    @property
    def _largest(self) -> int:
        if not hasattr(self, "_largest_count"):  # one host sync a split, not one a step
            object.__setattr__(self, "_largest_count", int(self.count.max()))
        return self._largest_count  # type: ignore[attr-defined]

    def solution_sets(self, problem: int) -> Tensor:
        """All solutions of one problem: (n, L) int64."""
        first, count = int(self.first[problem]), int(self.count[problem])
        return self.solutions[self.members[first : first + count]].long()


class Task(ABC):
    """One kind of puzzle.

    Inputs and answers have one length, `length`, over one vocabulary, `vocab`.
    """

    name: str
    length: int
    vocab: int

    @abstractmethod
    def split(self, name: str) -> Problems:
        """The problems of "train", "validation" or "test": disjoint by input, the same in every process."""

    @abstractmethod
    def reward(self, prediction: Tensor, inputs: Tensor) -> Tensor | None:
        """How right each prediction (B, L) is, in [0, 1], (B,): 1 exactly if it satisfies every rule.

        None for a task without rules.
        """

    @abstractmethod
    def parse(self, text: str, where: str) -> list[tuple[str, Tensor]]:
        """Read inputs from text: for each, its name in messages and its tokens (L,).

        Raises:
            UserError: what is wrong, with file, line and cell, and what was expected.
        """

    @abstractmethod
    def format(self, tokens: Sequence[int]) -> str:
        """An input or an answer as people write it, over several lines."""

    @abstractmethod
    def compact(self, tokens: Sequence[int]) -> str:
        """The same on one line; `parse` reads it back."""

    @abstractmethod
    def count_solutions(self, tokens: Sequence[int]) -> int:
        """How many valid answers an input has, counted exactly."""
