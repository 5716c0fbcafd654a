"""N-Queens: the paper's two sizes, and pocket runs for two CPU cores."""

from dataclasses import replace

from gram_reasoning.config import GramConfig, Recipe, TrainConfig
from gram_reasoning.task_configs import NQueensConfig


def nqueens8() -> Recipe:
    """8x8 at the paper's size."""
    return Recipe(
        name="nqueens8",
        summary="8x8, the paper's size (10M parameters, batch 768). One GPU; not yet run here.",
        task=NQueensConfig(size=8),
        model=GramConfig(),
        train=TrainConfig(),
    )


def nqueens10() -> Recipe:
    """10x10 at the paper's size."""
    return replace(
        nqueens8(),
        name="nqueens10",
        summary="10x10, the paper's size (10M parameters, batch 768). One GPU; not yet run here.",
        task=NQueensConfig(size=10),
    )


def nqueens7_posterior() -> Recipe:
    """7x7 on one CPU core: the prior in the uncharged transitions, the posterior in the charged last one, beta 4.5."""
    return Recipe(
        name="nqueens7-posterior",
        summary="7x7, only posterior slots teach (beta 4.5): learns, but blends where solutions are several.",
        task=NQueensConfig(size=7),
        model=GramConfig(
            hidden_size=64,
            num_heads=4,
            mlp_size=64,
            prefix_tokens=15,  # 15 + 49 = 64 tokens: bfloat16 products on CPU want multiples of 32
            low_steps=2,
            transitions=2,
            supervision_steps=6,
            token_mixer="mlp",
            positions="learned",
        ),
        train=TrainConfig(
            batch_size=96,
            examples="inputs",
            steps=5000,
            lr=2e-3,
            weight_decay=0.1,
            warmup_steps=200,
            lr_schedule="cosine",
            ema=0.995,
            eval_every=250,
            eval_inputs=98,
        ),
    )


def nqueens7_pocket() -> Recipe:
    """The bundled 7x7 model: half of the slots roll out under the prior and learn the nearest valid solution.

    Short on purpose: longer schedules come out worse (docs/log.md).
    """
    base = nqueens7_posterior()
    return replace(
        base,
        name="nqueens7-pocket",
        summary="7x7, the bundled model: half posterior slots, half prior slots learning the nearest solution.",
        train=replace(base.train, steps=700, lr=1.5e-3, eval_every=100, prior_share=0.5, prior_target="nearest"),
    )


def nqueens7_matched() -> Recipe:
    """Prior slots in groups of four that share an input and are spread over its solutions."""
    base = nqueens7_posterior()
    return replace(
        base,
        name="nqueens7-matched",
        summary="7x7, prior slots in groups of four, spread over the solutions of their input.",
        train=replace(
            base.train,
            steps=3000,
            lr=1.5e-3,
            prior_share=0.5,
            prior_target="matched",
            trajectories_per_input=4,
        ),
    )


def nqueens7_literal() -> Recipe:
    """The published objective read literally: posterior noise everywhere, the KL a mean, charged at the last."""
    base = nqueens7_posterior()
    return replace(
        base,
        name="nqueens7-literal",
        summary="7x7 with the published objective read literally: leaks, and rings the alarm.",
        model=replace(base.model, posterior_transitions="all", kl_channels="mean", beta=0.07),
        train=replace(base.train, steps=1500),
    )


def nqueens7_twin() -> Recipe:
    """The deterministic twin: the same network without noise."""
    base = nqueens7_posterior()
    return replace(
        base,
        name="nqueens7-twin",
        summary="7x7, the deterministic twin of nqueens7-posterior: no noise, no posterior.",
        model=replace(base.model, guidance="none"),
        train=replace(base.train, steps=1500),
    )


RECIPES = (
    nqueens8,
    nqueens10,
    nqueens7_pocket,
    nqueens7_posterior,
    nqueens7_matched,
    nqueens7_literal,
    nqueens7_twin,
)
