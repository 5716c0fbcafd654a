"""Optional part of a task: boards of one character a cell, written and read."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gram_reasoning.errors import UserError
from gram_reasoning.tasks.base import PAD
from gram_reasoning.tasks.forms import Block
from gram_reasoning.tasks.pictures import Boards
from gram_reasoning.tasks.text import Text
from gram_reasoning.tasks.written import rows_of


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

    def read_answer(self, lines: Block, where: str) -> Tensor:
        return self.read_one(lines, where)

    def rows(self, tokens: Sequence[int]) -> list[str]:
        """The rows of a board, a character a cell."""
        return rows_of(tokens, self.symbols, self.columns)

    def format(self, tokens: Sequence[int]) -> str:
        return "\n".join(" ".join(row) for row in self.rows(tokens))

    def compact(self, tokens: Sequence[int]) -> str:
        return "/".join(self.rows(tokens))

    def cells(self, tokens: Sequence[int]) -> list[list[str]]:
        return [list(row.replace(".", " ")) for row in self.rows(tokens)]
