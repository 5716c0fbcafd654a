from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gram_reasoning.errors import UserError
from gram_reasoning.inference.rollout import rollout
from gram_reasoning.inference.sampler import SamplerConfig, sample
from gram_reasoning.inference.select import RankedAnswer, Rule, allowed, check_rule, rank, scores
from gram_reasoning.models.configs import MaskedDiffusionConfig
from gram_reasoning.models.mdlm import MaskedDiffusion
from gram_reasoning.types import Shape
from helpers import tiny_gram, tiny_rival

RULES: list[Rule] = ["majority", "lprm", "first", "halt", "margin"]
Answer = tuple[int, ...]
Sample = tuple[Answer, float]
samples = st.lists(
    st.tuples(st.tuples(*[st.integers(0, 1)] * 3), st.sampled_from([0.0, 0.25, 0.5, 1.0])), min_size=1, max_size=20
)


def test_every_rule_is_told_from_trajectories_that_have_all_numbers():
    some = sample(tiny_gram(), torch.ones(1, 9, dtype=torch.int64), SamplerConfig(samples=2, steps=1))
    assert set(allowed(some)) == set(RULES)


def ranked(rows: list[Sample], rule: Rule) -> list[RankedAnswer]:
    return rank(torch.tensor([answer for answer, _ in rows]), torch.tensor([value for _, value in rows]), rule)


@given(samples)
def test_rank_describes_each_distinct_answer(rows: list[Sample]) -> None:
    votes = Counter(answer for answer, _ in rows)
    for rule in RULES:
        result = ranked(rows, rule)
        assert {r.answer: r.votes for r in result} == votes
        assert len(result) == len(votes)
        assert sum(r.votes for r in result) == len(rows)
        for r in result:
            assert r.value == max(value for answer, value in rows if answer == r.answer)
            assert r.first == next(i for i, (answer, _) in enumerate(rows) if answer == r.answer)


@given(samples)
def test_order_of_rules(rows: list[Sample]) -> None:
    votes = Counter(answer for answer, _ in rows)
    best = {answer: max(value for other, value in rows if other == answer) for answer in votes}
    in_order = list(dict.fromkeys(answer for answer, _ in rows))
    in_order.sort(key=lambda answer: not any(answer))  # padding alone is no answer: it comes last
    by_value = sorted(in_order, key=lambda answer: -best[answer])
    assert [r.answer for r in ranked(rows, "first")] == in_order
    by_value.sort(key=lambda answer: not any(answer))
    by_votes = sorted(by_value, key=lambda answer: -votes[answer])
    by_votes.sort(key=lambda answer: not any(answer))
    assert [r.answer for r in ranked(rows, "lprm")] == by_value
    assert [r.answer for r in ranked(rows, "halt")] == by_value
    assert [r.answer for r in ranked(rows, "margin")] == by_value
    assert [r.answer for r in ranked(rows, "majority")] == by_votes


A, B, C = (0, 0, 1), (1, 0, 0), (0, 1, 0)


@pytest.mark.parametrize(
    ("rows", "rule", "expected"),
    [
        ([(B, 0.9), (A, 0.1), (A, 0.2)], "majority", [A, B]),
        ([(B, 0.9), (A, 0.1), (A, 0.2)], "lprm", [B, A]),
        ([(A, 0.1), (B, 0.9), (A, 0.2), (B, 0.0)], "majority", [B, A]),
        ([(C, 0.5), (A, 0.5), (B, 0.5)], "majority", [C, A, B]),
        ([(B, 0.5), (C, 0.7), (A, 0.5)], "lprm", [C, B, A]),
        ([(C, 0.0), (A, 1.0), (A, 1.0)], "first", [C, A]),
    ],
)
def test_ties_go_to_the_higher_value_then_to_the_earlier(
    rows: list[Sample], rule: Rule, expected: list[Answer]
) -> None:
    assert [r.answer for r in ranked(rows, rule)] == expected


def test_the_margin_is_the_mean_gap_of_the_last_logits() -> None:
    model, inputs = tiny_gram().eval(), torch.randint(1, 3, (2, 9))
    config = SamplerConfig(samples=3, steps=2, chunk=4)
    found = scores(sample(model, inputs, config, counted=slice(2, 9)), "margin")
    *_, last = rollout(model, inputs, SamplerConfig(samples=3, steps=2, chunk=6))
    assert last.answer.logits is not None
    for gap, logits in zip(found.flatten(), last.answer.logits[:, 2:], strict=True):
        best = [sorted(row, reverse=True) for row in logits.tolist()]
        assert float(gap) == pytest.approx(sum(a - b for a, b, *_ in best) / len(best), abs=1e-4)


def test_the_margin_is_refused_where_tokens_are_drawn() -> None:
    check_rule(tiny_rival("direct"), "margin")
    check_rule(tiny_gram(), "margin")
    small = MaskedDiffusionConfig().small()
    with pytest.raises(
        UserError, match="--select: got 'margin', expected another rule, for a model whose tokens are drawn"
    ):
        check_rule(MaskedDiffusion(small, Shape(length=9, vocab=3)), "margin")
