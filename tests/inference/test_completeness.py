"""Estimates of what is unseen, against draws from distributions that are known."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gram_reasoning.inference.adaptive import leads, stays
from gram_reasoning.inference.completeness import chao, completeness, evenly, unseen_mass, would_show


def drawn(chances: np.ndarray, draws: int, seed: int) -> list[int]:
    return list(Counter(np.random.default_rng(seed).choice(len(chances), draws, p=chances).tolist()).values())


def test_by_hand():
    assert unseen_mass([1, 1, 2, 4]) == 2 / 8
    assert unseen_mass([]) == 1
    assert chao([1, 1, 1, 2, 2, 4]) == 6 + (10 / 11) * 3 * 2 / (2 * 3)
    assert chao([]) == evenly([]) == 0
    assert evenly([5]) == pytest.approx(1, abs=1e-6)
    assert evenly([1, 1, 1]) == math.inf
    assert [completeness(votes) for votes in ([], [1, 1], [7])] == pytest.approx([0, 0, 1])
    assert would_show(1, 1) == pytest.approx(1 / 6)


@pytest.mark.parametrize(("n", "draws"), [(5, 10), (12, 15), (20, 60)])
def test_equal_chances(n: int, draws: int):
    """The mean of many estimates is near the mean of the truth."""
    chances = np.full(n, 1 / n)
    samples = [drawn(chances, draws, seed) for seed in range(400)]
    told = np.mean([min(1.0, len(s) / evenly(s)) for s in samples])
    assert told == pytest.approx(np.mean([len(s) / n for s in samples]), abs=0.05)


@pytest.mark.parametrize("draws", [30, 100])
def test_unequal_chances(draws: int):
    """Good and Turing give the mass of the unseen, Chao a lower bound of the number that evenness misses."""
    chances = 1 / np.arange(1, 31)
    chances /= chances.sum()
    masses, missing, bounds, even = [], [], [], []
    for seed in range(400):
        found = np.random.default_rng(seed).choice(30, draws, p=chances)
        counts = list(Counter(found.tolist()).values())
        masses.append(unseen_mass(counts))
        missing.append(1 - chances[np.unique(found)].sum())
        bounds.append(chao(counts))
        even.append(evenly(counts))
    assert np.mean(masses) == pytest.approx(np.mean(missing), abs=0.01)
    assert np.mean(even) < 30
    assert np.mean(bounds) == pytest.approx(30, rel=0.25)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=20))
def test_any_counts(votes: list[int]):
    assert chao(votes) >= len(votes)
    assert evenly(votes) >= len(votes) - 1e-6
    assert 0 <= completeness(votes) <= 1 + 1e-9
    assert completeness([2 * v for v in votes]) >= completeness(votes) - 1e-9


@pytest.mark.parametrize(("first", "second"), [(1, 0), (4, 0), (5, 3), (2, 2)])
def test_the_chance_to_lead_by_simulation(first: int, second: int):
    p = np.random.default_rng(0).beta(first + 1, second + 1, 200_000)
    assert leads(first, second) == pytest.approx((p > 0.5).mean(), abs=0.005)


@given(st.lists(st.integers(1, 8), max_size=5), st.integers(0, 12))
def test_at_level_one_no_rest_of_the_votes_changes_the_choice(votes: list[int], left: int):
    """Against the worst that may come: all that is left for the second, or for a new answer."""
    worst = bool(votes) and sorted([*votes, 0], reverse=True)[1] + left < max(votes)
    assert stays(votes, sum(votes) + left, 1.0) == worst
    assert not stays(votes, None, 1.0)
