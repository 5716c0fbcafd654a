"""Risk against coverage, by brute force over every order of inputs with one score."""

from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gram_reasoning.evaluation.abstention import area, risk_coverage


def brute(scores: list[int], right: list[bool]) -> np.ndarray:
    orders = [p for p in permutations(range(len(scores))) if all(scores[a] >= scores[b] for a, b in pairwise(p))]
    risks = [[np.mean([not right[i] for i in p[: k + 1]]) for k in range(len(p))] for p in orders]
    return np.mean(risks, axis=0)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=5))
def test_every_order(rows: list[tuple[int, bool]]):
    scores, right = [s for s, _ in rows], [r for _, r in rows]
    covered, risk = risk_coverage(scores, right)
    np.testing.assert_allclose(risk, brute(scores, right))
    assert covered[-1] == 1
    assert risk[-1] == pytest.approx(1 - np.mean(right))


def test_a_good_score_has_less_area_than_a_bad_one():
    right = [True] * 8 + [False] * 2
    good, bad = (area(risk_coverage(s, right)[1]) for s in (list(range(10, 0, -1)), list(range(10))))
    assert 0 < good < bad
