"""What reweighting by the value head brings: particles beside as many samples, and how true the values are."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from rich.table import Table
from torch import Tensor

from gram_reasoning.errors import UserError
from gram_reasoning.evaluation.report import rendered
from gram_reasoning.inference.particles import Particles, particles
from gram_reasoning.inference.sampler import SamplerConfig, sample
from gram_reasoning.inference.select import Rule, in_standard_form, rank
from gram_reasoning.models.base import Model
from gram_reasoning.tasks.base import Problems, Task
from gram_reasoning.types import Candidates

BINS = 10


def evaluate_particles(
    model: Model,
    task: Task,
    problems: Problems,
    config: SamplerConfig,
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Accuracy of one answer among K particles and among K samples, by value and by votes; values beside the truth.

    Particles and samples take the same steps.
    """
    run = particles(model, problems.inputs, config, tick=tick, counted=task.counted)
    plain = sample(model, problems.inputs, config, counted=task.counted)
    result: dict[str, Any] = {"particles": config.samples, "steps": config.steps}
    for name, candidates in (("resampled", run.candidates), ("independent", plain)):
        candidates = in_standard_form(task, problems.inputs, candidates)
        right = task.right(candidates.answers, problems)
        if right is None:
            raise UserError(
                f"--particles: {task.name} is a task without rules, expected one whose answers can be judged"
            )
        result[name] = _chosen(candidates, right)
    result["effective_size"] = [round(float(x), 3) for x in run.sizes.mean(0)]
    result["value_by_step"] = _calibration(task, problems, run)
    return result


def _chosen(candidates: Candidates, right: Tensor) -> dict[str, float]:
    told: dict[str, float] = {
        "single": float(right.float().mean()),
        "best": float(right.any(1).float().mean()),
        "distinct_right": float(np.mean([_distinct(a[ok]) for a, ok in zip(candidates.answers, right, strict=True)])),
    }
    rules: dict[str, Rule] = {"value": "lprm", "votes": "majority"}
    for name, rule in rules.items():
        pairs = zip(candidates.answers.cpu(), candidates.values.cpu(), strict=True)
        first = [rank(answers, values, rule)[0].first for answers, values in pairs]
        told[name] = float(right.cpu()[torch.arange(len(first)), torch.tensor(first)].float().mean())
    return told


def _distinct(answers: Tensor) -> int:
    return len(answers.unique(dim=0)) if len(answers) else 0


def _calibration(task: Task, problems: Problems, run: Particles) -> list[dict[str, float]]:
    """After each step: the mean value, the share of answers that are right, and the gap over bins of the value."""
    rows = []
    for answers, values in zip(run.path.unbind(1), run.values.unbind(1), strict=True):
        right = task.right(answers, problems)
        assert right is not None
        rows.append(calibration(values.flatten().tolist(), right.flatten().tolist()))
    return rows


def calibration(values: Sequence[float], right: Sequence[bool]) -> dict[str, float]:
    """Mean value, share right, and expected calibration error over ten bins of equal width."""
    v, r = np.asarray(values, dtype=np.float64), np.asarray(right, dtype=np.float64)
    where = np.minimum((v * BINS).astype(int), BINS - 1)
    gaps = [abs(v[where == b].mean() - r[where == b].mean()) * (where == b).mean() for b in np.unique(where)]
    return {"value": float(v.mean()), "right": float(r.mean()), "gap": float(sum(gaps))}


def particles_table(result: dict[str, Any]) -> str:
    """Particles beside samples, and the values by step."""
    table = Table(box=None, pad_edge=False)
    for heading in (f"{result['particles']} a board", "by value", "by votes", "one alone", "best", "distinct right"):
        table.add_column(heading, justify="right" if table.columns else "left")
    for name in ("resampled", "independent"):
        row = result[name]
        percents = [f"{100 * row[key]:.1f}" for key in ("value", "votes", "single", "best")]
        table.add_row(name, *percents, f"{row['distinct_right']:.2f}")
    steps = Table(box=None, pad_edge=False)
    for heading in ("step", "value", "right", "gap", "effective size"):
        steps.add_column(heading, justify="right")
    for number, (row, size) in enumerate(zip(result["value_by_step"], result["effective_size"], strict=True), 1):
        steps.add_row(str(number), *(f"{100 * row[key]:.1f}" for key in ("value", "right", "gap")), f"{size:.1f}")
    return f"{rendered(table)}\n\n{rendered(steps)}"
