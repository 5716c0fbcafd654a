"""Parameters and operations of the systems that the paper compares, at its sizes on 8x8 queens and 9x9 boards.

    python benchmarks/model_sizes.py results/rivals/sizes.json

Nothing is computed: the models are on the meta device (analysis/costs.py).
"""

import argparse
import json
from pathlib import Path
from typing import Any

from gram_reasoning.analysis.costs import META, sampling_operations, training_operations
from gram_reasoning.build import build_model, build_task
from gram_reasoning.recipes import get_recipe

PAPER = {"direct8": 27, "direct32": 100, "looped": 7, "hrm": 27, "trm": 7, "looped-flow": 7, "ar": 10.6, "mdlm": 12.6}
"""Millions of parameters on 8x8 queens; of Looped Flows those of its own authors, 5 to 7."""
BOARDS = {"uniform-small": 15.9, "uniform-big": 55.1, "absorbing-small": 15.9, "absorbing-big": 55.1}
"""Of D3PM on full 9x9 boards."""


def size(name: str, millions: float) -> dict[str, Any]:
    recipe = get_recipe(name)
    task = build_task(recipe)
    with META:
        model = build_model(recipe, task)
        step, sampled = training_operations(model, 1), sampling_operations(model, 1)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "parameters_paper": round(millions * 1e6),
        "training_step_operations_a_slot": step,
        "batch_size": recipe.train.batch_size,
        "sampling_step_operations": sampled,
        "sampling_steps": model.sampling_steps,
        "operations_an_answer": sampled * model.sampling_steps,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    rows = {"nqueens8": size("nqueens8", 10)} | {
        f"nqueens8-{name}": size(f"nqueens8-{name}", m) for name, m in PAPER.items()
    }
    rows |= {f"sudoku9-boards-d3pm-{name}": size(f"sudoku9-boards-d3pm-{name}", m) for name, m in BOARDS.items()}
    options.out.write_text(json.dumps(rows, indent=1) + "\n")
    print(
        "| recipe | parameters | the paper | training step, a slot | sampling step | an answer |\n"
        "|---|---|---|---|---|---|"
    )
    for name, row in rows.items():
        numbers = (row["training_step_operations_a_slot"], row["sampling_step_operations"], row["operations_an_answer"])
        counted = " | ".join(f"{n / 1e9:,.1f} G" for n in numbers)
        print(f"| `{name}` | {row['parameters'] / 1e6:.2f}M | {row['parameters_paper'] / 1e6:.0f}M | {counted} |")


if __name__ == "__main__":
    main()
