"""ARC-AGI: the paper's two runs, and a pocket run that checks the pipeline on two CPU cores."""

from dataclasses import replace

from gram_reasoning.config import EvalConfig, Recipe, TrainConfig
from gram_reasoning.models.configs import GramConfig
from gram_reasoning.recipes.nqueens import POCKET_MODEL, nqueens7_pocket
from gram_reasoning.tasks.configs import ArcConfig


def arc1() -> Recipe:
    """ARC-AGI-1 at the paper's size: 960 tasks, 1000 augmentations of each.

    As many steps as TRM's 100,000 epochs: an epoch counts tasks.
    """
    return Recipe(
        name="arc1",
        summary="ARC-AGI-1 with ConceptARC, the paper's size (10M parameters, 2 GB of identities). "
        "Projected: 1,233 H200-minutes; not yet run here.",
        task=ArcConfig(version=1),
        model=GramConfig(),
        train=TrainConfig(steps=125_000, accumulation=8, halt_target="equal", eval_every=5000, checkpoint_every=5000),
        evaluation=EvalConfig(samples=1, views=1000),
    )


def arc2() -> Recipe:
    """ARC-AGI-2 likewise: 1,280 tasks."""
    base = arc1()
    return replace(
        base,
        name="arc2",
        summary="ARC-AGI-2 with ConceptARC, the paper's size (10M parameters, 2.6 GB of identities). "
        "Projected: 1,647 H200-minutes; not yet run here.",
        task=ArcConfig(version=2),
        train=replace(base.train, steps=167_000),
    )


def arc_pocket() -> Recipe:
    """Five tasks learnt by heart: whether encoding, augmentations, identities and votes fit together."""
    base = nqueens7_pocket()
    return replace(
        base,
        name="arc-pocket",
        summary="Five small ARC tasks learnt by heart, a check of the pipeline: minutes on two CPU cores.",
        task=ArcConfig(
            training="shipped",
            evaluation="none",
            concept="none",
            monitor="demonstrations",
            canvas=8,
            augmentations=8,
            translate=False,  # what is learnt by heart is asked in the corner
        ),
        model=replace(POCKET_MODEL, prefix_tokens=32),  # 32 + 64 = 96 tokens
        train=replace(base.train, halt_target="equal", eval_inputs=15, eval_samples=4),
        evaluation=EvalConfig(samples=4, views=8),
    )


RECIPES = (arc1, arc2, arc_pocket)
