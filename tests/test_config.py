"""Configs as JSON: what is written is read back, and what is wrong is named."""

import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gram_reasoning.config import EvalConfig, Recipe, TrainConfig, from_json, to_json
from gram_reasoning.errors import UserError
from gram_reasoning.models.configs import GramConfig
from gram_reasoning.recipes import RECIPES, get_recipe
from gram_reasoning.tasks.configs import NQueensConfig

BASE = get_recipe("nqueens7-pocket-debug")
RECIPE_JSON = to_json(BASE)


def changed(path: str, value: Any) -> dict[str, Any]:
    """The recipe as JSON, with the field at a dotted path replaced."""
    values = json.loads(json.dumps(RECIPE_JSON))
    *parts, name = path.split(".")
    inner = values
    for part in parts:
        inner = inner[part]
    inner[name] = value
    return values


def refused(path: str, value: Any) -> str:
    with pytest.raises(UserError) as error:
        from_json(Recipe, changed(path, value))
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_survive_json(name: str):
    recipe = RECIPES[name]
    assert recipe.name == name
    assert from_json(Recipe, json.loads(json.dumps(to_json(recipe)))) == recipe


models = st.builds(
    GramConfig,
    hidden_size=st.integers(1, 8).map(lambda n: 16 * n),
    num_heads=st.sampled_from([1, 2, 4, 8]),
    core=st.sampled_from(["hierarchical", "flat"]),
    guidance=st.sampled_from(["gaussian", "noise", "mean", "none"]),
    qk_norm=st.booleans(),
    beta=st.floats(0, 1e6),
    beta_final=st.none() | st.floats(1e-6, 100),
    kl_balance=st.floats(0, 1),
    sigma_start=st.floats(0.01, 9),
)
trains = st.builds(
    TrainConfig,
    batch_size=st.integers(1, 10**6),
    steps=st.integers(0, 10**9),
    seed=st.integers(0, 2**31 - 1),
    prior_share=st.floats(0, 1),
    lr=st.floats(1e-9, 10),
    precision=st.sampled_from(["fp32", "bf16"]),
    tensorboard=st.booleans(),
)
tasks = st.builds(NQueensConfig, size=st.integers(4, 12), test_share=st.floats(0.05, 0.5))


@given(models, trains, tasks, st.none() | st.integers(1, 99))
def test_round_trip(model: GramConfig, train: TrainConfig, task: NQueensConfig, steps: int | None):
    recipe = replace(BASE, model=model, train=train, task=task, evaluation=EvalConfig(samples=3, steps=steps))
    assert from_json(Recipe, json.loads(json.dumps(to_json(recipe)))) == recipe


def test_a_whole_number_is_a_float_too():
    recipe = from_json(Recipe, changed("model.beta", 2))
    assert type(recipe.model.beta) is float
    assert recipe.model.beta == 2.0


@pytest.mark.parametrize("path", ["colour", "model.hiden_size", "train.epochs", "task.n", "evaluation.k"])
def test_unknown_field(path: str):
    message = refused(path, 1)
    parent, _, name = f"config.{path}".rpartition(".")
    assert message.startswith(f"{parent}: unknown field {name!r}")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("name", 3),
        ("model", []),
        ("model", None),
        ("train", "fast"),
        ("task.size", "8"),
        ("task.size", 8.0),
        ("task.min_removed", "none"),
        ("model.hidden_size", True),
        ("model.qk_norm", 1),
        ("model.beta", "4.5"),
        ("model.beta", None),
        ("train.lr", [1e-4]),
        ("train.steps", None),
        ("model.beta_final", {}),
        ("evaluation.steps", "all"),
    ],
)
def test_wrong_type(path: str, value: Any):
    message = refused(path, value)
    assert message.startswith(f"config.{path}: ")
    assert "expected" in message


@pytest.mark.parametrize("value", ["hierarchic", "", None, 1, ["flat"]])
def test_bad_literal(value: Any):
    assert refused("model.core", value) == f"config.model.core: got {value!r}, expected one of hierarchical, flat"


