"""Layers that know no paper: RMSNorm, rotary positions, attention, SwiGLU, and the post-norm block of them.

Shape letters: B rows, S positions, D channels, H heads, E channels of a head.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gram_reasoning.nn import fused


def truncated_normal_(weight: Tensor, std: float) -> Tensor:
    """Fill with a normal distribution cut at two standard deviations, its own `std` after the cut as given."""
    uncut = std / 0.87962566  # cutting at 2 leaves this share of the standard deviation
    return nn.init.trunc_normal_(weight, std=uncut, a=-2 * uncut, b=2 * uncut)


class Linear(nn.Linear):
    """Linear map without bias, LeCun-normal at the start (std = 1 / sqrt(fan in))."""

    def __init__(self, size_in: int, size_out: int) -> None:
        super().__init__(size_in, size_out, bias=False)

    def reset_parameters(self) -> None:
        truncated_normal_(self.weight, std=1 / math.sqrt(self.in_features))


def rms_norm(x: Tensor) -> Tensor:
    """X / sqrt(mean(x^2) + 1e-5) over the last axis, without a learned gain (Zhang & Sennrich 2019)."""
    return F.rms_norm(x, (x.shape[-1],), eps=1e-5)


class SwiGLU(nn.Module):
    """out(silu(gate(x)) * value(x)) over the last axis (Shazeer 2020): (..., size_in) -> (..., size_out)."""

    def __init__(self, size_in: int, hidden: int, size_out: int) -> None:
        super().__init__()
        self.gate_value = Linear(size_in, 2 * hidden)
        self.out = Linear(hidden, size_out)

    @property
    def maps(self) -> tuple[Tensor, Tensor]:
        """The weights into the hidden layer, those of the gate first, and back."""
        return self.gate_value.weight, self.out.weight

    def forward(self, x: Tensor) -> Tensor:
        if fused.applies(x):
            return fused.swiglu(x, *self.maps)
        gate, value = self.gate_value(x).chunk(2, dim=-1)
        return self.out(F.silu(gate) * value)


def rotary_table(positions: int, head_size: int, base: float = 10_000.0) -> Tensor:
    """Cos and sin of the rotary angles (Su et al. 2021): (2, positions, head_size / 2)."""
    frequencies = base ** (-torch.arange(0, head_size, 2, dtype=torch.float32) / head_size)
    angles = torch.arange(positions, dtype=torch.float32)[:, None] * frequencies
    return torch.stack([angles.cos(), angles.sin()])


def rotate(x: Tensor, table: Tensor) -> Tensor:
    """Rotate the channel pairs (e, e + E/2) of (B, H, S, E) by their position's angles."""
    cos, sin = table.to(x.dtype)
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
    """Softmax attention of queries (B, H, S, E) over keys and values (B, H, S', E).

    The bias is added to the scores, (S, S') or more: -inf where a query does not see a key.

    On CPU the plain products are several times faster than the fused kernel, whose bfloat16 backward pass
    is slow there (benchmarks/attention_cpu.py); elsewhere the fused kernel runs.
    """
    if q.device.type in ("cpu", "meta"):
        scores = q @ k.transpose(-1, -2) * (1 / math.sqrt(q.shape[-1]))
        scores = scores if bias is None else scores + bias
        return scores.softmax(dim=-1).to(v.dtype) @ v
    return F.scaled_dot_product_attention(q, k, v, None if bias is None else bias.to(q.dtype))


