"""Runs side by side: their logs and their curves."""

from pathlib import Path
from typing import Any

from gram_reasoning.analysis.figures import panels, save
from gram_reasoning.errors import UserError
from gram_reasoning.training.runlog import read_lines


def load_run(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics.jsonl, or of such a file itself."""
    path = run / "metrics.jsonl" if run.is_dir() else run
    if not path.is_file():
        raise UserError(f"{path}: no such file, expected the folder of a run or its metrics.jsonl")
    try:
        lines = read_lines(path)
        kinds = {line["kind"] for line in lines}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not the metrics.jsonl of a run ({error})") from error
    if "eval" not in kinds:
        raise UserError(f"{path}: no evaluation yet, expected a run that has come to one")
    return lines


def curves(runs: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Six panels over the steps: accuracies, coverage, KL, the two bounds; one colour a run."""
    figure, grid = panels(2, 3, 12, 6.4)
    drawn: list[tuple[str, str, Any]] = [
        ("accuracy under the prior", "eval", lambda line: line["prior"]["accuracy"]),
        ("coverage, inputs with 2+ solutions", "eval", lambda line: line["prior"]["several_coverage"]),
        ("accuracy of posterior slots (diagnostic)", "train", lambda line: line.get("posterior_accuracy")),
        ("KL in nats an example (log)", "train", lambda line: line["kl_nats"] or None),
        ("surrogate bound, nats", "eval", lambda line: line["elbo_surrogate"]),
        ("full ELBO, nats", "eval", lambda line: line["elbo_full"]),
    ]
    for axes, (title, kind, value) in zip(grid.flat, drawn, strict=True):
        for i, (name, lines) in enumerate(runs.items()):
            points = [(line["step"], value(line)) for line in lines if line["kind"] == kind]
            points = [(step, y) for step, y in points if y is not None]
            axes.plot(*zip(*points, strict=True) if points else ([], []), color=f"C{i}", label=name, lw=1.3)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("optimizer step")
        axes.grid(alpha=0.25)
    grid[0, 0].set_ylim(-0.02, 1.02)
    grid[0, 1].set_ylim(-0.02, 1.02)
    grid[0, 2].set_ylim(-0.02, 1.02)
    grid[1, 0].set_yscale("log")
    for axes in grid[1, 1:]:
        axes.set_yscale("symlog")
    grid[0, 0].legend(fontsize=8)
    save(figure, path)
