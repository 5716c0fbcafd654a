"""Sudoku puzzles of files and of our own generator, and their solutions. Puzzles are digits, 0 for a blank, uint8."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from gram_reasoning import noise
from gram_reasoning.errors import UserError
from gram_reasoning.tasks import sudoku_solver
from gram_reasoning.tasks.base import Problems
from gram_reasoning.tasks.prepared import with_all_solutions
from gram_reasoning.tasks.sources import as_cells
from gram_reasoning.tasks.sudoku_text import BLANKS

MOST_SOLUTIONS = 2000
"""Solutions of a puzzle that are kept; a split with a puzzle that has more is not complete."""


def read_lines(texts: Sequence[str], numbers: list[int], path: Path, size: int, what: str) -> np.ndarray:
    """Lines of size * size cells as digits (M, cells)."""
    code = {**dict.fromkeys(BLANKS, 0), **{str(d): d for d in range(1, size + 1)}}
    return as_cells(texts, numbers, path, code, size * size, what, f"a digit from 1 to {size} or . for a blank")


def check_answers(questions: np.ndarray, answers: np.ndarray, numbers: list[int], path: Path) -> None:
    """UserError with the line of an answer that is no completion of its question."""
    wrong = (answers == 0).any(1) | ((questions != 0) & (questions != answers)).any(1)
    if wrong.any():
        raise UserError(f"{path}, line {numbers[wrong.argmax()]}: the answer has blanks or changes a clue, expected "
                        "a completion of the question")  # fmt: skip


def solved(questions: np.ndarray, answers: np.ndarray | None, source: str) -> Problems:
    """Puzzles with all their solutions, found by the exact solver; given answers must be among them."""
    count, first, _ = sudoku_solver.solve(questions)
    if (count == 0).any():
        puzzle = _text(questions[count.argmin()])
        raise UserError(f"{source}: the puzzle {puzzle} has no solution, expected one at least")
    if answers is not None and (wrong := (count == 1) & (first != answers).any(1)).any():
        puzzle = _text(questions[wrong.argmax()])
        raise UserError(f"{source}: the answer of the puzzle {puzzle} is not its solution")
    found = [row[None] for row in first]
    complete = True
    for m in np.flatnonzero(count > 1):
        every = sudoku_solver.solutions(questions[m], MOST_SOLUTIONS + 1)
        found[m], complete = every[:MOST_SOLUTIONS], complete and len(every) <= MOST_SOLUTIONS
        if answers is not None and len(every) <= MOST_SOLUTIONS and not (every == answers[m]).all(1).any():
            raise UserError(f"{source}: the answer of the puzzle {_text(questions[m])} is not one of its solutions")
    tokens = torch.from_numpy(np.where(questions, questions + 1, 1).astype(np.uint8))
    return with_all_solutions(tokens, [torch.from_numpy(f + np.uint8(1)) for f in found], complete)


def generated(number: int, size: int, blanks: tuple[int, int], difficulty: str, seed: int) -> np.ndarray:
    """Distinct puzzles with one solution each, from random boards: (number, cells).

    Args:
        blanks: fewest and most blanks, drawn uniformly; a puzzle that cannot lose as many clues is dropped.
        difficulty: "easy" puzzles are solved by naked and hidden singles alone, "hard" ones take guesses, or "any".
    """
    found = np.zeros((0, size * size), np.uint8)
    part, drawn, new = max(1000, number // 4), 0, number
    while len(found) < number:
        if new < part / 1000:
            raise UserError(
                f"task: only {len(found)} distinct {difficulty} puzzles of {size}x{size} cells with {blanks[0]} to "
                f"{blanks[1]} blanks in {drawn} draws, expected {number}; ask for fewer or for other blanks"
            )
        ids = torch.arange(drawn, drawn + part)
        drawn += part
        board_keys, dig_keys, blank_keys = (
            noise.keys(seed, f"sudoku {what}", ids) for what in ("board", "dig", "blanks")
        )
        wanted = blanks[0] + noise.choice(blank_keys, blanks[1] - blanks[0] + 1).numpy()
        boards = sudoku_solver.random_boards(board_keys.numpy().view(np.uint64), size)
        puzzles = sudoku_solver.dig(boards, dig_keys.numpy().view(np.uint64), wanted)
        kept = (puzzles == 0).sum(1) == wanted
        if difficulty != "any":
            guesses = sudoku_solver.solve(puzzles)[2]
            kept &= (guesses == 0) if difficulty == "easy" else (guesses > 0)
        both = np.concatenate([found, puzzles[kept]])
        distinct = both[np.sort(np.unique(both, axis=0, return_index=True)[1])]
        found, new = distinct, len(distinct) - len(found)
    return found[:number]


def _text(puzzle: np.ndarray) -> str:
    return "".join(str(d) if d else "." for d in puzzle)
