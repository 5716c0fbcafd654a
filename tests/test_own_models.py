"""The models of examples/own_models.py: through public registration alone they train, resume, are judged and solve."""

import ast
import importlib.util
import json
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch

from gram_reasoning.build import MODELS, build_model, build_task, load_model
from gram_reasoning.cli import main
from gram_reasoning.errors import UserError
from gram_reasoning.inference.sampler import SamplerConfig, sample
from gram_reasoning.models.configs import MODEL_KINDS
from gram_reasoning.recipes import RECIPES, get_recipe
from gram_reasoning.training.trainer import Trainer
from helpers import after_step, metrics_of, same, weights_of

SOURCE = Path(__file__).parents[1] / "examples" / "own_models.py"
NAMES = ("own-recurrent", "own-perceptron")
SEQUENCE = ("nqueens7-ar-pocket", "nqueens7-mdlm-pocket")
GENERATORS = ("sudoku4-boards-d3pm-uniform-pocket", "nqueens7-looped-flow-pocket", "mnist-vae-pocket")
BOARD = "......./......./....Q../......./......./......./......."


@pytest.fixture(scope="module", autouse=True)
def example() -> Iterator[ModuleType]:
    """The example, its models known for as long as this file is tested."""
    before = [dict(table) for table in (MODEL_KINDS, MODELS, RECIPES)]
    spec = importlib.util.spec_from_file_location("own_models", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["own_models"] = module
    spec.loader.exec_module(module)
    yield module
    for table, kept in zip((MODEL_KINDS, MODELS, RECIPES), before, strict=True):
        table.clear()
        table.update(kept)  # type: ignore[arg-type]


def trainer(name: str, run: Path, **train: object) -> Trainer:
    recipe = get_recipe(f"{name}-debug")
    changes: dict[str, object] = {"steps": 12, "checkpoint_every": 4, "precision": "fp32", **train}
    recipe = replace(recipe, train=replace(recipe.train, **changes))  # type: ignore[arg-type]
    task = build_task(recipe)
    return Trainer(recipe, task, build_model(recipe, task), run, say=lambda line: None)


@pytest.mark.parametrize("name", NAMES + SEQUENCE + GENERATORS)
def test_a_run_that_was_stopped_goes_on_bit_for_bit(name: str, tmp_path: Path):
    whole, first = trainer(name, tmp_path / "whole"), trainer(name, tmp_path / "parts")
    assert whole.fit() == "finished"
    after_step(first, 5, lambda: setattr(first, "stop_signal", signal.SIGTERM))
    assert first.fit() == "stopped"
    second = trainer(name, tmp_path / "parts")
    assert second.fit(resume=True) == "finished"
    assert same(weights_of(whole.model), weights_of(second.model))
    assert metrics_of(tmp_path / "whole") == metrics_of(tmp_path / "parts")


@pytest.mark.parametrize("name", NAMES + SEQUENCE[:1])  # a diffusion's loss is noisy: see models/test_sequence.py
def test_it_learns(name: str, tmp_path: Path):
    run = trainer(name, tmp_path, steps=120, batch_size=64, warmup_steps=10, eval_every=1000, checkpoint_every=1000)
    losses = [float(run.train_step()["cross_entropy"]) for _ in range(120)]
    assert sum(losses[-10:]) < 0.6 * sum(losses[:10])


@pytest.mark.parametrize("name", NAMES + SEQUENCE)
def test_the_commands_know_it(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = str(tmp_path / "run")
    assert main(["train", f"{name}-debug", "--out", run, "--device", "cpu"]) == 0
    assert main(["eval", run, "--limit", "5", "--json", str(tmp_path / "eval.json")]) == 0
    result = json.loads((tmp_path / "eval.json").read_text())
    assert result["inputs"] == 5
    assert 0 <= result["macro"]["single_sample_accuracy"] <= 1
    capsys.readouterr()
    assert main(["solve", BOARD, "--checkpoint", run, "--json", "-"]) in (0, 1)
    item = json.loads(capsys.readouterr().out)
    assert sum(answer["votes"] for answer in item["answers"]) == item["samples"] == 2
    assert main(["export", run, "--out", str(tmp_path / "shared")]) == 0
    assert same(weights_of(load_model(run)[2]), weights_of(load_model(tmp_path / "shared")[2]))


def test_a_model_that_answers_at_once_takes_no_further_steps(tmp_path: Path):
    run = trainer("own-perceptron", tmp_path)
    inputs = run.monitor.inputs.inputs
    for options in ({"steps": 2}, {"steps": 1, "halting": True}, {"steps": 1, "random_start": True}):
        with pytest.raises(UserError, match="Perceptron"):
            sample(run.model, inputs, SamplerConfig(samples=2, **options))  # type: ignore[arg-type]
    found = sample(run.model, inputs, SamplerConfig(samples=3, steps=1))
    assert torch.equal(found.answers[:, 0], found.answers[:, 2])
    assert (found.steps == 1).all()


def test_slots_of_a_one_shot_model_leave_at_once(tmp_path: Path):
    run = trainer("own-perceptron", tmp_path)
    for _ in range(3):
        run.train_step()
        assert run.slots.leaving.all()


def test_a_model_without_a_halt_head_cannot_halt_by_it(tmp_path: Path):
    run = trainer("own-recurrent", tmp_path)
    config = SamplerConfig(samples=2, steps=4, halting=True, halt_by="head")
    with pytest.raises(UserError, match="--halt-by: got 'head', expected confidence"):
        sample(run.model, run.monitor.inputs.inputs, config)


def test_each_model_is_short():
    tree = ast.parse(SOURCE.read_text())
    lines = {node.name: node.end_lineno - node.lineno + 1 for node in tree.body if isinstance(node, ast.ClassDef)}  # type: ignore[operator]
    assert lines["RecurrentConfig"] + lines["Recurrent"] < 60
    assert lines["PerceptronConfig"] + lines["Perceptron"] < 60
