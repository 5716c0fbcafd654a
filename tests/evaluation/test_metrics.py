from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gram_reasoning.evaluation.metrics import (
    Found,
    independent_ceiling,
    interval,
    no_repeat_ceiling,
    student,
    summarize,
    tally,
    wilson,
)


def random_found(seed: int, inputs: int = 40, samples: int = 7, most: int = 9) -> tuple[Found, np.ndarray, np.ndarray]:
    """Answers 0..n-1 of an input with n solutions are right, the others wrong; some input is never solved."""
    rng = np.random.default_rng(seed)
    solutions = rng.integers(1, most + 1, inputs)
    answers = rng.integers(0, solutions[:, None] * 2, (inputs, samples))
    answers[0] = solutions[0]
    found = tally(answers[:, :, None], answers < solutions[:, None], solutions)
    return found, answers, rng.integers(0, samples, inputs)


# -- tally -----------------------------------------------------------------------------------------------------


@given(st.lists(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=4, max_size=4), min_size=1))
def test_tally_counts_sets(rows: list[list[tuple[int, int]]]) -> None:
    valid = [[sum(answer) % 3 > 0 for answer in row] for row in rows]
    found = tally(np.array(rows), np.array(valid), np.full(len(rows), 6))
    for m, row in enumerate(rows):
        for k in range(4):
            right = {answer for answer in row[: k + 1] if sum(answer) % 3 > 0}
            assert found.distinct[m, k] == len(right)
    assert found.valid.tolist() == valid
    assert found.solutions.tolist() == [6] * len(rows)


# -- ceilings --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [1, 2, 20])
@pytest.mark.parametrize("n", [1, 2, 5, 92])
def test_independent_ceiling_is_the_simulated_mean(n: int, samples: int) -> None:
    draws = np.sort(np.random.default_rng(n).integers(0, n, (20_000, samples)), axis=1)
    distinct = 1 + (np.diff(draws, axis=1) > 0).sum(1)
    [ceiling] = independent_ceiling(np.array([n]), samples)
    assert abs(distinct.mean() - ceiling) <= 4.5 * distinct.std() / 20_000**0.5 + 1e-5


@pytest.mark.parametrize("samples", [1, 2, 5, 20])
def test_no_repeat_ceiling_is_drawing_without_return(samples: int) -> None:
    n = np.arange(1, 30)
    assert no_repeat_ceiling(n, samples).tolist() == [len(set(range(k)[:samples])) for k in n]
    assert (independent_ceiling(n, samples) <= no_repeat_ceiling(n, samples) + 1e-9).all()


def test_model_of_independent_draws_sits_at_the_ceiling() -> None:
    rng = np.random.default_rng(0)
    solutions = rng.integers(1, 30, 4000)
    answers = rng.integers(0, solutions[:, None], (4000, 20))
    found = tally(answers[:, :, None], np.ones((4000, 20), bool), solutions)
    for protocol in ("macro", "paper"):
        result = summarize(found, np.zeros(4000, np.int64))[protocol]
        assert result["coverage"] == pytest.approx(result["independent_ceiling"], abs=0.005)
        assert result["coverage"] < result["no_repeat_ceiling"] - 0.05


# -- protocols -------------------------------------------------------------------------------------------------


def expanded(found: Found, chosen: np.ndarray, copies: list[int], ratio_of_sums: bool) -> dict[str, Any]:
    """The numbers of a protocol, from a plain list in which input m stands copies[m] times."""
    rows = [m for m, number in enumerate(copies) for _ in range(number)]
    samples = found.valid.shape[1]
    n = [int(found.solutions[m]) for m in rows]
    ceiling = [sum((1 - 1 / k) ** i for i in range(samples)) for k in n]

    def coverage(got: list[float]) -> float:
        if ratio_of_sums:
            return sum(got) / sum(n)
        return sum(g / k for g, k in zip(got, n, strict=True)) / len(rows)

    right = [found.valid[m].tolist() for m in rows]
    return {
        "single_sample_accuracy": sum(sum(row) for row in right) / (samples * len(rows)),
        "selected_accuracy": sum(row[chosen[m]] for row, m in zip(right, rows, strict=True)) / len(rows),
        "best_of_samples_accuracy": sum(any(row) for row in right) / len(rows),
        "coverage": coverage([int(found.distinct[m, -1]) for m in rows]),
        "independent_ceiling": coverage(ceiling),
        "no_repeat_ceiling": coverage([min(k, samples) for k in n]),
    }


@pytest.mark.parametrize("seed", range(5))
def test_protocols_are_the_expanded_rows(seed: int) -> None:
    found, _, chosen = random_found(seed)
    result = summarize(found, chosen)
    several = [int(n > 1) for n in found.solutions]
    macro = expanded(found, chosen, [1] * 40, ratio_of_sums=False)
    paper = expanded(found, chosen, found.solutions.tolist(), ratio_of_sums=True)
    parts = [("macro", macro, 40), ("paper", paper, 40)]
    parts.append(("macro_several", expanded(found, chosen, several, ratio_of_sums=False), sum(several)))
    for name, expected, trials in parts:
        for key, value in expected.items():
            assert result[name][key] == pytest.approx(value), (name, key)
        assert result[name]["selected_interval"] == list(wilson(result[name]["selected_accuracy"] * trials, trials))
    assert result["macro_several"]["inputs"] == sum(several)
    assert abs(macro["coverage"] - paper["coverage"]) > 1e-3
    assert (result["inputs"], result["samples"]) == (40, 7)


