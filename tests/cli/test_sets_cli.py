"""Answer sets from the command line and from Python: the budget, the JSON, what does not go together."""

import json
from pathlib import Path
from typing import Any

import pytest

import gram_reasoning
from gram_reasoning.cli import main

EMPTY, ONE = "..../..../..../....", ".Q../..../..../...."


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run on 4x4 boards that solves some."""
    run = tmp_path_factory.mktemp("runs") / "four"
    options = {
        "task.size": 4, "task.max-removed": 4, "train.steps": 120, "train.eval-every": 120, "train.lr": 0.005,
        "train.batch-size": 32, "train.prior-share": 0.25, "train.precision": "fp32", "threads": 1,
    }  # fmt: skip
    arguments = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    assert main(["train", "nqueens7-pocket-debug", "--out", str(run), *arguments]) == 0
    return str(run)


def solved(capsys: pytest.CaptureFixture[str], model: str, *arguments: str) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert main(["solve", EMPTY, "--checkpoint", model, "--json", "-", *arguments]) in (0, 1)
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_solve_all_answers_with_a_set_and_says_how_sure_it_is(model: str, capsys: pytest.CaptureFixture[str]):
    [item] = solved(capsys, model, "--all")
    assert item["spent"] <= 320
    assert all(answer["verified"] for answer in item["answers"])
    assert 0 <= item["complete"] <= 1
    assert main(["solve", EMPTY, "--checkpoint", model, "--all"]) == 0
    text = capsys.readouterr().out
    assert f"{len(item['answers'])} of 2 solutions found" in text
    assert f"{item['spent']} steps in all; by estimate {item['complete']:.0%} of those the model has to give" in text
    [plain] = solved(capsys, model, "--all", "--samples", "30")
    assert "spent" not in plain
    assert plain["samples"] == 30


def test_a_set_keeps_its_number_and_its_budget(model: str, capsys: pytest.CaptureFixture[str]):
    [item] = solved(capsys, model, "--answers", "3", "--budget", "30")
    answers = [answer["answer"] for answer in item["answers"]]
    assert len(set(answers)) == len(answers) <= 3
    assert item["spent"] == 30
    assert solved(capsys, model, "--answers", "3", "--budget", "30", "--chunk", "1") == [item]
    python = gram_reasoning.load(model).answer_sets([EMPTY], answers=3, budget=30)
    assert [one.to_json() for one in python] == [item]


def test_a_set_that_leaves_solutions_out_is_not_complete():
    """Of 40 solutions three may be in the set: the estimate is of all that were found, and all valid samples count."""
    empty = "/".join(["." * 7] * 7)
    [few] = gram_reasoning.load("nqueens7").answer_sets([empty], answers=3)
    [many] = gram_reasoning.load("nqueens7").answer_sets([empty], answers=40)
    assert few.known_solutions == 40
    assert len(few.solutions) <= 3
    assert few.complete is not None
    assert many.complete is not None
    assert few.complete < 0.2 < 0.5 < many.complete
    assert few.right is not None
    assert few.right > sum(answer.votes for answer in few.solutions)


def test_an_abstention_is_named(capsys: pytest.CaptureFixture[str]):
    board = "......./......./....Q../......./......./......./......."
    assert main(["solve", board, "--answers", "3", "--at-least", "0.9"]) == 1
    assert "abstained: no answer of" in capsys.readouterr().out
    assert main(["solve", board, "--answers", "3", "--at-least", "7"]) == 2
    assert "at_least: got 7.0, expected 0 to 1, by votes" in capsys.readouterr().err


@pytest.mark.parametrize("more", [[], ["--choose", "verified"], ["--most", "20", "--settle", "0.95"]])
def test_one_answer_has_a_budget_of_its_own(more: list[str], capsys: pytest.CaptureFixture[str]):
    board = "......./......./....Q../......./......./......./......."
    assert main(["solve", board, "--answers", "1", *more]) == 0
    assert "1 of 6 solutions found" in capsys.readouterr().out


def test_an_evaluation_of_sets_and_its_figures(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file, again = tmp_path / "sets.json", tmp_path / "again.json"
    arguments = [
        "eval",
        model,
        "--split",
        "train",
        "--limit",
        "12",
        "--answers",
        "4",
        "--budget",
        "24",
        "--threads",
        "1",
    ]
    assert main([*arguments, "--json", str(file)]) == 0
    assert "independent samples" in capsys.readouterr().out
    result = json.loads(file.read_text())
    assert max(result["spent"]) <= 24
    assert len(result["spent"]) == 12
    assert {"macro", "paper", "by_score", "by_steps", "abstention", "duplicates", "independent"} <= result.keys()
    assert result["by_steps"]["chosen_paper"][-1] == pytest.approx(result["paper"]["coverage"])
    assert result["by_steps"]["held_macro"] == sorted(result["by_steps"]["held_macro"])
    assert main([*arguments, "--no-beside", "--chunk", "2", "--json", str(again)]) == 0
    kept = ("made_from", "paper", "spent", "duplicates")
    assert [json.loads(again.read_text())[key] for key in kept] == [result[key] for key in kept]
    curves, risk = tmp_path / "curves.png", tmp_path / "risk.png"
    assert main(["report", str(file), "--picture", str(curves), "--risk", str(risk)]) == 0
    assert curves.stat().st_size > 5000
    assert risk.stat().st_size > 5000


def test_particles_beside_samples(model: str, tmp_path: Path):
    file = tmp_path / "particles.json"
    arguments = ["--split", "train", "--limit", "6", "--samples", "4", "--steps", "3", "--threads", "1"]
    assert main(["eval", model, *arguments, "--particles", "--json", str(file)]) == 0
    result = json.loads(file.read_text())["particles"]
    assert len(result["value_by_step"]) == len(result["effective_size"]) == 3
    assert all(1 <= size <= 4 for size in result["effective_size"])


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["solve", EMPTY, "--budget", "9"], "--budget: expected --answers beside it"),
        (["solve", EMPTY, "--answers", "2", "--samples", "9"], "--samples: got 9, expected nothing beside --answers"),
        (["solve", EMPTY, "--answers", "0"], "answers: got 0, expected 1 to"),
        (["solve", EMPTY, "--answers", "2", "--until", "2"], "until: got 2.0, expected a share"),
        (["eval", "MODEL", "--until", "0.9"], "--until: expected --answers beside it"),
        (
            ["eval", "MODEL", "--answers", "2", "--samples", "9"],
            "--answers: a set under a budget, expected no --samples",
        ),
        (["eval", "MODEL", "--particles", "--halting"], "--particles: all go the same number of steps"),
    ],
)
def test_what_does_not_go_together(command: list[str], message: str, model: str, capsys: pytest.CaptureFixture[str]):
    command = [model if word == "MODEL" else word for word in command]
    more = ["--checkpoint", model] if command[0] == "solve" else []
    capsys.readouterr()
    assert main([*command, *more]) == 2
    assert message in capsys.readouterr().err
