import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gram_reasoning.nn.layers import (
    Attention,
    Block,
    GridMixer,
    Linear,
    SequenceMLP,
    SwiGLU,
    attend,
    rms_norm,
    rotary_table,
    rotate,
    truncated_normal_,
)

assert_exact = partial(torch.testing.assert_close, rtol=1e-10, atol=1e-12)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def doubles(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def swiglu(layer: SwiGLU, x: Tensor) -> Tensor:
    """The formula, with the weights of `layer`."""
    gate, value = layer.gate_value.weight.chunk(2)
    g = x @ gate.T
    return (g / (1 + torch.exp(-g)) * (x @ value.T)) @ layer.out.weight.T


def normed(x: Tensor) -> Tensor:
    return x / ((x**2).mean(-1, keepdim=True) + 1e-5).sqrt()


def turned(x: Tensor, base: float = 10_000.0) -> Tensor:
    """RoPE as complex numbers: channel pair (e, e + E/2) at position s times exp(i s base^(-2e/E))."""
    S, E = x.shape[-2:]
    angles = torch.arange(S).double()[:, None] * base ** (-2 * torch.arange(E // 2).double() / E)
    z = torch.complex(x[..., : E // 2], x[..., E // 2 :]) * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([z.real, z.imag], dim=-1)


# -- attention -------------------------------------------------------------------------------------------------


def loop_attention(layer: Attention, x: Tensor, rotary: bool) -> Tensor:
    """One head, one row and one position at a time."""
    B, S, D = x.shape
    E = D // layer.heads
    result = torch.empty_like(x)
    for b in range(B):
        heads = []
        for h in range(layer.heads):
            q, k, v = (x[b] @ weight[h].T for weight in layer.qkv.weight.view(3, layer.heads, E, D))
            if layer.qk_norm:
                q, k = normed(q), normed(k)
            if rotary:
                q, k = turned(q), turned(k)
            rows = []
            for s in range(S):
                weights = torch.tensor([math.exp(q[s] @ k[t] / math.sqrt(E)) for t in range(S)], dtype=x.dtype)
                rows.append((weights[:, None] * v).sum(0) / weights.sum())
            heads.append(torch.stack(rows))
        result[b] = torch.cat(heads, dim=1) @ layer.out.weight.T
    return result


@pytest.mark.parametrize("qk_norm", [False, True])
@pytest.mark.parametrize("rotary", [False, True])
def test_attention_is_the_loop(qk_norm: bool, rotary: bool) -> None:
    layer = Attention(24, heads=3, qk_norm=qk_norm).double().requires_grad_(False)
    x = 2 * doubles(2, 5, 24)
    table = rotary_table(5, 8) if rotary else None
    # The table is float32: its angles are right to about 1e-7.
    torch.testing.assert_close(layer(x, table), loop_attention(layer, x, rotary), rtol=1e-5, atol=1e-6)
    if not rotary:
        assert_exact(layer(x, None), loop_attention(layer, x, rotary))


@pytest.mark.parametrize(
    ("dtype", "scale", "tolerance"),
    [
        (torch.float64, 1.0, 1e-12),
        (torch.float64, 100.0, 1e-12),
        (torch.float32, 1.0, 1e-5),
        (torch.float32, 30.0, 1e-4),
        (torch.bfloat16, 1.0, 0.03),
    ],
)
def test_attend_is_scaled_dot_product_attention(dtype: torch.dtype, scale: float, tolerance: float) -> None:
    q, k, v = (factor * doubles(2, 3, 7, 16) for factor in (scale, 1, 1))
    q, k, v = q.to(dtype), k.to(dtype), v.to(dtype)
    expected = F.scaled_dot_product_attention(q.double(), k.double(), v.double())
    found = attend(q, k, v)
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), expected, rtol=tolerance, atol=tolerance)


def test_attend_gradients() -> None:
    q, k, v = (doubles(2, 2, 4, 6).requires_grad_() for _ in range(3))
    weight = doubles(2, 2, 4, 6)
    own = torch.autograd.grad((attend(q, k, v) * weight).sum(), (q, k, v))
    theirs = torch.autograd.grad((F.scaled_dot_product_attention(q, k, v) * weight).sum(), (q, k, v))
    assert_exact(own, theirs)


def test_attention_without_positions_is_equivariant_and_rows_are_apart() -> None:
    layer = Attention(16, heads=2).double().requires_grad_(False)
    x, order = doubles(3, 6, 16), torch.tensor([3, 1, 5, 0, 2, 4])
    assert_exact(layer(x[:, order], None), layer(x, None)[:, order])
    assert_exact(layer(x[1:2], None), layer(x, None)[1:2])
    table = rotary_table(6, 8)
    assert not torch.allclose(layer(x[:, order], table), layer(x, table)[:, order], rtol=1e-3)


# -- rotary positions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", [10_000.0, 100.0])
def test_rotation_is_complex_multiplication(base: float) -> None:
    x = doubles(2, 3, 80, 12)
    assert rotary_table(80, 12, base).shape == (2, 80, 6)
    torch.testing.assert_close(rotate(x, rotary_table(80, 12, base)), turned(x, base), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(rotate(x, rotary_table(80, 12, base).double())[:, :, 0], x[:, :, 0], rtol=0, atol=0)


def test_rotation_keeps_lengths_and_dtype() -> None:
    x = doubles(1, 1, 50, 8)
    torch.testing.assert_close(rotate(x, rotary_table(50, 8)).norm(dim=-1), x.norm(dim=-1), rtol=1e-6, atol=0)
    assert rotate(x.bfloat16(), rotary_table(50, 8)).dtype == torch.bfloat16


def test_scores_depend_on_relative_position() -> None:
    q, k = doubles(8), doubles(8)
    table = rotary_table(40, 8)
    scores = rotate(q.expand(1, 1, 40, 8), table)[0, 0] @ rotate(k.expand(1, 1, 40, 8), table)[0, 0].T
    for offset in range(-20, 21):
        diagonal = scores.diagonal(offset)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), rtol=0, atol=1e-5)
    assert scores[0].std() > 0.1


# -- the rest --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e3])
def test_rms_norm(scale: float) -> None:
    x = scale * doubles(4, 5, 32)
    assert_exact(rms_norm(x), normed(x))
    assert torch.equal(rms_norm(torch.zeros(3, 8)), torch.zeros(3, 8))


def test_swiglu() -> None:
    layer = SwiGLU(6, 10, 4).double()
    x = doubles(2, 3, 6)
    assert layer(x).shape == (2, 3, 4)
    assert_exact(layer(x), swiglu(layer, x))


def test_sequence_mlp_mixes_positions_only() -> None:
    layer = SequenceMLP(5, 7).double().requires_grad_(False)
    x = doubles(2, 5, 4)
    out = layer(x, None)
    for b in range(2):
        for d in range(4):
            assert_exact(out[b, :, d], swiglu(layer.mlp, x[b, :, d]))
    changed = x.clone()
    changed[0, 3, 2] += 1
    moved = (layer(changed, None) - out).abs() > 1e-9
    assert moved[0, :, 2].all()
    assert moved.sum() == 5


def test_grid_mixer_sees_neighbours_and_the_mean() -> None:
    layer = GridMixer(4, prefix=2, squares=16).double().requires_grad_(False)
    x = doubles(1, 18, 4)
    changed = x.clone()
    changed[0, 2 + 4] += 1  # row 1, column 0
    layer.far.weight.zero_()
    near = ((layer(changed, None) - layer(x, None)).abs() > 1e-9).any(-1)[0].nonzero().flatten() - 2
    assert near.tolist() == [0, 1, 4, 5, 8, 9]
    layer.near.weight.zero_()
    nn.init.eye_(layer.far.weight)
    assert_exact(layer(x, None), x.mean(1, keepdim=True).expand(-1, 18, -1))


@pytest.mark.parametrize("mixer", [Attention(16, heads=2), SequenceMLP(6, 8), GridMixer(16, 2, 4)])
def test_block(mixer: nn.Module) -> None:
    block = Block(mixer, 16, 20).double()
    x, table = doubles(2, 6, 16), rotary_table(6, 8)
    middle = normed(x + mixer(x, table))
    assert_exact(block(x, table), normed(middle + swiglu(block.mlp, middle)))


def test_linear_starts_at_the_scale_of_its_fan_in() -> None:
    layer = Linear(400, 1000)
    assert layer.bias is None
    weight = layer.weight.detach() * math.sqrt(400)
    assert abs(weight.mean()) < 0.01
    assert 0.85 < weight.std() < 1.05
    x = torch.randn(50, 400)
    assert torch.equal(layer(x), x @ layer.weight.T)


@pytest.mark.parametrize("std", [0.02, 1.0])
def test_truncated_normal(std: float) -> None:
    weight = truncated_normal_(torch.empty(200_000), std)
    assert abs(weight.std() / std - 1) < 0.01
    std = std / 0.8796257  # before the cut
    assert 1.99 * std < weight.abs().max() <= 2.0001 * std
    for bound in (0.5, 1.0, 1.5):
        share = math.erf(bound / math.sqrt(2)) / math.erf(2 / math.sqrt(2))
        assert abs((weight.abs() < bound * std).float().mean() - share) < 4.5 * math.sqrt(share / 200_000)
