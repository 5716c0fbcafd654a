"""Optional parts of a task: how its inputs and answers are drawn."""

from abc import abstractmethod
from collections.abc import Sequence

from torch import Tensor

from gram_reasoning.tasks.base import Task


class Boards(Task):
    """A task on boards: pictures draw their squares. What has text and no board is drawn as text."""

    can = "draw boards"

    @abstractmethod
    def cells(self, tokens: Sequence[int]) -> list[list[str]]:
        """What stands in each square of an input or an answer, by rows."""


class Images(Task):
    """A task whose answers are images: pictures draw their pixels."""

    can = "draw images"

    @abstractmethod
    def image(self, tokens: Tensor) -> Tensor:
        """The brightness of each pixel, from 0 to 1, of answers (..., L): (..., H, W)."""
