"""Optional parts of a task: its inputs and answers as people write them; text that is cut into blocks."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence

from gram_reasoning.tasks.base import Task
from gram_reasoning.tasks.forms import Block


class Written(Task):
    """A task whose inputs and answers can be written."""

    can = "write its inputs and answers as text"

    @abstractmethod
    def format(self, tokens: Sequence[int]) -> str:
        """An input or an answer as people write it, over several lines."""

    @abstractmethod
    def compact(self, tokens: Sequence[int]) -> str:
        """The same on one line; a task with Text reads an input back. Different answers are written differently."""


class Blocks(Written):
    """A task that cuts text into blocks: what a block holds, Text and DemonstrationText say."""

    can = "read text"

    @classmethod
    @abstractmethod
    def blocks(cls, lines: Iterable[str], where: str) -> Iterator[Block]:
        """The lines of each block, while they come in.

        Raises:
            UserError: what is wrong, with file and line, and what was expected.
        """

    @classmethod
    def model_name(cls, lines: Block, where: str) -> str:
        """Name of the model in the package that fits a block: the kind, and the size if any."""
        size = cls.size_of(lines, where)
        return cls.name if size is None else f"{cls.name}{size}"

    @classmethod
    def size_of(cls, lines: Block, where: str) -> int | None:
        """The size of what a block holds; None if the task has one size."""
        del lines, where
        return None


def rows_of(tokens: Sequence[int], symbols: Sequence[str], columns: int) -> list[str]:
    """Tokens as rows of characters, the first of the `symbols` of each token."""
    cells = "".join(symbols[token][0] for token in tokens)
    return [cells[i : i + columns] for i in range(0, len(cells), columns)]
