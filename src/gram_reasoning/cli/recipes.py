"""`gram recipes`: what can be trained."""

import json
from dataclasses import dataclass

from gram_reasoning.cli.border import parse
from gram_reasoning.config import to_json


@dataclass(frozen=True, kw_only=True)
class RecipesOptions:
    """List the recipes."""

    json: bool = False
    """Print the whole configuration of each as JSON."""


def run(arguments: list[str]) -> int:
    options = parse(RecipesOptions, arguments, "gram recipes", "gram recipes --json")
    from gram_reasoning.recipes import RECIPES

    if options.json:
        print(json.dumps({name: to_json(recipe) for name, recipe in RECIPES.items()}, indent=1))
        return 0
    width = max(map(len, RECIPES))
    for name, recipe in RECIPES.items():
        if not name.endswith("-debug"):
            print(f"{name:{width}}  {recipe.summary}")
    print("\nEach has a debug version, NAME-debug, that runs whole in seconds.")
    return 0
