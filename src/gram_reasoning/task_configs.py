"""What each task can be set to: one frozen dataclass a task, told apart by its `kind`. Imports no torch."""

from dataclasses import dataclass
from typing import ClassVar

from gram_reasoning.errors import check


@dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """What the config of every task has in common: the name of its kind, which JSON files carry."""

    kind: ClassVar[str]


@dataclass(frozen=True, kw_only=True)
class NQueensConfig(TaskConfig):
    """N queens on an N x N board, some of them given: complete the board."""

    kind: ClassVar[str] = "nqueens"

    size: int = 8
    """Side of the board, 4 to 12."""
    min_removed: int | None = None
    """Fewest queens taken away from a full board; None means size - 3, as in the paper."""
    max_removed: int | None = None
    """Most queens taken away; None means size - 1, as in the paper. `size` includes the empty board."""
    split_seed: int = 0
    """Which inputs are held out."""
    test_share: float = 0.15
    """Share of the unique inputs held out as the test split."""
    validation_share: float = 0.05
    """Share of the unique inputs held out of training for monitoring and choosing."""

    def __post_init__(self) -> None:
        check(4 <= self.size <= 12, "task.size", self.size, "a board side from 4 to 12")
        low, high = self.removed
        check(1 <= low <= high <= self.size, "task.min_removed", (low, high), "1 <= min <= max <= size")
        check(0 < self.test_share < 0.9, "task.test_share", self.test_share, "a share in (0, 0.9)")
        check(0 < self.validation_share < 0.9, "task.validation_share", self.validation_share, "(0, 0.9)")
        check(self.test_share + self.validation_share < 1, "task.test_share", self.test_share, "room to train")

    @property
    def removed(self) -> tuple[int, int]:
        """Fewest and most queens removed, the defaults filled in."""
        low = self.size - 3 if self.min_removed is None else self.min_removed
        high = self.size - 1 if self.max_removed is None else self.max_removed
        return low, high


KINDS: dict[str, type[TaskConfig]] = {config.kind: config for config in (NQueensConfig,)}
"""Every kind of task and its config; `build.register` adds one of your own."""
