"""Blocks that know the time, against their formula; the identity before training."""

import torch

from gram_reasoning.nn.timed import SPAN, Modulation, TimedBlock, TimeEmbedding


class Mean(torch.nn.Module):
    """Mixes by the mean over positions."""

    def forward(self, x: torch.Tensor, rotary: torch.Tensor | None) -> torch.Tensor:
        del rotary
        return x.mean(1, keepdim=True).expand_as(x)


def norm(x: torch.Tensor) -> torch.Tensor:
    return x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt()


def test_before_training_a_block_changes_nothing():
    block, x, time = TimedBlock(Mean(), 8, 16), torch.randn(2, 3, 8), torch.randn(2, 8)
    assert torch.equal(block(x, None, time), x)


def test_a_block_is_its_formula():
    torch.manual_seed(0)
    block, x, time = TimedBlock(Mean(), 8, 16), torch.randn(2, 3, 8), torch.randn(2, 8)
    torch.nn.init.normal_(block.modulation.map.weight)
    torch.nn.init.normal_(block.modulation.map.bias)
    b, r, g, b2, r2, g2 = block.modulation.map(torch.nn.functional.silu(time))[:, None].split(8, -1)
    mixed = x + g * (norm(x) * (1 + r) + b).mean(1, keepdim=True)
    expected = mixed + g2 * block.mlp(norm(mixed) * (1 + r2) + b2)
    torch.testing.assert_close(block(x, None, time), expected)


def test_modulation_makes_as_many_vectors_as_asked():
    vectors = Modulation(8, 3)(torch.randn(2, 8))
    assert [v.shape for v in vectors] == [(2, 1, 8)] * 3
    assert not any(v.any() for v in vectors)


def test_times_are_told_by_waves():
    torch.manual_seed(0)
    embedding, t = TimeEmbedding(4), torch.tensor([0.0, 0.25, 1.0])
    waves = [[SPAN * float(time) * 1e4 ** (-k / 128) for k in range(128)] for time in t]
    angles = torch.tensor(waves)
    expected = embedding.second(torch.nn.functional.silu(embedding.first(torch.cat([angles.cos(), angles.sin()], 1))))
    torch.testing.assert_close(embedding(t), expected, atol=1e-3, rtol=1e-3)
