"""Sudoku, solving and generating: the paper's runs, and pocket runs for two CPU cores."""

from dataclasses import replace

from gram_reasoning.config import EvalConfig, Recipe, TrainConfig
from gram_reasoning.models.configs import GramConfig
from gram_reasoning.recipes.nqueens import POCKET_MODEL, nqueens7_pocket
from gram_reasoning.recipes.variants import small_portions, twin
from gram_reasoning.tasks.configs import SudokuConfig, SudokuGenerationConfig


def sudoku_extreme() -> Recipe:
    """Sudoku-Extreme at the paper's size: 1000 training puzzles and their symmetries."""
    return Recipe(
        name="sudoku-extreme",
        summary="Sudoku-Extreme, 1000 puzzles, the paper's size. Projected: 36 H200-minutes; not yet run here.",
        task=SudokuConfig(),
        model=GramConfig(low_steps=6, token_mixer="mlp"),
        train=TrainConfig(steps=65_000),
    )


def sudoku9() -> Recipe:
    """9x9 puzzles of our own with up to 20 blanks, on two CPU cores."""
    base = nqueens7_pocket()
    return replace(
        base,
        name="sudoku9",
        summary="9x9 Sudoku with at most 20 blanks, from our generator: minutes on two CPU cores.",
        task=SudokuConfig(train="generated", test="generated", train_puzzles=20_000, test_puzzles=1000, max_blanks=20),
        model=replace(POCKET_MODEL, prefix_tokens=15),  # 15 + 81 = 96 tokens
    )


def sudoku4() -> Recipe:
    """4x4 puzzles. No augmentation: a symmetry of a training puzzle would often be a test puzzle."""
    base = nqueens7_pocket()
    return replace(
        base,
        name="sudoku4",
        summary="4x4 Sudoku with at most 10 blanks, from our generator: minutes on two CPU cores.",
        task=SudokuConfig(
            size=4, train="generated", test="generated", train_puzzles=5000, test_puzzles=500, augment=False
        ),
        model=replace(POCKET_MODEL, prefix_tokens=16),  # 16 + 16 = 32 tokens
    )


def sudoku9_twin() -> Recipe:
    """The deterministic twin of sudoku9."""
    return twin(sudoku9())


def sudoku4_twin() -> Recipe:
    """The deterministic twin of sudoku4."""
    return twin(sudoku4())


def sudoku9_boards() -> Recipe:
    """Full 9x9 boards from nothing at the paper's size: 50,000 boards, 200 epochs, EMA 0.999."""
    return Recipe(
        name="sudoku9-boards",
        summary="Full 9x9 boards from nothing, the paper's size. Projected: 7.2 H200-minutes; not yet run here.",
        task=SudokuGenerationConfig(),
        # As in sudoku4-boards, little at a time: 2 nats in each of 48 transitions, where ln n = 50.
        model=GramConfig(low_steps=6, token_mixer="mlp", kl_budget_first=2.0, kl_budget_open=0.0, kl_budget=2.0),
        train=TrainConfig(steps=13_000, ema=0.999, eval_inputs=1, eval_samples=256),
        evaluation=EvalConfig(samples=1000),
    )


def sudoku4_boards() -> Recipe:
    """Full 4x4 boards from nothing: there are 288, so uniformity can be tested."""
    base = nqueens7_pocket()
    return replace(
        base,
        name="sudoku4-boards",
        summary="Full 4x4 boards from nothing: five minutes on one CPU core.",
        task=SudokuGenerationConfig(size=4),
        model=replace(POCKET_MODEL, prefix_tokens=16, **small_portions(1.0)),
        train=replace(base.train, steps=2000, eval_every=500, eval_inputs=1, eval_samples=288),
        evaluation=EvalConfig(samples=2880, steps=64),
    )


RECIPES = (sudoku_extreme, sudoku9, sudoku9_twin, sudoku4, sudoku4_twin, sudoku9_boards, sudoku4_boards)
