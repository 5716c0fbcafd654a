"""Layers that know what time it is: blocks whose norms a vector of the time scales and shifts (Peebles & Xie 2023).

Shape letters: B rows, S positions, D channels.
"""

import math

import torch
from torch import Tensor, nn

from gram_reasoning.nn.layers import SwiGLU, rms_norm

FREQUENCIES = 128
SLOWEST = 1e4
"""Of the waves that a time is told by, the ratio of the fastest to the slowest."""
SPAN = 1000.0
"""What t = 1 is before the waves, as in diffusions of a thousand steps."""


class TimeEmbedding(nn.Module):
    """A vector of a time in [0, 1]: (B,) -> (B, D)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(2 * FREQUENCIES, size), nn.Linear(size, size)

    def forward(self, t: Tensor) -> Tensor:
        rates = torch.arange(FREQUENCIES, device=t.device) * (-math.log(SLOWEST) / FREQUENCIES)
        angles = SPAN * t.float()[:, None] * rates.exp()
        return self.second(nn.functional.silu(self.first(torch.cat([angles.cos(), angles.sin()], 1))))


class Modulation(nn.Module):
    """Vectors (B, 1, D) made of that of the time, all zero before training."""

    def __init__(self, size: int, number: int) -> None:
        super().__init__()
        self.number = number
        self.map = nn.Linear(size, number * size)
        nn.init.zeros_(self.map.weight)
        nn.init.zeros_(self.map.bias)

    def forward(self, time: Tensor) -> tuple[Tensor, ...]:
        return self.map(nn.functional.silu(time))[:, None].chunk(self.number, dim=-1)


def modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """The norm of x (B, S, D), scaled by 1 + scale and shifted."""
    return rms_norm(x) * (1 + scale) + shift


class TimedBlock(nn.Module):
    """A block whose norms and gates the time sets, the identity before training.

    x <- x + gate mix(norm(x)); x <- x + gate SwiGLU(norm(x))
    """

    def __init__(self, mixer: nn.Module, size: int, hidden: int) -> None:
        super().__init__()
        self.mixer, self.mlp = mixer, SwiGLU(size, hidden, size)
        self.modulation = Modulation(size, 6)

    def forward(self, x: Tensor, rotary: Tensor | None, time: Tensor) -> Tensor:
        shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = self.modulation(time)
        x = x + gate * self.mixer(modulated(x, shift, scale), rotary)
        return x + gate_mlp * self.mlp(modulated(x, shift_mlp, scale_mlp))
