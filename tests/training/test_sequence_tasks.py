"""AR and the diffusions on tasks of every shape: short answers, identities, images, boards from nothing."""

from dataclasses import replace
from pathlib import Path

import pytest

from gram_reasoning.build import build_model
from gram_reasoning.inference.sampler import SamplerConfig, sample
from gram_reasoning.models.configs import (
    AutoregressiveConfig,
    DiscreteDiffusionConfig,
    MaskedDiffusionConfig,
    ModelConfig,
    VariationalConfig,
)
from gram_reasoning.recipes import get_recipe
from gram_reasoning.training.trainer import Trainer
from helpers import task_of

AR, MDLM = AutoregressiveConfig().small(), replace(MaskedDiffusionConfig().small(), token_mixer="mlp")
D3PM = DiscreteDiffusionConfig().small()
VAE = VariationalConfig().small()


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("coloring6", AR),
        ("coloring6", MDLM),
        ("arc-pocket", AR),
        ("arc-pocket", MDLM),
        ("coloring6", D3PM),
        ("arc-pocket", replace(D3PM, corruption="absorbing")),
        ("mnist-pocket", replace(D3PM, layout="patches", patch_channels=8, token_mixer="grid")),
        ("sudoku4-boards", replace(D3PM, positions="rope", token_mixer="mlp")),
        ("coloring6", VAE),
        ("arc-pocket", VAE),
        ("mnist-pocket", replace(VAE, layout="patches", patch_channels=8, token_mixer="grid")),
        ("mnist-pocket", replace(MDLM, layout="patches", patch_channels=8, token_mixer="grid")),
        ("maze10", replace(AR, positions="rope", qk_norm=True)),
        ("sudoku4-boards", replace(MDLM, positions="rope", token_mixer="attention")),
    ],
)
def test_it_trains_and_is_judged(name: str, model: ModelConfig, tmp_path: Path):
    recipe = get_recipe(f"{name}-debug")
    recipe = replace(recipe, model=model, train=replace(recipe.train, prior_share=0.0, precision="fp32"))
    task = task_of(recipe.task)
    run = Trainer(recipe, task, build_model(recipe, task), tmp_path, say=lambda line: None)
    losses = [float(run.train_step()["cross_entropy"]) for _ in range(3)]
    assert all(0 < loss < 100 for loss in losses)
    line = run.monitor.look(3, run.weights, {}, lambda line: None)
    (bound,) = (value for key, value in line.items() if key in ("log_likelihood_nats", "bound_nats"))
    assert -1000 < bound < 0
    assert line["prior"]["inputs"] == len(run.monitor.inputs)


def test_only_what_counts_is_drawn():
    """A colouring is shorter than its graph: the rest stays padding, and a beam search repeats no colouring."""
    recipe = replace(get_recipe("coloring6-debug"), model=AR)
    task = task_of(recipe.task)
    model = build_model(recipe, task).eval()
    assert model.sampling_steps == 6 < task.length
    config = SamplerConfig(samples=40, steps=6, decode="beam")
    answers = sample(model, task.split("test").inputs[:2], config, counted=task.counted).answers
    assert not answers[..., 6:].any()
    assert (answers[..., :6] != 0).all()
    assert all(len(rows[:, :6].unique(dim=0)) == 40 for rows in answers)
