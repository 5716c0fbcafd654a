"""Digits from nothing: the paper's run, and a pocket run for two CPU cores."""

from dataclasses import replace

from gram_reasoning.config import EvalConfig, Recipe, TrainConfig
from gram_reasoning.models.configs import GramConfig
from gram_reasoning.recipes.nqueens import POCKET_MODEL, nqueens7_pocket
from gram_reasoning.recipes.variants import small_portions
from gram_reasoning.tasks.configs import MNISTConfig


def mnist() -> Recipe:
    """28x28 at the paper's size; the paper gives hours (16 on 8 small GPUs), but no number of steps."""
    return Recipe(
        name="mnist",
        summary="Binarised digits, 28x28, 10M parameters. Projected: 174 H200-minutes; not yet run here.",
        task=MNISTConfig(),
        # As in mnist-pocket, little at a time: 3 nats in each of 48 transitions.
        model=GramConfig(layout="patches", kl_budget_first=3.0, kl_budget_open=0.0, kl_budget=3.0),
        train=TrainConfig(prior_share=0.0, eval_inputs=1, eval_samples=256),  # without rules no head to train
        evaluation=EvalConfig(samples=1000),
    )


def mnist_pocket() -> Recipe:
    """14x14 on two CPU cores."""
    base = nqueens7_pocket()
    return replace(
        base,
        name="mnist-pocket",
        summary="Binarised digits, 14x14: ten minutes on one CPU core.",
        task=MNISTConfig(size=14),
        model=replace(
            POCKET_MODEL,
            layout="patches",
            patch_channels=16,
            token_mixer="grid",
            prefix_tokens=4,
            **small_portions(3.0, steps=16),  # 48 nats: an image takes more to tell than a board
        ),
        train=replace(base.train, prior_share=0.0, steps=2000, eval_every=1000, eval_inputs=1, eval_samples=256),
        evaluation=EvalConfig(samples=1000, steps=24),
    )


RECIPES = (mnist, mnist_pocket)
