"""Optional part of a task: answers from nothing, for `gram generate`. Every split has one problem, the empty input."""

from abc import abstractmethod

from torch import Tensor

from gram_reasoning.tasks.written import Written


class Generation(Written):
    """A task with one input, the empty one, and very many answers."""

    can = "generate from nothing"
    held_out = ()

    @abstractmethod
    def blank(self) -> Tensor:
        """The empty input (L,)."""

    def at_hand(self) -> bool:
        """Whether its splits can be had without a download."""
        return True


class Puzzles(Generation):
    """A task whose answers can be made into puzzles, for `gram generate --puzzles`."""

    can = "make puzzles of its answers"

    @abstractmethod
    def to_puzzles(self, answers: Tensor, key: Tensor) -> Tensor:
        """Of each valid answer (B, L) an input with one solution, drawn from its key (B,)."""
