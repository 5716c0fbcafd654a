"""`gram data`: the inputs of a split as text."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gram_reasoning.cli.border import named, parse, write_lines


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Write the inputs of a split as text, one a line, as `gram solve` reads them."""

    split: Literal["test", "validation", "train"] = "test"
    """Which inputs."""
    out: Path | None = None
    """File; the default is standard output."""


def run(arguments: list[str]) -> int:
    prog, example = "gram data RECIPE", "gram data nqueens7-pocket --split test --out test.txt"
    name, rest = named(arguments, "the name of a recipe", DataOptions, prog, example)
    options = parse(DataOptions, rest, prog, example)
    from gram_reasoning.recipes import get_recipe

    recipe = get_recipe(name)
    from gram_reasoning.build import build_task
    from gram_reasoning.tasks.base import lacks
    from gram_reasoning.tasks.written import Written

    task = build_task(recipe)
    if not isinstance(task, Written):
        raise lacks(task, Written, name)
    lines = [task.compact(tokens) for tokens in task.split(options.split).inputs.tolist()]
    if options.out is None:
        print("\n".join(lines))
    else:
        write_lines(options.out, lines)
        print(f"{len(lines)} inputs written to {options.out}")
    return 0
