"""Particles: trajectories that the value head reweights after every step, and that are drawn anew when few are left.

Of K particles on an input, each step multiplies the weights by what the value rose by. When the effective sample size
falls below half of K, K are drawn by systematic resampling: one uniform number, K evenly spaced points. Copies part at
their next noise, which is keyed by (seed, input, place, step); copies with wishes keep the same, and may end alike.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gram_reasoning import noise
from gram_reasoning.inference.pool import ALL, Pool
from gram_reasoning.inference.sampler import SamplerConfig
from gram_reasoning.models.base import Model
from gram_reasoning.nn.precision import autocast
from gram_reasoning.types import Candidates

LEAST = 1e-6
"""Values below this count as this, so that no weight is lost for good."""


@dataclass(frozen=True)
class Particles:
    """Where K particles of each of M inputs ended, and what they said on their way."""

    candidates: Candidates
    weights: Tensor  # of the last step, sums to 1 over K (M, K)
    path: Tensor  # what each place answered after each step (M, steps, K, L)
    values: Tensor  # and its value then (M, steps, K)
    sizes: Tensor  # effective sample size before resampling (M, steps)


def effective_size(weights: Tensor) -> Tensor:
    """1 / sum of squares of weights (..., K) that sum to 1: K if they are equal, 1 if one has all."""
    return 1 / (weights * weights).sum(-1)


def systematic(weights: Tensor, uniform: Tensor) -> Tensor:
    """Which of K each of K places takes: (M, K) int64, each i floor(K w_i) or ceil(K w_i) times.

    Args:
        weights: sum to 1 over K (M, K).
        uniform: one number in [0, 1) a row (M,).
    """
    K = weights.shape[1]
    points = (torch.arange(K, device=weights.device) + uniform[:, None].double()) / K
    steps = weights.double().cumsum(1)
    steps[:, -1] = 1.0  # rounding must not leave the last point without a taker
    return torch.searchsorted(steps, points, right=True).clamp(max=K - 1)


@torch.no_grad()
def particles(
    model: Model,
    inputs: Tensor,
    config: SamplerConfig,
    first_input: int = 0,
    tick: Callable[[int, int], None] = lambda done, total: None,
    counted: slice | None = ALL,
) -> Particles:
    """Run `config.samples` particles for `config.steps` steps on each input (M, L).

    Args:
        first_input: number of the first input, which keys its noise.
        tick: called with the number of inputs done and the number in all.
    """
    inputs = inputs.to(next(model.parameters()).device).long()
    course = config.course(model, inputs, first_input, counted)
    course.check(config.steps, halting=False)
    K, device = config.samples, inputs.device
    parts = []
    with autocast(device, config.precision):
        for rows in torch.arange(len(inputs), device=device).split(max(1, config.chunk // K)):
            pool = Pool(course, config.chunk)
            pool.add(rows.repeat_interleave(K), torch.arange(K, device=device).repeat(len(rows)))
            weights = torch.full((len(rows), K), 1 / K, device=device)
            before = torch.ones(len(rows), K, device=device)
            said, values, sizes = [], [], []
            for step in range(config.steps):
                answer = pool.step()
                value = answer.value.float().view(-1, K).clamp(LEAST)
                weights = weights * value / before
                weights = weights / weights.sum(1, keepdim=True)
                said.append(answer.tokens.view(len(rows), K, -1))
                values.append(value)
                size = effective_size(weights)
                sizes.append(size)
                before = value
                if step + 1 < config.steps:
                    keys = noise.keys(config.seed, "resampling", first_input + rows, step)
                    few = (size < K / 2)[:, None]
                    source = systematic(weights, noise.uniform(keys))
                    source = torch.where(few, source, torch.arange(K, device=device))
                    weights = torch.where(few, torch.full_like(weights, 1 / K), weights)
                    before = before.gather(1, source)
                    pool.take((source + torch.arange(len(rows), device=device)[:, None] * K).flatten())
                    pool.number = torch.arange(K, device=device).repeat(len(rows))
            steps = torch.full((len(rows), K), config.steps, device=device)
            found = (said[-1], values[-1], steps, weights)
            parts.append((*found, torch.stack(said, 1), torch.stack(values, 1), torch.stack(sizes, 1)))
            tick(int(rows[-1]) + 1, len(inputs))
    answers, values, steps, weights, path, way, sizes = (torch.cat(column) for column in zip(*parts, strict=True))
    return Particles(Candidates(answers, values, steps), weights, path, way, sizes)
