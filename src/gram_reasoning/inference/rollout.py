"""The latent states of trajectories, step by step, for those who study them."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from gram_reasoning.errors import UserError
from gram_reasoning.inference.pool import ALL, Pool
from gram_reasoning.inference.sampler import SamplerConfig
from gram_reasoning.models.base import Model, RecursiveModel
from gram_reasoning.nn.precision import autocast
from gram_reasoning.types import Answer


@dataclass(frozen=True)
class Rolled:
    """Trajectories after one more step."""

    row: Tensor  # input of each (B,)
    number: Tensor  # its number among those of its input (B,)
    steps: Tensor  # steps that it has done (B,)
    latent: Tensor  # what its answer is decoded from (B, positions, D)
    answer: Answer
    ends: Tensor  # whether it ends here, sure or out of steps (B,) bool


@torch.no_grad()
def rollout(model: Model, inputs: Tensor, config: SamplerConfig, counted: slice | None = ALL) -> Iterator[Rolled]:
    """Yield the trajectories of `sample` on inputs (M, L) after every step, up to `config.chunk` together.

    They come in the order of inputs and numbers, each chunk from its first step to its last; with halting, those that
    are sure leave after the step in which they are.

    Raises:
        UserError: the model has no latent state, or cannot run as asked for.
    """
    if not isinstance(model, RecursiveModel):
        raise UserError(f"{type(model).__name__} has no latent state, expected a recursive model")
    inputs = inputs.to(next(model.parameters()).device).long()
    course = config.course(model, inputs, 0, counted)
    course.check(config.steps, config.halting)
    N = config.samples
    with autocast(inputs.device, config.precision):
        for part in torch.arange(len(inputs) * N, device=inputs.device).split(config.chunk):
            pool = Pool(course, config.chunk)
            pool.add(part // N, part % N)
            for _ in range(config.steps):
                answer = pool.step()
                ends = pool.steps >= config.steps
                if config.halting:
                    ends = ends | (course.sureness(answer) > config.halt_at)
                yield Rolled(pool.row, pool.number, pool.steps, model.latent(pool.state), answer, ends)
                pool.take((~ends).nonzero()[:, 0])
                if not len(pool):
                    break
