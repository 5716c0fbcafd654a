"""Parts of a training step on a CPU, each as one autograd function with its backward pass written out.

As plain operations a step passes over its activations several hundred times, and on a CPU each pass goes to memory.
Here they pass as seldom as they can, keep little for the backward pass, and walk through whole tensors: halves of one
are slow. The products are the same ones in the same precision, so the results are those of the plain operations up to
rounding. Elsewhere, and under torch.compile, the plain operations are as good or better (see `applies`).

Shape letters: B rows, S positions, D channels, H hidden.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

EPSILON = 1e-5
"""Of the RMS norm."""


def applies(*tensors: Tensor) -> bool:
    """Whether these functions are to be used on such tensors.

    Only where gradients are recorded: what is sampled is bit for bit the same whatever rows are beside it.
    """
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        return False
    return all(t.device.type == "cpu" and t.numel() > 0 for t in tensors)


def _product_dtype(x: Tensor) -> torch.dtype:
    """What products of x are computed in where autocast is as it is."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype


def _swiglu_backward(
    gradient: Tensor, seen: Tensor, gate: Tensor, value: Tensor, into: Tensor, back: Tensor, wanted: bool = True
) -> tuple[Tensor | None, Tensor, Tensor]:
    """Gradients of what was seen (rows, size), if wanted, and of both maps; all in the precision of the products."""
    H = back.shape[1]
    gradient = gradient.reshape(len(seen), -1)
    opened = F.silu(gate)
    to_back = gradient.T @ (opened * value)
    to_hidden = gradient @ back
    to_value = opened.mul_(to_hidden)
    to_gate = torch.ops.aten.silu_backward(to_hidden.mul_(value), gate)
    to_into = torch.cat([to_gate.T @ seen, to_value.T @ seen])
    to_seen = torch.addmm(to_gate @ into[:H], to_value, into[H:]) if wanted else None
    return to_seen, to_into, to_back


def _normed(z: Tensor) -> tuple[Tensor, Tensor]:
    """RMSNorm(z) over the last axis, in place, and what z was multiplied by (B, S, 1)."""
    norm = torch.linalg.vector_norm(z, dim=-1, keepdim=True)
    scale = norm.square_().div_(z.shape[-1]).add_(EPSILON).rsqrt_()
    return z.mul_(scale), scale


def _norm_backward(gradient: Tensor, out: Tensor, scale: Tensor) -> Tensor:
    along = (gradient * out).mean(-1, keepdim=True)
    return torch.addcmul(gradient, out, along, value=-1).mul_(scale)


