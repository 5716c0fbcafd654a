"""The systems that the paper compares GRAM with, as far as they recur or answer at once, and its ablations (Table 3).

Without noise nobody looks at the target: every slot rolls out as it will when it is asked (`prior_share` 1), and learns
the solution that was drawn for it, as in the paper. docs/models.md has the systems, docs/unknowns.md the choices.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gram_reasoning.config import EvalConfig, Recipe
from gram_reasoning.models.configs import DirectConfig, HrmConfig, LoopedConfig, ModelConfig, TrmConfig
from gram_reasoning.recipes.nqueens import nqueens7_pocket, nqueens8
from gram_reasoning.recipes.sudoku import sudoku9, sudoku_extreme

SMALL: dict[str, Any] = {
    "hidden_size": 64,
    "num_heads": 4,
    "mlp_size": 64,
    "mixer_size": 128,
    "token_mixer": "mlp",
    "positions": "learned",
    "prefix_tokens": 15,
}
"""The sizes of GRAM's pocket recipes."""
POCKET: dict[str, ModelConfig] = {
    "direct": DirectConfig(**SMALL, num_layers=8),
    "looped": LoopedConfig(**SMALL, loops=8),
    "hrm": HrmConfig(**SMALL, num_layers=2, supervision_steps=6),
    "trm": TrmConfig(**SMALL, low_steps=2, transitions=2, supervision_steps=6),
}
MIXED: dict[str, Any] = {"token_mixer": "mlp"}
"""TRM's variant for boards of fixed size; GRAM's own on Sudoku."""
PAPER: dict[str, ModelConfig] = {
    "direct8": DirectConfig(),
    "direct32": DirectConfig(num_layers=32),
    "looped": LoopedConfig(),
    "hrm": HrmConfig(),
    "trm": TrmConfig(low_steps=4),
}
"""Sizes by the paper's parameter counts: 27M, 100M, 7M, 27M, 7M."""
ABLATIONS: dict[str, dict[str, Any]] = {
    "flat": {"core": "flat"},
}


def rival(base: Recipe, name: str, model: ModelConfig, summary: str, **train: Any) -> Recipe:
    """Another model on the task of a recipe, trained by rollouts that do not see the target."""
    return replace(
        base,
        name=name,
        summary=summary,
        model=model,
        train=replace(base.train, prior_share=1.0, prior_target="drawn", eval_samples=1, **train),
        evaluation=EvalConfig(samples=1),
    )


RECIPES: list[Callable[[], Recipe]] = [
    lambda name=name: rival(nqueens7_pocket(), f"nqueens7-{name}-pocket", POCKET[name], "7x7") for name in POCKET
]
