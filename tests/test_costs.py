"""The counted operations are those that PyTorch's own counter sees."""

import re
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from gram_reasoning import noise
from gram_reasoning.analysis.costs import Cost, Counter
from gram_reasoning.build import TASKS
from gram_reasoning.config import GramConfig
from gram_reasoning.models.gram import Gram
from gram_reasoning.recipes import RECIPES, get_recipe
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
def test_operations_of_a_training_step(changes: dict[str, Any]):
    """Within 3%: left out are the halt and value heads, and the products that autograd can skip."""
    config = tiny_config(hidden_size=32, mlp_size=48, transitions=3, **changes)
    model = Gram(config, LENGTH, vocab=3, units=UNITS, names=2)
    batch, state, draws, referee = mixed_step(model, ROWS)
    with FlopCounterMode(display=False) as seen:
        out = model(batch, state, draws, referee)
        torch.stack([loss.sum() for loss in out.losses.values()]).sum().backward()
    counted = Counter(config, LENGTH, 3, ROWS, 5, 2).training_step().operations
    assert counted == pytest.approx(seen.get_total_flops(), rel=0.05)


@pytest.mark.parametrize("changes", VARIANTS)
def test_operations_of_a_sampling_step(changes: dict[str, Any]):
    config = tiny_config(**changes)
    model = Gram(config, LENGTH, vocab=3, units=UNITS, names=2)
    inputs = torch.zeros(ROWS, LENGTH, dtype=torch.int64)
    draws = noise.normal(noise.keys(0, "x", torch.arange(ROWS)), model.noise_shape())
    with FlopCounterMode(display=False) as seen, torch.no_grad():
        context = model.encode(inputs)
        encoded = seen.get_total_flops()
        model.decode(model.step(context, model.initial_state(ROWS), draws))
    assert Counter(config, LENGTH, 3, ROWS, 5, 2).sampling_step().operations == seen.get_total_flops() - encoded
    assert Counter(config, LENGTH, 3, ROWS, 5, 2).embedding().operations == encoded


def test_the_paper_scale_by_hand():
    """Batch 768, 80 tokens, D = 512, K = 4, T = 3, in units of tokens * D^2 (see docs/performance.md)."""
    recipe = get_recipe("nqueens8")
    assert recipe.model == GramConfig()
    counted = Counter(recipe.model, 64, 3, 768).training_step().operations
    unit = 768 * 80 * 512**2
    network = 2 * (6 + 2 + 6 + 4 * 80 / 512)  # two blocks: qkv, out, SwiGLU, attention
    transition, prior, posterior = 5 * network, 6, 10
    by_hand = 2 * (transition + prior + posterior) + 3 * (transition + prior + posterior)
    assert counted == pytest.approx(by_hand * unit, rel=1e-3)


def test_time_is_bound_by_the_slower_of_the_two():
    assert Cost(10, 4).seconds(5, 1) == 4
    assert Cost(10, 4).seconds(2, 4) == 5


LARGE = [name for name, recipe in RECIPES.items() if recipe.train.batch_size >= 256]


@pytest.mark.parametrize("name", LARGE)
def test_a_large_recipe_says_what_it_costs(name: str):
    """At 45% of 788 T operations a second, the assumptions of docs/performance.md."""
    recipe = get_recipe(name)
    task = TASKS[recipe.task.kind](recipe.task)
    step = Counter.of(recipe.model, task, recipe.train.batch_size).training_step()
    minutes = step.operations * recipe.train.steps / (0.45 * 788e12) / 60
    said = re.search(r"Projected: ([\d,.]+) H200-minutes", recipe.summary)
    assert said, recipe.summary
    assert float(said[1].replace(",", "")) == pytest.approx(minutes, rel=0.05)
