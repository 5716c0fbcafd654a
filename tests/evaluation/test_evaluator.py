"""What an evaluation says of a model, counted once more from its raw samples and from the rules alone."""

import json
import re
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from gram_reasoning.build import load_model
from gram_reasoning.cli import main
from gram_reasoning.evaluation.evaluator import choices, evaluate
from gram_reasoning.evaluation.report import evaluation_table
from gram_reasoning.inference.sampler import SamplerConfig, sample
from gram_reasoning.inference.select import Rule
from gram_reasoning.inference.solve import solve
from gram_reasoning.tasks.graph_coloring import EDGE, FIRST_COLOR
from gram_reasoning.tasks.text import Puzzle
from gram_reasoning.tasks.written import Written
from gram_reasoning.types import Candidates
from helpers import debug_recipe, make_trainer
from oracles import coloring, nqueens

SAMPLES = 40


def test_answers_that_differ_by_names_of_colours_count_once(tmp_path: Path):
    """By a model that knows little: it finds nearly every colouring, under several names of the colours."""
    shape = {"vertices": 4, "edge_probability": 0.8, "graphs": 40, "hold_out": "graphs"}
    train = {"steps": 10, "eval_every": 100, "warmup_steps": 0, "lr": 1e-2, "batch_size": 32}
    run = make_trainer(debug_recipe("coloring6-debug", task=shape, train=train), tmp_path)
    for _ in range(10):
        run.train_step()
    problems, config = run.task.split("train"), SamplerConfig(samples=SAMPLES, steps=2)
    pairs = [(a, b) for a in range(4) for b in range(a + 1, 4)]
    shares, named = [], 0
    for tokens, answers in zip(
        problems.inputs.tolist(), sample(run.model, problems.inputs, config).answers, strict=True
    ):
        edges = {pair for pair, token in zip(pairs, tokens, strict=False) if token == EDGE}
        colours = [[token - FIRST_COLOR for token in answer[:4]] for answer in answers.tolist()]
        right = [one for one in colours if coloring.is_solution(one, edges, 3)]
        found, exist = {coloring.classes(one) for one in right}, coloring.colorings(4, edges, 3)
        shares.append(len(found) / len(exist))
        named += len({tuple(one) for one in right}) - len(found)
    assert named > len(shares), "the names of the colours do not matter here"
    result = evaluate(run.model, run.task, problems, config)
    assert result["macro"]["coverage"] == pytest.approx(np.mean(shares))
    submitted: list[torch.Tensor] = []
    evaluate(run.model, run.task, problems, config, submit=submitted.append)
    drawn = sample(run.model, problems.inputs, config).answers
    broken = {"single": 0, "choice": 0}
    for tokens, answers, best in zip(problems.inputs.tolist(), drawn.tolist(), submitted[0].tolist(), strict=True):
        edges = {pair for pair, token in zip(pairs, tokens, strict=False) if token == EDGE}
        for what, rows in (("single", answers), ("choice", best)):
            broken[what] += sum(coloring.violations([t - FIRST_COLOR for t in row[:4]], edges, 3) for row in rows)
    assert broken["choice"] > 0
    assert result["conflicts"]["selected_sum_over_inputs"] == broken["choice"]
    assert result["conflicts"]["sum_over_inputs"] == pytest.approx(broken["single"] / SAMPLES, rel=1e-5)
    assert isinstance(run.task, Written)
    graphs = [Puzzle("graph", tokens, None, run.task) for tokens in problems.inputs.long()]
    for item in solve(run.model, run.task, graphs, config):
        colours = [[token - FIRST_COLOR for token in answer.tokens[:4]] for answer in item.solutions]
        assert len({coloring.classes(one) for one in colours}) == len(item.solutions)
        assert sum(answer.votes for answer in item.answers) == SAMPLES


