"""`gram generate` on a small model, judged by the oracle."""

import json
import urllib.request
from pathlib import Path

import pytest

import gram_reasoning
from gram_reasoning.cli import main
from gram_reasoning.errors import UserError
from oracles import sudoku as oracle


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    run = tmp_path_factory.mktemp("runs") / "boards"
    options = ["--out", str(run), "--threads", "1", "--train.precision", "fp32", "--task.boards", "1"]
    learn = ["--train.steps", "80", "--train.lr", "0.01", "--train.eval-every", "80", "--train.checkpoint-every", "80"]
    assert main(["train", "sudoku4-boards-debug", *options, *learn]) == 0
    return str(run)


def test_boards_are_judged(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "boards.jsonl"
    capsys.readouterr()
    code = main(["generate", "--checkpoint", model, "--count", "30", "--puzzles", "--compact", "--json", str(file)])
    *items, last = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(items) == 30
    valid = 0
    for item in items:
        board = [int(c) if c.isdigit() else 0 for c in item["answer"]]
        assert item["valid"] is oracle.is_solution(board, [0] * 16)
        valid += item["valid"]
        assert ("puzzle" in item) is item["valid"]
        if item["valid"]:
            puzzle = [int(c) if c.isdigit() else 0 for c in item["puzzle"]]
            assert list(oracle.completions(puzzle)) == [board]
    assert code == (0 if valid == 30 else 1)
    assert last["measures"]["validity"] == pytest.approx(valid / 30)
    printed = capsys.readouterr().out
    assert printed.count("not valid") == 30 - valid
    assert "validity:" in printed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--count", "0"], "--count"),
        (["--checkpoint", "nowhere"], "nowhere"),
        (["--checkpoint", "sudoku4"], "sudoku4"),
        (["--checkpoint", "boards", "--task", "digits"], "--task digits: expected nothing beside --checkpoint"),
    ],
)
def test_mistakes(options: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    assert main(["generate", *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_digits_need_no_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("GRAM_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: pytest.fail("asked for a download"))
    assert main(["generate", "--task", "digits", "--count", "8", "--compact"]) == 0
    *digits, told = capsys.readouterr().out.splitlines()
    white = [digit.count("#") for digit in digits]
    assert [len(digit) for digit in digits] == [14 * 15 - 1] * 8
    assert 15 < sum(white) / 8 < 60, "as white as digits are"
    assert "not on this machine" in told


def test_a_model_that_generates_is_refused_by_solve(model: str, capsys: pytest.CaptureFixture[str]):
    board = "1..." * 4
    assert main(["solve", board, "--checkpoint", model]) == 2
    assert capsys.readouterr().err.endswith(
        "the task sudoku-generation generates from nothing, expected `gram generate`\n"
    )
    assert main(["solve", board, "--task", "sudoku-generation"]) == 2
    message = "gram: --task: the task sudoku-generation does not read text, expected one that does\n"
    assert capsys.readouterr().err == message
    with pytest.raises(UserError, match="solve: the task sudoku-generation does not read inputs as text"):
        gram_reasoning.load(model).solve(board)


def test_a_model_that_solves_is_refused(capsys: pytest.CaptureFixture[str]):
    from gram_reasoning.build import BUNDLED

    assert main(["generate", "--checkpoint", str(next(BUNDLED.iterdir()))]) == 2
    assert "the task nqueens does not generate from nothing, expected one that does" in capsys.readouterr().err
