"""What answer sets are worth: coverage in both protocols against the steps spent, by every score; risk of one answer.

The sets are fixed before the rules judge them, unless the rules were asked to choose.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
import torch

from gram_reasoning.errors import UserError
from gram_reasoning.evaluation.abstention import area, risk_coverage
from gram_reasoning.evaluation.evaluator import identity_vectors
from gram_reasoning.inference.answer_set import answer_sets
from gram_reasoning.inference.search import AnswerSet, Held, chosen, complete, held
from gram_reasoning.inference.set_config import Score, SetConfig
from gram_reasoning.models.base import Model
from gram_reasoning.processes import ALONE, Processes
from gram_reasoning.tasks.base import Problems, Task

SCORES: tuple[Score, ...] = get_args(Score)
BINS = 10
"""Groups of inputs, equal in number, in which estimates of completeness are held against the truth."""


@dataclass(frozen=True)
class Judged:
    """Answer sets beside the truth."""

    sets: Sequence[AnswerSet]
    right: Sequence[frozenset[tuple[int, ...]]]
    """The right ones among all distinct answers of each input."""
    solutions: np.ndarray
    """How many each input has (M,)."""
    weight: np.ndarray
    """How many inputs of the split each one stands for (M,)."""

    def coverage(self, answers: Sequence[Sequence[Held]]) -> dict[str, float]:
        """Of these answers to each input, in both protocols."""
        found = np.array(self._hits(answers))
        n = self.solutions
        return {
            "macro": float(np.average(found / n, weights=self.weight)),
            "paper": float(np.average(found / n, weights=self.weight * n * n)),
        }

    def precision(self, answers: Sequence[Sequence[Held]]) -> float:
        """The share of right ones in the sets, as a mean over inputs; an empty set counts 0."""
        shares = [hit / max(1, len(a)) for hit, a in zip(self._hits(answers), answers, strict=True)]
        return float(np.average(shares, weights=self.weight))

    def _hits(self, answers: Sequence[Sequence[Held]]) -> list[int]:
        return [sum(h.answer in right for h in a) for a, right in zip(answers, self.right, strict=True)]


def judge(task: Task, problems: Problems, sets: Sequence[AnswerSet], stands_for: np.ndarray | None = None) -> Judged:
    """Ask the rules about every distinct answer."""
    distinct = [list(dict.fromkeys(e.answer for e in s.ended)) for s in sets]
    answers = torch.zeros(len(sets), max(map(len, distinct)), task.length, dtype=torch.int64)
    for m, found in enumerate(distinct):
        answers[m, : len(found)] = torch.tensor(found)
    valid = task.right(answers, problems.to("cpu"))
    if valid is None or not problems.complete:
        raise UserError(
            f"--answers: {task.name} has no list of all solutions, expected a task whose sets can be judged"
        )
    right = [
        frozenset(a for a, ok in zip(found, row, strict=False) if ok)
        for found, row in zip(distinct, valid.tolist(), strict=True)
    ]
    weight = np.ones(len(sets)) if stands_for is None else stands_for
    return Judged(sets, right, problems.count.cpu().numpy(), weight)


def evaluate_sets(
    model: Model,
    task: Task,
    problems: Problems,
    config: SetConfig,
    beside: bool = True,
    tick: Callable[[int, int], None] = lambda done, total: None,
    processes: Processes = ALONE,
    stands_for: np.ndarray | None = None,
) -> dict[str, Any]:
    """What the sets of `problems` are worth.

    Args:
        beside: also draw independent samples, with the same halting and the same budget.
        stands_for: how many inputs of a split each problem stands for (M,), in accuracy, precision and coverage.
    """

    def drawn(config: SetConfig) -> dict[str, Any]:
        vectors = identity_vectors(model, problems)
        sets = answer_sets(model, task, problems.inputs, config, 0, tick, processes, vectors)
        return summary(judge(task, problems, sets, stands_for), config)

    settings = {name: getattr(config, name) for name in ("answers", "budget", "choose", "score", "width", "until")}
    result: dict[str, Any] = {"inputs": len(problems), "explore": config.explore, **settings}
    result |= {"samples": config.answers, "steps": config.budget, "halting": True, **drawn(config)}
    if beside:
        result["independent"] = drawn(replace(config, avoid=False, explore="none", until=None, settle=None))
    return result


def summary(judged: Judged, config: SetConfig) -> dict[str, Any]:
    """All numbers of one way to draw, as plain values."""
    sets, n = judged.sets, judged.solutions
    answers = [s.answers for s in sets]
    spent = [s.spent for s in sets]
    coverage = judged.coverage(answers)
    first = [bool(a) and a[0].answer in right for a, right in zip(answers, judged.right, strict=True)]
    best = [bool(right) for right in judged.right]
    result: dict[str, Any] = {}
    for name, weight in (("macro", judged.weight), ("paper", judged.weight * n)):
        shares = {"selected_accuracy": first, "best_of_samples_accuracy": best}
        result[name] = {key: float(np.average(row, weights=weight)) for key, row in shares.items()}
        result[name]["coverage"] = coverage[name]
        solutions = weight if name == "macro" else weight * n
        result[name]["no_repeat_ceiling"] = float(np.average(np.minimum(n, config.answers) / n, weights=solutions))
    trajectories = sum(len(s.ended) for s in sets)
    result |= {
        "set_size": float(np.mean([len(a) for a in answers])),
        "precision": judged.precision(answers),
        "trajectories": trajectories / len(sets),
        "duplicates": sum(s.duplicates for s in sets) / trajectories,
        "mean_spent": float(np.mean(spent)),
        "most_spent": max(spent),
        "spent": spent,
        "held": judged.coverage([held(s.ended) for s in sets]),
        "by_score": {score: _with_score(judged, replace(config, score=score)) for score in SCORES},
        "by_steps": _by_steps(judged, config),
        "completeness": _completeness(judged, right_ones=False),
        "completeness_of_right": _completeness(judged, right_ones=True),
        "abstention": _abstention(judged, config),
    }
    return result


def _with_score(judged: Judged, config: SetConfig) -> dict[str, float]:
    answers = [chosen(s.ended, config) for s in judged.sets]
    first = [bool(a) and a[0].answer in right for a, right in zip(answers, judged.right, strict=True)]
    return judged.coverage(answers) | {"selected_accuracy": float(np.average(first, weights=judged.weight))}


def _by_steps(judged: Judged, config: SetConfig) -> dict[str, list[float]]:
    """Coverage by the set that would have been chosen after so many steps, and by all that was held by then."""
    grid = sorted({round(config.budget * 2 ** (-i / 4)) for i in range(25)} - {0})
    rows: dict[str, list[float]] = {"steps": list(map(float, grid))}
    for budget in grid:
        ended = [[e for e in s.ended if e.at <= budget] for s in judged.sets]
        for name, found in (("chosen", [chosen(e, config) for e in ended]), ("held", [held(e) for e in ended])):
            for protocol, value in judged.coverage(found).items():
                rows.setdefault(f"{name}_{protocol}", []).append(value)
        spent = np.mean([min(budget, s.spent) for s in judged.sets])
        rows.setdefault("mean_spent", []).append(float(spent))
    return rows


def _completeness(judged: Judged, right_ones: bool) -> dict[str, Any]:
    """The estimate beside the share of all solutions that was found, on inputs with two or more, in equal bins.

    Args:
        right_ones: estimate from the right answers alone, as one can where rules verify them.
    """
    several = [m for m in range(len(judged.sets)) if judged.solutions[m] > 1]
    asked = [[e for e in judged.sets[m].ended if not right_ones or e.answer in judged.right[m]] for m in several]
    estimate = np.array([complete(ended) for ended in asked])
    truth = np.array([len(judged.right[m]) / judged.solutions[m] for m in several])
    result: dict[str, Any] = {"inputs": len(several)}
    if len(several) < BINS:
        return result
    order = np.argsort(estimate, kind="stable")
    parts = np.array_split(order, BINS)
    bins = [[float(estimate[p].mean()), float(truth[p].mean())] for p in parts]
    gap = max(abs(told - true) for told, true in bins)
    return result | {"estimate": float(estimate.mean()), "truth": float(truth.mean()), "bins": bins, "worst_gap": gap}


def _abstention(judged: Judged, config: SetConfig) -> dict[str, Any]:
    """Risk against coverage of the one best answer, by every score; votes as their share of the trajectories."""
    result: dict[str, Any] = {}
    for score in SCORES:
        best = [chosen(s.ended, replace(config, score=score))[:1] for s in judged.sets]
        right = [bool(b) and b[0].answer in ok for b, ok in zip(best, judged.right, strict=True)]
        scores = [b[0].scores[score] if b else float("-inf") for b in best]
        if score == "votes":
            scores = [x / max(1, len(s.ended)) for x, s in zip(scores, judged.sets, strict=True)]
        covered, risk = risk_coverage(scores, right)
        at = np.unique(np.linspace(0, len(risk) - 1, 101).round().astype(int))
        curve = {"covered": covered[at].tolist(), "risk": risk[at].tolist()}
        result[score] = {"area": area(risk), "accuracy": float(np.mean(right)), **curve}
    return result
