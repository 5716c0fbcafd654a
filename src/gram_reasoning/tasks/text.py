"""Optional parts of a task: its inputs and answers as text, written and read.

`gram solve`, `gram data` and `gram_reasoning.load` ask for them; training and evaluation need none.
"""

import io
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import torch
from torch import Tensor

from gram_reasoning.errors import UserError
from gram_reasoning.tasks.base import PAD, Task
from gram_reasoning.tasks.pictures import Boards

LONGEST_BLOCK = 1000
"""Lines of an input: more in one block is no puzzle, but a file of another kind."""

Block = list[tuple[int, str]]
"""The lines of one input, each with its number."""


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
        del lines, where
        return cls.name


class Text(Blocks):
    """A task that reads its inputs: one in each block of lines."""

    can = "read inputs as text"
    reads_format: bool = True
    """Whether an input is also read back as `format` writes it."""

    @classmethod
    @abstractmethod
    def stands_alone(cls, line: str) -> bool:
        """Whether a line of text is a whole input; other inputs are blocks of lines, with empty lines between."""

    @abstractmethod
    def read_one(self, lines: Block, where: str) -> Tensor:
        """The tokens (L,) of one input from its lines and their numbers.

        Raises:
            UserError: what is wrong, with file, line and cell, and what was expected.
        """

    def read(self, lines: Iterable[str], where: str) -> Iterator[tuple[str, Tensor]]:
        """Read inputs while their lines come in: for each, its name in messages and its tokens (L,)."""
        for block in self.blocks(lines, where):
            yield f"{where}, line {block[0][0]}", self.read_one(block, where)

    def parse(self, text: str, where: str) -> list[tuple[str, Tensor]]:
        """The inputs of a text, as `read` gives them; at least one."""
        found = list(self.read(io.StringIO(text), where))
        if not found:
            raise UserError(f"{where}: no input found, expected at least one")
        return found

    @classmethod
    def blocks(cls, lines: Iterable[str], where: str) -> Iterator[Block]:
        """The lines of each input with their numbers; lines that start with `#` are comments."""
        block: Block = []
        for number, line in enumerate(map(str.strip, chain(lines, [""])), 1):
            if line.startswith("#"):
                continue
            if line and not cls.stands_alone(line):
                block.append((number, line))
                if len(block) > LONGEST_BLOCK:
                    raise UserError(
                        f"{where}, line {block[0][0]}: more than {LONGEST_BLOCK} lines in one block, "
                        "expected an empty line between inputs"
                    )
                continue
            if block and line:
                raise UserError(
                    f"{where}, line {number}: an input of one line inside the block that begins in line "
                    f"{block[0][0]}, expected an empty line between them"
                )
            if one := block or ([(number, line)] if line else []):
                yield one
            block = []


class BoardText(Text, Boards):
    """Boards as text: a character a cell, by `symbols`; rows on lines of their own or joined by `/`."""

    symbols: Sequence[str]
    """The characters that stand for each token; the first of them is written."""
    columns: int
    """Cells in a row."""

    @property
    def legend(self) -> str:
        """What a cell may hold, in words, for messages."""
        return f"one of {' '.join(symbols[0] for symbols in self.symbols[PAD + 1 :])}"

    @classmethod
    def stands_alone(cls, line: str) -> bool:
        return "/" in line

    def read_one(self, lines: Block, where: str) -> Tensor:
        place = f"{where}, line {lines[0][0]}"
        rows = [(f"{where}, line {number}", row) for number, row in lines]
        if self.stands_alone(lines[0][1]):
            rows = [(f"{place}, row {r}", row) for r, row in enumerate(lines[0][1].split("/"), 1)]
        expected = self.length // self.columns
        if len(rows) != expected:
            raise UserError(f"{place}: a board of {len(rows)} rows, expected {expected} rows of {self.columns} cells")
        token_of = {symbol: token for token, symbols in enumerate(self.symbols) for symbol in symbols if token != PAD}
        tokens = []
        for here, row in rows:
            cells = "".join(row.split())
            if len(cells) != self.columns:
                raise UserError(f"{here}: {len(cells)} cells, expected {self.columns}")
            for c, cell in enumerate(cells, 1):
                if cell not in token_of:
                    raise UserError(f"{here}, cell {c}: {cell!r}, expected {self.legend}")
                tokens.append(token_of[cell])
        return torch.tensor(tokens)

    def rows(self, tokens: Sequence[int]) -> list[str]:
        """The rows of a board, a character a cell."""
        return rows_of(tokens, self.symbols, self.columns)

    def format(self, tokens: Sequence[int]) -> str:
        return "\n".join(" ".join(row) for row in self.rows(tokens))

    def compact(self, tokens: Sequence[int]) -> str:
        return "/".join(self.rows(tokens))

    def cells(self, tokens: Sequence[int]) -> list[list[str]]:
        return [list(row.replace(".", " ")) for row in self.rows(tokens)]


def rows_of(tokens: Sequence[int], symbols: Sequence[str], columns: int) -> list[str]:
    """Tokens as rows of characters, the first of the `symbols` of each token."""
    cells = "".join(symbols[token][0] for token in tokens)
    return [cells[i : i + columns] for i in range(0, len(cells), columns)]
