"""From a recipe to objects, and from a folder to a model: the only place that knows every task and model."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from gram_reasoning import recipes
from gram_reasoning.config import Recipe, from_json
from gram_reasoning.errors import UserError, check
from gram_reasoning.models.autoregressive import Autoregressive
from gram_reasoning.models.base import Model
from gram_reasoning.models.configs import MODEL_KINDS, ModelConfig
from gram_reasoning.models.d3pm import DiscreteDiffusion
from gram_reasoning.models.direct import OnePass
from gram_reasoning.models.gram import Gram
from gram_reasoning.models.hrm import TwoTimescales
from gram_reasoning.models.looped import LoopedTransformer
from gram_reasoning.models.looped_flow import LoopedFlow
from gram_reasoning.models.mdlm import MaskedDiffusion
from gram_reasoning.models.trm import TinyRecursion
from gram_reasoning.models.vae import Variational
from gram_reasoning.nn.precision import default_float32
from gram_reasoning.storage import checkpoint
from gram_reasoning.storage.hub import BUNDLED, find_model
from gram_reasoning.tasks.arc import Arc
from gram_reasoning.tasks.base import Task, lacks
from gram_reasoning.tasks.configs import KINDS, SizesConfig, TaskConfig
from gram_reasoning.tasks.demonstrations import Demonstrations
from gram_reasoning.tasks.forms import Block
from gram_reasoning.tasks.graph_coloring import GraphColoring
from gram_reasoning.tasks.maze import Maze
from gram_reasoning.tasks.mnist import MNIST
from gram_reasoning.tasks.nqueens import NQueens
from gram_reasoning.tasks.sudoku import Sudoku
from gram_reasoning.tasks.sudoku_generation import SudokuGeneration
from gram_reasoning.tasks.written import Blocks
from gram_reasoning.types import Shape

TASKS: dict[str, type[Task]] = {
    task.name: task for task in (NQueens, GraphColoring, Sudoku, SudokuGeneration, Maze, MNIST, Arc)
}
"""Every kind of task and its class; the names are the kinds of their configs."""
MODELS: dict[str, type[Model]] = {
    "gram": Gram,
    "direct": OnePass,
    "looped": LoopedTransformer,
    "hrm": TwoTimescales,
    "trm": TinyRecursion,
    "looped-flow": LoopedFlow,
    "ar": Autoregressive,
    "mdlm": MaskedDiffusion,
    "d3pm": DiscreteDiffusion,
    "vae": Variational,
}
"""Every kind of model and its class, by the kind of its config."""


def register_task(config: type[TaskConfig], task: type[Task], *own: Recipe) -> None:
    """Add a task of your own and its recipes, so that checkpoints and commands know them (docs/own-task.md)."""
    if config.kind != task.name:
        raise ValueError(f"{config.__name__}.kind is {config.kind!r}, but {task.__name__}.name is {task.name!r}")
    KINDS[config.kind], TASKS[config.kind] = config, task
    for recipe in own:
        recipes.add(recipe)


def register_model(config: type[ModelConfig], model: type[Model], *own: Recipe) -> None:
    """Add a model of your own and its recipes, so that checkpoints and commands know them (examples/own_models.py)."""
    MODEL_KINDS[config.kind], MODELS[config.kind] = config, model
    for recipe in own:
        recipes.add(recipe)


def build_task(recipe: Recipe) -> Task:
    """The recipe's task."""
    return TASKS[recipe.task.kind].of(recipe.task)


def build_model(recipe: Recipe, task: Task) -> Model:
    """The recipe's model with fresh weights, drawn from the recipe's seed."""
    identities = task.identities if isinstance(task, Demonstrations) else 0
    counted = None if task.counted is None else range(task.length)[task.counted]
    shape = Shape(
        length=task.length,
        vocab=task.vocab,
        identities=identities,
        units=task.units,
        names=task.names,
        counted=counted,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.train.seed)
        return MODELS[recipe.model.kind](recipe.model, shape)


