"""The exact solver against plain backtracking, and on the real lists where GRAM_DATA_DIR points to them."""

import csv
import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gram_reasoning.tasks import sudoku_solver
from oracles import sudoku as oracle

ESCARGOT = "1....7.9..3..2...8..96..5....53..9...1..8...26....4...3......1..4......7..7...3.."
DATA = Path(os.environ.get("GRAM_DATA_DIR", "/nowhere"))


def puzzle(text: str) -> np.ndarray:
    return np.array([0 if c == "." else int(c) for c in text], np.uint8)


def keys(number: int) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 2**63, number).astype(np.uint64)


@settings(deadline=None, max_examples=150)
@given(st.lists(st.integers(0, 4), min_size=16, max_size=16), st.integers(0, 16))
def test_any_4x4_board(cells: list[int], clues: int):
    board = [digit if i % 5 < clues % 6 else 0 for i, digit in enumerate(cells)]
    expected = sorted(oracle.completions(board))
    found = sudoku_solver.solutions(np.array(board), 300)
    assert sorted(found.tolist()) == expected
    for limit in (1, 2, 1000):
        count, first, _ = sudoku_solver.solve(np.array([board]), limit)
        assert count[0] == min(limit, len(expected))
        assert first[0].tolist() in (expected or [[0] * 16])


def test_all_boards_of_4x4():
    found = sudoku_solver.solutions(np.zeros(16, np.uint8), 1000)
    assert len(np.unique(found, axis=0)) == 288
    assert all(oracle.is_solution(board, [0] * 16) for board in found.tolist())


def test_a_hard_puzzle():
    count, first, guesses = sudoku_solver.solve(puzzle(ESCARGOT)[None])
    assert count[0] == 1
    assert [first[0].tolist()] == list(oracle.completions(puzzle(ESCARGOT).tolist()))
    assert guesses[0] > 0


def test_several_solutions_of_9x9():
    [board] = sudoku_solver.random_boards(keys(1), 9)
    open_board = board.copy()
    open_board[(board == 1) | (board == 2) | (board == 3)] = 0
    expected = sorted(oracle.completions(open_board.tolist()))
    assert len(expected) > 1
    assert sorted(sudoku_solver.solutions(open_board, 10_000).tolist()) == expected
    assert len(sudoku_solver.solutions(open_board, 2)) == 2
    assert sudoku_solver.solve(np.zeros((1, 81)), 500)[0][0] == 500


def test_random_boards_are_valid_and_differ():
    boards = sudoku_solver.random_boards(keys(200), 9)
    assert len(np.unique(boards, axis=0)) == 200
    assert all(oracle.is_solution(board, [0] * 81) for board in boards.tolist())
    assert (sudoku_solver.random_boards(keys(200)[::-1], 9) == boards[::-1]).all(), "a board depends on its key alone"
    share = np.stack([(boards == d).mean(0) for d in range(1, 10)])
    assert abs(share - 1 / 9).max() < 0.12


@pytest.mark.parametrize("size", [4, 9])
def test_dug_puzzles_have_one_solution(size: int):
    boards = sudoku_solver.random_boards(keys(40), size)
    few = sudoku_solver.dig(boards, keys(40), np.full(40, 5))
    assert ((few == 0).sum(1) == 5).all()
    bare = sudoku_solver.dig(boards, keys(40), np.full(40, size * size))
    assert ((bare == 0) | (bare == boards)).all()
    count, first, _ = sudoku_solver.solve(bare)
    assert (count == 1).all()
    assert (first == boards).all()
    for row in bare[:3]:  # and no clue can go
        for cell in np.flatnonzero(row)[:4]:
            fewer = row.copy()
            fewer[cell] = 0
            assert sudoku_solver.solve(fewer[None])[0][0] == 2


REAL = [
    ("sudoku-extreme/train_1k.csv.gz", 1000),
    ("sudoku-extreme/dev_from_hf_train.csv.gz", 3360),
    ("sudoku-extreme/test_genuine.csv.gz", 480),
    ("sudoku-pool/pool_eval_10k.csv.gz", 10_000),
    ("sudoku-pool/pool_extra_train.csv.gz", 69_514),
]


@pytest.mark.slow
@pytest.mark.parametrize(("file", "rows"), REAL)
def test_given_answers_are_the_solutions(file: str, rows: int):
    if not (DATA / file).exists():
        pytest.skip("GRAM_DATA_DIR does not point to the lists")
    with gzip.open(DATA / file, "rt") as lines:
        table = list(csv.DictReader(lines))
    assert len(table) == rows
    count, first, _ = sudoku_solver.solve(np.array([puzzle(row["question"]) for row in table]))
    assert (count == 1).all()
    assert (first == np.array([puzzle(row["answer"]) for row in table])).all()


@pytest.mark.slow
def test_counts_of_puzzles_with_several_solutions():
    file = DATA / "sudoku-pool/multi_solution_serg.csv.gz"
    if not file.exists():
        pytest.skip("GRAM_DATA_DIR does not point to the lists")
    with gzip.open(file, "rt") as lines:
        table = list(csv.DictReader(lines))
    assert len(table) == 9994
    count, _, _ = sudoku_solver.solve(np.array([puzzle(row["question"]) for row in table]), 100_000)
    assert count.tolist() == [int(row["num_solutions_capped_100000"]) for row in table]
