"""The right part in the right place: what a run's log, checkpoint and shared model show of how it is put together.

Every test reads what a user could read. Where the weights must stand still, so that numbers of several runs can be
compared, the learning rate is next to nothing.
"""

import copy
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from gram_reasoning.build import build_model, load_model
from gram_reasoning.cli import main
from gram_reasoning.config import Recipe
from gram_reasoning.storage import checkpoint
from gram_reasoning.training.trainer import Trainer
from helpers import debug_recipe, make_trainer, metrics_of, same, task_of, weights_of
from oracles import nqueens as oracle

STILL: dict[str, Any] = {"lr": 1e-12, "weight_decay": 0.0}
EVERY: dict[str, Any] = {"log_every": 1, "eval_every": 1, "checkpoint_every": 1, "warmup_steps": 0}


def shaken(recipe: Recipe, folder: Path) -> Trainer:
    """A run whose every weight is away from its start: then posterior and prior differ."""
    run = make_trainer(recipe, folder)
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in run.model.parameters():
            parameter.normal_(std=0.3, generator=draw)
    return run


def lines_of(run: Trainer, kind: str) -> list[dict[str, Any]]:
    return [line for line in metrics_of(run.run) if line["kind"] == kind]


def raw_weights(run: Path) -> dict[str, Tensor]:
    """Those that training went on with, from the newest checkpoint."""
    return load_file(checkpoint.checkpoints(run)[-1] / "model.safetensors")


# -- averaged weights ------------------------------------------------------------------------------------------


def test_what_is_shared_are_the_averaged_weights(tmp_path: Path):
    """After one step the average has a tenth of the start, the warm-up of its decay being 1 / 10."""
    run = make_trainer(debug_recipe(train={**EVERY, "steps": 1, "ema": 0.9}), tmp_path / "run")
    start = weights_of(run.model)
    assert run.fit() == "finished"
    raw, shared = raw_weights(run.run), load_file(run.run / "model" / "model.safetensors")
    assert shared.keys() == start.keys()
    assert not same(shared, raw)
    for name, weight in shared.items():
        torch.testing.assert_close(weight, 0.1 * start[name] + 0.9 * raw[name], rtol=1e-5, atol=1e-6)
    assert main(["export", str(run.run), "--out", str(tmp_path / "export")]) == 0
    for folder in (run.run, tmp_path / "export"):
        assert same(weights_of(load_model(folder)[2]), shared)


def test_the_log_judges_averaged_and_raw_weights_as_gram_eval_does(tmp_path: Path):
    """Each under its name, on the same inputs, by all supervision steps; constraints show the least difference."""
    recipe = debug_recipe(
        "coloring6-debug",
        task={"graphs": 600},
        model={"supervision_steps": 3},
        train={**EVERY, "steps": 3, "lr": 0.02, "eval_every": 3, "eval_inputs": 1000, "eval_samples": 8},
    )
    run = make_trainer(recipe, tmp_path / "run")
    run.fit()
    raw = tmp_path / "raw"
    shutil.copytree(run.run / "model", raw)
    shutil.copy(checkpoint.checkpoints(run.run)[-1] / "model.safetensors", raw)

    def judged(folder: Path, steps: int) -> dict[str, Any]:
        options = ["--split", "validation", "--samples", "8", "--steps", str(steps), "--threads", "1"]
        assert main(["eval", str(folder), *options, "--json", str(tmp_path / "eval.json")]) == 0
        return json.loads((tmp_path / "eval.json").read_text())

    (line,) = lines_of(run, "eval")
    found = {(folder.name, steps): judged(folder, steps) for folder in (run.run, raw) for steps in (2, 3)}
    assert len({result["conflicts"]["mean"] for result in found.values()}) == 4, "the settings cannot be told apart"
    for name, folder in (("prior", run.run), ("prior_raw_weights", raw)):
        result = found[folder.name, 3]
        assert line[name]["inputs"] == result["inputs"]
        assert line[name]["conflicts"]["mean"] == pytest.approx(result["conflicts"]["mean"], abs=1e-5)
        assert line[name]["accuracy"] == pytest.approx(result["macro"]["single_sample_accuracy"], abs=1e-5)
        assert line[name]["coverage"] == pytest.approx(result["macro"]["coverage"], abs=1e-5)


