"""The VAE against quadrature over its latent vector: probabilities of all answers, the bound, importance weights."""

import math
from functools import lru_cache
from typing import Any

import pytest
import torch
from torch import Tensor

from gram_reasoning.errors import UserError
from gram_reasoning.inference.sampler import SamplerConfig, sample
from gram_reasoning.models.configs import VariationalConfig
from gram_reasoning.models.vae import Variational
from gram_reasoning.types import Batch, Shape
from helpers import batch_beside
from oracles.sequences import all_sequences, chi_square

LENGTH, ANSWER, VOCAB = 4, 2, 4
EVERY = torch.tensor(all_sequences((1, 2, 3), ANSWER))
INPUT = torch.tensor([[1, 3, 2, 1]])
SMALL: dict[str, Any] = {"hidden_size": 16, "num_heads": 2, "mlp_size": 16, "num_layers": 1, "prefix_tokens": 2}
GRID = torch.linspace(-8, 8, 3201)


def vae(latent: int = 1) -> Variational:
    """Away from its start."""
    torch.manual_seed(2)
    config = VariationalConfig(**SMALL, latent_size=latent, position_channels=4)
    model = Variational(config, Shape(length=LENGTH, vocab=VOCAB, counted=range(1, 1 + ANSWER)))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.35)
    return model.eval()


def batch_of(answers: Tensor) -> Batch:
    return batch_beside(INPUT, answers)


@torch.no_grad()
def log_p(model: Variational, answer: Tensor, z: Tensor) -> Tensor:
    """ln p(y | x, z) at each z (n, Z)."""
    odds = model.predict(model.encode(INPUT.expand(len(z), -1)), z)[:, 1 : 1 + ANSWER].log_softmax(-1)
    return odds.gather(2, answer.expand(len(z), -1)[..., None])[..., 0].sum(1)


def log_normal(z: Tensor, mean: Tensor | float = 0.0, std: Tensor | float = 1.0) -> Tensor:
    std = torch.as_tensor(std)
    return (-0.5 * ((z - mean) / std).square() - std.log() - 0.5 * math.log(2 * math.pi)).sum(-1)


@lru_cache
def exact() -> list[float]:
    """ln p(y | x) of every answer, by quadrature over the one number z."""
    z = GRID[:, None]
    weight = log_normal(z) + math.log(float(GRID[1] - GRID[0]))
    return [float((log_p(vae(), answer, z) + weight).logsumexp(0)) for answer in EVERY]


def test_the_probabilities_of_all_answers_sum_to_one():
    p = [math.exp(value) for value in exact()]
    assert sum(p) == pytest.approx(1, abs=1e-4)
    assert max(p) > 3 * min(p), "the model of these tests is not uniform"


def test_drawn_tokens_follow_the_probabilities():
    config = SamplerConfig(samples=20_000, steps=1, chunk=20_000, draw_tokens=True)
    answers = sample(vae(), INPUT, config).answers[0, :, 1 : 1 + ANSWER]
    assert (answers > 0).all(), "no answer holds token 0"
    found = ((answers - 1) @ torch.tensor([3, 1])).bincount(minlength=9).tolist()
    assert chi_square(found, [math.exp(value) for value in exact()]) < 31.8  # 8 degrees of freedom, 1e-4