class Attention(nn.Module):
    """Multi-head self-attention without mask or bias: (B, S, D) -> (B, S, D)."""

    def __init__(self, size: int, heads: int, qk_norm: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.qk_norm = qk_norm
        self.qkv = Linear(size, 3 * size)
        self.out = Linear(size, size)

    def forward(self, x: Tensor, rotary: Tensor | None) -> Tensor:
        return self.merge(attend(*self.project(x, rotary)))

    def project(self, x: Tensor, rotary: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values (B, H, S, E)."""
        B, S, D = x.shape
        q, k, v = self.qkv(x).view(B, S, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)
        if self.qk_norm:
            q, k = rms_norm(q), rms_norm(k)
        if rotary is not None:
            q, k = rotate(q, rotary), rotate(k, rotary)
        return q, k, v

    def merge(self, seen: Tensor) -> Tensor:
        """What the heads have seen (B, H, S, E) as (B, S, D)."""
        return self.out(seen.transpose(1, 2).flatten(2))


class SequenceMLP(nn.Module):
    """A SwiGLU over the sequence axis, the same for every channel: (B, S, D) -> (B, S, D)."""

    def __init__(self, positions: int, hidden: int) -> None:
        super().__init__()
        self.mlp = SwiGLU(positions, hidden, positions)

    def forward(self, x: Tensor, rotary: Tensor | None) -> Tensor:
        del rotary  # its weights belong to positions already
        return self.mlp(x.transpose(1, 2)).transpose(1, 2)


class GridMixer(nn.Module):
    """A 3x3 convolution over a square board, and the mean of all positions for each: (B, S, D) -> (B, S, D).

    Args:
        prefix: positions in front of the board; they see the mean only.
        squares: positions of the board.
    """

    def __init__(self, size: int, prefix: int, squares: int) -> None:
        super().__init__()
        self.prefix, self.side = prefix, math.isqrt(squares)
        self.near = nn.Conv2d(size, size, 3, padding=1, bias=False)
        truncated_normal_(self.near.weight, std=1 / math.sqrt(9 * size))
        self.far = Linear(size, size)

    def forward(self, x: Tensor, rotary: Tensor | None) -> Tensor:
        del rotary  # a neighbourhood needs no positions
        board = x[:, self.prefix :].unflatten(1, (self.side, self.side)).permute(0, 3, 1, 2)
        near = self.near(board).permute(0, 2, 3, 1).flatten(1, 2)
        return F.pad(near, (0, 0, self.prefix, 0)) + self.far(x.mean(1, keepdim=True))


class Block(nn.Module):
    """Post-norm block: x <- norm(x + mix(x)); x <- norm(x + SwiGLU(x)).

    Args:
        start: what the output maps of mixer and SwiGLU are multiplied by before training: a small one begins near
            the norm alone.
        norm_positions: the first norm is over the positions of each channel, not over the channels of each position.
    """

    def __init__(
        self, mixer: nn.Module, size: int, hidden: int, start: float = 1.0, norm_positions: bool = False
    ) -> None:
        super().__init__()
        self.mixer, self.norm_positions = mixer, norm_positions
        self.mlp = SwiGLU(size, hidden, size)
        with torch.no_grad():
            for weight in self.output_maps():
                weight.mul_(start)

    def output_maps(self) -> list[Tensor]:
        """The weights that what is added to x passes last."""
        grids = [m for m in self.modules() if isinstance(m, GridMixer)]
        last = [m.out.weight for m in self.modules() if isinstance(m, SwiGLU | Attention)]
        return [*last, *(weight for grid in grids for weight in (grid.near.weight, grid.far.weight))]

    def forward(self, x: Tensor, rotary: Tensor | None) -> Tensor:
        if fused.applies(x) and isinstance(self.mixer, SequenceMLP) and not self.norm_positions:
            x = fused.half_block(x, *self.mixer.mlp.maps, across=True)
            return fused.half_block(x, *self.mlp.maps)
        return self.after(x, self.mixer(x, rotary))

    def after(self, x: Tensor, mixed: Tensor) -> Tensor:
        """The block's output, given what its mixer made of x."""
        if fused.applies(x) and not self.norm_positions:
            return fused.half_block(fused.add_norm(x, mixed), *self.mlp.maps)
        x = x + mixed
        x = rms_norm(x.transpose(1, 2)).transpose(1, 2) if self.norm_positions else rms_norm(x)
        return rms_norm(x + self.mlp(x))
