"""Boards from nothing: what is learnt from, and the numbers on what comes out."""

import math
from functools import lru_cache

import pytest
import torch

from gram_reasoning import noise
from gram_reasoning.tasks.configs import SudokuGenerationConfig
from gram_reasoning.tasks.sudoku_generation import HELD_OUT, SudokuGeneration, chi_square_tail
from oracles import sudoku as oracle


@lru_cache
def task(size: int, boards: int | None = None) -> SudokuGeneration:
    return SudokuGeneration(SudokuGenerationConfig(size=size, boards=boards))


def digits(tokens: torch.Tensor) -> oracle.Board:
    return [token - 1 for token in tokens.tolist()]


def test_every_4x4_board_is_known():
    problems = task(4).split("train")
    assert problems.complete
    assert torch.equal(problems.inputs[0].long(), task(4).blank())
    expected = sorted(oracle.completions([0] * 16))
    assert sorted(digits(board) for board in problems.solution_sets(0)) == expected
    assert not task(4, 100).split("train").complete


def test_9x9_boards_are_valid_and_held_out():
    train, test = task(9, 200).split("train"), task(9, 200).split("test")
    assert (int(train.count[0]), int(test.count[0])) == (200, HELD_OUT)
    assert not train.complete
    both = torch.cat([train.solution_sets(0), test.solution_sets(0)])
    assert len(both.unique(dim=0)) == 200 + HELD_OUT
    assert all(oracle.is_solution(digits(board), [0] * 81) for board in both[::50])


def test_measures():
    boards = task(4).split("train").solution_sets(0)
    problems = task(4, 100).split("test")
    wrong = boards[:8].clone()
    wrong[:, 0] = wrong[:, 1]
    answers = torch.cat([boards[:20], boards[:4], wrong])[None]
    result = task(4).measures(answers, problems)
    assert result["boards"] == 32
    assert result["validity"] == 24 / 32
    assert result["distinct_of_valid"] == 20 / 24
    assert result["share_of_the_288"] == 20 / 288
    expected = 24 / 288
    by_hand = (4 * (2 - expected) ** 2 + 16 * (1 - expected) ** 2 + 268 * expected**2) / expected
    assert result["chi_square_against_uniform"] == pytest.approx(by_hand)
    known = {tuple(board) for board in task(4, 100).split("train").solution_sets(0).tolist()}
    new = sum(tuple(board) not in known for board in boards.tolist())
    assert new == 188
    assert task(4, 100).measures(boards[None], problems)["new_of_valid"] == pytest.approx(188 / 288)
    assert task(4).measures(wrong[None], problems)["validity"] == 0


def test_chi_square_of_uniform_boards_is_about_its_degrees():
    boards = task(4).split("train").solution_sets(0)
    drawn = boards[noise.choice(noise.keys(0, "test", torch.arange(5760)), 288)]
    result = task(4).measures(drawn[None], task(4).split("test"))
    assert abs(result["chi_square_against_uniform"] - 287) < 5 * (2 * 287) ** 0.5
    assert 0.001 < result["chi_square_p"] < 0.999
    uneven = torch.cat([drawn, drawn[:600]])  # some boards twice as often
    assert task(4).measures(uneven[None], task(4).split("test"))["chi_square_p"] < result["chi_square_p"]


@pytest.mark.parametrize("value", [0.1, 3.0, 40.0])
def test_tail_of_chi_square(value: float):
    assert chi_square_tail(value, 2) == pytest.approx(math.exp(-value / 2))
    assert chi_square_tail(value, 4) == pytest.approx(math.exp(-value / 2) * (1 + value / 2))


def test_puzzles_of_boards_have_one_solution():
    boards = task(4).split("train").solution_sets(0)[:20]
    puzzles = task(4).to_puzzles(boards, noise.keys(0, "test", torch.arange(20)))
    for puzzle, board in zip(puzzles, boards, strict=True):
        assert list(oracle.completions(digits(puzzle))) == [digits(board)]
