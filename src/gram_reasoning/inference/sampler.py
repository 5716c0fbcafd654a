"""Rollouts under the prior: N trajectories for each input, any number of supervision steps, bounded memory.

Trajectories run in a pool of fixed size; one that is done (its steps are used up, or it has halted) gives its place to
the next at once. A trajectory's noise is keyed by (seed, input, sample, step), so the pool's size and order do not
change it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gram_reasoning import noise
from gram_reasoning.models.base import RecursiveModel
from gram_reasoning.types import Candidates


@dataclass(frozen=True, kw_only=True)
class SamplerConfig:
    """How to roll out."""

    samples: int = 20
    """N, trajectories for each input."""
    steps: int = 16
    """Supervision steps of each, also beyond the trained number."""
    halting: bool = False
    """A trajectory ends when its halt head says so (ACT); `steps` is then the budget."""
    chunk: int = 512
    """Trajectories in the pool: bounds the memory."""
    seed: int = 0
    """Seed of the noise."""


@torch.no_grad()
def sample(
    model: RecursiveModel,
    inputs: Tensor,
    config: SamplerConfig,
    first_input: int = 0,
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> Candidates:
    """Sample `config.samples` answers for each input.

    Args:
        inputs: (M, L) integer tokens.
        first_input: number of the first input, which keys its noise: a stream sampled in pieces gives what it
            gives in one call.
        tick: told from time to time how many of how many trajectories are done.

    Returns:
        Candidates on the model's device.
    """
    device = next(model.parameters()).device
    inputs = inputs.to(device).long()
    N, total = config.samples, len(inputs) * config.samples
    rows = min(config.chunk, total)
    answers = torch.zeros(total + 1, inputs.shape[1], dtype=torch.int64, device=device)  # the last row: a bin
    values = torch.zeros(total + 1, device=device)
    taken = torch.zeros(total + 1, dtype=torch.int64, device=device)

    trajectory = torch.arange(rows, device=device)
    steps = torch.zeros(rows, dtype=torch.int64, device=device)
    context = model.encode(inputs[trajectory // N])
    fresh = model.initial_state(rows)
    latent, waiting = fresh, rows
    while bool((trajectory < total).any()):
        number, sample_number = first_input + trajectory // N, trajectory % N
        draws = noise.normal(noise.keys(config.seed, "sample", number, sample_number, steps), model.noise_shape())
        latent = model.step(context, latent, draws)
        steps = steps + 1
        done = steps >= config.steps
        if config.halting:
            done = done | (model.halt_logit(latent) > 0)
        if not bool(done.any()):
            continue
        finished = trajectory.where(done, total).clamp(max=total)  # others write into the bin
        answers[finished] = model.decode(latent).argmax(-1)
        values[finished] = model.value(latent)
        taken[finished] = steps
        trajectory = torch.where(done, waiting + done.cumsum(0) - 1, trajectory).clamp(max=total)
        waiting += int(done.sum())
        tick(min(waiting - rows, total), total)
        steps = steps.where(~done, 0)
        latent = latent.where(done, fresh)
        context = model.encode(inputs[(trajectory // N).clamp(max=len(inputs) - 1)])
    shape = (len(inputs), N)
    return Candidates(
        answers[:total].view(*shape, inputs.shape[1]), values[:total].view(shape), taken[:total].view(shape)
    )
