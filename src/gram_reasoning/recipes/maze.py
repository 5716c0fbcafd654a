"""Mazes: Maze-Hard at the size of the other paper-size runs, and pocket runs for two CPU cores."""

from dataclasses import replace

from gram_reasoning.config import GramConfig, Recipe, TrainConfig
from gram_reasoning.recipes.nqueens import POCKET_MODEL, nqueens7_pocket
from gram_reasoning.recipes.variants import twin
from gram_reasoning.task_configs import MazeConfig


def maze_hard() -> Recipe:
    """Maze-Hard, 30x30: TRM's fourth task, which the paper does not run; its steps are those of Sudoku-Extreme."""
    return Recipe(
        name="maze-hard",
        summary="Maze-Hard, 30x30, 900 mazes, 10M parameters. Projected: 641 H200-minutes; not yet run here.",
        task=MazeConfig(),
        model=GramConfig(kl_budget_first=10.0),  # every maze has many paths, of which one is known
        train=TrainConfig(steps=65_000),
    )


def maze10() -> Recipe:
    """10x10 mazes of our own, on two CPU cores."""
    base = nqueens7_pocket()
    return replace(
        base,
        name="maze10",
        summary="10x10 mazes with up to 8 shortest paths, from our generator: minutes on two CPU cores.",
        task=MazeConfig(size=10, train="generated", test="generated", train_puzzles=20_000, test_puzzles=1000),
        model=replace(POCKET_MODEL, prefix_tokens=28),  # 28 + 100 = 128 tokens
    )


def maze10_twin() -> Recipe:
    """The deterministic twin of maze10."""
    return twin(maze10())


RECIPES = (maze_hard, maze10, maze10_twin)
