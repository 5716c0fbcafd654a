"""Generating full Sudoku boards: one input, the blank board, and very many answers."""

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gram_reasoning import noise
from gram_reasoning.tasks.base import Problems
from gram_reasoning.tasks.configs import SudokuGenerationConfig
from gram_reasoning.tasks.generation import Puzzles
from gram_reasoning.tasks.prepared import prepared
from gram_reasoning.tasks.sources import order
from gram_reasoning.tasks.sudoku import BLANK, ONE, SudokuBoards

BOARDS_4 = 288
"""Full 4x4 boards that there are."""
HELD_OUT = 1000
"""Boards of 9x9 whose likelihood is watched in training."""


class SudokuGeneration(SudokuBoards, Puzzles):
    """See SudokuGenerationConfig. The input is the blank board; its solutions are the known boards."""

    name = "sudoku-generation"

    def __init__(self, config: SudokuGenerationConfig) -> None:
        super().__init__(config)
        self.boards = config.boards or (BOARDS_4 if config.size == 4 else 50_000)

    def blank(self) -> Tensor:
        return torch.full((self.length,), BLANK)

    def make_split(self, name: str) -> Problems:
        part = "train" if name == "train" or self.size == 4 else "held out"
        settings = {"task": self.name, "part": part, **asdict(self.config)}
        return prepared(f"{self.name}-{part[:5]}", settings, lambda: self._make(part))

    def _make(self, part: str) -> Problems:
        """Of 9x9 random boards; of 4x4 all there are, or so many in a random order, in every split."""
        from gram_reasoning.tasks import sudoku_solver

        if self.size == 4:
            every = sudoku_solver.solutions(np.zeros(16, np.uint8), BOARDS_4 + 1)
            boards = every[order(every, self.config.split_seed)[: self.boards]]
        else:
            train = part == "train"
            ids = torch.arange(self.boards) if train else -1 - torch.arange(HELD_OUT)
            keys = noise.keys(self.config.split_seed, "sudoku boards", ids).numpy().view(np.uint64)
            boards = sudoku_solver.random_boards(keys, 9)
        solutions = torch.from_numpy(boards + np.uint8(ONE - 1))
        return Problems.of_one_input(self.blank(), solutions, complete=len(boards) == BOARDS_4)

    def measures(self, answers: Tensor, problems: Problems) -> dict[str, Any]:
        """Validity, how many valid boards differ, and how many are new; of 4x4 also how evenly they are spread."""
        boards = answers.flatten(0, 1)
        valid = boards[self.reward(boards, self.blank().to(boards.device).expand_as(boards)) == 1].cpu()
        known = {board.tobytes() for board in self.split("train").solutions.numpy()}
        counts: dict[bytes, int] = {}
        for board in valid.to(torch.uint8).numpy():
            counts[board.tobytes()] = counts.get(board.tobytes(), 0) + 1
        number = len(valid)
        result: dict[str, Any] = {
            "boards": len(boards),
            "validity": number / len(boards),
            "distinct_of_valid": len(counts) / number if number else 0.0,
            "new_of_valid": sum(n for board, n in counts.items() if board not in known) / number if number else 0.0,
        }
        if self.size == 4 and number:
            expected = number / BOARDS_4
            missing = BOARDS_4 - len(counts)
            chi_square = sum((n - expected) ** 2 for n in counts.values()) / expected + missing * expected
            result |= {
                "share_of_the_288": len(counts) / BOARDS_4,
                "share_if_uniform": 1 - (1 - 1 / BOARDS_4) ** number,
                "chi_square_against_uniform": chi_square,
                "chi_square_degrees": BOARDS_4 - 1,
                "chi_square_p": chi_square_tail(chi_square, BOARDS_4 - 1),
            }
        return result

    def to_puzzles(self, answers: Tensor, key: Tensor) -> Tensor:
        """Clues taken away from each board, in an order drawn from its key, down to a unique solution."""
        from gram_reasoning.tasks import sudoku_solver

        every = np.full(len(answers), self.length)
        puzzles = sudoku_solver.dig(self.digits(answers), key.numpy().view(np.uint64), every)
        return torch.from_numpy(puzzles).long() + BLANK


def chi_square_tail(value: float, degrees: int) -> float:
    """The probability that chi-square with so many degrees of freedom exceeds a value."""
    half = torch.tensor([degrees / 2, value / 2], dtype=torch.float64)
    return float(torch.special.gammaincc(half[0], half[1]))
