"""N-Queens with all completions: place N queens on an N x N board, some of them given.

Tokens: 0 pad, 1 empty, 2 queen; a board is read row by row. Data: every solution with k of its queens taken away;
inputs that arise from several solutions have several valid answers, and all of them are known.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from gram_reasoning.errors import Ambiguous, Broken, UserError
from gram_reasoning.tasks.base import Problems
from gram_reasoning.tasks.board_text import BoardText
from gram_reasoning.tasks.configs import NQueensConfig
from gram_reasoning.tasks.forms import Block, is_list, whole
from gram_reasoning.tasks.prepared import with_all_solutions
from gram_reasoning.tasks.sizes import OfSizes, corner
from gram_reasoning.tasks.splits import HeldOutTask
from gram_reasoning.tasks.text import Puzzle

EMPTY, QUEEN = 1, 2


@lru_cache(maxsize=4)
def all_solutions(size: int) -> np.ndarray:
    """Every placement of `size` non-attacking queens: (number, size) int8, the column of each row's queen."""
    return np.array(list(_complete((-1,) * size)), dtype=np.int8)


def _complete(given: tuple[int, ...]):
    """All completions of a placement (column of each row's queen, -1 where open), by backtracking on bit masks."""
    size = len(given)
    columns: list[int] = []

    def place(row: int, used: int, rising: int, falling: int):
        if row == size:
            yield tuple(columns)
            return
        for column in range(size) if given[row] < 0 else (given[row],):
            c, r, f = 1 << column, 1 << (row + column), 1 << (row - column + size)
            if not (used & c or rising & r or falling & f):
                columns.append(column)
                yield from place(row + 1, used | c, rising | r, falling | f)
                columns.pop()

    yield from place(0, 0, 0, 0)