class _SwiGLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, into: Tensor, back: Tensor, product: torch.dtype) -> Tensor:
        kept_into, kept_back = into.to(product), back.to(product)
        H = back.shape[1]
        seen = x.to(product).reshape(-1, x.shape[-1])
        gate, value = seen @ kept_into[:H].T, seen @ kept_into[H:].T
        ctx.save_for_backward(seen, gate, value, kept_into, kept_back)
        ctx.shape, ctx.dtypes = x.shape, (x.dtype, into.dtype, back.dtype)
        return (F.silu(gate).mul_(value) @ kept_back.T).view(*x.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        saved, wanted = ctx.saved_tensors, ctx.needs_input_grad[0]
        to_x, to_into, to_back = _swiglu_backward(gradient.to(saved[0].dtype), *saved, wanted=wanted)
        x_dtype, into_dtype, back_dtype = ctx.dtypes
        to_x = None if to_x is None else to_x.view(ctx.shape).to(x_dtype)
        return to_x, to_into.to(into_dtype), to_back.to(back_dtype), None


def swiglu(x: Tensor, into: Tensor, back: Tensor) -> Tensor:
    """back(silu(gate) * value) with (gate, value) = into(x), over the last axis; maps (2 H, size) and (size, H)."""
    product = _product_dtype(x)
    with torch.autocast("cpu", enabled=False):
        return _SwiGLU.apply(x, into, back, product)  # pyright: ignore[reportReturnType]


class _HalfBlock(torch.autograd.Function):
    """The same with the sum and the norm around it, over S instead of D if `across`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, into: Tensor, back: Tensor, product: torch.dtype, across: bool) -> Tensor:
        kept_into, kept_back = into.to(product), back.to(product)
        H, size = back.shape[1], into.shape[1]
        seen = x.to(product)
        seen = (seen.transpose(1, 2) if across else seen).reshape(-1, size)
        gate, value = seen @ kept_into[:H].T, seen @ kept_into[H:].T
        told = (F.silu(gate).mul_(value) @ kept_back.T).view(len(x), -1, size)
        out, scale = _normed(x + (told.transpose(1, 2) if across else told))
        ctx.save_for_backward(seen, gate, value, kept_into, kept_back, out, scale)
        ctx.across, ctx.dtypes = across, (into.dtype, back.dtype)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        *saved, out, scale = ctx.saved_tensors
        to_x = _norm_backward(gradient, out, scale)
        to_told = to_x.to(saved[0].dtype)
        more, to_into, to_back = _swiglu_backward(to_told.transpose(1, 2) if ctx.across else to_told, *saved)
        assert more is not None
        more = more.view(len(out), -1, more.shape[-1])
        to_x += more.transpose(1, 2) if ctx.across else more
        return to_x, to_into.to(ctx.dtypes[0]), to_back.to(ctx.dtypes[1]), None, None


def half_block(x: Tensor, into: Tensor, back: Tensor, across: bool = False) -> Tensor:
    """RMSNorm(x + SwiGLU(x)) for x (B, S, D) by the maps of `swiglu`, which runs over S if `across`, else over D."""
    product = _product_dtype(x)
    with torch.autocast("cpu", enabled=False):
        return _HalfBlock.apply(x, into, back, product, across)  # pyright: ignore[reportReturnType]


class _AddNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        out, scale = _normed(x + y)
        ctx.save_for_backward(out, scale)
        ctx.dtypes = x.dtype, y.dtype
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        to_sum = _norm_backward(gradient, *ctx.saved_tensors)
        return to_sum.to(ctx.dtypes[0]), to_sum.to(ctx.dtypes[1])


def add_norm(x: Tensor, y: Tensor) -> Tensor:
    """RMSNorm(x + y) over the last axis, of two tensors of one shape."""
    return _AddNorm.apply(x, y)  # pyright: ignore[reportReturnType]


# -- Gaussians that share one standard deviation ---------------------------------------------------------------------


class _Within(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, mean: Tensor, center: Tensor, std: Tensor, nats: Tensor) -> Tensor:
        shift = mean - center
        norm = torch.linalg.vector_norm(shift.flatten(1), dim=1)
        spent = (0.5 * (norm / std).square()).clamp(min=1e-12)
        scale = (torch.minimum(nats, spent) / spent).sqrt()
        # Beyond the budget the scale falls with the length of the shift, and so turns only across it.
        turning = torch.where(nats < spent, scale / norm.square(), 0.0)
        column = (-1, *[1] * (mean.ndim - 1))
        scale, turning = scale.view(column), turning.view(column)
        ctx.save_for_backward(shift, scale, turning)
        return torch.addcmul(center, shift, scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        shift, scale, turning = ctx.saved_tensors
        along = (gradient * shift).flatten(1).sum(1).view(scale.shape)
        return (gradient * scale).addcmul_(shift, turning * along, value=-1), None, None, None


def within(mean: Tensor, center: Tensor, std: Tensor, nats: Tensor) -> Tensor:
    """See DiagonalGaussian.within; no gradient to `center`."""
    return _Within.apply(mean, center, std, nats)  # pyright: ignore[reportReturnType]


class _BalancedKL(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, posterior: Tensor, prior: Tensor, std: Tensor, balance: float) -> Tensor:
        shift = posterior - prior
        ctx.save_for_backward(shift, std)
        ctx.balance = balance
        return 0.5 * (torch.linalg.vector_norm(shift, dim=-1) / std).square()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        shift, std = ctx.saved_tensors
        weight = (gradient / std.square())[..., None]
        return shift * ((1 - ctx.balance) * weight), shift * (-ctx.balance * weight), None, None


def balanced_kl(posterior: Tensor, prior: Tensor, std: Tensor, balance: float) -> Tensor:
    """The balanced KL of two Gaussians with one std, by their means, summed over the last axis."""
    return _BalancedKL.apply(posterior, prior, std, balance)  # pyright: ignore[reportReturnType]
