"""What people tried and no other test holds: docs/field-tests.md names a test for each row."""

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import gram_reasoning
from fuzzing import run
from gram_reasoning.errors import UserError

LATIN = Path(__file__).parents[2] / "examples" / "latin_squares.py"
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


def test_training_files_ask_for_nothing_that_a_recipe_sets(tmp_path: Path):
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


def test_a_gzipped_file_is_solved(tmp_path: Path):
    (tmp_path / "boards.txt.gz").write_bytes(gzip.compress(f"{BOARD}\n".encode()))
    code, out, _ = run(["solve", str(tmp_path / "boards.txt.gz"), "--samples", "2", "--json", "-"])
    assert code in (0, 1)
    assert json.loads(out)["input"] == BOARD


def test_solve_knows_a_task_of_a_plugin(tmp_path: Path):
    """In a process of its own: what a plugin registers stays."""
    out = str(tmp_path / "run")
    for words, codes in (
        (["train", "latin-squares-debug", "--out", out, "--train.steps", "1"], (0,)),
        (["solve", "1.../.2../..3./....", "--checkpoint", out, "--samples", "1"], (0, 1)),
    ):
        command = [sys.executable, "-m", "gram_reasoning", words[0], "--plugin", str(LATIN), *words[1:]]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode in codes, done.stderr
    assert re.search(r"1 of 1 samples valid|8 exist", done.stdout)