def reader(kind: str) -> type[Blocks]:
    """The class of a kind of task that reads text."""
    check(kind in TASKS, "--task", kind, f"one of {', '.join(TASKS)}")
    task = TASKS[kind]
    if not issubclass(task, Blocks):
        raise lacks(task, Blocks, "--task")
    return task


def bundled_model(task: type[Blocks], lines: Block, where: str) -> Path:
    """The model of the package that fits an input by its lines."""
    name = task.model_name(lines, where)
    bundled = sorted(folder.name for folder in BUNDLED.glob(f"{task.name}*"))
    if name not in bundled and task.name in bundled:  # one for several sizes
        return BUNDLED / task.name
    if name not in bundled:
        raise UserError(
            f"{where}, line {lines[0][0]}: no model for {name} comes with the package "
            f"(it has {', '.join(bundled) or 'none'}), expected another input or --checkpoint"
        )
    return BUNDLED / name


def model_folder(name: str | Path) -> Path:
    """The folder with config.json and model.safetensors of a model; of a run, the one inside it."""
    folder = find_model(str(name))
    return folder / "model" if (folder / "model").is_dir() else folder


def weights_for(model: Model, name: str | Path) -> dict[str, torch.Tensor]:
    """The averaged weights of another run or model, for a model of the same shapes.

    Raises:
        UserError: there is none, or its shapes are others.
    """
    folder = model_folder(name)
    load_config(folder)
    weights = checkpoint.load_weights(folder)
    checkpoint.check_tensors(weights, model.state_dict(), folder / "model.safetensors")
    return weights


def load_config(folder: Path) -> dict[str, Any]:
    """The config.json of a model; another file is a UserError."""
    path = folder / "config.json"
    config = checkpoint.load_json(path)
    if not isinstance(config, dict) or config.get("format") != checkpoint.FORMAT or "recipe" not in config:
        raise UserError(f"{path}: not the config of a gram model (format {checkpoint.FORMAT})")
    return config


def _owners(config: dict[str, Any], path: Path) -> tuple[str, ...]:
    """Whose vectors a model has, in the order of its table."""
    owners = config.get("owners", [])
    if not isinstance(owners, list) or not all(isinstance(name, str) for name in owners):
        raise UserError(f"{path}: owners are {str(owners)[:40]!r}, expected a list of names")
    return tuple(owners)


@default_float32()
def load_model(
    name: str | Path, device: torch.device | str = "cpu", size: int | None = None
) -> tuple[Recipe, Task, Model]:
    """A trained model, by a path, the name of one in the package, or `owner/name` on the Hub; averaged weights.

    Args:
        size: what the model must have room for, where it takes several sizes, though it was not trained on it.

    Raises:
        UserError: there is none, or it is something else, or part of it.
    """
    folder = model_folder(name)
    config = load_config(folder)
    recipe: Recipe = from_json(Recipe, config["recipe"], str(folder / "config.json"))
    if size is not None:
        sizes = recipe.task if isinstance(recipe.task, SizesConfig) and recipe.task.smallest is not None else None
        if sizes is None:
            raise UserError(f"--size: got {size}, expected nothing for {name}, a model of one size")
        recipe = replace(recipe, task=sizes.up_to(size))
    task = build_task(recipe)
    owners = _owners(config, folder / "config.json")
    if isinstance(task, Demonstrations):
        task.set_owners(owners)
    elif owners:
        raise lacks(task, Demonstrations, f"{folder / 'config.json'}, owners")
    path = folder / "model.safetensors"
    weights = checkpoint.load_weights(folder)
    with checkpoint.Room(weights, path):
        model = build_model(recipe, task)
    checkpoint.check_tensors(weights, model.state_dict(), path)
    for name, tensor in weights.items():
        check(bool(tensor.isfinite().all()), f"{path}, {name}", "nan or inf", "finite numbers")
    model.load_state_dict(weights)
    return recipe, task, model.to(device).eval()