def test_the_bound_lies_below_and_its_parts_are_the_formulas():
    """The loss is an estimate of the bound, which quadrature over q gives exactly."""
    model, rows = vae(), 4000
    for answer, ln_p in zip(EVERY, exact(), strict=True):
        batch = batch_of(answer[None].expand(rows, -1))
        with torch.no_grad():
            q = model.posterior(model.encode(INPUT), batch.targets[:1])
            z = GRID[:, None] * q.std[0] + q.mean[0]
            density = (log_normal(z, q.mean[0], q.std[0]).exp() * (z[1] - z[0])).double()
            inside = log_p(model, answer, z) + log_normal(z) - log_normal(z, q.mean[0], q.std[0])
            bound = float((density * inside).sum())
            noise = torch.randn(rows, 1, generator=torch.Generator().manual_seed(0))
            out = model(batch, (), noise, None)  # type: ignore[arg-type]
            losses = out.losses
            watched = model.diagnostics(batch_of(answer[None].expand(500, -1)), noise[:500, None], {})
        assert bound < ln_p
        trained = -(losses["cross_entropy"] + losses["kl"]) * ANSWER
        torch.testing.assert_close(out.metrics["bound_nats"].values, trained)
        for values in (trained, watched["bound_nats"]):
            error = float(values.std()) / math.sqrt(len(values))
            assert float(values.mean()) == pytest.approx(bound, abs=4 * error + 1e-3)


def test_the_bound_lies_below_an_importance_weighted_likelihood():
    """Of many draws of a latent vector of several numbers: closer to the exact value, and never below the bound."""
    model, draws = vae(latent=3), 4000
    torch.manual_seed(0)
    for answer in EVERY[::4]:
        with torch.no_grad():
            q = model.posterior(model.encode(INPUT), batch_of(answer[None]).targets)
            z = q.mean + q.std * torch.randn(draws, 3)
            weights = log_p(model, answer, z) + log_normal(z) - log_normal(z, q.mean, q.std)
            wrong, kl = model.terms(batch_of(answer[None].expand(draws, -1)), torch.randn(draws, 3))
        bound, weighted = -float((wrong + kl).mean()), float(weights.logsumexp(0)) - math.log(draws)
        assert bound == pytest.approx(float(weights.mean()), abs=6 * float(weights.std()) / math.sqrt(draws))
        assert bound < weighted


def test_a_trained_model_tells_correlated_answers_apart():
    """All tokens alike, one way or the other: no model without a latent vector has more than 1 / 8 of each."""
    torch.manual_seed(0)
    config = VariationalConfig(**{**SMALL, "hidden_size": 32}, latent_size=2, position_channels=4)
    model = Variational(config, Shape(length=4, vocab=3))
    rows = torch.tensor([[1, 1, 1, 1], [2, 2, 2, 2], [2, 2, 2, 2], [2, 2, 2, 2]]).repeat(16, 1)
    yes = torch.ones(len(rows), dtype=torch.bool)
    batch = Batch(torch.ones_like(rows), rows, yes, yes, yes.long())
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(400):
        losses = model(batch, (), torch.randn(len(rows), 2), None).losses  # type: ignore[arg-type]
        optimizer.zero_grad()
        sum(loss.mean() for loss in losses.values()).backward()  # type: ignore[union-attr]
        optimizer.step()
    config_ = SamplerConfig(samples=1000, steps=1, chunk=1000, draw_tokens=True)
    answers = sample(model.eval(), torch.ones(1, 4), config_).answers[0]
    ones, twos = (float((answers == token).all(1).float().mean()) for token in (1, 2))
    assert ones + twos > 0.8
    assert ones == pytest.approx(0.25, abs=0.1)


def test_any_chunk_gives_the_same_and_more_steps_are_refused():
    inputs = INPUT.expand(3, -1)
    whole = sample(vae(), inputs, SamplerConfig(samples=4, steps=1))
    for chunk in (1, 5):
        found = sample(vae(), inputs, SamplerConfig(samples=4, steps=1, chunk=chunk))
        assert torch.equal(found.answers, whole.answers)
        torch.testing.assert_close(found.values, whole.values)
    with pytest.raises(UserError, match="--steps: got 2, expected 1, all that Variational takes"):
        sample(vae(), inputs, SamplerConfig(samples=1, steps=2))
    with pytest.raises(UserError, match=r"model.cross_entropy: got 'stablemax', expected softmax"):
        VariationalConfig(cross_entropy="stablemax")
