"""What is done to a recipe, whichever it is."""

from dataclasses import replace

from gram_reasoning.config import Recipe


def twin(recipe: Recipe) -> Recipe:
    """The deterministic twin: the same network without noise, one answer for each input."""
    return replace(
        recipe,
        name=f"{recipe.name}-twin",
        summary=f"The deterministic twin of {recipe.name}: no noise, no posterior.",
        model=replace(recipe.model, guidance="none"),
    )