def test_coverage_by_samples() -> None:
    found, answers, chosen = random_found(0)
    by_samples = summarize(found, chosen)["coverage_by_samples"]
    assert list(by_samples) == [str(k) for k in range(1, 8)]
    for k in range(1, 8):
        first = tally(answers[:, :k, None], found.valid[:, :k], found.solutions)
        fewer = summarize(first, np.zeros(40, np.int64))
        assert by_samples[str(k)]["macro"] == pytest.approx(fewer["macro"]["coverage"])
        assert by_samples[str(k)]["paper"] == pytest.approx(fewer["paper"]["coverage"])
    assert by_samples["7"]["macro"] > by_samples["1"]["macro"]


def test_by_solutions() -> None:
    found, answers, chosen = random_found(1)
    by_solutions = summarize(found, chosen)["by_solutions"]
    assert list(by_solutions) == [str(n) for n in sorted(set(found.solutions.tolist()))]
    for key, row in by_solutions.items():
        n = int(key)
        of_n = [a.tolist() for a, count in zip(answers, found.solutions, strict=True) if count == n]
        assert row["inputs"] == len(of_n)
        right = sum(answer < n for a in of_n for answer in a)
        assert row["single_sample_accuracy"] == pytest.approx(right / (7 * len(of_n)))
        distinct = sum(len({answer for answer in a if answer < n}) for a in of_n)
        assert row["coverage"] == pytest.approx(distinct / (n * len(of_n)))
        assert row["independent_ceiling"] == pytest.approx(1 - (1 - 1 / n) ** 7)


def test_inputs_with_one_solution_have_no_part_of_several() -> None:
    found, _, chosen = random_found(2, most=1)
    result = summarize(found, chosen)
    assert "macro_several" not in result
    assert result["macro"] == result["paper"]


# -- inputs that stand for others ------------------------------------------------------------------------------


@pytest.mark.parametrize("complete", [True, False])
def test_an_input_that_stands_for_three_counts_as_if_it_were_there_three_times(complete: bool) -> None:
    found, _, chosen = random_found(3)
    found = replace(found, complete=complete)
    times = np.random.default_rng(4).integers(1, 5, 40)
    weighted = summarize(replace(found, stands_for=times.astype(float)), chosen)
    repeated = summarize(found.subset(np.repeat(np.arange(40), times)), np.repeat(chosen, times))

    def without_counts(part: object) -> object:
        if not isinstance(part, dict):
            return part if not isinstance(part, float) else pytest.approx(part)
        return {k: without_counts(v) for k, v in part.items() if k not in ("inputs", "selected_interval")}

    assert weighted["macro"] != summarize(found, chosen)["macro"]
    assert without_counts(weighted) == without_counts(repeated)


# -- intervals -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_of_newcombe_1998(successes: int, trials: int, low: float, high: float) -> None:
    assert wilson(successes, trials) == pytest.approx((low, high), abs=5e-5)
    assert wilson(trials - successes, trials) == pytest.approx((1 - high, 1 - low), abs=5e-5)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_ends_are_where_the_score_test_rejects(counts: tuple[int, int]) -> None:
    successes, trials = counts
    low, high = wilson(successes, trials)
    assert -1e-12 < low < high < 1 + 1e-12
    assert low - 1e-12 <= successes / trials <= high + 1e-12
    for end in (low, high):
        gap = 1.96 * max(0.0, end * (1 - end) / trials) ** 0.5
        assert abs(successes / trials - end) == pytest.approx(gap, abs=1e-7)


def test_wilson_without_trials() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


# -- intervals over seeds ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("freedom", "quantile"),  # of a printed table
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (5, 2.571), (9, 2.262), (30, 2.042), (120, 1.980)],
)
def test_the_quantiles_of_the_table(freedom: int, quantile: float):
    assert student(freedom) == pytest.approx(quantile, abs=6e-4)


def test_an_interval_by_hand():
    mean, half = interval([90.0, 95.0, 100.0])
    assert mean == pytest.approx(95)
    assert half == pytest.approx(4.303 * 5 / 3**0.5, abs=1e-2)


@given(st.lists(st.integers(-1000, 1000).map(lambda n: n / 10), min_size=2, max_size=12, unique=True))
def test_an_interval_is_that_of_scipy(values: list[float]):
    mean, half = interval(values)
    low, high = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    assert (mean - half, mean + half) == pytest.approx((low, high), rel=1e-3, abs=1e-3 * (high - low))


def test_intervals_hold_the_truth_in_95_of_100_cases():
    draws = np.random.default_rng(0).normal(3, 2, (4000, 4))
    held = [abs(mean - 3) <= half for mean, half in (interval(row.tolist()) for row in draws)]
    assert np.mean(held) == pytest.approx(0.95, abs=0.015)
