"""The recipes of the rivals and the ablations: every debug version runs, and the commands know each kind of model."""

import json
from dataclasses import fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from gram_reasoning.build import load_model
from gram_reasoning.cli import main
from gram_reasoning.errors import UserError
from gram_reasoning.inference.sampler import SamplerConfig, sample
from gram_reasoning.recipes import get_recipe
from gram_reasoning.recipes.rivals import ABLATIONS, RECIPES
from helpers import few_steps, make_trainer, same, weights_of

BOARD = "......./......./....Q../......./......./......./......."
NAMES = [build().name for build in RECIPES]
FEW = {"nqueens8-once", "nqueens8-flat-once-none", "nqueens8-trm-start", "sudoku9-hrm"}
LATER = pytest.mark.slow


@pytest.mark.parametrize("name", [name if name in FEW else pytest.param(name, marks=LATER) for name in NAMES])
def test_the_debug_version_of_every_recipe_learns_and_answers(name: str, tmp_path: Path):
    run, _, still = few_steps(name, tmp_path)
    assert not {part for part in still if part.endswith("out.weight") and "target" not in part and "core" in part}
    config = SamplerConfig.filled(run.recipe.evaluation, run.model, samples=2, steps=None)
    assert config.draw_tokens == name.endswith("-decoder")
    assert sample(run.model, run.monitor.inputs.inputs, config).answers.shape[1] == 2


CHANGED: dict[str, Any] = {
    "hidden_size": 16, "num_heads": 4, "mlp_size": 48, "mixer_size": 24, "num_layers": 2, "prefix_tokens": 3,
    "token_mixer": "mlp", "positions": "rope", "qk_norm": True, "layout": "patches", "patch_channels": 16,
    "cross_entropy": "stablemax", "loops": 3, "low_steps": 2, "transitions": 3, "supervision_steps": 3,
    "halt_weight": 2.0, "start": "drawn", "block_start": 0.1,
}  # fmt: skip
BESIDE: dict[str, dict[str, Any]] = {"mixer_size": {"token_mixer": "mlp"}, "patch_channels": {"layout": "patches"}}
KINDS = {name: get_recipe(f"nqueens7-{name}-pocket-debug") for name in ("direct", "looped", "hrm", "trm")}
FIELDS = [(name, field.name) for name, recipe in KINDS.items() for field in fields(recipe.model)]  # type: ignore[arg-type]


@lru_cache
def trained(name: str, changes: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
    """The weights after four steps, with those changes of the model."""
    model: Any = replace(KINDS[name].model, token_mixer="attention")  # type: ignore[call-arg]
    recipe = replace(KINDS[name], model=replace(model, **dict(changes)))
    run = make_trainer(recipe, Path("unused"))
    for _ in range(4):
        run.train_step()
    return {part: tensor.tolist() for part, tensor in run.model.state_dict().items()}


@pytest.mark.parametrize(("name", "field"), FIELDS, ids=str)
def test_every_field_of_a_rival_is_reached(name: str, field: str):
    beside = tuple(BESIDE.get(field, {}).items())
    assert trained(name, beside) != trained(name, (*beside, (field, CHANGED[field])))


def test_an_ablation_differs_from_its_base_in_what_it_says():
    base = get_recipe("nqueens8")
    for name, (_, changes) in ABLATIONS.items():
        assert get_recipe(f"nqueens8-{name}").model == replace(base.model, **changes)
    grid = [("flat", "once"), ("none", "flat-none", "once-none", "flat-once-none")]
    assert {name for row in grid for name in row} <= ABLATIONS.keys()


@pytest.mark.parametrize(
    "name", ["direct", "trm", *(pytest.param(name, marks=LATER) for name in ("looped", "hrm", "looped-flow"))]
)
def test_the_commands_know_it(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = str(tmp_path / "run")
    assert main(["train", f"nqueens7-{name}-pocket-debug", "--out", run, "--device", "cpu"]) == 0
    judged = ["eval", run, "--limit", "5", "--json", str(tmp_path / "eval.json")]
    assert main(judged) == 0
    result = json.loads((tmp_path / "eval.json").read_text())
    assert 0 <= result["macro"]["single_sample_accuracy"] <= 1
    capsys.readouterr()
    assert main(["solve", BOARD, "--checkpoint", run, "--samples", "2", "--json", "-"]) in (0, 1)
    item = json.loads(capsys.readouterr().out)
    assert sum(answer["votes"] for answer in item["answers"]) == item["samples"] == 2
    assert main(["export", run, "--out", str(tmp_path / "shared")]) == 0
    assert same(weights_of(load_model(run)[2]), weights_of(load_model(tmp_path / "shared")[2]))
    shared = ["eval", str(tmp_path / "shared"), "--limit", "5", "--json", str(tmp_path / "eval.json")]
    assert main(shared) == 0
    again = json.loads((tmp_path / "eval.json").read_text())
    assert again["macro"] == result["macro"]

    ptrm = [*judged, "--samples", "3", "--latent-noise", "0.3", "--select", "halt"]
    can = name in ("trm", "hrm", "looped-flow")
    assert main(ptrm) == (0 if can else 2)
    if can:
        assert json.loads((tmp_path / "eval.json").read_text())["select"] == "halt"
    else:
        assert "--select: got 'halt', expected another rule" in capsys.readouterr().err


def test_a_rival_has_its_own_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    command = ["train", "nqueens7-trm-pocket-debug", "--out", str(tmp_path / "run")]
    assert main([*command, "--model.beta", "1"]) == 2
    assert "--model.beta" in capsys.readouterr().err
    assert main([*command, "--model.low-steps", "0"]) == 2
    assert "model.low_steps: got 0, expected 1 to 10000" in capsys.readouterr().err


def test_its_config_is_told_by_kind_and_refuses_others_fields(tmp_path: Path):
    run = tmp_path / "run"
    assert main(["train", "nqueens7-trm-pocket-debug", "--out", str(run), "--train.steps", "1", "--device", "cpu"]) == 0
    path = run / "model" / "config.json"
    config = json.loads(path.read_text())
    assert config["recipe"]["model"]["kind"] == "trm"
    config["recipe"]["model"]["kl_budget"] = 1.0
    path.write_text(json.dumps(config))
    with pytest.raises(UserError, match="unknown field 'kl_budget'"):
        load_model(run)
