"""What the page offers: the models in the package's folder, whichever they are."""

from dataclasses import dataclass
from functools import lru_cache
from threading import Lock

from gram_reasoning.api import Solver, load
from gram_reasoning.build import TASKS, load_config
from gram_reasoning.config import Recipe, from_json
from gram_reasoning.storage.hub import BUNDLED
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
    """A model of the package, as the page names it."""

    name: str
    """Its folder."""
    label: str
    sizes: range
    """Sides of a board, or numbers of vertices; empty for a task without a size."""
    generates: bool


def choices() -> list[Choice]:
    """The models of the package that solve or generate, by label."""
    found = []
    for folder in BUNDLED.iterdir():
        if not (folder / "config.json").is_file():
            continue
        task = from_json(Recipe, load_config(folder)["recipe"], str(folder / "config.json")).task
        kind = TASKS[task.kind]
        if issubclass(kind, Text | Generation):
            sizes = _sizes(task)
            label = _label(TITLES.get(kind.name, kind.name), task, sizes)
            found.append(Choice(folder.name, label, sizes, issubclass(kind, Generation)))
    return sorted(found, key=lambda choice: (choice.label, choice.sizes.start))


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


def solver(name: str) -> Solver:
    """The model, loaded once for all visitors."""
    with _lock:
        return _loaded(name)


@lru_cache
def _loaded(name: str) -> Solver:
    return load(BUNDLED / name)
