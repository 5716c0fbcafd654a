"""What the page offers: the models in the package's folder, whichever they are, and others that are asked for."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from threading import Lock

from gram_reasoning.api import Solver, load
from gram_reasoning.build import TASKS, load_config, model_folder
from gram_reasoning.config import Recipe, from_json
from gram_reasoning.errors import UserError
from gram_reasoning.models.base import RecursiveModel
from gram_reasoning.storage import hub
from gram_reasoning.tasks.configs import SizesConfig, TaskConfig
from gram_reasoning.tasks.generation import Generation
from gram_reasoning.tasks.text import Text

TITLES = {
    "nqueens": "N-Queens",
    "coloring": "Graph colouring",
    "sudoku": "Sudoku",
    "maze": "Mazes",
    "sudoku-generation": "Sudoku boards",
    "mnist": "Digits",
}
"""The names of kinds of tasks; another goes by its own."""


@dataclass(frozen=True)
class Choice:
    """A model, as the page names it."""

    name: str
    """Its folder's name."""
    folder: Path
    label: str
    sizes: range
    """Sides of a board, or numbers of vertices; empty for a task without a size."""
    generates: bool


def choices() -> list[Choice]:
    """The models of the package that solve or generate, by label."""
    folders = hub.bundled()
    found = [choice for folder in folders if (choice := _choice(folder, folder.name))]
    return sorted(found, key=lambda choice: (choice.label, choice.sizes.start))


def own(checkpoints: Iterable[str]) -> list[Choice]:
    """Runs and models by their folders, each labelled with its folder's name.

    Raises:
        UserError: there is no such model, it cannot be loaded, it does not go by trajectories to answers that the page
            can show, or it is offered already.
    """
    found: list[Choice] = []
    taken = {choice.name: choice.folder.resolve() for choice in choices()}
    for given in checkpoints:
        folder = model_folder(given)
        place = folder.resolve()
        name = place.parent.name if place.name == "model" else place.name
        name = given if name in taken else name
        if place in taken.values():
            raise UserError(f"--checkpoint {given}: offered already, expected another folder")
        loaded, choice = solver(folder), _choice(folder, name)
        if choice is None:
            raise UserError(
                f"--checkpoint {given}: a model of {loaded.task.name}, expected one that solves or generates"
            )
        if not isinstance(loaded.model, RecursiveModel):
            kind = type(loaded.model).__name__
            raise UserError(f"--checkpoint {given}: {kind} has no latent state, expected a recursive model")
        found.append(replace(choice, label=f"{choice.label} ({name})"))
        taken[name] = place
    return found


def _choice(folder: Path, name: str) -> Choice | None:
    """The model in a folder; None if its task neither solves nor generates."""
    task = from_json(Recipe, load_config(folder)["recipe"], str(folder / "config.json")).task
    kind = TASKS[task.kind]
    if not issubclass(kind, Text | Generation):
        return None
    sizes = _sizes(task)
    return Choice(
        name, folder, _label(TITLES.get(kind.name, kind.name), task, sizes), sizes, issubclass(kind, Generation)
    )


def _sizes(task: TaskConfig) -> range:
    if isinstance(task, SizesConfig):
        return task.sizes
    size = getattr(task, "size", None)
    return range(0) if size is None else range(size, size + 1)


def _label(title: str, task: TaskConfig, sizes: range) -> str:
    if not sizes:
        return title
    ends = list(dict.fromkeys((sizes[0], sizes[-1])))
    if hasattr(task, "vertices"):
        return f"{title}, {' to '.join(map(str, ends))} vertices"
    return f"{title}, {' to '.join(f'{size}x{size}' for size in ends)}"


_lock = Lock()


def solver(folder: Path) -> Solver:
    """The model in a folder, loaded once for all visitors."""
    with _lock:
        return _loaded(folder)


@cache
def _loaded(folder: Path) -> Solver:
    return load(folder)
