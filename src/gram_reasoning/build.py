"""From a recipe to objects, and from a folder to a model: the only place that knows every task and model."""

from pathlib import Path

import torch

from gram_reasoning.config import Recipe, from_json
from gram_reasoning.errors import UserError, check
from gram_reasoning.models.gram import Gram
from gram_reasoning.task_configs import KINDS, TaskConfig
from gram_reasoning.tasks.base import Block, Task
from gram_reasoning.tasks.graph_coloring import GraphColoring
from gram_reasoning.tasks.nqueens import NQueens
from gram_reasoning.tasks.sudoku import Sudoku
from gram_reasoning.tasks.sudoku_generation import SudokuGeneration
from gram_reasoning.training import checkpoint

BUNDLED = Path(__file__).parent / "pretrained"
"""Models that come with the package, one folder each."""


TASKS: dict[str, type[Task]] = {task.name: task for task in (NQueens, GraphColoring, Sudoku, SudokuGeneration)}
"""Every kind of task and its class; the names are the kinds of their configs."""


def register(config: type[TaskConfig], task: type[Task]) -> None:
    """Add a task of your own, so that recipes, checkpoints and commands know it (docs/own-task.md)."""
    if config.kind != task.name:
        raise ValueError(f"{config.__name__}.kind is {config.kind!r}, but {task.__name__}.name is {task.name!r}")
    KINDS[config.kind], TASKS[config.kind] = config, task


def build_task(recipe: Recipe) -> Task:
    """The recipe's task."""
    return TASKS[recipe.task.kind](recipe.task)


def build_model(recipe: Recipe, task: Task) -> Gram:
    """The recipe's model with fresh weights, drawn from the recipe's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.train.seed)
        return Gram(recipe.model, task.length, task.vocab)


def bundled_model(kind: str, lines: Block, where: str) -> Path:
    """The model of the package that fits an input by its lines."""
    check(kind in TASKS, "--task", kind, f"one of {', '.join(TASKS)}")
    name = TASKS[kind].model_name(lines, where)
    known = sorted(folder.name for folder in BUNDLED.glob(f"{kind}*"))
    if name not in known:
        raise UserError(
            f"{where}, line {lines[0][0]}: no model for {name} comes with the package "
            f"(it has {', '.join(known) or 'none'}), expected another input or --checkpoint"
        )
    return BUNDLED / name


def model_folder(folder: Path) -> Path:
    """Where the shareable model is: the folder itself, or the `model` of a run."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder, expected a run or a model written by `gram train`")
    return folder / "model" if (folder / "model").is_dir() else folder


def load_model(folder: Path, device: torch.device | str = "cpu") -> tuple[Recipe, Task, Gram]:
    """A trained model from a run, from a run's model folder, or from a shared one; averaged weights.

    Raises:
        UserError: the folder is missing, or holds something else, or part of it.
    """
    folder = model_folder(folder)
    config = checkpoint.load_json(folder / "config.json")
    if not isinstance(config, dict) or config.get("format") != checkpoint.FORMAT or "recipe" not in config:
        raise UserError(f"{folder / 'config.json'}: not the config of a gram model (format {checkpoint.FORMAT})")
    recipe: Recipe = from_json(Recipe, config["recipe"], str(folder / "config.json"))
    task = build_task(recipe)
    model = build_model(recipe, task)
    weights = checkpoint.load_weights(folder)
    checkpoint.check_tensors(weights, model.state_dict(), folder / "model.safetensors")
    model.load_state_dict(weights)
    return recipe, task, model.to(device).eval()
