"""N-Queens with all completions: place N queens on an N x N board, some of them given.

Tokens: 0 pad, 1 empty, 2 queen; a board is read row by row. Data: every solution with k of its queens taken away;
inputs that arise from several solutions have several valid answers, and all of them are known.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from gram_reasoning.errors import UserError
from gram_reasoning.task_configs import NQueensConfig
from gram_reasoning.tasks.base import Block, Problems, Task
from gram_reasoning.tasks.splits import split_by_code

EMPTY, QUEEN = 1, 2
Cell = tuple[int, int]
"""Row and column, from 0."""


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


class NQueens(Task):
    """See NQueensConfig."""

    name = "nqueens"
    vocab = 3

    def __init__(self, config: NQueensConfig) -> None:
        super().__init__(config)
        self.size = config.size
        self.length = config.size**2
        cells = torch.arange(self.length)
        row, column = cells // self.size, cells % self.size
        lines = torch.cat([row, column, row + column, row - column + self.size - 1])
        kinds = torch.arange(4).repeat_interleave(self.length)
        # Which line of each kind a cell lies on: rows and columns must hold one queen, diagonals at most one.
        incidence = torch.zeros(4, 2 * self.size - 1, self.length)
        incidence[kinds, lines, cells.repeat(4)] = 1
        self._incidence = incidence
        self._splits: dict[str, Problems] = {}

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

    def split(self, name: str) -> Problems:
        if not self._splits:
            self._splits = self._make_splits()
        if name not in self._splits:
            raise UserError(f"unknown split {name!r}, expected one of {', '.join(self._splits)}")
        return self._splits[name]

    def _make_splits(self) -> dict[str, Problems]:
        """All inputs with all their solutions, split by a seeded hash of the input itself.

        So the split does not depend on the order in which inputs are found, and no input is in two parts.
        """
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
        problems = Problems(
            inputs=torch.from_numpy(_boards(columns)),
            solutions=torch.from_numpy(_boards(solutions)),
            members=torch.from_numpy(members[order]),
            first=torch.from_numpy(np.cumsum(count) - count),
            count=torch.from_numpy(count),
        )
        parts = split_by_code(unique, self.config)
        return {name: problems.subset(index) for name, index in parts.items()}

    # -- text --------------------------------------------------------------------------------------------------

    # A board is N lines of N cells (Q queen, . or _ empty), or one line: its rows joined by `/`, or, for each row, the
    # column of its queen counted from 1 (. where open), joined by commas.

    @classmethod
    def stands_alone(cls, line: str) -> bool:
        return "/" in line or "," in line

    def read_one(self, lines: Block, where: str) -> Tensor:
        place = f"{where}, line {lines[0][0]}"
        if "," in lines[0][1]:
            return self._peaceful(self._columns(lines[0][1].split(","), place), place)
        if "/" in lines[0][1]:
            rows = [(f"{place}, row {r}", row) for r, row in enumerate(lines[0][1].split("/"), 1)]
        else:
            rows = [(f"{where}, line {number}", row) for number, row in lines]
        return self._peaceful(self._cells(rows, place), place)

    @classmethod
    def model_name(cls, lines: Block, where: str) -> str:
        """By the side of the board: its rows if it stands on one line, else its first row's cells."""
        line = lines[0][1]
        mark = next((mark for mark in ",/" if mark in line), None)
        size = line.count(mark) + 1 if mark else len("".join(line.split()))
        if size in range(4, 13):
            cls(NQueensConfig(size=size)).read_one(lines, where)  # a misshapen board is told as such
        return f"{cls.name}{size}"

    def _cells(self, rows: list[tuple[str, str]], place: str) -> list[Cell]:
        """The queens of a board from its rows, each with its name in messages."""
        if len(rows) != self.size:
            raise UserError(f"{place}: a board of {len(rows)} rows, expected {self.size} rows of {self.size} cells")
        queens = []
        for r, (here, row) in enumerate(rows):
            cells = "".join(row.split())
            if len(cells) != self.size:
                raise UserError(f"{here}: {len(cells)} cells, expected {self.size}")
            for c, cell in enumerate(cells):
                if cell not in "Qq._":
                    raise UserError(f"{here}, cell {c + 1}: {cell!r}, expected Q for a queen or . for an empty cell")
                if cell in "Qq":
                    queens.append((r, c))
        return queens

    def _columns(self, columns: list[str], place: str) -> list[Cell]:
        """The queens of a board from the column of each row's queen."""
        if len(columns) != self.size:
            raise UserError(f"{place}: {len(columns)} columns, expected one for each of {self.size} rows")
        known = {".": None, **{str(c): c - 1 for c in range(1, self.size + 1)}}
        queens = []
        for r, column in enumerate(map(str.strip, columns)):
            if column not in known:
                raise UserError(
                    f"{place}, row {r + 1}: {column!r}, expected the column of its queen, 1 to {self.size}, "
                    "or . for an open row"
                )
            if (c := known[column]) is not None:
                queens.append((r, c))
        return queens

    def _peaceful(self, queens: list[Cell], place: str) -> Tensor:
        """The tokens of a board with these queens, unless two of them attack each other."""
        for (r1, c1), (r2, c2) in combinations(queens, 2):
            if r1 == r2 or c1 == c2 or abs(r1 - r2) == abs(c1 - c2):
                raise UserError(
                    f"{place}: the queens in row {r1 + 1}, column {c1 + 1} and row {r2 + 1}, column {c2 + 1} "
                    "attack each other, expected queens that do not"
                )
        tokens = torch.full((self.length,), EMPTY)
        tokens[[r * self.size + c for r, c in queens]] = QUEEN
        return tokens

    def format(self, tokens: Sequence[int]) -> str:
        return "\n".join(" ".join(row) for row in self._rows(tokens))

    def compact(self, tokens: Sequence[int]) -> str:
        return "/".join(self._rows(tokens))

    def cells(self, tokens: Sequence[int]) -> list[list[str]]:
        return [["♛" if cell == "Q" else "" for cell in row] for row in self._rows(tokens)]

    def _rows(self, tokens: Sequence[int]) -> list[str]:
        cells = "".join("?.Q"[t] for t in tokens)
        return [cells[i : i + self.size] for i in range(0, self.length, self.size)]


def _boards(columns: np.ndarray) -> np.ndarray:
    """Placements (number, N), -1 where a row is open, as boards (number, N * N) uint8."""
    size = columns.shape[1]
    return np.where(columns[:, :, None] == np.arange(size), QUEEN, EMPTY).astype(np.uint8).reshape(-1, size * size)
