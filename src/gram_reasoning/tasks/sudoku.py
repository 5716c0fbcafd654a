"""Sudoku on 4x4 and 9x9 boards: complete a board so that every row, column and box holds every digit once.

Tokens: 0 pad, 1 blank, 2 and up the digits; a board is read row by row.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from gram_reasoning import noise
from gram_reasoning.errors import Broken, UserError
from gram_reasoning.tasks import sudoku_text
from gram_reasoning.tasks.base import Problems
from gram_reasoning.tasks.configs import SudokuConfig
from gram_reasoning.tasks.forms import Block, Entry, is_list
from gram_reasoning.tasks.pictures import Boards
from gram_reasoning.tasks.sources import SourcedTask
from gram_reasoning.tasks.sudoku_few import FewSolutions
from gram_reasoning.tasks.sudoku_text import BLANKS
from gram_reasoning.tasks.written import Written

BLANK, ONE = 1, 2
COUNT_LIMIT = 10_000
"""Solutions of a puzzle are counted no further: an empty board has more than 10^21."""
GUESSES = 500_000
"""In plain Python, to count solutions before the solver is compiled: about a second."""


class SudokuBoards(Written, Boards):
    """Rules, symmetries and pictures of boards; what is asked about them is a subclass's matter."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        n = self.size = config.size
        self.box = round(n**0.5)
        self.length, self.vocab = n * n, ONE + n
        cell = torch.arange(n * n)
        row, column = cell // n, cell % n
        boxes = row // self.box * self.box + column // self.box
        self._unit_of = torch.stack([row, n + column, 2 * n + boxes])  # the three units of each cell (3, L)
        self._units = torch.stack([(self._unit_of == u).any(0).nonzero()[:, 0] for u in range(3 * n)])  # (3 n, n)
        self.names = n
        self.units = tuple(kind.tolist() for kind in self._units.split(n))  # rows, columns, boxes

    # -- rules -------------------------------------------------------------------------------------------------

    def reward(self, prediction: Tensor, inputs: Tensor) -> Tensor:
        """1 for a valid board that keeps the clues; otherwise at most 0.9, by how many digits of units are there."""
        members = prediction[:, self._units.to(prediction.device)]  # (B, 3 n, n)
        digits = torch.arange(ONE, self.vocab, device=prediction.device)
        there = (members[..., None] == digits).any(2)  # which digits a unit holds (B, 3 n, n)
        clue = inputs >= ONE
        kept = (prediction == inputs) | ~clue
        valid = there.all(2).all(1) & kept.all(1)
        partial = 0.9 * there.float().mean((1, 2)) * kept.float().mean(1)
        return torch.where(valid, torch.ones_like(partial), partial)

    # -- symmetry ----------------------------------------------------------------------------------------------

    def symmetry(self, key: Tensor) -> tuple[Tensor, Tensor]:
        """One of the board's symmetries for each key (B,).

        Returns:
            Which old cell each new cell takes (B, L), and the new token of each old one (B, vocab): bands, stacks,
            rows and columns within them, transposition, and the digits.
        """
        n, box = self.size, self.box

        def lines(purpose: str) -> Tensor:
            bands = noise.permutation(noise.keys(0, f"{purpose} bands", key), box)  # (B, box)
            within = [noise.permutation(noise.keys(0, f"{purpose} {i}", key), box) for i in range(box)]
            return (bands[:, :, None] * box + torch.stack(within, 1)).flatten(1)  # (B, n)

        rows, columns = lines("rows"), lines("columns")
        cells = rows[:, :, None] * n + columns[:, None, :]
        transposed = columns[:, None, :] * n + rows[:, :, None]
        flip = noise.choice(noise.keys(0, "transpose", key), 2) == 1
        cells = torch.where(flip[:, None, None], transposed, cells).flatten(1)
        digits = noise.permutation(noise.keys(0, "digits", key), n) + ONE
        fixed = torch.arange(ONE, device=key.device).expand(len(key), ONE)
        return cells, torch.cat([fixed, digits], 1)

    # -- written and drawn -------------------------------------------------------------------------------------

    def cells(self, tokens: Sequence[int]) -> list[list[str]]:
        n = self.size
        symbols = [str(t - ONE + 1) if t >= ONE else "" for t in tokens]
        return [symbols[i : i + n] for i in range(0, self.length, n)]

    def format(self, tokens: Sequence[int]) -> str:
        box = self.box
        lines = []
        for r, row in enumerate(self.cells(tokens)):
            if r and r % box == 0:
                lines.append("+".join("-" * (2 * box + (0 < i < box - 1) + (box == 2 and i == 1)) for i in range(box)))
            parts = [" ".join(cell or "." for cell in row[i : i + box]) for i in range(0, self.size, box)]
            lines.append(" | ".join(parts))
        return "\n".join(lines)

    def compact(self, tokens: Sequence[int]) -> str:
        return "".join(cell or "." for row in self.cells(tokens) for cell in row)

    def digits(self, tokens: Tensor) -> np.ndarray:
        """Boards (M, L) of tokens as the solver takes them: digits, 0 for a blank."""
        return (tokens - BLANK).clamp(min=0).to(torch.uint8).cpu().numpy()


