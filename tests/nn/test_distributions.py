import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from gram_reasoning.nn.distributions import DiagonalGaussian, balanced_kl, where

SHAPE = (3, 4, 5)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def gaussian(scale: float = 1.0) -> DiagonalGaussian:
    mean, std = scale * torch.randn(SHAPE, dtype=torch.float64), torch.randn(SHAPE, dtype=torch.float64).exp()
    return DiagonalGaussian(mean.requires_grad_(), std.requires_grad_())


def reference(own: DiagonalGaussian) -> Normal:
    return Normal(own.mean, own.std)


def gradients(value: Tensor, *of: DiagonalGaussian) -> tuple[Tensor, ...]:
    return torch.autograd.grad(value.sum(), [t for each in of for t in (each.mean, each.std)])


@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0])
def test_kl(scale: float) -> None:
    p, q = gaussian(scale), gaussian(scale)
    torch.testing.assert_close(q.kl(p), kl_divergence(reference(q), reference(p)))
    assert q.kl(p).shape == SHAPE
    assert (q.kl(p) > 0).all()
    assert torch.equal(q.kl(q), torch.zeros(SHAPE, dtype=torch.float64))


def test_kl_gradients() -> None:
    p, q = gaussian(), gaussian()
    expected = gradients(kl_divergence(reference(q), reference(p)), q, p)
    torch.testing.assert_close(gradients(q.kl(p), q, p), expected)


def test_log_prob() -> None:
    p, x = gaussian(), 3 * torch.randn(SHAPE, dtype=torch.float64)
    torch.testing.assert_close(p.log_prob(x), reference(p).log_prob(x))


def test_kl_is_the_mean_log_ratio() -> None:
    p, q = gaussian(), gaussian()
    x = q.sample(torch.randn(100_000, *SHAPE, dtype=torch.float64)).detach()
    ratio = q.log_prob(x) - p.log_prob(x)
    assert ((ratio.mean(0) - q.kl(p)).abs() < 5 * ratio.std(0) / 100_000**0.5).all()


def test_sample() -> None:
    p, noise = gaussian(), torch.randn(SHAPE, dtype=torch.float64)
    torch.testing.assert_close(reference(p).cdf(p.sample(noise)), Normal(0.0, 1.0).cdf(noise))
    mean, std = gradients(p.sample(noise), p)
    assert torch.equal(mean, torch.ones_like(mean))
    assert torch.equal(std, noise)


def test_detach_and_where() -> None:
    p, q = gaussian(), gaussian()
    assert p.detach().mean.equal(p.mean)
    assert p.detach().std.equal(p.std)
    assert not p.detach().mean.requires_grad
    assert not p.detach().std.requires_grad
    mask = torch.tensor([True, False, True])[:, None, None]
    mixed = where(mask, q, p)
    for row, source in enumerate([q, p, q]):
        assert mixed.mean[row].equal(source.mean[row])
        assert mixed.std[row].equal(source.std[row])


@pytest.mark.parametrize("balance", [0.0, 0.5, 0.8, 1.0])
def test_balanced_kl(balance: float) -> None:
    posterior, prior = gaussian(), gaussian()
    plain, balanced = posterior.kl(prior), balanced_kl(posterior, prior, balance)
    torch.testing.assert_close(balanced, plain)
    shares = [1 - balance, 1 - balance, balance, balance]
    expected = tuple(share * g for share, g in zip(shares, gradients(plain, posterior, prior), strict=True))
    torch.testing.assert_close(gradients(balanced, posterior, prior), expected)


def test_within_moves_the_mean_along_a_line_until_the_kl_is_within_the_budget() -> None:
    center, free = gaussian(), gaussian()
    nats = torch.tensor([0.1, 2.0, torch.inf], dtype=torch.float64)
    held = free.within(center, nats)
    spent = kl_divergence(reference(held), reference(center)).sum((1, 2))
    whole = (0.5 * ((free.mean - center.mean) / center.std).square()).sum((1, 2))
    torch.testing.assert_close(spent, torch.minimum(nats, whole))
    torch.testing.assert_close(held.mean[2], free.mean[2])
    assert torch.equal(held.std, center.std)
    line = (held.mean - center.mean) / (free.mean - center.mean)  # one number a row: the mean moved along a line
    torch.testing.assert_close(line, line[:, :1, :1].expand(SHAPE))
    for tensor in torch.autograd.grad(held.mean.sum(), [free.mean]):
        assert tensor.isfinite().all()
        assert tensor.any()


def test_within_of_the_center_is_the_center() -> None:
    center = gaussian()
    free = DiagonalGaussian(center.mean.detach().clone().requires_grad_(), center.std)
    held = free.within(center, torch.full((3,), 0.5, dtype=torch.float64))
    torch.testing.assert_close(held.mean, center.mean)
    (gradient,) = torch.autograd.grad(held.kl(center).sum(), free.mean)
    assert gradient.isfinite().all()
