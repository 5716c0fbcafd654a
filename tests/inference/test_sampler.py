"""Sampling: the pool must not show. Any chunk, any order, any piece gives what a plain loop gives."""

import math
from functools import lru_cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gram_reasoning import noise
from gram_reasoning.errors import UserError
from gram_reasoning.inference.sampler import SamplerConfig, sample
from gram_reasoning.models.gram import Gram, Latent
from gram_reasoning.types import Candidates
from helpers import tiny_gram

M, N, STEPS = 5, 7, 6
INPUTS = torch.randint(0, 3, (M, 9), generator=torch.Generator().manual_seed(0))


@lru_cache
def gram(guidance: str = "gaussian") -> Gram:
    """A model whose trajectories halt at different steps, some never."""
    model = tiny_gram(guidance=guidance, transitions=2)
    with torch.no_grad():
        model.halt_head.bias[0] = -2.0
    return model


def draw(model: Gram, inputs: torch.Tensor = INPUTS, first_input: int = 0, **changes: Any) -> Candidates:
    """By the halt head at its even point, unless the test says otherwise."""
    defaults: dict[str, Any] = {"samples": N, "steps": STEPS, "halt_by": "head", "halt_at": 0.5}
    counted = changes.pop("counted", slice(None))
    return sample(model, inputs, SamplerConfig(**(defaults | changes)), first_input, counted=counted)


def assert_same(left: Candidates, right: Candidates) -> None:
    assert torch.equal(left.answers, right.answers)
    assert torch.equal(left.steps, right.steps)
    torch.testing.assert_close(left.values, right.values, rtol=1e-4, atol=1e-5)


@lru_cache
@torch.no_grad()
def plain_loop(
    model: Gram, halting: bool, seed: int = 0, halt_at: float = 0.5, by: str = "head", tokens: tuple[int, ...] = ()
) -> Candidates:
    """One trajectory after the other."""
    answers = torch.zeros(M, N, 9, dtype=torch.int64)
    values, steps = torch.zeros(M, N), torch.zeros(M, N, dtype=torch.int64)
    for m in range(M):
        for n in range(N):
            latent, step = model.initial_state(1), 0
            for step in range(STEPS):
                key = noise.keys(seed, "sample", torch.tensor([m]), torch.tensor([n]), torch.tensor([step]))
                latent = model.step(model.encode(INPUTS[m : m + 1]), latent, noise.normal(key, model.noise_shape()))
                if by == "head":
                    sure = 1 / (1 + math.exp(-float(model.halt_logit(latent))))
                else:
                    odds = model.decode(latent)[0].softmax(-1)
                    sure = math.prod(float(odds[token].max()) for token in tokens)
                if halting and sure > halt_at:
                    break
            answers[m, n], values[m, n] = model.decode(latent)[0].argmax(-1), model.value(latent)[0]
            steps[m, n] = step + 1
    return Candidates(answers, values, steps)


@pytest.mark.parametrize("halting", [False, True])
@pytest.mark.parametrize("chunk", [1, 3, 7, 64, M * N])
def test_any_pool_gives_what_a_plain_loop_gives(chunk: int, halting: bool):
    assert_same(draw(gram(), chunk=chunk, halting=halting), plain_loop(gram(), halting))


def test_the_model_of_these_tests_halts_at_different_steps():
    steps = draw(gram(), halting=True).steps
    assert len(steps.unique()) >= 3
    assert len(draw(gram()).answers.flatten(0, 1).unique(dim=0)) > M


@pytest.mark.parametrize("halt_at", [0.02, 0.3, 0.9])
def test_halting_at_another_probability(halt_at: float):
    asked = draw(gram(), chunk=3, halting=True, halt_at=halt_at)
    assert_same(asked, plain_loop(gram(), True, halt_at=halt_at))
    assert not torch.equal(asked.steps, draw(gram(), halting=True).steps)


@pytest.mark.parametrize(("counted", "halt_at"), [(slice(None), 0.1), (slice(2, 6), 0.4)])
def test_halting_when_the_decoder_is_sure_of_what_counts(counted: slice, halt_at: float):
    tokens = tuple(range(9)[counted])
    asked = draw(gram(), chunk=3, halting=True, halt_by="confidence", halt_at=halt_at, counted=counted)
    assert_same(asked, plain_loop(gram(), True, halt_at=halt_at, by="confidence", tokens=tokens))
    assert len(asked.steps.unique()) >= 3


