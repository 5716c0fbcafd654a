"""What is done to a recipe, whichever it is."""

from dataclasses import replace
from typing import Any

from gram_reasoning.config import Recipe


def small_portions(nats: float, first: float | None = None, steps: int = 12) -> dict[str, Any]:
    """Settings of a model that tells y in small portions: one transition a step, a few nats in each.

    For tasks in which nearly every input has many solutions. Together a multiple of ln n: many small Gaussian steps
    follow a distribution of many peaks that one large step cannot (docs/log.md).

    Args:
        nats: the budget of a transition.
        first: that of the first, if another.
        steps: N_sup, supervision steps of a training trajectory.
    """
    return {
        "transitions": 1,
        "supervision_steps": steps,
        "kl_budget_first": nats if first is None else first,
        "kl_budget_open": 0.0,
        "kl_budget": nats,
    }


def twin(recipe: Recipe) -> Recipe:
    """The deterministic twin: the same network without noise, one answer for each input."""
    return replace(
        recipe,
        name=f"{recipe.name}-twin",
        summary=f"The deterministic twin of {recipe.name}: no noise, no posterior.",
        model=replace(recipe.model, guidance="none"),
    )
