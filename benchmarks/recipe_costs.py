"""What each recipe costs on paper: operations of its training, and GPU-minutes at a share of a matrix rate.

    python benchmarks/recipe_costs.py results/recipe_costs.json [--rate 788e12] [--share 0.45]

The rate is what an H200 was measured to do on bfloat16 products of 8192^3; the share is an assumption until a GPU has
run this code. Evaluation during training is not counted.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from gram_reasoning.analysis.costs import META, training_operations
from gram_reasoning.build import build_model, build_task
from gram_reasoning.recipes import RECIPES, get_recipe


def cost(name: str, rate: float, share: float) -> dict[str, Any]:
    recipe = get_recipe(name)
    task = build_task(recipe)
    with META:
        step = training_operations(build_model(recipe, task), recipe.train.batch_size)
    total = step * recipe.train.steps
    return {
        "steps": recipe.train.steps,
        "batch_size": recipe.train.batch_size,
        "operations_per_step": step,
        "operations": total,
        "gpu_minutes": round(total / rate / share / 60, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rate", type=float, default=788e12, help="operations a second")
    parser.add_argument("--share", type=float, default=0.45, help="of it that training reaches")
    options = parser.parse_args()
    rows = {name: cost(name, options.rate, options.share) for name in RECIPES if not name.endswith("-debug")}
    options.out.write_text(json.dumps({"rate": options.rate, "share": options.share, "recipes": rows}, indent=1) + "\n")
    print("| recipe | steps | operations a step | operations | GPU-minutes |\n|---|---|---|---|---|")
    for name, row in rows.items():
        numbers = f"{row['operations_per_step']:.1e} | {row['operations']:.1e} | {row['gpu_minutes']:,.1f}"
        print(f"| `{name}` | {row['steps']:,} | {numbers} |")


if __name__ == "__main__":
    main()
