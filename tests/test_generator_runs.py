"""The recipes of the generators: every debug version runs, is shared and generates."""

import json
from pathlib import Path

import pytest

from gram_reasoning.build import build_model, load_model
from gram_reasoning.cli import main
from gram_reasoning.inference.sampler import SamplerConfig, sample
from gram_reasoning.recipes import get_recipe
from gram_reasoning.recipes.generators import RECIPES
from helpers import few_steps, same, task_of, weights_of

FEW = {"sudoku9-boards-d3pm-absorbing-big", "mnist-vae"}
LATER = pytest.mark.slow
NAMES = [build().name for build in RECIPES]


@pytest.mark.parametrize("name", [name if name in FEW else pytest.param(name, marks=LATER) for name in NAMES])
def test_the_debug_version_of_every_recipe_learns_and_answers(name: str, tmp_path: Path):
    run, _, still = few_steps(name, tmp_path)
    blank = {part for part in still if part.startswith("token_embedding")}  # of an image of nothing
    assert {part for part in still - blank if not part.endswith(("bias", "initial_latent"))} == set()
    config = SamplerConfig.filled(run.recipe.evaluation, run.model, samples=2, steps=None)
    assert config.draw_tokens == ("vae" in name)
    assert sample(run.model, run.monitor.inputs.inputs, config).answers.shape[1] == 2


@pytest.mark.parametrize("name", ["sudoku4-boards-d3pm-absorbing-pocket", "mnist-vae-pocket"])
def test_the_commands_know_it(name: str, tmp_path: Path):
    run, shared = str(tmp_path / "run"), str(tmp_path / "shared")
    assert main(["train", f"{name}-debug", "--out", run, "--device", "cpu"]) == 0
    assert main(["export", run, "--out", shared]) == 0
    assert same(weights_of(load_model(run)[2]), weights_of(load_model(shared)[2]))
    told = []
    for folder in (run, shared):
        command = ["generate", "--checkpoint", folder, "--count", "3", "--compact", "--json", str(tmp_path / "told")]
        assert main(command) in (0, 1)
        told.append([json.loads(line) for line in (tmp_path / "told").read_text().splitlines()])
    assert told[0] == told[1]
    assert len(told[0]) == 4


def test_trm_from_nothing_gives_one_answer():
    recipe = get_recipe("sudoku4-boards-trm-pocket-debug")
    task = task_of(recipe.task)
    model = build_model(recipe, task).eval()
    answers = sample(model, task.blank()[None], SamplerConfig(samples=30, steps=2)).answers[0]  # type: ignore[attr-defined]
    assert len(answers.unique(dim=0)) == 1
