"""Diagonal Gaussians and their KL divergence, plain and balanced."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gram_reasoning.nn import fused


@dataclass(frozen=True)
class DiagonalGaussian:
    """Independent normal numbers, float32."""

    mean: Tensor
    std: Tensor
    """Of the mean's shape, or one number () for all."""

    def sample(self, noise: Tensor) -> Tensor:
        """Mean + std * noise, for standard normal noise of the same shape."""
        return torch.addcmul(self.mean, self.std, noise)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density of each element, in nats."""
        z = (x - self.mean) / self.std
        return -0.5 * z.square() - self.std.log() - 0.9189385332046727  # ln(2 pi) / 2

    def kl(self, other: "DiagonalGaussian") -> Tensor:
        """KL(self || other) of each element, in nats."""
        ratio = (self.std / other.std).square()
        shift = ((self.mean - other.mean) / other.std).square()
        return 0.5 * (shift + (ratio - 1 - ratio.log()))

    def within(self, center: "DiagonalGaussian", nats_B: Tensor) -> "DiagonalGaussian":
        """The Gaussian of the center's std whose mean is ours, drawn towards the center's by the least that it takes.

        Its KL to the center, summed over all axes but the first, is at most `nats` for each row. With one std the
        KL is a squared distance, so the mean moves along a line and the rule is exact.
        """
        if center.std.ndim == 0 and not center.mean.requires_grad and fused.applies(self.mean):
            return DiagonalGaussian(fused.within(self.mean, center.mean, center.std, nats_B), center.std)
        shift = self.mean - center.mean
        spent = (0.5 * (shift / center.std).square().flatten(1).sum(1)).clamp(min=1e-12)
        scale = (torch.minimum(nats_B, spent) / spent).sqrt()
        return DiagonalGaussian(center.mean + shift * scale.view(-1, *[1] * (shift.ndim - 1)), center.std)

    def detach(self) -> "DiagonalGaussian":
        return DiagonalGaussian(self.mean.detach(), self.std.detach())


def where(condition: Tensor, input: DiagonalGaussian, other: DiagonalGaussian) -> DiagonalGaussian:
    """`input` where the condition holds, `other` elsewhere, as torch.where."""
    std = input.std if input.std is other.std else torch.where(condition, input.std, other.std)
    return DiagonalGaussian(torch.where(condition, input.mean, other.mean), std)


def balanced_kl(posterior: DiagonalGaussian, prior: DiagonalGaussian, balance: float) -> Tensor:
    """Balance * KL(sg(q) || p) + (1 - balance) * KL(q || sg(p)), summed over the last axis (Hafner et al. 2021).

    Its value is KL(q || p); only the shares of the gradient differ: `balance` trains the prior towards the
    posterior, the rest holds the posterior to the prior.
    """
    if posterior.std is prior.std and prior.std.ndim == 0 and fused.applies(prior.mean):
        return fused.balanced_kl(posterior.mean, prior.mean, prior.std, balance)
    elements = balance * posterior.detach().kl(prior) + (1 - balance) * posterior.kl(prior.detach())
    return elements.sum(-1)


def gumbel(normal: Tensor) -> Tensor:
    """Standard Gumbel numbers made of standard normal ones, by their cumulative probability."""
    return -(-torch.special.log_ndtr(normal)).log()


def gumbel_under(loose: Tensor, largest: Tensor) -> Tensor:
    """Gumbel numbers (..., n) as they would be had their largest been another (...), Kool et al. 2019, appendix B.3.

    Those at -inf stay there; a `largest` of -inf takes all there.
    """
    gap = largest[..., None] - loose + _log_one_minus_exp(loose - loose.amax(-1, keepdim=True))
    moved = largest[..., None] - gap.relu() - (-gap.abs()).exp().log1p()
    alive = loose.isfinite() & largest.isfinite()[..., None]
    return torch.where(alive, moved, -torch.inf)


def _log_one_minus_exp(x: Tensor) -> Tensor:
    """ln(1 - e^x) for x <= 0, by whichever of two forms keeps its digits."""
    return torch.where(x > -0.6931, (-x.expm1()).log(), (-x.exp()).log1p())