class NQueens(HeldOutTask, BoardText):
    """See NQueensConfig."""

    name = "nqueens"
    vocab = 3
    symbols = ("?", "._0", "Qq1♛♕")
    open_token = EMPTY

    def __init__(self, config: NQueensConfig) -> None:
        super().__init__(config)
        self.size = self.columns = config.size
        self.length = config.size**2
        cells = torch.arange(self.length)
        row, column = cells // self.size, cells % self.size
        lines = torch.cat([row, column, row + column, row - column + self.size - 1])
        kinds = torch.arange(4).repeat_interleave(self.length)
        # Which line of each kind a cell lies on: rows and columns must hold one queen, diagonals at most one.
        incidence = torch.zeros(4, 2 * self.size - 1, self.length)
        incidence[kinds, lines, cells.repeat(4)] = 1
        self._incidence = incidence
        kinds = [[line.nonzero()[:, 0].tolist() for line in kind] for kind in incidence]
        self.units = tuple([unit for unit in kind if unit] for kind in kinds)

    # -- rules -------------------------------------------------------------------------------------------------

    def reward(self, prediction: Tensor, inputs: Tensor) -> Tensor:
        """1 for a valid completion; otherwise less, by the share of rows, columns and given queens that hold.

        Invalid answers score at most 0.9.
        """
        queens = (prediction == QUEEN).float()
        counts = torch.einsum("klc,bc->bkl", self._incidence.to(queens.device), queens)
        given = inputs == QUEEN
        kept = (queens * given).sum(1) / given.sum(1).clamp(min=1)
        missing = given.sum(1) == 0
        ranks = (counts[:, :2, : self.size] == 1).float().mean((1, 2))
        clean = (counts[:, 2:] <= 1).float().mean((1, 2))
        tokens = ((prediction == QUEEN) | (prediction == EMPTY)).all(1)
        valid = (ranks == 1) & (clean == 1) & (missing | (kept == 1)) & tokens
        partial = 0.9 * (ranks + clean + torch.where(missing, torch.ones_like(kept), kept)) / 3
        return torch.where(valid, torch.ones_like(partial), partial)

    def count_solutions(self, tokens: Sequence[int]) -> int:
        """Number of valid completions, by exact search."""
        given = [-1] * self.size
        for cell, token in enumerate(tokens):
            if token == QUEEN:
                if given[cell // self.size] >= 0:
                    return 0  # two queens in one row
                given[cell // self.size] = cell % self.size
        return sum(1 for _ in _complete(tuple(given)))

    # -- data --------------------------------------------------------------------------------------------------

    def problems(self) -> Problems:
        size = self.size
        solutions = all_solutions(size)
        # Code of a placement: one base-(size + 1) digit a row, 0 where the row is open.
        digits = (solutions + 1).astype(np.int64) * (size + 1) ** np.arange(size, dtype=np.int64)
        low, high = self.config.removed
        parts = [
            digits[:, list(kept)].sum(1) if kept else np.zeros(len(solutions), np.int64)
            for removed in range(low, high + 1)
            for kept in combinations(range(size), size - removed)
        ]
        codes = np.concatenate(parts)
        members = np.tile(np.arange(len(solutions)), len(parts))
        unique, inverse, count = np.unique(codes, return_inverse=True, return_counts=True)
        order = np.argsort(inverse, kind="stable")
        columns = unique[:, None] // (size + 1) ** np.arange(size, dtype=np.int64) % (size + 1) - 1
        return Problems(
            inputs=torch.from_numpy(_boards(columns)),
            solutions=torch.from_numpy(_boards(solutions)),
            members=torch.from_numpy(members[order]),
            first=torch.from_numpy(np.cumsum(count) - count),
            count=torch.from_numpy(count),
        )

    def codes(self, problems: Problems) -> np.ndarray:
        """One base-(size + 1) digit a row: the column of its queen from 1, 0 where the row is open."""
        size = self.size
        queens = problems.inputs.numpy().reshape(-1, size, size) == QUEEN
        columns = (queens * np.arange(1, size + 1)).sum(2)
        return columns @ (size + 1) ** np.arange(size, dtype=np.int64)

    # -- text --------------------------------------------------------------------------------------------------

    # A board is N lines of N cells (Q or 1 queen, . or 0 empty), or one line: its rows joined by `/`, or, for each row,
    # the column of its queen counted from 1 (. where open), joined by commas. A line of 0 and 1 alone, joined by
    # commas, is a row: columns have no 0, and two queens in column 1 attack each other.

    @classmethod
    def stands_alone(cls, line: str) -> bool:
        return "/" in line or ("," in line and not set(re.split(r"\s*,\s*", line)) <= {"0", "1"})

    @classmethod
    def spell(cls, value: Any, place: str) -> list[str]:
        """A list of numbers has the column of each row's queen."""
        if is_list(value) and value and all(cell is None or whole(cell) is not None or cell == "." for cell in value):
            if 0 in value:
                raise Ambiguous(
                    f"{place}: a column 0, which may be the first one counted from 0 or an open row; expected columns "
                    "counted from 1, and None or null for an open row"
                )
            return [",".join("." if cell in (None, ".") else str(whole(cell)) for cell in value)]
        return super().spell(value, place)

    def read_one(self, lines: Block, where: str) -> Tensor:
        place = f"{where}, line {lines[0][0]}"
        first = lines[0][1]
        if len(lines) == 1 and "," in first and "/" not in first:
            return self._peaceful(self._from_columns(first.split(","), place), place)
        return self._peaceful(super().read_one([(n, line.replace(",", " ")) for n, line in lines], where), place)

    @classmethod
    def resembles(cls, line: str) -> bool:
        return re.fullmatch(r"[.01\s]*[Qq][Qq.01\s]*|\.(\s*\.)+", line) is not None

    def problems_of(self, puzzles: Sequence[Puzzle], where: str) -> Problems:
        found = []
        for puzzle in puzzles:
            placed = (puzzle.tokens.view(self.size, self.size) == QUEEN).int()
            given = placed.argmax(1).where(placed.any(1), -1)
            found.append(np.array(list(_complete(tuple(given.tolist()))), dtype=np.int8).reshape(-1, self.size))
            if len(found[-1]) == 0:
                raise UserError(f"{puzzle.place}: no solution exists, expected a board that has one")
        inputs = torch.stack([puzzle.tokens for puzzle in puzzles]).to(torch.uint8)
        return with_all_solutions(inputs, [torch.from_numpy(_boards(columns)) for columns in found], complete=True)

    @classmethod
    def model_name(cls, lines: Block, where: str) -> str:
        size = cls.size_of(lines, where)
        if size in range(4, 13):
            cls.sized(lines, where).read_one(lines, where)  # a misshapen board is refused as such
        return f"{cls.name}{size}"

    @classmethod
    def size_of(cls, lines: Block, where: str) -> int:
        """The side of a board: its rows if it stands on one line, else its first row's cells."""
        del where
        line = lines[0][1]
        mark = None if len(lines) > 1 else next((mark for mark in "/," if mark in line), None)
        return line.count(mark) + 1 if mark else len("".join(line.replace(",", " ").split()))

    @classmethod
    def of(cls, config: NQueensConfig) -> "NQueens":
        return cls(config) if config.smallest is None else QueensOfSizes(config)

    @classmethod
    def sized(cls, lines: Block, where: str) -> Self:
        return cls(NQueensConfig(size=cls.size_of(lines, where)))

    @property
    def legend(self) -> str:
        return "Q for a queen or . for an empty cell"

    def _from_columns(self, columns: list[str], place: str) -> Tensor:
        """The tokens of a board from the column of each row's queen."""
        if len(columns) != self.size:
            raise UserError(f"{place}: {len(columns)} columns, expected one for each of {self.size} rows")
        column_of = {".": None, **{str(c): c - 1 for c in range(1, self.size + 1)}}
        tokens = torch.full((self.length,), EMPTY)
        for r, column in enumerate(map(str.strip, columns)):
            if column not in column_of:
                raise UserError(
                    f"{place}, row {r + 1}: {column!r}, expected the column of its queen, 1 to {self.size}, "
                    "or . for an open row"
                )
            if (c := column_of[column]) is not None:
                tokens[r * self.size + c] = QUEEN
        return tokens

    def _peaceful(self, board: Tensor, place: str) -> Tensor:
        """The same board (L,), unless two of its queens attack each other."""
        queens = [divmod(cell, self.size) for cell in (board == QUEEN).nonzero()[:, 0].tolist()]
        for (r1, c1), (r2, c2) in combinations(queens, 2):
            if r1 == r2 or c1 == c2 or abs(r1 - r2) == abs(c1 - c2):
                raise Broken(
                    f"{place}: the queens in row {r1 + 1}, column {c1 + 1} and row {r2 + 1}, column {c2 + 1} "
                    "attack each other, expected queens that do not"
                )
        return board

    def cells(self, tokens: Sequence[int]) -> list[list[str]]:
        return [["♛" if cell == "Q" else "" for cell in row] for row in self.rows(tokens)]


class QueensOfSizes(OfSizes, NQueens):
    """Boards of several sizes, each in the upper left corner of the largest."""

    alone = NQueens
    least = 4

    def places(self, size: int) -> Tensor:
        return corner(size, self.size)


def _boards(columns: np.ndarray) -> np.ndarray:
    """Placements (number, N), -1 where a row is open, as boards (number, N * N) uint8."""
    size = columns.shape[1]
    return np.where(columns[:, :, None] == np.arange(size), QUEEN, EMPTY).astype(np.uint8).reshape(-1, size * size)
