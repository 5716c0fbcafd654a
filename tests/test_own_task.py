"""The task of docs/own-task.md: its page, its rules and data against the oracle, and the commands on it."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from gram_reasoning.build import register_task
from gram_reasoning.cli import main
from gram_reasoning.tasks.configs import NQueensConfig
from gram_reasoning.tasks.splits import HeldOutTask
from helpers import example_of
from oracles import latin as oracle

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "latin_squares.py"


@pytest.fixture(scope="module")
def example() -> Iterator[ModuleType]:
    """The example, its task known to the commands for as long as this file is tested."""
    with example_of("latin_squares") as module:
        yield module


def square(tokens: torch.Tensor) -> oracle.Square:
    """Tokens as the oracle's symbols; pad is none."""
    return [[cell - 1 for cell in row] for row in tokens.view(4, 4).tolist()]


def test_the_page_shows_the_example():
    page = (ROOT / "docs" / "own-task.md").read_text()
    [code] = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert code == EXAMPLE.read_text()


def test_judges_agree_on_random_answers(example: ModuleType):
    task = example.Latin(example.LatinConfig())
    assert len(task.squares) == 576
    rng = np.random.default_rng(0)
    full = task.squares[rng.integers(0, 576, 10_000)]
    inputs = torch.where(torch.from_numpy(rng.random(full.shape) < 0.5), full, example.BLANK)
    answers = full.clone()
    for row in answers[::2]:  # every other answer: a cell changed, often to another symbol, to a blank or to a pad
        row[rng.integers(0, 16)] = int(rng.integers(0, task.vocab))
    swapped = answers[1::4]  # and two rows exchanged: still a square, but not one that keeps what is given
    swapped[:] = swapped.view(-1, 4, 4)[:, [1, 0, 2, 3]].flatten(1)
    right = (task.reward(answers, inputs) == 1).tolist()
    assert right == [oracle.is_solution(square(a), square(x)) for a, x in zip(answers, inputs, strict=True)]
    assert 2500 < sum(right) < 7500


def test_every_input_has_all_its_solutions(example: ModuleType):
    task = example.Latin(example.LatinConfig(inputs=60))
    seen: list[bytes] = []
    for name in ("train", "validation", "test"):
        problems = task.split(name)
        seen += [row.tobytes() for row in problems.inputs.numpy()]
        for i, tokens in enumerate(problems.inputs):
            known = [square(s) for s in problems.solution_sets(i)]
            assert sorted(known) == sorted(oracle.completions(square(tokens)))
            assert task.count_solutions(tokens.tolist()) == len(known) >= 1
    assert len(seen) == len(set(seen)) == 60


def test_the_commands_know_it(example: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = str(tmp_path / "run")
    assert main(["train", "latin-squares-debug", "--out", run, "--threads", "1"]) == 0
    assert main(["eval", run, "--limit", "4", "--json", str(tmp_path / "judged.json")]) == 0
    judged = json.loads((tmp_path / "judged.json").read_text())
    assert judged["recipe"] == "latin-squares-debug"
    assert 0 <= judged["macro"]["coverage"] <= 1
    capsys.readouterr()
    given = "1.../.2../..3./...."
    assert main(["solve", f"{given}\n", "--checkpoint", run, "--task", "latin", "--json", "-"]) in (0, 1)
    solved = json.loads(capsys.readouterr().out)
    assert solved["input"] == given
    assert solved["known_solutions"] == len(oracle.completions([[1, 0, 0, 0], [0, 2, 0, 0], [0, 0, 3, 0], [0] * 4]))
    assert main(["solve", "1.../.5../..3./....", "--checkpoint", run]) == 2
    assert "row 2, cell 2: '5', expected one of . 1 2 3 4" in capsys.readouterr().err


def test_its_promises_hold(example: ModuleType, capsys: pytest.CaptureFixture[str]):
    assert main(["check", "latin-squares-debug", "--limit", "50", "--task.inputs", "500"]) == 0
    assert capsys.readouterr().out.endswith("the task keeps its promises, on up to 50 inputs of each split\n")


def test_a_task_without_text_trains_and_is_judged(
    example: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Rules and data alone: no text, no pictures. What needs more says so in one line."""

    @dataclass(frozen=True, kw_only=True)
    class BareConfig(example.LatinConfig):
        kind: ClassVar[str] = "bare"

    class Bare(HeldOutTask):
        name = "bare"
        length, vocab = 16, 6
        reward, problems, _fits = example.Latin.reward, example.Latin.problems, example.Latin._fits

        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.squares = example.Latin(config).squares

    register_task(BareConfig, Bare, replace(example.recipe, name="bare", task=BareConfig(inputs=200)))
    run = str(tmp_path / "run")
    assert main(["check", "bare"]) == 0
    assert main(["train", "bare-debug", "--out", run, "--threads", "1"]) == 0
    assert main(["eval", run, "--limit", "4", "--samples", "2"]) == 0
    capsys.readouterr()
    refused = {
        ("solve", "1.../.2../..3./....", "--checkpoint", run): f"{run}: the task bare does not read inputs as text",
        ("solve", "1.../.2../..3./....", "--task", "bare"): "--task: the task bare does not read text",
        ("generate", "--checkpoint", run): f"{run}: the task bare does not generate from nothing",
        ("data", "bare"): "bare: the task bare does not write its inputs and answers as text",
        ("eval", run, "--submission", "s.json"): "--submission: the task bare does not learn from demonstrations",
    }
    for arguments, message in refused.items():
        assert main(list(arguments)) == 2
        assert capsys.readouterr().err == f"gram: {message}, expected one that does\n"


def test_it_runs_as_a_command():
    done = subprocess.run([sys.executable, EXAMPLE, "recipes"], capture_output=True, text=True, check=True)
    assert "latin-squares" in done.stdout


def test_a_task_under_another_name_than_its_config_is_refused(example: ModuleType):
    with pytest.raises(ValueError, match=r"NQueensConfig.kind is 'nqueens', but Latin.name is 'latin'"):
        register_task(NQueensConfig, example.Latin)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_it_learns(example: ModuleType, tmp_path: Path):
    """By rollouts under the prior, on inputs held out of training."""
    run, numbers = str(tmp_path / "run"), tmp_path / "judged.json"
    assert main(["train", "latin-squares", "--out", run, "--threads", "1"]) == 0
    assert main(["eval", run, "--samples", "20", "--limit", "300", "--threads", "1", "--json", str(numbers)]) == 0
    judged = json.loads(numbers.read_text())
    assert judged["macro"]["single_sample_accuracy"] > 0.85
    assert judged["macro"]["selected_accuracy"] > 0.95
    assert judged["macro_several"]["coverage"] > 0.8
