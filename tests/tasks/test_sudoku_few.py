"""Counting in plain Python against backtracking that knows nothing of it, and what happens when guesses run out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gram_reasoning.tasks import sudoku_solver
from gram_reasoning.tasks.configs import SudokuConfig
from gram_reasoning.tasks.sudoku import Sudoku
from gram_reasoning.tasks.sudoku_few import FewSolutions
from oracles import sudoku as oracle

ESCARGOT = "1....7.9..3..2...8..96..5....53..9...1..8...26....4...3......1..4......7..7...3.."


@settings(deadline=None, max_examples=150)
@given(st.lists(st.integers(0, 4), min_size=16, max_size=16), st.integers(0, 16))
def test_any_4x4_board(cells: list[int], clues: int):
    board = [digit if i % 5 < clues % 6 else 0 for i, digit in enumerate(cells)]
    expected = sum(1 for _ in oracle.completions(board))
    for limit in (1, 2, 1000):
        assert FewSolutions(4, 10_000).count(board, limit) == min(limit, expected)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 2**63), st.integers(20, 50))
def test_boards_of_9x9(key: int, taken: int):
    board = sudoku_solver.random_boards(_keys(key), 9)
    rows = sudoku_solver.dig(board, _keys(key), np.array([taken]))
    rows[0, key % 81] = 0
    assert FewSolutions(9, 10**6).count(rows[0].tolist(), 100) == sudoku_solver.solve(rows, 100)[0][0]


def _keys(key: int) -> np.ndarray:
    return np.array([key], np.uint64)


def test_guesses_run_out_for_all_puzzles_together():
    puzzle = [int(cell) if cell != "." else 0 for cell in ESCARGOT]
    few = FewSolutions(9, 10**6)
    assert few.count(puzzle, 2) == 1
    used = 10**6 - few.left
    assert used > 100
    few = FewSolutions(9, 2 * used - 1)
    assert few.count(puzzle, 2) == 1
    assert few.count(puzzle, 2) is None
    assert few.count([0] * 81, 5) is None


def test_the_compiled_solver_goes_on_where_guesses_end(monkeypatch: pytest.MonkeyPatch):
    task = Sudoku(SudokuConfig(size=4, train="generated", test="generated", test_puzzles=1))
    monkeypatch.setattr(sudoku_solver, "solve", None)
    assert task.count_solutions([1] * 16) == 288  # nothing is compiled for it
    monkeypatch.undo()
    task._few.left = 10
    assert task.count_solutions([1] * 16) == 288
