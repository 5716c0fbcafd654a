"""Operations of a training and of a sampling step, as PyTorch's own counter sees them on the model itself.

The model runs on the meta device, which has shapes and no numbers: a model of any size is counted in a second. Counted
are matrix products and convolutions, a multiplication and an addition as two; elementwise work is left out.
"""

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from gram_reasoning.models.base import Model
from gram_reasoning.types import Batch

META = torch.device("meta")


class _Anybody:
    """Everyone learns the targets of the batch, and nobody is wrong."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    def targets(self, logits: Tensor, wishes: Tensor | None = None) -> Tensor:
        return self.batch.targets

    def reward(self, prediction: Tensor) -> Tensor:
        return torch.ones(len(prediction), device=META)

    def ends(self, sure: Tensor) -> Tensor:
        return torch.ones_like(sure)


def training_operations(model: Model, rows: int) -> int:
    """Of one supervision step of so many slots, forward and backward. The model is on the meta device."""
    tokens = torch.empty(rows, model.shape.length, dtype=torch.int64, device=META)
    flags, steps = torch.empty(rows, dtype=torch.bool, device=META), torch.empty(rows, dtype=torch.int64, device=META)
    vectors = None
    if model.identities is not None:
        vectors = model.identities(steps).requires_grad_()
    batch = Batch(tokens, tokens, flags, flags, steps, vectors)
    noise = torch.empty(rows, *model.noise_shape(), device=META)
    carry = model.initial_carry(rows)
    with FlopCounterMode(display=False) as counter:
        losses = model(batch, carry, noise, _Anybody(batch)).losses
        torch.stack([loss.sum() for loss in losses.values()]).sum().backward()
    return counter.get_total_flops()


def sampling_operations(model: Model, rows: int) -> int:
    """Of one step of so many trajectories and its answer; the inputs have been encoded before."""
    tokens = torch.empty(rows, model.shape.length, dtype=torch.int64, device=META)
    noise = torch.empty(rows, *model.step_noise_shape(), device=META)
    with torch.no_grad():
        vectors = None if model.identities is None else model.identities(tokens[:, 0])
        context, state = model.encode(tokens, vectors), model.initial_state(rows)
        with FlopCounterMode(display=False) as counter:
            model.answer(model.step(context, state, noise, tokens[:, 0]))
    return counter.get_total_flops()
