"""Particles: exact resampling, and a plain loop that says the same; rollouts give what the sampler gives."""

import math
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gram_reasoning.errors import UserError
from gram_reasoning.inference.particles import effective_size, particles, systematic
from gram_reasoning.inference.rollout import rollout
from gram_reasoning.inference.sampler import SamplerConfig, sample
from gram_reasoning.models.base import OneShotModel
from helpers import tiny_gram

INPUTS = torch.randint(0, 3, (3, 9), generator=torch.Generator().manual_seed(0))
K, STEPS = 6, 4


def config(**changes) -> SamplerConfig:
    return SamplerConfig(**{"samples": K, "steps": STEPS, **changes})


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(1e-3, 1), min_size=1, max_size=9), st.floats(0, 0.999))
def test_systematic_resampling_takes_each_as_often_as_its_weight_says(weights: list[float], uniform: float):
    w = torch.tensor([weights]) / sum(weights)
    taken = Counter(systematic(w, torch.tensor([uniform]))[0].tolist())
    assert sum(taken.values()) == len(weights)
    for i, share in enumerate((len(weights) * w[0]).tolist()):
        assert math.floor(share - 1e-4) <= taken[i] <= math.ceil(share + 1e-4)


def test_systematic_resampling_has_the_right_mean():
    w = torch.tensor([0.5, 0.3, 0.15, 0.05])
    uniform = (torch.arange(1000) + 0.5) / 1000
    taken = systematic(w.expand(1000, -1), uniform)
    mean = torch.stack([(taken == i).sum(1).float().mean() for i in range(4)])
    torch.testing.assert_close(mean / 4, w, atol=2e-3, rtol=0)


def test_effective_size():
    assert float(effective_size(torch.full((4,), 0.25))) == 4
    assert float(effective_size(torch.tensor([1.0, 0, 0, 0]))) == 1


@pytest.mark.parametrize("chunk", [1, 5, 6, 512])
def test_any_chunk_gives_the_same_particles(chunk: int):
    left, right = (particles(tiny_gram(), INPUTS, config(chunk=c)) for c in (chunk, 64))
    assert torch.equal(left.path, right.path)
    torch.testing.assert_close(left.weights, right.weights, rtol=1e-3, atol=1e-5)


def test_an_input_has_its_own_noise_wherever_it_stands():
    model = tiny_gram()
    with torch.no_grad():
        model.value_head.weight.mul_(10.0)  # unlike values
        model.value_head.bias.fill_(-6.0)
    together, apart = particles(model, INPUTS, config()), particles(model, INPUTS[1:], config(), 1)
    resampled = (together.sizes[1:, :-1] < K / 2).any(1)
    assert resampled.all()
    assert torch.equal(together.path[1:], apart.path)
    torch.testing.assert_close(together.weights[1:], apart.weights)


def test_the_default_device_does_not_matter():
    model, few = tiny_gram(), config()
    expected = sample(model, INPUTS, few), particles(model, INPUTS, few)
    with torch.device("meta"):
        found = sample(model, INPUTS, few), particles(model, INPUTS, few)
    assert torch.equal(found[0].answers, expected[0].answers)
    assert torch.equal(found[0].steps, expected[0].steps)
    assert torch.equal(found[1].path, expected[1].path)


def test_particles_that_are_never_resampled_are_the_samples():
    model = tiny_gram()
    with torch.no_grad():
        model.value_head.weight.zero_()  # one value for all: equal weights
    run, plain = particles(model, INPUTS, config()), sample(model, INPUTS, config())
    assert torch.equal(run.candidates.answers, plain.answers)
    torch.testing.assert_close(run.sizes, torch.full((3, STEPS), float(K)))


def test_weights_follow_the_values_between_resamplings():
    run = particles(tiny_gram(), INPUTS, config(steps=1))
    torch.testing.assert_close(run.weights, run.values[:, 0] / run.values[:, 0].sum(1, keepdim=True))
    torch.testing.assert_close(run.sizes[:, 0], effective_size(run.weights))


@pytest.mark.parametrize("halting", [False, True])
@pytest.mark.parametrize("chunk", [4, 512])
def test_a_rollout_ends_where_the_sampler_ends(chunk: int, halting: bool):
    model = tiny_gram()
    c = config(chunk=chunk, halting=halting, halt_by="head", halt_at=0.5)
    answers = torch.zeros(3, K, 9, dtype=torch.int64)
    steps = torch.zeros(3, K, dtype=torch.int64)
    for rolled in rollout(model, INPUTS, c):
        answers[rolled.row, rolled.number], steps[rolled.row, rolled.number] = rolled.answer.tokens, rolled.steps
        assert rolled.latent.shape == (len(rolled.row), 9, model.config.hidden_size)
    plain = sample(model, INPUTS, c)
    assert torch.equal(answers, plain.answers)
    assert torch.equal(steps, plain.steps)


def test_a_model_of_one_step_has_no_latent_states():
    class Guess(OneShotModel):
        predict = encode = forward = loss_weights = lambda *_: None  # type: ignore[assignment]

        def __init__(self) -> None:
            torch.nn.Module.__init__(self)

    with pytest.raises(UserError, match="Guess has no latent state"):
        next(rollout(Guess(), INPUTS, config()))


def test_particles_tell_how_many_inputs_are_done():
    told: list[tuple[int, int]] = []
    particles(tiny_gram(), INPUTS, config(chunk=K), tick=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_rollout_that_halts_must_know_what_counts():
    halting = config(halting=True, halt_by="confidence")
    with pytest.raises(UserError, match="--halt-by: got 'confidence'"):
        next(rollout(tiny_gram(), INPUTS, halting, counted=None))
    assert next(rollout(tiny_gram(), INPUTS, config(), counted=None)).row.numel()
