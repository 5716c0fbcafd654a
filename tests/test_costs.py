"""The counted operations are those that PyTorch's own counter sees."""

import re
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from gram_reasoning.analysis.costs import META, sampling_operations, training_operations
from gram_reasoning.build import MODELS, TASKS
from gram_reasoning.models.configs import GramConfig
from gram_reasoning.models.gram import Gram
from gram_reasoning.recipes import RECIPES, get_recipe
from gram_reasoning.types import Shape
from helpers import UNLIMITED, mixed_step, tiny_config

ROWS, LENGTH = 6, 9
UNITS = ([[0, 1, 2], [3, 4, 5], [6, 7, 8]], [[0, 4, 8], [2, 4, 6]])
VARIANTS: list[dict[str, Any]] = [
    {},
    {"token_mixer": "mlp", "decoder": "swiglu"},
    {"token_mixer": "grid"},
    {"token_mixer": "units"},
    {"token_mixer": "units", "layout": "symbols"},
    {"core": "flat", "target_entry": "sum"},
    {"posterior_transitions": "last", "charged_transitions": "all"},
    {"sigma_learned": True, **UNLIMITED},
    {"guidance": "none"},
    {"guidance": "noise"},
    {"layout": "patches", "patch_channels": 8},
    {"layout": "patches", "patch_channels": 16, "decoder": "swiglu", "guidance": "none"},
]


@pytest.mark.parametrize("changes", VARIANTS)
def test_a_model_without_numbers_costs_what_it_costs_with_them(changes: dict[str, Any]):
    config, shape = (
        tiny_config(hidden_size=32, mlp_size=48, transitions=3, **changes),
        Shape(length=LENGTH, vocab=3, units=UNITS, names=2),
    )
    model = Gram(config, shape)
    batch, carry, draws, referee = mixed_step(model, ROWS)
    with FlopCounterMode(display=False) as seen:
        out = model(batch, carry, draws, referee)
        torch.stack([loss.sum() for loss in out.losses.values()]).sum().backward()
    with META:
        bare = Gram(config, shape)
    assert training_operations(bare, ROWS) == seen.get_total_flops()
    with torch.no_grad():
        context, state = model.encode(batch.inputs), model.initial_state(ROWS)
        with FlopCounterMode(display=False) as seen:
            model.answer(model.step(context, state, draws))
    assert sampling_operations(bare, ROWS) == seen.get_total_flops()


def test_the_paper_scale_by_hand():
    """Batch 768, 80 tokens, D = 512, K = 4, T = 3, in units of tokens * D^2 (see docs/performance.md)."""
    recipe = get_recipe("nqueens8")
    assert recipe.model == GramConfig()
    with META:
        counted = training_operations(Gram(GramConfig(), Shape(length=64, vocab=3)), 768)
    unit = 768 * 80 * 512**2
    network = 2 * (6 + 2 + 6 + 4 * 80 / 512)  # two blocks: qkv, out, SwiGLU, attention
    transition, prior, posterior = 5 * network, 6, 10
    by_hand = 2 * (transition + prior + posterior) + 3 * (transition + prior + posterior)
    assert counted == pytest.approx(by_hand * unit, rel=1e-3)


LARGE = [name for name, recipe in RECIPES.items() if recipe.train.batch_size >= 256]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if i % 3 else ()) for i, name in enumerate(LARGE)]
)
def test_a_large_recipe_says_what_it_costs(name: str):
    """At 45% of 788 T operations a second, the assumptions of docs/performance.md."""
    recipe = get_recipe(name)
    task = TASKS[recipe.task.kind](recipe.task)
    with META:
        shape = Shape(length=task.length, vocab=task.vocab, identities=int(recipe.task.kind == "arc"))
        step = training_operations(MODELS[recipe.model.kind](recipe.model, shape), recipe.train.batch_size)
    minutes = step * recipe.train.steps / (0.45 * 788e12) / 60
    said = re.search(r"Projected: ([\d,.]+) H200-minutes", recipe.summary)
    assert said, recipe.summary
    assert float(said[1].replace(",", "")) == pytest.approx(minutes, rel=0.05)
