"""Mazes: Maze-Hard at the size of the other paper-size runs, and pocket runs for two CPU cores."""

from dataclasses import replace

from gram_reasoning.config import EvalConfig, Recipe, TrainConfig
from gram_reasoning.models.configs import GramConfig
from gram_reasoning.recipes.nqueens import POCKET_MODEL, nqueens7_pocket
from gram_reasoning.recipes.variants import rolled_out, small_portions, twin
from gram_reasoning.tasks.configs import MazeConfig


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
        summary="10x10 mazes with up to 8 shortest paths, from our generator: eight minutes on one CPU core.",
        task=MazeConfig(size=10, train="generated", test="generated", train_puzzles=20_000, test_puzzles=1000),
        model=replace(POCKET_MODEL, token_mixer="grid", prefix_tokens=4, **small_portions(0.5)),
        # Untaught, a trajectory between two paths stays there and marks half of each.
        train=replace(base.train, steps=2000, eval_every=500, prior_target="nearest", prior_share=0.5),
        evaluation=EvalConfig(steps=24),
    )


def maze10_twin() -> Recipe:
    """The deterministic twin of maze10."""
    return twin(maze10())


def maze10_wishes() -> Recipe:
    """The same mazes: every slot rolls out, and learns the path that its wishes favour."""
    base = replace(
        maze10(),
        name="maze10-wishes",
        summary="10x10 mazes by trajectories that wish for squares: minutes on one CPU core.",
    )
    return rolled_out(base, steps=2500, wishes=True, token_mixer="grid")


def maze_sizes() -> Recipe:
    """The model that `gram solve` uses: mazes of 6x6 to 15x15."""
    base = replace(
        maze10(),
        name="maze-sizes",
        summary="Mazes of 6x6 to 15x15 in one model that `gram solve` uses: minutes on one CPU core.",
        task=MazeConfig(
            size=15,
            smallest=6,
            train="generated",
            test="generated",
            train_puzzles=10_000,
            test_puzzles=200,
            validation_puzzles=50,
            min_path=4,
            split_seed=1,  # other mazes than those that maze10 holds out
        ),
    )
    return rolled_out(base, steps=2500, token_mixer="grid")


RECIPES = (maze_hard, maze10, maze10_twin, maze10_wishes, maze_sizes)