def test_nobody_is_sure_of_an_answer_of_unknown_size():
    with pytest.raises(UserError, match="--halt-by: got 'confidence', expected head"):
        draw(gram(), halting=True, halt_by="confidence", counted=None)
    draw(gram(), halt_by="confidence", counted=None)


@settings(max_examples=10, deadline=None)
@given(cut=st.integers(1, M - 1), chunk=st.integers(1, 40), halting=st.booleans())
def test_inputs_sampled_in_pieces(cut: int, chunk: int, halting: bool):
    whole = plain_loop(gram(), halting)
    pieces = [
        draw(gram(), INPUTS[part], first_input=part.start, chunk=chunk, halting=halting)
        for part in (slice(0, cut), slice(cut, M))
    ]
    assert_same(
        Candidates(*(torch.cat([getattr(p, f) for p in pieces]) for f in ("answers", "values", "steps"))), whole
    )


@pytest.mark.parametrize("samples", [1, 3, 12])
def test_more_samples_keep_the_first(samples: int):
    few, many = draw(gram(), samples=min(samples, N)), draw(gram(), samples=max(samples, N))
    common = min(samples, N)
    assert torch.equal(few.answers, many.answers[:, :common])


def test_an_answer_that_halts_is_the_fixed_step_answer_at_its_step():
    halted = draw(gram(), halting=True)
    for steps in halted.steps.unique().tolist():
        fixed = draw(gram(), steps=steps)
        here = halted.steps == steps
        assert torch.equal(halted.answers[here], fixed.answers[here])
        torch.testing.assert_close(halted.values[here], fixed.values[here], rtol=1e-4, atol=1e-5)
        assert (fixed.steps == steps).all()


def test_more_steps_than_trained():
    model = gram()
    beyond = draw(model, steps=5 * model.supervision_steps)
    assert (beyond.steps == 20).all()
    assert not torch.equal(beyond.answers, draw(model).answers)
    assert (draw(model, steps=20, halting=True).steps <= 20).all()


def test_the_twin_gives_one_answer():
    answers = draw(gram("none")).answers
    assert (answers == answers[:, :1]).all()
    assert len(answers[:, 0].unique(dim=0)) > 1


def test_seed_and_input_number_key_the_noise():
    model = gram()
    assert not torch.equal(draw(model).answers, draw(model, seed=1).answers)
    assert not torch.equal(draw(model).answers, draw(model, first_input=1).answers)
    twice = draw(model, INPUTS[:1].expand(2, -1))
    assert not torch.equal(twice.answers[0], twice.answers[1])


def test_no_input_gives_no_answer():
    assert draw(gram(), INPUTS[:0]).answers.shape == (0, N, 9)


def test_memory_is_bounded_by_the_pool(monkeypatch: pytest.MonkeyPatch):
    model, rows = tiny_gram(transitions=2), []
    plain = Gram.step

    def step(self: Gram, context: torch.Tensor, latent: Latent, draws: torch.Tensor, n: torch.Tensor) -> Latent:
        rows.append(len(latent.high))
        return plain(self, context, latent, draws, n)

    monkeypatch.setattr(Gram, "step", step)
    draw(model, chunk=4)
    assert set(rows) == {4}


@pytest.mark.parametrize("halting", [False, True])
def test_random_starts_are_each_trajectorys_own(halting: bool):
    """The twin without noise: one answer from the stored z_0, several from random ones, the same in any chunk."""
    model = gram("none")
    assert (draw(model).answers == draw(model).answers[:, :1]).all()
    varied = draw(model, random_start=True, halting=halting)
    assert len({tuple(answer) for answer in varied.answers[0].tolist()}) > 1
    for chunk in (1, 3, 64):
        assert_same(draw(model, random_start=True, halting=halting, chunk=chunk), varied)
    key = noise.keys(0, "start", torch.tensor([2]), torch.tensor([3]))
    latent = model.initial_state(1, noise.normal(key, model.start_shape()))
    context = model.encode(INPUTS[2:3])
    with torch.no_grad():
        for _ in range(STEPS):
            latent = model.step(context, latent, torch.zeros(1, *model.noise_shape()))
    if not halting:
        assert torch.equal(model.decode(latent)[0].argmax(-1), varied.answers[2, 3])
