"""N-Queens: the paper's two sizes, and pocket runs for two CPU cores."""

from dataclasses import replace

from gram_reasoning.config import GramConfig, NQueensConfig, Recipe, TrainConfig


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


def nqueens7_pocket() -> Recipe:
    """7x7, the pocket run on two CPU cores."""
    return Recipe(
        name="nqueens7-pocket",
        summary="7x7 on two CPU cores.",
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


def nqueens7_literal() -> Recipe:
    """The published objective read literally: posterior noise everywhere, the KL a mean, charged at the last."""
    pocket = nqueens7_pocket()
    return replace(
        pocket,
        name="nqueens7-literal",
        summary="7x7 with the published objective read literally: leaks, and rings the alarm.",
        model=replace(pocket.model, posterior_transitions="all", kl_channels="mean", beta=0.07),
    )


def nqueens7_twin() -> Recipe:
    """The deterministic twin: the same network without noise."""
    pocket = nqueens7_pocket()
    return replace(
        pocket,
        name="nqueens7-twin",
        summary="7x7, the deterministic twin of nqueens7-pocket: no noise, no posterior.",
        model=replace(pocket.model, guidance="none"),
    )


RECIPES = (nqueens8, nqueens10, nqueens7_pocket, nqueens7_literal, nqueens7_twin)
