"""The model that comes with the package, on the boards that come with the repository, judged by the oracle."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from gram_reasoning.build import BUNDLED, build_task, load_model
from gram_reasoning.cli import main
from gram_reasoning.recipes import get_recipe
from gram_reasoning.tasks.text import Text
from oracles.nqueens import completions, is_solution
from wheel_check import INPUTS, lines_of

EXAMPLES = Path(__file__).parents[1] / "examples"


def board(text: str) -> list[list[int]]:
    return [[1 + (cell == "Q") for cell in row] for row in text.split("/")]


@pytest.mark.parametrize("name", ["boards7.txt", "two7.txt"])
def test_every_example_is_solved_and_held_out(name: str, capsys: pytest.CaptureFixture[str]):
    assert main(["solve", str(EXAMPLES / name), "--samples", "100", "--json", "-"]) == 0
    test = build_task(get_recipe("nqueens7-pocket"))
    assert isinstance(test, Text)
    held_out = {test.compact(tokens) for tokens in test.split("test").inputs.tolist()}
    items = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(items) == {"boards7.txt": 7, "two7.txt": 2}[name]
    several = 0
    for item in items:
        assert item["input"] in held_out
        assert item["known_solutions"] == len(completions(board(item["input"])))
        found = [answer["answer"] for answer in item["answers"] if answer["verified"]]
        assert found
        assert all(is_solution(board(answer), board(item["input"])) for answer in found)
        several += len(found) > 1
    assert several >= 2, "the model finds several solutions of one board"


@pytest.mark.parametrize("name", INPUTS)
def test_an_input_of_each_task_is_solved(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Found by task and size; all are verified by the rules, and no more of them than exist."""
    file = tmp_path / "input.txt"
    file.write_text(lines_of(name))
    assert main(["solve", str(file), "--json", "-", "--samples", "8"]) == 0
    item = json.loads(capsys.readouterr().out)
    found = [answer for answer in item["answers"] if answer["verified"]]
    assert 1 <= len(found) <= item["known_solutions"]


def test_a_board_that_no_model_takes_is_refused(capsys: pytest.CaptureFixture[str]):
    assert main(["solve", "/".join(["." * 11] * 11)]) == 2
    assert "a size of 11, expected 4 to 10" in capsys.readouterr().err


def test_boards_are_generated(capsys: pytest.CaptureFixture[str]):
    assert main(["generate", "--count", "20", "--compact"]) == 0
    assert "not valid" not in capsys.readouterr().out


def test_config_is_the_pocket_recipe():
    for folder in BUNDLED.iterdir():
        recipe, _, _ = load_model(folder)
        own = get_recipe(recipe.name)
        assert recipe.train.precision != "auto"  # a run writes what it took
        assert recipe == replace(own, train=replace(own.train, precision=recipe.train.precision))
