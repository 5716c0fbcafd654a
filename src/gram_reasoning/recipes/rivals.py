"""The systems that the paper compares GRAM with, as far as they recur or answer at once, and its ablations (Table 3).

Without noise nobody looks at the target: every slot rolls out as it will when it is asked (`prior_share` 1), and learns
the solution that was drawn for it, as in the paper. docs/models.md has the systems, docs/unknowns.md the choices.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gram_reasoning.config import EvalConfig, Recipe
from gram_reasoning.models.configs import (
    DirectConfig,
    HrmConfig,
    LoopedConfig,
    LoopedFlowConfig,
    ModelConfig,
    TrmConfig,
)
from gram_reasoning.recipes.graph_coloring import coloring6
from gram_reasoning.recipes.nqueens import nqueens7_pocket, nqueens8
from gram_reasoning.recipes.sudoku import sudoku4, sudoku9, sudoku_extreme


def rival(base: Recipe, name: str, summary: str, model: ModelConfig, samples: int = 1, **train: Any) -> Recipe:
    """Another model on the task of a recipe, trained by rollouts that do not see the target.

    Args:
        samples: for each input; of a model without noise all are the same.
    """
    train = {
        "prior_share": 1.0,
        "prior_target": "drawn",
        "eval_samples": min(samples, base.train.eval_samples),
        **train,
    }
    evaluation = replace(base.evaluation, samples=samples)
    settings = {"model": model, "train": replace(base.train, **train), "evaluation": evaluation}
    return replace(base, name=name, summary=summary, **settings)


# -- pocket ------------------------------------------------------------------------------------------------------------

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
POCKET: dict[str, tuple[str, ModelConfig, dict[str, Any]]] = {
    "direct": ("Direct, 8 layers", DirectConfig(**SMALL, num_layers=8), {"steps": 600}),
    "looped": ("Looped TF, 6 loops", LoopedConfig(**SMALL, loops=6), {"steps": 1000}),
    "hrm": ("HRM", HrmConfig(**SMALL, num_layers=2, supervision_steps=6), {"steps": 700}),
    "trm": ("TRM", TrmConfig(**SMALL, low_steps=2, transitions=2, supervision_steps=6), {"steps": 800}),
}


FLOW = LoopedFlowConfig(
    **SMALL, low_steps=2, transitions=2, supervision_steps=6, sampling_steps=24, cross_entropy="softmax"
)
"""Looped Flows of that size."""


def pocket(base: Recipe, called: str, board: str, name: str) -> Recipe:
    what, model, train = POCKET[name]
    return rival(base, called, f"{board} by {what}: minutes on one CPU core.", model, **train)


def flow_pocket(base: Recipe, name: str, told: str, prefix: int = 15, **train: Any) -> Recipe:
    """Looped Flows in that size."""
    summary = f"{told} by Looped Flows: minutes on one CPU core."
    settings = {"steps": 800, "eval_every": 400, "eval_samples": 4, **train}
    model, evaluation = replace(FLOW, prefix_tokens=prefix), EvalConfig(samples=base.evaluation.samples)
    return replace(rival(base, name, summary, model, evaluation.samples, **settings), evaluation=evaluation)


def flow_pockets() -> tuple[Recipe, ...]:
    """On boards with several solutions, on graphs, and on puzzles with one."""
    return (
        flow_pocket(nqueens7_pocket(), "nqueens7-looped-flow-pocket", "7x7"),
        flow_pocket(coloring6(), "coloring6-looped-flow-pocket", "3-colouring, 6 vertices,", 17),
        flow_pocket(sudoku4(), "sudoku4-looped-flow-pocket", "4x4 Sudoku", 16),
    )


# -- the paper's size --------------------------------------------------------------------------------------------------

PAPER: dict[str, tuple[str, ModelConfig]] = {
    "direct8": ("Direct, 8 layers (27M)", DirectConfig()),
    "direct32": ("Direct, 32 layers (109M; the paper: 100M)", DirectConfig(num_layers=32)),
    "looped": ("Looped TF (7M), 16 loops", LoopedConfig()),
    "hrm": ("HRM (27M)", HrmConfig()),
    "trm": ("TRM (7M)", TrmConfig(low_steps=4)),
}
ON_SUDOKU: dict[str, tuple[str, ModelConfig]] = {
    "direct": PAPER["direct8"],
    "looped": PAPER["looped"],
    "hrm": PAPER["hrm"],
    "trm": ("TRM (7M)", TrmConfig()),
    "trm-mlp": ("TRM with a SwiGLU over the sequence (5M)", TrmConfig(token_mixer="mlp-released")),
}
"""Those of Table 1, and the variant of TRM that its authors take for Sudoku."""

ONCE: dict[str, Any] = {
    "supervision_steps": 1,
    "transitions": 8,
    "low_steps": 1,
    "gradient_transitions": 8,
    "charged_transitions": "all",
}
"""Without deep supervision: one update a trajectory, the gradient through all of it, 16 applications of a network as
in Looped TF."""
PORTIONS: dict[str, Any] = {"kl_budget_first": 1.5, "kl_budget_open": 0.0}
"""Of its posterior: 12 nats in its 8 transitions."""
GUIDED: dict[str, tuple[str, dict[str, Any]]] = {
    "flat": ("guidance and deep supervision without hierarchy", {"core": "flat"}),
    "once": ("guidance and hierarchy without deep supervision", {**ONCE, **PORTIONS}),
    "flat-once": ("guidance alone", {"core": "flat", **ONCE, **PORTIONS}),
    "no-recursion": ("one low-level step and one transition a step", {"low_steps": 1, "transitions": 1}),
}
"""Ablations that keep the posterior."""
UNGUIDED: dict[str, tuple[str, dict[str, Any]]] = {
    "noise": ("noise alone, N(0, sigma^2)", {"guidance": "noise"}),
    "mean": ("the mean alone, N(mu, 0)", {"guidance": "mean"}),
    "none": ("hierarchy and deep supervision without guidance", {"guidance": "none"}),
    "flat-none": ("deep supervision alone", {"guidance": "none", "core": "flat"}),
    "once-none": ("hierarchy alone", {"guidance": "none", **ONCE}),
    "flat-once-none": (
        "neither guidance, deep supervision nor hierarchy",
        {"guidance": "none", "core": "flat", **ONCE},
    ),
}
"""Ablations that do without."""
ABLATIONS = GUIDED | UNGUIDED


def priced(recipe: Recipe) -> Recipe:
    cost = f"Projected: {MINUTES[recipe.name]} H200-minutes; not yet run here."
    return replace(recipe, summary=f"{recipe.summary} {cost}")


def system(base: Recipe, board: str, name: str, what: str, model: ModelConfig) -> Recipe:
    parts = 4 if name in ("looped", "direct32") else 1  # their activations fill a GPU
    return priced(rival(base, f"{base.name}-{name}", f"{board}: {what}.", model, accumulation=parts))


def flow() -> Recipe:
    """Looped Flows on 8x8: batch, rates and average as published."""
    base = nqueens8()
    told, model = "8x8: Looped Flows (7.2M).", LoopedFlowConfig(low_steps=4)
    return priced(rival(base, "nqueens8-looped-flow", told, model, base.evaluation.samples, ema=0.999))


def ablation(base: Recipe, name: str) -> Recipe:
    """One row of Table 3, or of the grid that its rows are part of."""
    what, changes = ABLATIONS[name]
    model, called, told = replace(base.model, **changes), f"{base.name}-{name}", f"{base.name}, ablation: {what}."
    if name in GUIDED:
        return priced(replace(base, name=called, summary=told, model=model))
    samples = base.evaluation.samples if name == "noise" else 1
    return priced(rival(base, called, told, model, samples))


def trm_variant(base: Recipe, name: str, what: str, model: TrmConfig, evaluation: EvalConfig) -> Recipe:
    told = f"{base.name}, ablation: TRM with {what}."
    return priced(replace(rival(base, f"{base.name}-{name}", told, model), evaluation=evaluation))


def of_paper(base: Callable[[], Recipe], board: str, systems: dict[str, tuple[str, ModelConfig]]) -> list[Recipe]:
    """Every rival and every ablation on the task of a recipe."""
    recipe = base()
    trm = systems["trm"][1]
    assert isinstance(trm, TrmConfig)
    return [
        *(system(recipe, board, name, *row) for name, row in systems.items()),
        *(ablation(recipe, name) for name in ABLATIONS),
        trm_variant(recipe, "trm-decoder", "a stochastic decoder", trm, EvalConfig(draw_tokens=True)),
        trm_variant(recipe, "trm-start", "a random z_0", replace(trm, start="drawn"), EvalConfig()),
    ]


MINUTES: dict[str, str] = {
    "nqueens8-direct8": "48",
    "nqueens8-direct32": "193",
    "nqueens8-looped": "193",
    "nqueens8-hrm": "129",
    "nqueens8-trm": "101",
    "nqueens8-looped-flow": "101",
    "nqueens8-flat": "61",
    "nqueens8-once": "161",
    "nqueens8-flat-once": "161",
    "nqueens8-no-recursion": "16.9",
    "nqueens8-noise": "55",
    "nqueens8-mean": "58",
    "nqueens8-none": "55",
    "nqueens8-flat-none": "55",
    "nqueens8-once-none": "106",
    "nqueens8-flat-once-none": "106",
    "nqueens8-trm-decoder": "101",
    "nqueens8-trm-start": "101",
    "sudoku-extreme-direct": "38",
    "sudoku-extreme-looped": "153",
    "sudoku-extreme-hrm": "102",
    "sudoku-extreme-trm": "112",
    "sudoku-extreme-trm-mlp": "100",
    "sudoku-extreme-flat": "36",
    "sudoku-extreme-once": "86",
    "sudoku-extreme-flat-once": "86",
    "sudoku-extreme-no-recursion": "8.2",
    "sudoku-extreme-noise": "31",
    "sudoku-extreme-mean": "33",
    "sudoku-extreme-none": "31",
    "sudoku-extreme-flat-none": "31",
    "sudoku-extreme-once-none": "43",
    "sudoku-extreme-flat-once-none": "43",
    "sudoku-extreme-trm-decoder": "112",
    "sudoku-extreme-trm-start": "112",
}
"""Of an H200, as benchmarks/recipe_costs.py counts them."""
RECIPES: tuple[Callable[[], Recipe], ...] = tuple(
    lambda recipe=recipe: recipe
    for recipe in (
        *(pocket(nqueens7_pocket(), f"nqueens7-{name}-pocket", "7x7", name) for name in POCKET),
        *(pocket(sudoku9(), f"sudoku9-{name}", "9x9 Sudoku with at most 20 blanks", name) for name in POCKET),
        *flow_pockets(),
        flow(),
        *of_paper(nqueens8, "8x8", PAPER),
        *of_paper(sudoku_extreme, "Sudoku-Extreme", ON_SUDOKU),
    )
)
