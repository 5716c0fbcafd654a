"""What people tried and no other test holds: docs/field-tests.md names a test for each row."""

import json
from pathlib import Path

import numpy as np
import pytest

import gram_reasoning
from fuzzing import run
from gram_reasoning.errors import UserError

BOARD = "Q....../......./....Q../......./......./......./......."


@pytest.mark.parametrize("name", ["puzzles/easy.sdm", "easy.sdm", "my boards.txt"])
def test_a_path_that_does_not_exist_is_no_board(name: str):
    code, _, err = run(["solve", name])
    assert code == 2
    assert err.startswith(f"gram: {name!r}: no such file")


def test_lists_and_arrays_from_python():
    solver = gram_reasoning.load("nqueens7")
    rows = BOARD.split("/")
    matrix = [[int(cell == "Q") for cell in row] for row in rows]
    forms = [rows, matrix, np.array(matrix), np.array(matrix, dtype=bool), np.array([list(row) for row in rows])]
    assert {solver.solve(form, samples=2).input for form in forms} == {BOARD}
    with pytest.raises(UserError, match="expected"):
        solver.solve([[0] * 9] * 9)


def test_own_puzzles_with_answers_are_judged(tmp_path: Path):
    file, numbers = tmp_path / "own.csv", tmp_path / "own.json"
    file.write_text(f"board,solution\n{BOARD},\n")
    assert run(["eval", "nqueens7", "--puzzles", str(file), "--samples", "2", "--json", str(numbers)])[0] == 0
    assert json.loads(numbers.read_text())["inputs"] == 1
    file.write_text(f"board,solution\n{BOARD},{BOARD}\n")
    code, _, err = run(["eval", "nqueens7", "--puzzles", str(file), "--samples", "2"])
    assert code == 2
    assert "the answer is not right for its question" in err


def test_a_training_file_alone_asks_for_nothing_that_a_recipe_sets(tmp_path: Path):
    """The recipe draws puzzles of at most 20 blanks; puzzles of a file have the blanks that they have."""
    files = []
    for name, shift in (("train", 0), ("test", 1)):
        cells = "".join(str((3 * (r % 3) + r // 3 + c + shift) % 9 + 1) for r in range(9) for c in range(9))
        (tmp_path / name).write_text("".join(f"{cells[:i]}.{cells[i + 1 :]}\n" for i in range(81)))
        files += [f"--task.{name}", str(tmp_path / name)]
    files += ["--train.steps", "1"]
    sizes = ["--task.train-puzzles", "40", "--task.validation-puzzles", "8", "--task.test-puzzles", "8"]
    code, _, err = run(["train", "sudoku9-debug", "--out", str(tmp_path / "run"), *files, *sizes])
    assert (code, "max_blanks" in err) == (0, False), err
    code, _, err = run(["train", "sudoku9-debug", "--out", str(tmp_path / "b"), *files, "--task.max-blanks", "9"])
    assert code == 2
    assert err.startswith("gram: task.max_blanks: got 9, expected nothing, unless puzzles are generated")