@pytest.mark.parametrize("good", ["neither", "averaged", "raw"])
def test_the_leak_alarm_is_silent_where_either_weights_do_without_the_answer(tmp_path: Path, good: str):
    """By the model in the package, which solves without seeing an answer, and a fresh one, which does not."""
    recipe, task, solver = load_model("nqueens7")
    rest = {"batch_size": 8, "eval_inputs": 8, "eval_samples": 2, "eval_every": 1, "log_every": 10**7, "ema": 0.9999}
    steps = 10**6  # the average moves by a ten-thousandth in a step so late
    parts = {part: vars(getattr(recipe, part)) for part in ("task", "model", "train")}
    recipe = debug_recipe(**{**parts, "train": {**parts["train"], **STILL, **rest, "steps": steps}})
    said: list[str] = []
    fresh = build_model(recipe, task)
    run = Trainer(recipe, task, copy.deepcopy(solver if good == "raw" else fresh), tmp_path, say=said.append)
    averaged = weights_of(solver if good == "averaged" else fresh)
    run.average.weights = {name: averaged[name].clone() for name in run.average.weights}
    run.step, run.means = steps - 1, {"posterior_accuracy": 1.0}
    run.fit()
    (line,) = lines_of(run, "eval")
    assert (line["prior"]["accuracy"] > 0.8) is (good == "averaged")
    assert (line["prior_raw_weights"]["accuracy"] > 0.8) is (good == "raw")
    assert line["leak_alarm"] is (good == "neither")
    assert any("LEAK ALARM" in text for text in said) is (good == "neither")


# -- the objective ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solutions", [1, 2, 3])
def test_more_may_be_told_from_two_solutions_on(tmp_path: Path, solutions: int):
    """A posterior that would tell far more spends its budget to the last nat."""
    budgets = {"kl_budget_first": 0.02, "kl_budget_open": 0.1, "kl_budget": 0.005}
    train = {**EVERY, **STILL, "steps": 1}
    recipe = debug_recipe(model={"sigma_learned": False, **budgets}, train=train)
    task, every = copy.copy(task_of(recipe.task)), task_of(recipe.task).split("train")
    task.split = lambda name: every.subset((every.count == solutions).nonzero()[:, 0])  # type: ignore[method-assign]
    model = shaken(recipe, tmp_path / "unused").model
    run = Trainer(recipe, task, model, tmp_path / "run", say=lambda line: None)
    run.fit()
    first = 0.02 + 0.1 * (solutions > 1)
    (line,), (judged,) = lines_of(run, "train"), lines_of(run, "eval")
    assert line["kl_nats"] == pytest.approx(first, rel=1e-3)
    assert judged["kl_by_transition"] == pytest.approx([0, first, 0, 0.005], rel=1e-3, abs=1e-4)


def test_the_full_bound_reconstructs_from_the_last_step(tmp_path: Path):
    """Without a weight on the KL the surrogate is the mean of the cross-entropies of all steps, which tells each.

    Without noise, so that longer trajectories begin like shorter ones.
    """
    judged = {}
    for steps in (1, 2, 3):
        model = {"supervision_steps": steps, "guidance": "mean", "beta": 0.0, "sigma_learned": False, "mean_bound": 0.1}
        recipe = debug_recipe(model=model, train={**EVERY, **STILL, "steps": 1, "eval_inputs": 16})
        run = shaken(recipe, tmp_path / str(steps))
        run.fit()
        (judged[steps],) = lines_of(run, "eval")
        assert len(judged[steps]["kl_by_transition"]) == steps * recipe.model.transitions  # type: ignore[attr-defined]
    sums = {0: 0.0} | {steps: steps * line["elbo_surrogate"] for steps, line in judged.items()}
    at = {steps: sums[steps] - sums[steps - 1] for steps in judged}
    for steps, line in judged.items():
        assert line["elbo_full"] + line["kl_full_nats"] == pytest.approx(at[steps], abs=1e-3)
    assert min(abs(at[1] - at[2]), abs(at[2] - at[3]), abs(at[1] - at[3])) > 0.1, "the steps cannot be told apart"