class Sudoku(SudokuBoards, SourcedTask):
    """Solving puzzles. See SudokuConfig."""

    name = "sudoku"
    hub = "sapientinc/sudoku-extreme"
    count_limit = COUNT_LIMIT
    open_token = BLANK

    def __init__(self, config: SudokuConfig) -> None:
        super().__init__(config)
        self._few = FewSolutions(self.size, GUESSES)

    def count_solutions(self, tokens: Sequence[int]) -> int:
        puzzle = self.digits(torch.tensor([tokens]))
        if (number := self._few.count(puzzle[0].tolist(), COUNT_LIMIT)) is not None:
            return number
        from gram_reasoning.tasks import sudoku_solver

        return int(sudoku_solver.solve(puzzle, COUNT_LIMIT)[0][0])

    def augment(self, inputs: Tensor, solutions: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        if self.config.reveal:
            inputs = self._reveal(inputs, solutions[:, 0], key)
        if not self.config.augment:
            return inputs, solutions
        cells, tokens = self.symmetry(key)
        both = torch.cat([inputs[:, None], solutions], 1)  # (B, 1 + K, L)
        moved = both.gather(2, cells[:, None].expand_as(both))
        renamed = tokens.gather(1, moved.flatten(1)).view_as(moved)
        return renamed[:, 0], renamed[:, 1:]

    def _reveal(self, inputs: Tensor, solution: Tensor, key: Tensor) -> Tensor:
        """Inputs (B, L) with some blanks filled in from a solution."""
        number = noise.choice(noise.keys(0, "revealed", key), self.config.reveal + 1)
        order = noise.permutation(noise.keys(0, "reveal", key), self.length)
        rank = order.where(inputs == BLANK, self.length).argsort(1).argsort(1)  # blanks come first
        return torch.where((inputs == BLANK) & (rank < number[:, None]), solution, inputs)

    # -- data --------------------------------------------------------------------------------------------------

    def read_lines(self, texts: Sequence[str], numbers: list[int], path: Path, what: str) -> np.ndarray:
        from gram_reasoning.tasks import sudoku_data

        return sudoku_data.read_lines(texts, numbers, path, self.size, what)

    def as_rows(self, tokens: Tensor) -> np.ndarray:
        return self.digits(tokens)

    def check_questions(self, questions: np.ndarray, numbers: list[int], path: Path) -> None:
        del questions, numbers, path  # the solver finds those without a solution

    def check_answers(self, questions: np.ndarray, answers: np.ndarray, numbers: list[int], path: Path) -> None:
        from gram_reasoning.tasks import sudoku_data

        sudoku_data.check_answers(questions, answers, numbers, path)

    def generate(self, number: int) -> np.ndarray:
        from gram_reasoning.tasks import sudoku_data

        c = self.config
        return sudoku_data.generated(number, self.size, c.blanks, c.difficulty, c.split_seed)

    def solved(self, questions: np.ndarray, answers: np.ndarray | None, source: str) -> Problems:
        from gram_reasoning.tasks import sudoku_data

        return sudoku_data.solved(questions, answers, source)

    # -- text --------------------------------------------------------------------------------------------------

    @classmethod
    def stands_alone(cls, line: str) -> bool:
        return sudoku_text.stands_alone(line)

    @classmethod
    def solid(cls, line: str) -> str:
        """Tabs may stand for blanks, also at the ends."""
        return line.strip(" \r\n") if line.strip() else ""

    @classmethod
    def cleaned(cls, lines: Iterable[str]) -> Iterable[str]:
        return sudoku_text.without_titles(lines)

    @classmethod
    def is_whole(cls, block: Block) -> bool:
        return sudoku_text.is_whole(block)

    @classmethod
    def _cut(cls, lines: Iterable[str], where: str) -> Iterator[Entry]:
        return (entry for entry in super()._cut(lines, where) if not sudoku_text.is_frame(entry.question))

    @classmethod
    def is_input(cls, value: Any) -> bool:
        cells = is_list(value) and len(value) in sudoku_text.SIZES and not any(map(is_list, value))
        return cells or super().is_input(value)

    @classmethod
    def spell(cls, value: Any, place: str) -> list[str]:
        """All cells in one list are a board too."""
        if is_list(value) and len(value) in sudoku_text.SIZES and not any(is_list(cell) for cell in value):
            return ["".join(cls.cell(cell, place) for cell in value)]
        return super().spell(value, place)

    @classmethod
    def resembles(cls, line: str) -> bool:
        cells = sudoku_text.cells_of(line)
        return len(cells) > 2 and set(cells) <= {*BLANKS, *"123456789"}

    def read_one(self, lines: Block, where: str) -> Tensor:
        place = f"{where}, line {lines[0][0]}"
        n = self.size
        rows = sudoku_text.rows_of(lines, where, n)
        if len(lines) == len(rows) == 1:
            raise UserError(f"{place}: {len(rows[0][1])} cells, expected {self.length}, or {n} lines of {n}")
        if len(rows) != n:
            raise UserError(f"{place}: a board of {len(rows)} rows, expected {n} rows of {n} cells")
        tokens = []
        for here, row in rows:
            if len(row) != n:
                raise UserError(f"{here}: {len(row)} cells, expected {n}")
            for c, cell in enumerate(row, 1):
                if cell not in BLANKS and not (cell in "123456789" and int(cell) <= n):
                    raise UserError(f"{here}, cell {c}: {cell!r}, expected a digit from 1 to {n}, or . for a blank")
                tokens.append(BLANK if cell in BLANKS else ONE - 1 + int(cell))
        board = torch.tensor(tokens)
        self._refuse_contradiction(board, place)
        return board

    def read_answer(self, lines: Block, where: str) -> Tensor:
        return self.read_one(lines, where)

    def _refuse_contradiction(self, board: Tensor, place: str) -> None:
        """Broken if two clues of one unit hold the same digit."""
        n = self.size
        for unit in self._units.tolist():
            seen: dict[int, int] = {}
            for cell in unit:
                token = int(board[cell])
                if token >= ONE and token in seen:
                    one, other = (f"row {c // n + 1}, column {c % n + 1}" for c in (seen[token], cell))
                    raise Broken(
                        f"{place}: {one} and {other} both hold {token - ONE + 1}, expected clues without contradiction"
                    )
                seen[token] = cell

    @classmethod
    def size_of(cls, lines: Block, where: str) -> int:
        """The side of the board."""
        return sudoku_text.side_of(lines, where)

    @classmethod
    def sized(cls, lines: Block, where: str) -> Self:
        size = sudoku_text.side_of(lines, where)
        return cls(SudokuConfig(size=size, train="generated", test="generated", test_puzzles=1))
