"""`gram check`: whether a task keeps its promises."""

import dataclasses
from dataclasses import dataclass, field

from gram_reasoning.cli.border import in_range, named, parse
from gram_reasoning.tasks.configs import NQueensConfig, TaskConfig

EXAMPLE = "gram check nqueens7-pocket --limit 500"


@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """Hold a task against what every task promises, on its own data.

    Known solutions are right, standard form and augmentation keep them right, text is read back, splits share no
    input, and shapes and tokens are as said. Each broken promise is one line with an example.
    The exit code is 0 if all hold, else 1.
    """

    limit: int = 200
    """Inputs of each split to look at."""
    task: TaskConfig = field(default_factory=NQueensConfig)


def run(arguments: list[str]) -> int:
    name, rest = named(arguments, "the name of a recipe", CheckOptions, "gram check RECIPE", EXAMPLE)
    from gram_reasoning.recipes import get_recipe

    recipe = get_recipe(name)
    options = parse(CheckOptions, rest, f"gram check {name}", EXAMPLE, CheckOptions(task=recipe.task))
    in_range("limit", options.limit, 1)

    from gram_reasoning.build import build_task
    from gram_reasoning.tasks.contract import broken

    faults = 0
    for fault in broken(build_task(dataclasses.replace(recipe, task=options.task)), options.limit):
        faults += 1
        print(f"{name}: {fault}", flush=True)
    if faults == 0:
        print(f"{name}: the task keeps its promises, on up to {options.limit} inputs of each split")
    return 1 if faults else 0
