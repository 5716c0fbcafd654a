"""N-Queens: the paper's two sizes, and pocket runs for two CPU cores."""

from dataclasses import replace
from typing import Any

from gram_reasoning.config import Recipe, TrainConfig
from gram_reasoning.models.configs import GramConfig
from gram_reasoning.recipes.variants import rolled_out, twin
from gram_reasoning.tasks.configs import NQueensConfig

UNBOUNDED: dict[str, Any] = {"mean_bound": None, "sigma_learned": True, "kl_budget_first": None, "kl_budget": None}
"""The objective without the bounds that docs/deviations.md explains."""

POCKET_MODEL = GramConfig(
    hidden_size=64,
    num_heads=4,
    mlp_size=64,
    low_steps=2,
    transitions=2,
    supervision_steps=6,
    token_mixer="mlp",
    positions="learned",
)
"""What the pocket recipes vary. Each chooses its prefix: bfloat16 products on CPU want multiples of 32 tokens."""


def nqueens8() -> Recipe:
    """8x8 at the paper's size."""
    return Recipe(
        name="nqueens8",
        summary="8x8, the paper's size (10M parameters, batch 768). Projected: 61 H200-minutes; not yet run here.",
        task=NQueensConfig(size=8),
        model=GramConfig(),
        train=TrainConfig(),
    )


def nqueens8_12gb() -> Recipe:
    """The setting of a public reproduction on one 12 GB GPU that reports 83.8%: batch 256, 250 epochs.

    250 passes over the 6,724 (input, solution) pairs, a pass being as many optimizer steps as it has batches.
    """
    base = nqueens8()
    return replace(
        base,
        name="nqueens8-12gb",
        summary="8x8, the paper's width, batch 256, for a 12 GB GPU. Projected: 1.3 H200-minutes; not yet run here.",
        train=replace(base.train, batch_size=256, steps=6567, lr_schedule="cosine", ema=0.999),
    )


def nqueens10() -> Recipe:
    """10x10 at the paper's size."""
    return replace(
        nqueens8(),
        name="nqueens10",
        summary="10x10, the paper's size (10M parameters, batch 768). Projected: 91 H200-minutes; not yet run here.",
        task=NQueensConfig(size=10),
    )


def nqueens7_pocket() -> Recipe:
    """The bundled 7x7 model, on one CPU core; the base that the other 7x7 recipes vary."""
    return Recipe(
        name="nqueens7-pocket",
        summary="7x7, a bundled model: six minutes on one CPU core.",
        task=NQueensConfig(size=7),
        # More nats for inputs with one solution too: fewer right at once, more of all solutions found (docs/log.md).
        model=replace(POCKET_MODEL, prefix_tokens=15, kl_budget_first=10.0, kl_budget_open=0.0),  # 15 + 49 = 64 tokens
        train=TrainConfig(
            batch_size=96,
            examples="inputs",
            steps=1500,
            lr=1.5e-3,
            warmup_steps=200,
            lr_schedule="cosine",
            ema=0.995,
            eval_every=250,
            eval_inputs=98,
        ),
    )


def nqueens8_pocket() -> Recipe:
    """The model that `gram solve` uses: 8x8, any number of given queens."""
    base = nqueens7_pocket()
    return replace(
        base,
        name="nqueens8-pocket",
        summary="8x8, 0 to 7 queens given, the model that `gram solve` uses: an hour on one CPU core.",
        task=NQueensConfig(size=8, max_removed=8),
        model=replace(POCKET_MODEL, hidden_size=96, mlp_size=96, prefix_tokens=32, kl_budget_open=10.0),  # 96 tokens
        train=replace(
            base.train, steps=7500, examples="pairs", ema=0.998, eval_every=1500, eval_inputs=200, eval_samples=20
        ),
    )


def nqueens8_units() -> Recipe:
    """8x8, any number of given queens, with a mixer over rows, columns and diagonals."""
    return rolled_out(
        replace(
            nqueens8_pocket(),
            name="nqueens8-units",
            summary="8x8, 0 to 7 queens given, mixed over rows, columns and diagonals: minutes on one CPU core.",
        ),
        steps=2500,
        wishes=True,
    )


def nqueens10_units() -> Recipe:
    """10x10, the paper's inputs, by the same model."""
    return replace(
        nqueens8_units(),
        name="nqueens10-units",
        summary="10x10, the paper's inputs, mixed over rows, columns and diagonals: minutes on one CPU core.",
        task=NQueensConfig(size=10),
    )


def nqueens_sizes() -> Recipe:
    """The model that `gram solve` uses for sides without one of their own: 5x5 to 10x10, any number of given queens."""
    base = replace(
        nqueens8_pocket(),
        name="nqueens-sizes",
        summary="Boards of 5x5 to 10x10 in one model that `gram solve` uses: minutes on one CPU core.",
        task=NQueensConfig(size=10, smallest=5, max_removed=10),
    )
    return rolled_out(base, steps=2500)


def nqueens7_literal() -> Recipe:
    """The published objective read literally: posterior noise everywhere, the KL a mean, charged at the last."""
    base = nqueens7_pocket()
    return replace(
        base,
        name="nqueens7-literal",
        summary="7x7 with the published objective read literally: leaks, and rings the alarm.",
        model=replace(base.model, kl_channels="mean", beta=0.07, **UNBOUNDED),
    )


def nqueens7_posterior() -> Recipe:
    """The best reading without our bounds: prior noise in the uncharged transition, posterior in the last, beta 4.5."""
    base = nqueens7_pocket()
    return replace(
        base,
        name="nqueens7-posterior",
        summary="7x7, no bounds, the posterior in the charged transition only, beta 4.5: learns, then blends.",
        model=replace(base.model, posterior_transitions="last", beta=4.5, **UNBOUNDED),
        train=replace(base.train, steps=5000, lr=2e-3, weight_decay=0.1, prior_share=0.0),
    )


def nqueens7_twin() -> Recipe:
    """The deterministic twin: the same network without noise."""
    return replace(twin(nqueens7_pocket()), name="nqueens7-twin")


RECIPES = (
    nqueens8,
    nqueens8_12gb,
    nqueens8_pocket,
    nqueens8_units,
    nqueens10,
    nqueens10_units,
    nqueens_sizes,
    nqueens7_pocket,
    nqueens7_literal,
    nqueens7_posterior,
    nqueens7_twin,
)