OUT_OF_RANGE: dict[str, list[Any]] = {
    "task.size": [3, 13, -1],
    "task.min_removed": [0, 8],
    "task.test_share": [0.0, 1.0, -0.1],
    "task.validation_share": [0.0, 0.95],
    "model.hidden_size": [0, -8],
    "model.num_heads": [0, 5, 32],
    "model.mlp_size": [0],
    "model.mixer_size": [0],
    "model.num_layers": [0],
    "model.prefix_tokens": [0],
    "model.low_steps": [0],
    "model.transitions": [0],
    "model.supervision_steps": [0],
    "model.beta": [-0.1],
    "model.beta_hold": [-0.1, 1.1],
    "model.kl_balance": [-0.1, 1.1],
    "model.kl_budget_first": [0.0, -1.0],
    "model.kl_budget_open": [-0.1],
    "model.kl_budget": [0.0, -1.0],
    "model.mean_bound": [0.0, -1.0],
    "model.sigma_learned": [True],
    "model.sigma_start": [1e-4, 0.0, -1.0, 10.0, 11.0],
    "train.batch_size": [0],
    "train.accumulation": [0],
    "train.trajectories_per_input": [0],
    "train.candidates": [0],
    "train.steps": [-1],
    "train.warmup_steps": [-1],
    "train.prior_share": [-0.1, 1.1],
    "train.halt_exploration": [-0.1, 1.1],
    "train.lr": [0.0, -1.0, float("nan")],
    "train.muon_lr": [0.0],
    "train.clip": [0.0],
    "train.weight_decay": [-0.1],
    "train.beta1": [-0.1, 1.0],
    "train.beta2": [-0.1, 1.0],
    "model.beta_final": [-1.0, 0.0],
    "train.ema": [-0.1, 1.0],
    "train.log_every": [0],
    "train.eval_every": [0],
    "train.eval_inputs": [0],
    "train.eval_samples": [0],
    "train.checkpoint_every": [0],
    "evaluation.samples": [0],
    "evaluation.steps": [0],
}


@pytest.mark.parametrize(
    ("path", "value"), [(path, value) for path, values in OUT_OF_RANGE.items() for value in values]
)
def test_out_of_range(path: str, value: Any):
    message = refused(path, value)
    assert path in message
    assert "expected" in message


@pytest.mark.parametrize("bounds", [{"sigma_min": 2.0}, {"sigma_max": 0.5}, {"sigma_min": 0.0}])
def test_sigma_bounds_are_ordered(bounds: dict[str, Any]):
    with pytest.raises(UserError, match=r"model\.sigma_start: .*expected 0 < sigma_min < sigma_start < sigma_max"):
        GramConfig(**bounds)


def test_parts_must_divide_the_batch():
    with pytest.raises(UserError, match=r"train\.batch_size: got 12, expected a multiple of .* = 8"):
        TrainConfig(batch_size=12, accumulation=2, trajectories_per_input=4)


@pytest.mark.parametrize("name", ["name", "summary", "task", "model", "train"])
def test_missing_field(name: str):
    values = {key: value for key, value in RECIPE_JSON.items() if key != name}
    with pytest.raises(UserError, match=f"config: field {name!r} is missing"):
        from_json(Recipe, values)


def test_missing_defaults_are_filled_in():
    values = changed("model", {})
    del values["evaluation"]
    assert from_json(Recipe, values) == replace(BASE, model=GramConfig(), evaluation=EvalConfig())


@pytest.mark.parametrize("value", [None, [], "recipe", 3])
def test_no_object(value: Any):
    with pytest.raises(UserError, match=r"run\.json: got .*, expected an object"):
        from_json(Recipe, value, "run.json")


@pytest.mark.parametrize("cls", [NQueensConfig, GramConfig, TrainConfig, EvalConfig, Recipe])
def test_configs_are_frozen(cls: type):
    value = BASE if cls is Recipe else cls()
    name = fields(value)[0].name  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        setattr(value, name, getattr(value, name))


def test_unknown_recipe():
    with pytest.raises(UserError, match="unknown recipe 'nqueens9', expected"):
        get_recipe("nqueens9")


def test_the_first_release_wrote_other_names():
    """A model without a kind is GRAM; the weight's schedule was the trainer's; guided slots had another name."""
    values = json.loads(json.dumps(to_json(replace(BASE, model=replace(BASE.model, beta_final=0.5, beta_hold=0.25)))))
    del values["model"]["kind"]
    for name in ("beta_final", "beta_hold"):
        values["train"][name] = values["model"].pop(name)
    values["train"]["posterior_stay"] = values["train"].pop("guided_stay").replace("full", "drawn")
    recipe = from_json(Recipe, values)
    assert isinstance(recipe.model, GramConfig)
    assert (recipe.model.beta_final, recipe.model.beta_hold) == (0.5, 0.25)
    assert recipe.train.guided_stay == "drawn"


@pytest.mark.parametrize(("part", "kind"), [("model", "lstm"), ("task", "chess"), ("model", 3)])
def test_unknown_kind(part: str, kind: Any):
    assert refused(f"{part}.kind", kind).startswith(f"config.{part}: kind {kind!r}, expected one of ")
