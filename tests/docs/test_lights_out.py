"""examples/lights_out.py, the worked example of docs/does-not-learn.md: rules and data against the oracle, the runs."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from gram_reasoning.cli import main
from gram_reasoning.recipes import RECIPES
from helpers import example_of
from oracles import lights_out as oracle

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def example() -> Iterator[ModuleType]:
    """The example, its task known to the commands for as long as this file is tested."""
    with example_of("lights_out") as module:
        yield module


def board(tokens: torch.Tensor) -> oracle.Board:
    """Tokens as the oracle's boards."""
    return (tokens.view(4, 4) - 1).tolist()


def test_the_oracle_by_hand():
    corner = [[1, 1, 0], [1, 0, 0], [0, 0, 0]]  # what pressing one corner of 3x3 lights, where one answer exists
    assert oracle.solutions(corner) == [[[1, 0, 0], [0, 0, 0], [0, 0, 0]]]
    assert oracle.solutions([[1, 0], [0, 0]]) == [[[1, 1], [1, 0]]]


def test_every_board_has_its_sixteen_solutions(example: ModuleType):
    task = example.LightsOut(example.LightsOutConfig())
    splits = {name: task.split(name) for name in ("train", "validation", "test")}
    inputs = torch.cat([problems.inputs for problems in splits.values()])
    assert len(inputs) == len(inputs.unique(dim=0)) == 4096
    for problems in splits.values():
        assert set(problems.count.tolist()) == {16}
        for i in range(0, len(problems), 60):
            known = sorted(board(solution) for solution in problems.solution_sets(i))
            assert known == sorted(oracle.solutions(board(problems.inputs[i].long())))


def test_judges_agree_on_random_answers(example: ModuleType):
    task = example.LightsOut(example.LightsOutConfig())
    problems, rng = task.split("test"), np.random.default_rng(0)
    inputs = problems.inputs.long().repeat(4, 1)
    answers = torch.cat(
        [problems.solution(torch.arange(len(problems)), torch.full((len(problems),), k)) for k in range(4)]
    )
    for row in answers[::2]:  # every other answer: a press more or less, or a pad
        cell = int(rng.integers(16))
        row[cell] = 0 if rng.random() < 0.2 else 3 - row[cell]
    right = (task.reward(answers, inputs) == 1).tolist()
    judged = [
        bool((answer > 0).all()) and not any(map(any, oracle.after(board(given), board(answer))))
        for answer, given in zip(answers, inputs, strict=True)
    ]
    assert right == judged
    assert sum(right) == len(right) // 2


def test_the_commands_know_it(example: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["check", "lights-out", "--limit", "20"]) == 0
    for name in ("lights-out-debug", "lights-out-plain-debug"):
        assert main(["train", name, "--out", str(tmp_path / name), "--threads", "1"]) == 0
    capsys.readouterr()
    lit = "**../*.../..../...."
    assert main(["solve", lit, "--checkpoint", str(tmp_path / "lights-out-debug"), "--json", "-"]) in (0, 1)
    assert json.loads(capsys.readouterr().out)["input"] == lit


def test_the_page_shows_its_recipes_as_they_are(example: ModuleType):
    """The runs of the page were made with the settings that the file has now."""
    page = (ROOT / "docs" / "does-not-learn.md").read_text()
    assert {"lights-out", "lights-out-plain"} <= set(RECIPES)
    for file in set(re.findall(r"`(results/lights_out/[\w.-]+\.jsonl?)`", page)):
        assert (ROOT / file).is_file()
    learns, plain = example.learns, example.plain
    assert (plain.model.kl_budget_first, plain.model.token_mixer, plain.train.prior_target) == (10.0, "mlp", "none")
    assert (learns.model.guidance, learns.model.token_mixer, learns.train.prior_target) == ("noise", "grid", "nearest")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_one_leaks_and_one_learns(example: ModuleType, tmp_path: Path):
    """By rollouts under the prior, on boards held out of training; what learns has one answer for each."""
    for name in ("lights-out-plain", "lights-out"):
        assert main(["train", name, "--out", str(tmp_path / name), "--threads", "1"]) == 0
    lines = {
        name: (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        for name in RECIPES
        if (tmp_path / name).is_dir()
    }
    last = {name: json.loads([line for line in log if '"eval"' in line][-1]) for name, log in lines.items()}
    assert last["lights-out-plain"]["leak_alarm"]
    assert last["lights-out-plain"]["prior"]["accuracy"] < 0.05
    assert not last["lights-out"]["leak_alarm"]
    assert last["lights-out"]["prior"]["accuracy"] > 0.9
    assert last["lights-out"]["prior"]["coverage"] < 0.1
