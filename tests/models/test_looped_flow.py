"""Looped Flows: what a perfect denoiser makes of them, the marginals on the way, what training sees."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from gram_reasoning.analysis.costs import META
from gram_reasoning.analysis.trajectories import record
from gram_reasoning.build import build_model, build_task
from gram_reasoning.errors import UserError
from gram_reasoning.inference.sampler import SamplerConfig, sample
from gram_reasoning.models.configs import LoopedFlowConfig
from gram_reasoning.models.looped_flow import LoopedFlow, mixed, onward
from gram_reasoning.models.two_latents import State
from gram_reasoning.recipes import get_recipe
from gram_reasoning.training.deep_supervision import Stay
from gram_reasoning.types import IGNORE, Batch, Shape
from helpers import FixedReferee, tiny_gram
from oracles.sequences import chi_square

LENGTH, VOCAB = 5, 4
SMALL: dict[str, Any] = {"hidden_size": 16, "num_heads": 2, "mlp_size": 24, "mixer_size": 8, "prefix_tokens": 3}
FLOWS = ["ode", "sde"]
ATOMS = torch.tensor([[1, 2, 1], [1, 1, 2], [2, 1, 1], [2, 2, 2]])
P = torch.tensor([0.4, 0.1, 0.3, 0.2])


def flow(**changes: Any) -> LoopedFlow:
    """Away from its start."""
    torch.manual_seed(0)
    config = LoopedFlowConfig(**SMALL, low_steps=1, transitions=2, supervision_steps=3, sampling_steps=5)
    model = LoopedFlow(replace(config, **changes), Shape(length=LENGTH, vocab=VOCAB, counted=range(1, LENGTH)))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model.eval()


def one_hot(answers: Tensor, vocab: int = VOCAB) -> Tensor:
    return torch.nn.functional.one_hot(answers, vocab).float()


def batch_of(targets: Tensor, step: int) -> tuple[Batch, FixedReferee]:
    rows = torch.zeros(len(targets), dtype=torch.int64)
    never = rows.bool()
    stay = Stay(rows + step, rows + 3, rows + 1, never)
    batch = Batch(targets.clamp(min=0), targets, never, never, rows + step)
    return batch, FixedReferee(targets, torch.ones(len(targets)), stay, never)


# -- the process -----------------------------------------------------------------------------------------------


def test_the_ends_are_noise_and_data():
    answer, noise = one_hot(ATOMS), torch.randn(4, 3, VOCAB)
    torch.testing.assert_close(mixed(answer, noise, torch.zeros(4)), noise)
    torch.testing.assert_close(mixed(answer, noise, torch.ones(4)), answer)


def perfect(seen: Tensor, t: Tensor, scale: float) -> Tensor:
    """E[y | y_t] where y is one of ATOMS with probabilities P."""
    every = one_hot(ATOMS)
    t = t[:, None, None, None]
    distance = (seen[:, None] - t * every).square().sum((2, 3)) / (2 * (scale * (1 - t[..., 0, 0])).square())
    return ((P.log() - distance).softmax(1)[..., None, None] * every).sum(1)


@pytest.mark.parametrize("scale", [1.0, 0.5])
@pytest.mark.parametrize("way", FLOWS)
def test_a_perfect_denoiser_gives_the_marginals_of_the_mixture(way: str, scale: float):
    """At half time the first and second moments, at the end the data: each answer as often as it should be."""
    torch.manual_seed(0)
    rows, steps = 4000, 128
    seen = scale * torch.randn(rows, 3, VOCAB)
    for n in range(steps):
        t, s = (torch.full((rows,), k / steps) for k in (n, n + 1))
        fresh = scale * torch.randn(rows, 3, VOCAB) if way == "sde" else None
        seen = onward(seen, perfect(seen, t, scale), t, s, fresh)
        if n + 1 == steps // 2:
            every = one_hot(ATOMS)
            mean = (P[:, None, None] * every).sum(0)
            torch.testing.assert_close(seen.mean(0), mean / 2, atol=0.04, rtol=0)
            spread = (P[:, None, None] * (every - mean).square()).sum(0) / 4 + (scale / 2) ** 2
            torch.testing.assert_close(seen.var(0), spread, atol=0.03, rtol=0.06)
    every = one_hot(ATOMS)
    apart = (seen[:, None] - every).square().sum((2, 3))
    assert apart.amin(1).max() < 0.05, "it ends in the data"
    found = apart.argmin(1).bincount(minlength=4).tolist()
    assert chi_square(found, P.tolist()) < 21.1  # 3 degrees of freedom, probability 1e-4
    assert chi_square(found, [0.25] * 4) > 300


@pytest.mark.parametrize("steps", [1, 4, 40])
@pytest.mark.parametrize("way", FLOWS)
def test_the_sampler_returns_what_a_perfect_denoiser_says(way: str, steps: int, monkeypatch: pytest.MonkeyPatch):
    model, answer = flow().set_to(flow=way, sampling_steps=steps), torch.tensor([0, 3, 1, 2, 2])
    monkeypatch.setattr(LoopedFlow, "decode", lambda self, z: 1e6 * one_hot(answer).expand(len(z.high), -1, -1))
    state, context = model.initial_state(6), model.encode(torch.ones(6, LENGTH, dtype=torch.int64))
    with torch.no_grad():
        for n in range(steps):
            state = model.step(context, state, torch.randn(6, *model.step_noise_shape()), torch.full((6,), n))
    expected = one_hot(answer) * (torch.arange(LENGTH) > 0)[:, None]  # what does not count is nothing
    torch.testing.assert_close(state.seen, expected.expand(6, -1, -1), atol=1e-3, rtol=0)
    assert torch.equal(model.answer(state).tokens, answer.expand(6, -1))


@pytest.mark.parametrize("way", FLOWS)
def test_the_sampler_is_its_equations_step_by_step(way: str):
    """Against a plain loop: y_0 is the first noise, the state goes on, the time is that of y_t, noise is scaled."""
    c, steps = 0.7, 4
    model = flow(noise_scale=c).set_to(flow=way, sampling_steps=steps)
    torch.manual_seed(5)
    context, counts = model.encode(torch.ones(2, LENGTH, dtype=torch.int64)), torch.arange(LENGTH) > 0
    noises = torch.randn(steps, 2, *model.step_noise_shape())
    state = model.initial_state(2)
    z, y = State(state.high, state.low), c * noises[0, :, 0]
    with torch.no_grad():
        for n in range(steps):
            state = model.step(context, state, noises[n], torch.full((2,), n))
            t, s = n / steps, (n + 1) / steps
            told = torch.nn.functional.pad(model.answer_map(y), (0, 0, 3, 0)) + model.time(torch.full((2,), t))[:, None]
            for _ in range(2):
                low = model.net(z.low + z.high + context + told, model.rotary)
                z = State(model.net(z.high + low, model.rotary), low)
            g = stablemax(model.decode(z)) * counts[:, None]
            left = (y - t * g) / (1 - t)
            if way == "sde":
                r = t * (1 - s) / (s * (1 - t))
                left = r * left + (1 - r**2) ** 0.5 * c * noises[n, :, 1]
            y = s * g + (1 - s) * left
            torch.testing.assert_close(state.high, z.high, atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(state.low, z.low, atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(state.seen, y, atol=1e-4, rtol=1e-4)


def stablemax(logits: Tensor) -> Tensor:
    """s(x) = x + 1 above 0, 1 / (1 - x) below, over its sum."""
    s = torch.where(logits >= 0, logits + 1, 1 / (1 - logits.clamp(max=0)))
    s = s * (torch.arange(logits.shape[-1]) > 0) if (logits[..., 0] == -torch.inf).all() else s
    return s / s.sum(-1, keepdim=True)


# -- training --------------------------------------------------------------------------------------------------


def test_the_steps_of_a_trajectory_see_one_noise_at_rising_times(monkeypatch: pytest.MonkeyPatch):
    model, targets = flow(noise_scale=0.7), torch.tensor([[IGNORE, 1, 2, 3, 1], [IGNORE, 3, 3, IGNORE, 2]])
    seen: list[tuple[Tensor, Tensor]] = []
    informed = LoopedFlow.informed
    monkeypatch.setattr(LoopedFlow, "informed", lambda self, c, y, t: seen.append((y, t)) or informed(self, c, y, t))
    torch.manual_seed(3)
    noises, carry = torch.randn(3, 2, *model.noise_shape()), model.initial_carry(2)
    for step in range(3):
        batch, referee = batch_of(targets, step)
        out = model(batch, carry, noises[step], referee)
        carry = out.carry
        assert not any(t.requires_grad for t in carry)
    eps = noises[0, :, :-1].view(2, LENGTH, VOCAB)
    answer = one_hot(targets.clamp(min=0)) * (targets >= 0)[..., None]
    for step, (y, t) in enumerate(seen):
        assert ((t >= step / 3) & (t <= (step + 1) / 3)).all()
        torch.testing.assert_close(y, t[:, None, None] * answer + (1 - t[:, None, None]) * 0.7 * eps)
    assert len({round(float(t[0]), 6) for _, t in seen}) == 3


def test_a_supervision_step_is_that_of_trm_with_more_in_its_context():
    model, targets = flow(), torch.tensor([[IGNORE, 1, 2, 3, 1]])
    torch.manual_seed(4)
    high, low, eps = torch.randn(1, 8, 16), torch.randn(1, 8, 16), torch.randn(1, LENGTH, VOCAB)
    noise = torch.randn(1, *model.noise_shape())
    batch, referee = batch_of(targets, 2)
    carry = model.initial_carry(1)._replace(high=high, low=low, seen=eps)
    out = model(batch, carry, noise, referee)
    t = (2 + torch.special.ndtr(noise[:, -1])) / 3
    seen = mixed(one_hot(targets.clamp(min=0)) * (targets >= 0)[..., None], eps, t)
    context = model.encode(batch.inputs) + torch.nn.functional.pad(model.answer_map(seen), (0, 0, 3, 0))
    z = State(high, low)
    for _ in range(2):
        h, low_ = z.high, model.net(z.low + z.high + context + model.time(t)[:, None], model.rotary)
        z = State(model.net(h + low_, model.rotary), low_)
    torch.testing.assert_close(out.carry.high, z.high)
    torch.testing.assert_close(out.losses["cross_entropy"], model.answer_loss(model.decode(z), referee))
    assert torch.equal(out.carry.seen, eps)


# -- as a model of the package ---------------------------------------------------------------------------------


def draw(model: LoopedFlow, rows: int = 3, **changes: Any) -> Any:
    inputs = torch.tensor([[1, 2, 3, 2, 1]]).expand(rows, -1)
    return sample(model, inputs, SamplerConfig(**{"samples": 4, "steps": model.sampling_steps, **changes}))


@pytest.mark.parametrize("way", FLOWS)
def test_any_chunk_gives_the_same(way: str):
    whole = draw(flow(), flow=way)
    for chunk in (1, 5, 7):
        found = draw(flow(), flow=way, chunk=chunk)
        assert torch.equal(found.answers, whole.answers)
        torch.testing.assert_close(found.values, whole.values)
    assert len(whole.values.flatten().unique()) == 12, "every trajectory has noise of its own"
    assert (draw(flow(), flow=way, steps=11, halting=True, halt_by="head", halt_at=0.5).steps <= 11).all()


def test_the_two_ways_differ_after_the_first_step_alone():
    assert torch.equal(draw(flow(), flow="ode", steps=1).answers, draw(flow(), flow="sde", steps=1).answers)
    ways = [draw(flow(), flow=way).values for way in (*FLOWS, None)]
    assert not torch.equal(ways[0], ways[1])
    assert torch.equal(ways[2], ways[1]), "the recipe's"


@pytest.mark.parametrize("steps", [3, 9])
def test_a_picture_shows_the_trajectories_that_are_sampled(steps: int):
    found = draw(flow(), rows=1, steps=steps, flow="ode")
    config = SamplerConfig(samples=4, steps=steps, flow="ode")
    paths = record(flow(), torch.tensor([1, 2, 3, 2, 1]), config)
    assert torch.equal(paths[:, -1].argmax(-1), found.answers[0])
    torch.testing.assert_close(paths[:, -1].amax(-1).prod(1), found.values[0])


def test_others_have_no_flow_and_it_has_no_patches():
    with pytest.raises(UserError, match="--flow: got 'ode', expected nothing for Gram"):
        sample(tiny_gram(LENGTH), torch.ones(1, LENGTH), SamplerConfig(samples=1, steps=4, flow="ode"))
    with pytest.raises(UserError, match=r"model.layout: got 'patches', expected tokens"):
        LoopedFlowConfig(layout="patches")


def test_its_size_is_that_of_trm():
    recipe = get_recipe("nqueens8-looped-flow")
    task = build_task(recipe)
    with META:
        model = build_model(recipe, task)
    assert (
        7 < sum(p.numel() for p in model.parameters()) / 1e6 < 7.5
    )  # TRM and its maps of y and the time; published: 5 to 7
