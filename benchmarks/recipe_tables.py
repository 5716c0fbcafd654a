"""The tables and figures of the recipe study, from stored evaluations and logs.

    python benchmarks/recipe_tables.py seeds OUT.json NAME=EVAL,EVAL,... ...      mean and 95% interval over seeds
    python benchmarks/recipe_tables.py changes OUT BASE.jsonl LOG.jsonl ...        one change each: OUT.json, OUT.png

EVAL is a file that `gram eval --json` wrote, LOG the metrics.jsonl of a run.
"""

import json
import math
import sys
from pathlib import Path
from typing import Any

from gram_reasoning.analysis.figures import panels, save
from gram_reasoning.analysis.runs import load_run
from gram_reasoning.evaluation.metrics import interval

COLUMNS = {
    "single": ("macro", "single_sample_accuracy"),
    "majority": ("macro", "selected_accuracy"),
    "best": ("macro", "best_of_samples_accuracy"),
    "coverage": ("macro", "coverage"),
    "single, n>=2": ("macro_several", "single_sample_accuracy"),
    "coverage, n>=2": ("macro_several", "coverage"),
    "ceiling, n>=2": ("macro_several", "independent_ceiling"),
    "paper coverage": ("paper", "coverage"),
    "paper ceiling": ("paper", "independent_ceiling"),
}
REACH = 0.8


def with_interval(values: list[float]) -> dict[str, float]:
    mean, half = interval(values) if len(values) > 1 else (values[0], math.nan)
    return {"mean": mean, "half_interval_95": half, "least": min(values), "most": max(values)}


def seeds(out: Path, arguments: list[str]) -> None:
    table: dict[str, Any] = {}
    for argument in arguments:
        name, files = argument.split("=", 1)
        results = [json.loads(Path(file).read_text()) for file in files.split(",")]
        table[name] = {
            "files": files.split(","),
            **{label: with_interval([100 * r[part][key] for r in results]) for label, (part, key) in COLUMNS.items()},
        }
    out.write_text(json.dumps({"unit": "percent", "rows": table}, indent=1))
    print("| | " + " | ".join(COLUMNS) + " |\n|---" * 1 + "|---" * len(COLUMNS) + "|")
    for name, row in table.items():
        cells = [f"{row[label]['mean']:.1f} ± {row[label]['half_interval_95']:.1f}" for label in COLUMNS]
        print(f"| {name} | " + " | ".join(cells) + " |")


def steps_to(lines: list[dict[str, Any]], accuracy: float) -> int | None:
    """The first evaluated step at which the accuracy of a sample under the prior was reached."""
    return next((x["step"] for x in lines if x["kind"] == "eval" and x["prior"]["accuracy"] >= accuracy), None)


def changes(out: Path, files: list[Path]) -> None:
    rows: dict[str, dict[str, Any]] = {}
    for file in files:
        lines = load_run(file)
        last = [line for line in lines if line["kind"] == "eval"][-1]
        rows[file.stem] = {
            "steps_to_80": steps_to(lines, REACH),
            "steps": last["step"],
            "leak_alarm": any(line.get("leak_alarm") for line in lines),
            "mean_over_sigma": last.get("mean_over_sigma"),
            **{key: last["prior"][key] for key in ("accuracy", "several_accuracy", "several_coverage")},
        }
    base = rows[files[0].stem]
    for row in rows.values():
        reached = row["steps_to_80"]
        row["factor"] = reached / base["steps_to_80"] if reached else None
    out.with_suffix(".json").write_text(json.dumps(rows, indent=1))
    print("| run | steps to 80% | factor | accuracy | n>=2 accuracy | n>=2 coverage |\n|---|---|---|---|---|---|")
    for name, row in rows.items():
        factor = f"{row['factor']:.1f}" if row["factor"] else f"never in {row['steps']}"
        cells = " | ".join(f"{100 * row[key]:.1f}" for key in ("accuracy", "several_accuracy", "several_coverage"))
        print(f"| {name} | {row['steps_to_80'] or '-'} | {factor} | {cells} |")
    figure, [axes] = panels(1, 2, 11, 0.36 * len(rows) + 1.2, sharey=True)
    names = list(rows)[::-1]
    top = max(row["steps"] for row in rows.values())
    colours = ["C0" if rows[name]["steps_to_80"] else "0.8" for name in names]
    axes[0].barh(names, [rows[name]["steps_to_80"] or top for name in names], color=colours)
    axes[0].set_title("steps to 80% accuracy of a sample (grey: never)", fontsize=10)
    for offset, key, label in ((0.2, "several_accuracy", "accuracy"), (-0.2, "several_coverage", "coverage")):
        places = [i + offset for i in range(len(names))]
        axes[1].barh(places, [100 * rows[n][key] for n in names], height=0.38, label=label)
    axes[1].set_title("inputs with 2+ solutions at the end, %", fontsize=10)
    axes[1].legend(fontsize=8)
    for each in axes:
        each.grid(alpha=0.25, axis="x")
    save(figure, out.with_suffix(".png"))


if __name__ == "__main__":
    if sys.argv[1] == "seeds":
        seeds(Path(sys.argv[2]), sys.argv[3:])
    else:
        changes(Path(sys.argv[2]), [Path(file) for file in sys.argv[3:]])