@pytest.mark.parametrize("rule", ["majority", "lprm", "first", "margin"])
def test_the_best_answer_is_submitted(rule: Rule):
    """Of the model in the package after one step, when its samples still differ."""
    _, task, model = load_model("nqueens7")
    problems, config = task.split("test").subset(torch.arange(24)), SamplerConfig(samples=16, steps=1)
    submitted: list[torch.Tensor] = []
    result = evaluate(model, task, problems, config, rule, submit=submitted.append)
    (given,) = submitted
    drawn = sample(model, problems.inputs, config)
    right, several = [], 0
    assert drawn.margins is not None
    each = zip(given, drawn.answers, drawn.values, drawn.margins.tolist(), problems.inputs, strict=True)
    for best, answers, values, gaps, tokens in each:
        rows = [tuple(row) for row in answers.tolist()]
        votes = Counter(rows)
        value = {row: max(v for r, v in zip(rows, values.tolist(), strict=True) if r == row) for row in votes}
        several += len(votes) > 1
        chosen = tuple(best[0].tolist())
        if rule == "majority":
            assert votes[chosen] == max(votes.values())
        elif rule == "lprm":
            assert value[chosen] == max(value.values())
        elif rule == "margin":
            assert max(gap for row, gap in zip(rows, gaps, strict=True) if row == chosen) == max(gaps)
        else:
            assert chosen == rows[0]
        right.append(nqueens.is_solution(best[0].view(7, 7).tolist(), tokens.view(7, 7).tolist()))
    assert several > 12
    for protocol in ("macro", "paper"):
        weights = problems.count.numpy() if protocol == "paper" else np.ones(len(right))
        expected = np.average(right, weights=weights)
        assert result[protocol]["selected_accuracy"] == pytest.approx(expected), protocol
    assert result["choices"][rule] == pytest.approx(result["macro"]["selected_accuracy"])  # and of others in one run
    assert set(result["choices"]) == {"majority", "lprm", "first", "halt", "margin"}
    assert len(set(result["choices"].values())) > 1, "the rules choose alike here"


def test_a_rule_is_judged_by_the_one_answer_that_it_chooses():
    answers = torch.tensor([[[1], [1], [2]], [[1], [2], [2]]])
    values, halts = torch.tensor([[0.1, 0.2, 0.9], [0.9, 0.1, 0.2]]), torch.tensor([[0.9, 0.1, 0.2], [0.1, 0.2, 0.9]])
    some = Candidates(answers, values, torch.ones(2, 3), halts)
    found: Any = SimpleNamespace(valid=np.array([[True, True, False], [False, True, True]]))
    assert choices(found, some) == {"majority": 1.0, "lprm": 0.0, "first": 0.5, "halt": 1.0}


def test_what_a_task_measures_beyond_accuracy_is_told():
    result = {
        "checkpoint": "run",
        "inputs": 3,
        "split": "test",
        "samples": 5,
        "steps": 2,
        "select": "majority",
        "halting": False,
        "pass": {"pass@2": 0.25},
        "measures": {"frechet_distance": 12.3456, "images": 40},
    }
    plain = {name: value for name, value in result.items() if name not in ("pass", "measures")}
    assert not evaluation_table(plain).endswith("\n")
    lines = evaluation_table(result).splitlines()
    assert lines[-3:] == [
        "pass@2: 25.0 (mean over what the inputs belong to)", "frechet distance: 12.35", "images: 40",
    ]  # fmt: skip


def test_each_row_of_the_table_has_its_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The ceilings by their formulas from the counts of solutions, the rest as the JSON has it."""
    file = tmp_path / "eval.json"
    assert main(["eval", "nqueens7", "--samples", "5", "--steps", "2", "--limit", "40", "--json", str(file)]) == 0
    table = capsys.readouterr().out
    result = json.loads(file.read_text())
    _, task, _ = load_model("nqueens7")
    boards = task.split("test").inputs[:40].view(-1, 7, 7).tolist()
    n = np.array([len(list(nqueens.completions(board))) for board in boards])
    independent, no_repeat = n * (1 - (1 - 1 / n) ** 5), np.minimum(n, 5)
    columns = {"macro": np.ones(40), "paper": n, "macro_several": n > 1}
    keys = {
        "accuracy of a sample": "single_sample_accuracy",
        "accuracy of the choice (majority)": "selected_accuracy",
        "accuracy of the best of 5": "best_of_samples_accuracy",
        "coverage with 5 samples": "coverage",
        "ceiling: independent samples": "independent_ceiling",
        "ceiling: no repeats": "no_repeat_ceiling",
    }
    for label, key in keys.items():
        [row] = re.findall(rf"^ *{re.escape(label)}((?: +[\d.]+)+) *$", table, re.MULTILINE)
        assert row.split() == [f"{100 * result[column][key]:.1f}" for column in columns], label
    for column, weights in columns.items():
        for key, found in (("independent_ceiling", independent), ("no_repeat_ceiling", no_repeat)):
            ratio = (found * n).sum() / (n * n).sum() if column == "paper" else np.average(found / n, weights=weights)
            assert result[column][key] == pytest.approx(ratio)
    assert len({round(result["macro"][key], 3) for key in keys.values()}) == len(keys), "two rows cannot be told apart"
