"""Sudoku, solving and generating: the paper's runs, and pocket runs for two CPU cores."""

from dataclasses import replace

from gram_reasoning.config import EvalConfig, Recipe, TrainConfig
from gram_reasoning.models.configs import GramConfig
from gram_reasoning.recipes.nqueens import POCKET_MODEL, nqueens7_pocket
from gram_reasoning.recipes.variants import rolled_out, small_portions, twin
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


def sudoku_extreme_units() -> Recipe:
    """Sudoku-Extreme on a CPU core: a state for each cell and digit, alike for all digits, and the board's units.

    The noise is small and not learnt, and every slot rolls out as it will be judged: where an input has one solution
    there is nothing to choose. Puzzles come with up to four blanks filled in, so that some are always just in reach.
    It wants to begin (`--init`) from a run on easier puzzles: docs/log.md has the road.
    """
    base = sudoku9()
    return replace(
        base,
        name="sudoku-extreme-units",
        summary="Sudoku-Extreme, a state for each cell and digit, which `gram solve` uses: two hours on one CPU core.",
        task=SudokuConfig(reveal=4),
        model=GramConfig(
            hidden_size=32,
            num_heads=2,
            mlp_size=64,
            mixer_size=64,
            transitions=1,
            supervision_steps=32,
            token_mixer="units",
            layout="symbols",
            prefix_tokens=1,
            block_start=0.1,
            guidance="noise",
            sigma_start=0.2,
        ),
        train=replace(
            base.train,
            batch_size=32,
            prior_share=1.0,
            prior_target="drawn",
            lr=1e-3,
            warmup_steps=100,
            weight_decay=0.1,
            steps=22_000,
            ema=0.998,
            eval_every=1000,
            eval_inputs=100,
            eval_samples=1,
            checkpoint_every=200,
        ),
        evaluation=EvalConfig(samples=8, steps=32, latent_noise=0.3),  # the hardest want --halting and more of both
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


def sudoku4_units() -> Recipe:
    """The model that `gram solve` uses for 4x4: a state for each cell and digit, mixed over rows, columns and boxes."""
    base = replace(
        sudoku4(),
        name="sudoku4-units",
        summary="4x4 Sudoku, a state for each cell and digit, which `gram solve` uses: a minute on one CPU core.",
    )
    return rolled_out(base, steps=1000, hidden_size=32, layout="symbols")


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


def sudoku4_boards_bundled() -> Recipe:
    """The model that `gram generate` uses."""
    base = sudoku4_boards()
    return replace(
        base,
        name="sudoku4-boards-bundled",
        summary="Full 4x4 boards from nothing, the model that `gram generate` uses: four minutes on one CPU core.",
        train=replace(base.train, steps=1500),
    )


RECIPES = (
    sudoku_extreme,
    sudoku_extreme_units,
    sudoku9,
    sudoku9_twin,
    sudoku4,
    sudoku4_units,
    sudoku4_twin,
    sudoku9_boards,
    sudoku4_boards,
    sudoku4_boards_bundled,
)
