"""The fused functions against the plain operations: values, gradients, precision, and what they keep."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from gram_reasoning.build import build_model, build_task
from gram_reasoning.nn import distributions, fused
from gram_reasoning.nn.distributions import DiagonalGaussian, balanced_kl
from gram_reasoning.nn.layers import Attention, Block, SequenceMLP, SwiGLU
from gram_reasoning.recipes import get_recipe
from gram_reasoning.training.trainer import Trainer

SHAPE = (3, 5, 8)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def both(monkeypatch: pytest.MonkeyPatch, work):
    """What `work` gives with the fused functions and with the plain operations."""
    one = work()
    with monkeypatch.context() as patch:
        patch.setattr(fused, "applies", lambda *tensors: False)
        return one, work()


def with_gradients(module: torch.nn.Module, x: Tensor, weight: Tensor, *rest) -> list[Tensor]:
    x = x.detach().requires_grad_()
    out = module(x, *rest)
    return [out, *torch.autograd.grad((out * weight).sum(), [x, *module.parameters()])]


@pytest.mark.parametrize("kind", ["mlp", "attention", "swiglu"])
def test_blocks_in_float64(kind: str, monkeypatch: pytest.MonkeyPatch):
    mixer = {"mlp": SequenceMLP(5, 6), "attention": Attention(8, 2), "swiglu": SwiGLU(8, 12, 8)}[kind].double()
    module, rest = (mixer, ()) if kind == "swiglu" else (Block(mixer, 8, 12).double(), (None,))
    x, weight = torch.randn(2, *SHAPE, dtype=torch.float64)
    one, other = both(monkeypatch, lambda: with_gradients(module, x, weight, *rest))
    torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("across", [False, True])
def test_gradients_by_differences(across: bool):
    size = 5 if across else 8
    x, into, back = (torch.randn(s, dtype=torch.float64) for s in (SHAPE, (14, size), (size, 7)))
    inputs = [t.requires_grad_() for t in (x, into, back)]
    assert torch.autograd.gradcheck(lambda *t: fused.half_block(*t, across=across), inputs)
    assert torch.autograd.gradcheck(fused.add_norm, [x, x.detach().clone().requires_grad_()])


def test_products_run_in_the_precision_of_autocast():
    x, module = torch.randn(SHAPE), SwiGLU(8, 12, 8)
    with torch.autocast("cpu", torch.bfloat16):
        assert fused.swiglu(x, *module.maps).dtype == torch.bfloat16
        half = fused.half_block(x, *module.maps)
    assert half.dtype == torch.float32
    kept: Any = half.grad_fn
    assert [t.dtype for t in kept.saved_tensors].count(torch.bfloat16) == 5, "all but the sum and its scale"


def gaussians(dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    return torch.randn(SHAPE, dtype=dtype), torch.randn(SHAPE, dtype=dtype), torch.tensor(0.7, dtype=dtype)


def test_within_and_kl_of_one_std(monkeypatch: pytest.MonkeyPatch):
    """Rows beyond the budget, at it, and below it."""
    mean, center, std = gaussians(torch.float64)
    nats = torch.tensor([0.3, 4.0, torch.inf], dtype=torch.float64)
    weight = torch.randn(SHAPE[:2], dtype=torch.float64)

    def work() -> list[Tensor]:
        own, prior = mean.clone().requires_grad_(), center.clone().requires_grad_()
        other = DiagonalGaussian(prior, std)
        posterior = DiagonalGaussian(own, std).within(other.detach(), nats)
        kl = balanced_kl(DiagonalGaussian(posterior.mean, std), other, 0.8)
        loss = (kl * weight).sum() + posterior.mean.sin().sum()
        return [posterior.mean, kl, *torch.autograd.grad(loss, [own, prior])]

    one, other = both(monkeypatch, work)
    torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)
    whole = distributions.DiagonalGaussian(one[0], std).kl(DiagonalGaussian(center, std)).sum((1, 2))
    assert bool((whole[:2] <= nats[:2] + 1e-9).all())


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-6), ("bf16", 1e-3)])
@pytest.mark.parametrize("name", ["nqueens7-pocket-debug", "sudoku4-debug", "coloring6-debug", "maze10-debug"])
def test_losses_of_a_step(name: str, precision, tolerance: float, monkeypatch: pytest.MonkeyPatch):
    """The noise is the same: it is a function of the step."""
    recipe = get_recipe(name)
    recipe = replace(recipe, train=replace(recipe.train, precision=precision))
    task = build_task(recipe)
    weights = build_model(recipe, task).state_dict()
    weights = {name: w + 0.05 * torch.randn_like(w) for name, w in weights.items()}  # zero heads would hide much

    def work() -> dict[str, float]:
        model = build_model(recipe, task)
        model.load_state_dict(weights)
        return {name: float(value) for name, value in Trainer(recipe, task, model, Path("unused")).train_step().items()}

    one, other = both(monkeypatch, work)
    for loss in ("cross_entropy", "kl", "halt", "value"):
        assert one[loss] == pytest.approx(other[loss], rel=tolerance, abs=1e-7), loss
    assert one["gradient_norm"] == pytest.approx(other["gradient_norm"], rel=30 * tolerance)
