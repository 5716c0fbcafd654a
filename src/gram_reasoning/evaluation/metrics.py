"""Accuracy and coverage of sampled answers, in both protocols, with their ceilings. Pure functions on arrays.

*macro*: a row is a unique input; the mean of each row's number.
*paper*: a row is an (input, solution) pair, so an input with n solutions counts n times; coverage is the sum of
found over the sum of existing. The reading under which the published numbers agree with each other.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Found:
    """What N trajectories found on each of M inputs."""

    valid: np.ndarray  # (M, N) bool: the trajectory's answer is right
    distinct: np.ndarray  # (M, N) int: distinct valid answers among the first 1..N trajectories
    solutions: np.ndarray  # known solutions n (M,) int
    complete: bool = True  # whether those are all there are
    stands_for: np.ndarray | None = None  # how many inputs of the split each one stands for (M,); one each if None

    @property
    def weight(self) -> np.ndarray:
        return np.ones(len(self.valid)) if self.stands_for is None else self.stands_for

    def subset(self, index: np.ndarray) -> "Found":
        """The inputs at `index`."""
        return Found(self.valid[index], self.distinct[index], self.solutions[index], self.complete, self.weight[index])


def tally(answers: np.ndarray, valid: np.ndarray, solutions: np.ndarray, complete: bool = True) -> Found:
    """Count distinct valid answers. answers (M, N, L), valid (M, N), solutions (M,)."""
    distinct = np.zeros(valid.shape, dtype=np.int64)
    for m, (row, good) in enumerate(zip(answers, valid, strict=True)):
        seen: set[bytes] = set()
        for k, (answer, right) in enumerate(zip(row, good, strict=True)):
            if right:
                seen.add(answer.tobytes())
            distinct[m, k] = len(seen)
    return Found(valid, distinct, solutions, complete)


def independent_ceiling(solutions: np.ndarray, samples: int) -> np.ndarray:
    """Expected number of distinct solutions in `samples` independent uniform draws among n: n (1 - (1 - 1/n)^k)."""
    n = solutions.astype(np.float64)
    return n * (1 - (1 - 1 / n) ** samples)


def no_repeat_ceiling(solutions: np.ndarray, samples: int) -> np.ndarray:
    """Distinct solutions when no draw repeats: min(n, k)."""
    return np.minimum(solutions, samples).astype(np.float64)


def wilson(successes: float, trials: float, z: float = 1.96) -> tuple[float, float]:
    """Wilson's 95% interval of a proportion."""
    if trials == 0:
        return 0.0, 1.0
    p = successes / trials
    centre = (p + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z * np.sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials)) / (1 + z * z / trials)
    return float(centre - half), float(centre + half)


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The mean of two or more values and half of its 95% interval, by Student's t."""
    freedom = len(values) - 1
    half = student(freedom) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return float(np.mean(values)), half


def student(freedom: int) -> float:
    """The 97.5% quantile of Student's t with that many degrees of freedom, to three decimals."""
    t = np.linspace(0, 16, 160_001)
    log_scale = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - 0.5 * math.log(freedom * math.pi)
    density = np.exp(log_scale - (freedom + 1) / 2 * np.log1p(t * t / freedom))
    above_zero = np.cumsum((density[1:] + density[:-1]) / 2) * (t[1] - t[0])
    return float(t[1 + np.searchsorted(above_zero, 0.475)])


def summarize(found: Found, chosen: np.ndarray) -> dict[str, Any]:
    """All numbers of a test run, as plain values. chosen (M,): the sample that stands for each input.

    Where not all solutions are known there is no coverage and no paper protocol.
    """
    samples = found.valid.shape[1]
    result: dict[str, Any] = {
        "inputs": len(found.valid),
        "samples": samples,
        "macro": _protocol(found, chosen, "macro"),
    }
    n = found.solutions
    if not found.complete:
        result["macro"]["distinct_valid_answers"] = float(np.average(found.distinct[:, -1], weights=found.weight))
        return result
    result |= {
        "paper": _protocol(found, chosen, "paper"),
        "by_solutions": _by_solutions(found, n),
        "coverage_by_samples": {
            str(k): {name: _coverage(found, found.distinct[:, k - 1], name) for name in ("macro", "paper")}
            for k in range(1, samples + 1)
        },
    }
    several = n > 1
    if several.any():
        part = found.subset(several)
        result["macro_several"] = {"inputs": int(several.sum()), **_protocol(part, chosen[several], "macro")}
    return result


def passed(found: Found, attempts: np.ndarray, owners: np.ndarray | None) -> dict[str, float]:
    """pass@k: the share of an owner's inputs that one of the best k answers solves, as a mean over owners.

    Args:
        attempts: samples with the best answers of each input, best first (M, most k).
        owners: what each input belongs to (M,); None where each stands for itself.
    """
    right = np.maximum.accumulate(np.take_along_axis(found.valid, attempts, 1), 1)
    groups = np.unique(np.arange(len(right)) if owners is None else owners, return_inverse=True)[1]
    share = [np.bincount(groups, column) / np.bincount(groups) for column in right.T]
    return {f"pass@{k}": float(column.mean()) for k, column in enumerate(share, 1)}


def _coverage(found: Found, distinct: np.ndarray, protocol: str) -> float:
    n = found.solutions
    return float(np.average(distinct / n, weights=found.weight * (1 if protocol == "macro" else n * n)))


def _protocol(found: Found, chosen: np.ndarray, protocol: str) -> dict[str, Any]:
    M, samples = found.valid.shape
    n = found.solutions
    weight = found.weight * (1.0 if protocol == "macro" else n)
    weight = weight / weight.sum()
    choice = float((found.valid[np.arange(M), chosen] * weight).sum())
    accuracy = {
        "single_sample_accuracy": float((found.valid.mean(1) * weight).sum()),
        "selected_accuracy": choice,
        "selected_interval": list(wilson(choice * M, M)),
        "best_of_samples_accuracy": float((found.valid.any(1) * weight).sum()),
    }
    if not found.complete:
        return accuracy
    return accuracy | {
        "coverage": _coverage(found, found.distinct[:, -1], protocol),
        "independent_ceiling": _coverage(found, independent_ceiling(n, samples), protocol),
        "no_repeat_ceiling": _coverage(found, no_repeat_ceiling(n, samples), protocol),
    }


def _by_solutions(found: Found, n: np.ndarray) -> dict[str, dict[str, float]]:
    return {
        str(k): {
            "inputs": int((n == k).sum()),
            "single_sample_accuracy": float(np.average(found.valid[n == k].mean(1), weights=found.weight[n == k])),
            "coverage": float(np.average(found.distinct[n == k, -1] / k, weights=found.weight[n == k])),
            "independent_ceiling": float(independent_ceiling(np.array([k]), found.valid.shape[1])[0] / k),
        }
        for k in np.unique(n).tolist()
    }
