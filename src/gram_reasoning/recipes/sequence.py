"""The rivals that draw their answer token by token: AR and MDLM, at the paper's size and for two CPU cores."""

from dataclasses import replace
from typing import Any

from gram_reasoning.config import EvalConfig, Recipe
from gram_reasoning.models.configs import AutoregressiveConfig, MaskedDiffusionConfig, ModelConfig
from gram_reasoning.recipes.nqueens import nqueens7_pocket, nqueens8

QUICK: dict[str, Any] = {"lr": 3e-3, "weight_decay": 0.1, "eval_every": 500}
"""How they train on two CPU cores."""


def drawn(
    base: Recipe, name: str, summary: str, model: ModelConfig, evaluation: EvalConfig | None = None, **train: Any
) -> Recipe:
    """A recipe's task by another model, all of whose slots learn the drawn solution."""
    changes = {"prior_share": 0.0, **train}
    evaluation = evaluation or base.evaluation
    train = {"train": replace(base.train, **changes), "evaluation": evaluation}
    return replace(base, name=name, summary=summary, model=model, **train)


def nqueens8_ar() -> Recipe:
    """8x8 from left to right, at the paper's size."""
    summary = "8x8 by AR, the paper's size (10.6M parameters). Projected: 29.6 H200-minutes; not yet run here."
    return drawn(nqueens8(), "nqueens8-ar", summary, AutoregressiveConfig())


def nqueens8_mdlm() -> Recipe:
    """8x8 by masked diffusion, at the paper's size."""
    summary = "8x8 by MDLM, the paper's size (12.4M parameters). Projected: 17.9 H200-minutes; not yet run here."
    return drawn(nqueens8(), "nqueens8-mdlm", summary, MaskedDiffusionConfig())


def nqueens7_ar_pocket() -> Recipe:
    """7x7 from left to right on one CPU core."""
    model = AutoregressiveConfig(
        hidden_size=64, num_heads=4, mlp_size=128, num_layers=3, prefix_tokens=1, relations=True
    )
    summary = "7x7 by AR: five minutes on one CPU core."
    return drawn(nqueens7_pocket(), "nqueens7-ar-pocket", summary, model, **QUICK, steps=1500)


def nqueens7_mdlm_pocket() -> Recipe:
    """7x7 by masked diffusion on one CPU core."""
    model = MaskedDiffusionConfig(
        hidden_size=64,
        num_heads=4,
        mlp_size=128,
        num_layers=3,
        prefix_tokens=15,  # 15 + 49 = 64 tokens
        token_mixer="mlp",
        sampling_steps=24,
    )
    summary = "7x7 by MDLM: five minutes on one CPU core."
    return drawn(nqueens7_pocket(), "nqueens7-mdlm-pocket", summary, model, **QUICK, steps=2500)


RECIPES = (nqueens8_ar, nqueens8_mdlm, nqueens7_ar_pocket, nqueens7_mdlm_pocket)
