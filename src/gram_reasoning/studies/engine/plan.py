"""What is fixed before a run: seconds a step from a timing of 50, the steps that fill the budget, parameters.

The folder of a study holds one folder a group, the runs that differ in the seed alone: `timing.json`, what the screen
of learning rates said (`rate.json`), the runs, and what judged them.
"""

import hashlib
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gram_reasoning.config import Recipe, to_json
from gram_reasoning.errors import UserError
from gram_reasoning.recipes import get_recipe
from gram_reasoning.storage.checkpoint import load_json, save_json
from gram_reasoning.storage.provenance import processor
from gram_reasoning.studies.definition import Changes, Run, Study, recipe_of

WARM, TIMED = 5, 50
"""Optimizer steps before the clock starts, and those that are timed."""
WITHIN = 0.2
"""How far apart the parameters of two systems of a block may lie."""


@dataclass(frozen=True)
class Timing:
    """What a group costs on this machine."""

    seconds: float
    """CPU time of an optimizer step on one thread."""
    parameters: int
    made_from: str
    """A digest of recipe and machine."""

    def steps(self, core_minutes: float) -> int:
        """Optimizer steps that fill so much CPU time, at least one."""
        return max(1, round(60 * core_minutes / self.seconds))


def timing_of(study: Study, run: Run, folder: Path) -> Timing | None:
    """What was timed of a run's group; None if nothing was, or of another recipe, or on another machine."""
    path = folder / run.group / "timing.json"
    if not path.is_file():
        return None
    found = load_json(path)
    timing = Timing(found["seconds_a_step"], found["parameters"], found["made_from"])
    return timing if timing.made_from == _digest(recipe_of(study, run, {"train.seed": 0})) else None


def measure(study: Study, run: Run, folder: Path) -> Timing:
    """Time 50 optimizer steps of a run's group on one thread, unless that was done, and write it down."""
    if (known := timing_of(study, run, folder)) is not None:
        return known
    import torch

    from gram_reasoning.build import build_model, build_task
    from gram_reasoning.training.trainer import Trainer

    torch.set_num_threads(1)
    recipe = recipe_of(study, run, {"train.seed": 0})
    task = build_task(recipe)
    with tempfile.TemporaryDirectory() as nowhere:
        trainer = Trainer(recipe, task, build_model(recipe, task), Path(nowhere))
        for _ in range(WARM):
            trainer.train_step()
        start = time.process_time()
        for _ in range(TIMED):
            trainer.train_step()
        seconds = (time.process_time() - start) / TIMED
    parameters = sum(p.numel() for p in trainer.model.parameters())
    timing = Timing(seconds, parameters, _digest(recipe))
    found = {"seconds_a_step": seconds, "steps_timed": TIMED, "parameters": parameters, "machine": processor()}
    save_json(folder / run.group / "timing.json", {**found, "made_from": timing.made_from})
    return timing


def _digest(recipe: Recipe) -> str:
    text = json.dumps([to_json(recipe), processor()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def declared(study: Study, run: Run) -> str:
    """A digest of what the study says of a run: its settings, its budget, and how it is judged; not of the machine."""
    recipe = get_recipe(run.recipe)
    words = [to_json(part) for part in (get_recipe(study.recipe).task, recipe.model, recipe.train, recipe.evaluation)]
    how = [[one.name, one.command, *one.options] for one in study.judgements if one.of(run)]
    changes = [{**study.changes, **run.changes}, study.core_minutes, study.rates, study.screen_share, run.samples]
    return hashlib.sha256(json.dumps([words, how, changes], sort_keys=True).encode()).hexdigest()[:16]


# -- the recipes of runs -----------------------------------------------------------------------------------------------


def schedule(steps: int) -> Changes:
    """Of a run of so many steps: a tenth of them at most to warm up, a cosine to zero, four evaluations on the way."""
    return {
        "train.steps": steps,
        "train.warmup_steps": min(200, steps // 10),
        "train.lr_schedule": "cosine",
        "train.log_every": max(1, min(50, steps // 20)),
        "train.eval_every": max(1, -(-steps // 4)),
        "train.checkpoint_every": max(1, steps // 10),
    }


def run_recipe(study: Study, run: Run, timing: Timing, rate: float | None) -> Recipe:
    """What a run trains."""
    steps = timing.steps(study.core_minutes)
    return recipe_of(study, run, {**schedule(steps), **({} if rate is None else {"train.lr": rate})})


def screen_recipe(study: Study, run: Run, timing: Timing, rate: float) -> Recipe:
    """What is trained to judge a learning rate: the run in short, with seed 0."""
    changes = schedule(timing.steps(study.screen_share * study.core_minutes))
    return recipe_of(study, run, {**changes, "train.lr": rate, "train.seed": 0})


def rate_of(study: Study, run: Run, folder: Path) -> float | None:
    """The learning rate that the screen chose; None for the recipe's own.

    Raises:
        UserError: the screen has not been run, or was of another recipe or other rates.
    """
    if len(study.rates) < 2:
        return study.rates[0] if study.rates else None
    path = folder / run.group / "rate.json"
    found = load_json(path) if path.is_file() else {}
    if [row["rate"] for row in found.get("screen", ())] != list(study.rates):
        raise UserError(f"{path}: no screen of the rates {study.rates}; `--job prepare:{run.group}` makes it")
    return found["rate"]


# -- rules of the protocol ---------------------------------------------------------------------------------------------


def projected(study: Study, run: Run, timing: Timing) -> float:
    """Core-minutes of one run, the screen left out."""
    return timing.steps(study.core_minutes) * timing.seconds / 60


def screening(study: Study, timing: Timing) -> float:
    """Core-minutes of the screen of one group."""
    rates = len(study.rates) if len(study.rates) > 1 else 0
    return rates * timing.steps(study.screen_share * study.core_minutes) * timing.seconds / 60


def unequal(what: str, values: dict[str, float], within: float) -> str | None:
    """A line if the largest value is more than so much above the smallest."""
    if not values:
        return None
    low, high = min(values, key=values.__getitem__), max(values, key=values.__getitem__)
    apart = values[high] / values[low] - 1
    if apart <= within:
        return None
    return (
        f"{what}: {high} {values[high]:.4g}, {low} {values[low]:.4g}, {apart:.1%} apart, expected within {within:.0%}"
    )


def parameter_faults(study: Study, timings: dict[str, Timing]) -> list[str]:
    """A line for each block whose systems differ in size by more than the rule allows."""
    lines = []
    for block in dict.fromkeys(run.block for run in study.runs):
        sizes = {
            run.group: float(timings[run.group].parameters)
            for run in study.runs
            if run.block == block and run.group in timings and not run.exempt
        }
        lines.append(unequal(f"parameters, {block}", sizes, WITHIN))
    return [line for line in lines if line is not None]


def minute_faults(study: Study, minutes: dict[str, float], what: str) -> list[str]:
    """A line if the core-minutes of runs, by their name, are not equal within the rule."""
    line = unequal(f"{what} core-minutes", minutes, study.tolerance)
    return [] if line is None else [line]


def spent(log: list[dict[str, Any]]) -> float | None:
    """CPU seconds of the optimizer steps of a run, by its log; None if it tells none."""
    told = [line["cpu_seconds"] for line in log if line.get("cpu_seconds") is not None]
    return told[-1] if told else None