def test_the_weight_of_the_kl_is_that_of_its_step(tmp_path: Path):
    """Step k of an annealed run pushes as hard as step k of a run that keeps the weight of that step."""
    steps, start, end = 4, 2.0, 0.02
    weights = [start * (end / start) ** (k / steps) for k in range(steps + 1)]

    def logged(name: str, beta: float, final: float | None) -> tuple[list[float], list[float]]:
        model, train = {"beta": beta, "beta_final": final}, {**EVERY, **STILL, "steps": steps}
        run = shaken(debug_recipe(model=model, train=train), tmp_path / name)
        run.fit()
        pushes = [line["gradient_norm"] for line in lines_of(run, "train")]
        return pushes, [line["elbo_surrogate"] for line in lines_of(run, "eval")]

    pushes, bounds = logged("annealed", start, end)
    kept = [logged(str(k), weight, None) for k, weight in enumerate(weights)]
    for k in range(steps):
        assert pushes[k] == pytest.approx(kept[k][0][k], rel=1e-3)
        assert pushes[k] != pytest.approx(kept[k + 1][0][k], rel=1e-2)
        assert bounds[k] == pytest.approx(kept[k + 1][1][k], rel=1e-3)  # judged after its step
        assert bounds[k] != pytest.approx(kept[k][1][k], rel=1e-2)


# -- the optimizer ---------------------------------------------------------------------------------------------


def moved(folder: Path, **train: Any) -> dict[str, float]:
    """How far one step of that run takes its weights, the fastest entry of each."""
    run = shaken(debug_recipe(train={**EVERY, "steps": 1, "prior_share": 0.5, **train}), folder)
    start = weights_of(run.model)
    run.fit()
    raw = raw_weights(folder)
    return {name: float((raw[name] - start[name]).abs().max()) for name, _ in run.model.named_parameters()}


def linear_weights(model: nn.Module) -> set[str]:
    return {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.Linear)}


def test_muon_and_adamw_have_each_their_rate(tmp_path: Path):
    maps = linear_weights(make_trainer(debug_recipe(), tmp_path).model)
    common = {"optimizer": "muon", "weight_decay": 0.0}
    by_muon = moved(tmp_path / "muon", lr=1e-12, muon_lr=0.01, **common)
    by_adamw = moved(tmp_path / "adamw", lr=0.01, muon_lr=1e-12, **common)
    quick = {name for name, length in by_muon.items() if length > 1e-6}
    assert quick <= maps
    assert len(quick) > len(maps) / 2
    others = {name for name, length in by_adamw.items() if length > 1e-6}
    assert others
    assert not others & maps
    assert max(by_adamw.values()) == pytest.approx(0.01, rel=1e-2)  # the first step of Adam has the length of its rate


@pytest.mark.parametrize("model", [{"token_mixer": "grid"}, {"layout": "patches"}, {}], ids=str)
def test_maps_alone_decay(tmp_path: Path, model: dict[str, Any]):
    """Two first steps of AdamW differ by the decay alone: rate * decay * weight."""
    ends = {}
    for decay in (0.0, 0.5):
        train = {**EVERY, "steps": 1, "prior_share": 0.5, "lr": 0.1, "weight_decay": decay}
        run = shaken(debug_recipe(model=model, train=train), tmp_path / str(decay))
        start = weights_of(run.model)
        run.fit()
        ends[decay] = raw_weights(run.run)
    maps = linear_weights(run.model)
    convolutions = [name for name, p in run.model.named_parameters() if p.ndim == 4]
    assert bool(convolutions) is bool(model)
    for name, weight in start.items():
        share = 0.1 * 0.5 if name in maps else 0.0
        torch.testing.assert_close(ends[0.0][name] - ends[0.5][name], share * weight, rtol=1e-3, atol=1e-5, msg=name)


# -- ceilings --------------------------------------------------------------------------------------------------


def test_the_logged_ceiling_is_of_independent_samples(tmp_path: Path):
    """n (1 - (1 - 1/n)^k) of n solutions by k draws, as a share of n, over inputs with several."""
    run = make_trainer(debug_recipe(train={**EVERY, "steps": 1, "eval_inputs": 30, "eval_samples": 3}), tmp_path)
    run.fit()
    inputs = task_of(run.recipe.task).split("validation").inputs[:30].view(-1, 7, 7)
    solutions = [oracle.queens(board) for board in oracle.completions([[1] * 7] * 7)]
    given = [oracle.queens(board) for board in inputs.tolist()]
    counts = [sum(queens <= solution for solution in solutions) for queens in given]
    several = [n for n in counts if n > 1]
    shares = [1 - (1 - 1 / n) ** 3 for n in several]
    (line,) = lines_of(run, "eval")
    for name in ("prior", "prior_raw_weights"):
        assert line[name]["inputs"] == len(counts)
        assert line[name]["several_ceiling"] == pytest.approx(math.fsum(shares) / len(several), abs=1e-5)
