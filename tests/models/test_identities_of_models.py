"""Whose input it is reaches the loss of every model: the vector of an identity gets a gradient."""

import pytest
import torch

from gram_reasoning import noise
from gram_reasoning.build import MODELS
from gram_reasoning.models.configs import MODEL_KINDS
from gram_reasoning.training.deep_supervision import Stay
from gram_reasoning.types import Batch, Shape
from helpers import FixedReferee

B, L = 3, 6


@pytest.mark.parametrize("kind", sorted(MODEL_KINDS))
def test_an_identity_reaches_the_loss(kind: str):
    torch.manual_seed(0)
    model = MODELS[kind](MODEL_KINDS[kind]().small(), Shape(length=L, vocab=4, identities=5))
    assert model.identities is not None
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    rows, never = torch.zeros(B, dtype=torch.int64), torch.zeros(B, dtype=torch.bool)
    tokens = torch.randint(1, 4, (B, L))
    vectors = torch.randn(B, model.identities.vectors.shape[1], requires_grad=True)
    batch = Batch(tokens, tokens, never, never, rows, vectors)
    referee = FixedReferee(tokens, torch.ones(B), Stay(rows, rows + 3, rows + 1, never), never)
    draws = noise.normal(noise.keys(0, "test", torch.arange(B)), model.noise_shape())
    out = model(batch, model.initial_carry(B), draws, referee)
    sum(loss.sum() for loss in out.losses.values()).backward()  # type: ignore[union-attr]
    assert vectors.grad is not None
    assert (vectors.grad.abs().sum(1) > 1e-6).all()
