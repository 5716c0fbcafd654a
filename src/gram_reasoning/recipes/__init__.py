"""Every named run. A recipe is a function that returns a frozen `Recipe`; variants derive from each other.

`X-debug` is X made so small that it runs whole in seconds: same code paths, no result.
"""

from dataclasses import replace

from gram_reasoning.config import Recipe
from gram_reasoning.errors import UserError
from gram_reasoning.recipes.arc import RECIPES as ARC
from gram_reasoning.recipes.generators import RECIPES as GENERATORS
from gram_reasoning.recipes.graph_coloring import RECIPES as GRAPH_COLORING
from gram_reasoning.recipes.maze import RECIPES as MAZE
from gram_reasoning.recipes.mnist import RECIPES as MNIST
from gram_reasoning.recipes.nqueens import RECIPES as NQUEENS
from gram_reasoning.recipes.rivals import RECIPES as RIVALS
from gram_reasoning.recipes.sequence import RECIPES as SEQUENCE
from gram_reasoning.recipes.sudoku import RECIPES as SUDOKU


def debug(recipe: Recipe) -> Recipe:
    """The twin of a recipe that runs in seconds."""
    group = recipe.train.trajectories_per_input
    return replace(
        recipe,
        name=f"{recipe.name}-debug",
        summary=f"{recipe.name} made tiny, to see that everything runs: seconds, no result.",
        task=recipe.task.small(),
        model=recipe.model.small(),
        train=replace(
            recipe.train,
            batch_size=8 * group,
            accumulation=1,
            steps=6,
            warmup_steps=2,
            log_every=2,
            eval_every=3,
            eval_inputs=4,
            eval_samples=2,
            checkpoint_every=3,
        ),
        evaluation=replace(recipe.evaluation, samples=2, views=min(2, recipe.evaluation.views)),
    )


RECIPES: dict[str, Recipe] = {}


def add(recipe: Recipe) -> None:
    """Give a recipe its place in `gram recipes`, with its debug version."""
    for one in (recipe, debug(recipe)):
        RECIPES[one.name] = one


for _build in (*NQUEENS, *GRAPH_COLORING, *SUDOKU, *MAZE, *MNIST, *ARC, *RIVALS, *SEQUENCE, *GENERATORS):
    add(_build())


def get_recipe(name: str) -> Recipe:
    """The recipe of that name; UserError if there is none."""
    if name not in RECIPES:
        raise UserError(f"unknown recipe {name!r}, expected one of those that `gram recipes` lists")
    return RECIPES[name]
