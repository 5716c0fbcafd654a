"""A part of a split that stands for all of it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from gram_reasoning.build import load_model
from gram_reasoning.cli import main
from gram_reasoning.errors import UserError
from gram_reasoning.evaluation.answer_sets import judge, summary
from gram_reasoning.evaluation.evaluator import evaluate
from gram_reasoning.evaluation.thinned import thinned
from gram_reasoning.inference.answer_set import answer_sets
from gram_reasoning.inference.sampler import SamplerConfig
from gram_reasoning.inference.set_config import SetConfig
from gram_reasoning.tasks.configs import GraphColoringConfig
from helpers import task_of

EMPTY = 1


@pytest.fixture(scope="module")
def seven():
    return load_model("nqueens7")


def test_the_hardest_are_there_whole_and_the_others_evenly(seven):
    _, task, _ = seven
    problems = task.split("test")
    given = (problems.inputs != EMPTY).sum(1)
    hardest = (given == given.min()).nonzero()[:, 0].tolist()
    for others in (1, 40, len(problems) - len(hardest)):
        rows, weights = thinned(task, problems, others)
        assert rows.tolist() == sorted(set(rows.tolist()))
        assert set(hardest) <= set(rows.tolist())
        assert len(rows) == len(hardest) + others
        assert weights.sum() == pytest.approx(len(problems))
        assert {weights[i] for i, row in enumerate(rows.tolist()) if row in hardest} == {1.0}
    assert np.all(weights == 1), "all of them stand for themselves"
    rest = [row for row in range(len(problems)) if row not in hardest]
    rows, _ = thinned(task, problems, 40)
    places = [rest.index(row) for row in rows.tolist() if row not in hardest]
    assert set(np.diff(places)) <= {len(rest) // 40, len(rest) // 40 + 1}


def test_a_part_judges_as_all_its_inputs_do(seven):
    """The ceilings by their formulas, each input with its weight."""
    _, task, model = seven
    problems = task.split("test")
    rows, weights = thinned(task, problems, 60)
    part, config = problems.subset(rows), SamplerConfig(samples=4, steps=2)
    found = evaluate(model, task, part, config, stands_for=weights)
    n = part.count.numpy()
    ceiling = n * (1 - (1 - 1 / n) ** 4)
    assert found["paper"]["independent_ceiling"] == pytest.approx(
        (weights * ceiling * n).sum() / (weights * n * n).sum()
    )
    assert found["macro"]["no_repeat_ceiling"] == pytest.approx(np.average(np.minimum(n, 4) / n, weights=weights))
    plain = evaluate(model, task, part, config)
    assert plain["macro"]["no_repeat_ceiling"] != found["macro"]["no_repeat_ceiling"]


def test_a_set_that_stands_for_three_counts_three_times(seven):
    _, task, model = seven
    problems = task.split("test").subset(torch.arange(0, 295, 12))
    config = SetConfig(answers=3, budget=8, sampler=SamplerConfig(steps=4, halting=True))
    sets = answer_sets(model, task, problems.inputs, config)
    times = np.random.default_rng(0).integers(1, 4, len(sets))
    repeated = np.repeat(np.arange(len(sets)), times)
    weighted = summary(judge(task, problems, sets, times.astype(float)), config)
    plain = summary(judge(task, problems.subset(torch.from_numpy(repeated)), [sets[i] for i in repeated]), config)
    assert summary(judge(task, problems, sets), config)["macro"] != plain["macro"]
    for part in ("macro", "paper", "held", "precision"):
        assert weighted[part] == pytest.approx(plain[part]), part
    for score in plain["by_score"]:
        assert weighted["by_score"][score] == pytest.approx(plain["by_score"][score]), score


def test_samples_and_sets_of_a_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "eval.json"
    base = ["eval", "nqueens7", "--thin", "20", "--json", str(file)]
    origins = set()
    for more in (["--samples", "2", "--steps", "2"], ["--answers", "3", "--budget", "12", "--no-beside"]):
        assert main([*base, *more]) == 0
        found = json.loads(file.read_text())
        assert (found["stands_for"], found["split"]) == (295, "test")
        assert found["inputs"] < 60
        origins.add(found["made_from"])
    assert main([*base[:2], "--thin", "21", "--samples", "2", "--steps", "2", *base[4:]]) == 0
    assert json.loads(file.read_text())["made_from"] not in origins
    for wrong in (["--limit", "3"], ["--every", "2"], ["--thin", "1000"], ["--thin", "0"]):
        assert main([*base, *wrong]) == 2
        assert "--thin" in capsys.readouterr().err


def test_a_task_whose_open_tokens_are_not_known():
    task = task_of(GraphColoringConfig(vertices=4, graphs=20, edge_probability=0.5))
    with pytest.raises(UserError, match="does not say which tokens are open"):
        thinned(task, task.split("test"), 2)
