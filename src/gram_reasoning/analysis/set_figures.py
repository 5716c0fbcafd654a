"""Coverage against the steps spent, and risk against the share answered, from what `gram eval --json` wrote."""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from gram_reasoning.analysis.figures import panels, save
from gram_reasoning.errors import UserError

Results = dict[str, dict[str, Any]]
PROTOCOLS = {"paper": "coverage, paper protocol", "macro": "coverage, unique inputs (macro)"}


def is_set(result: dict[str, Any]) -> bool:
    """Whether an evaluation is one of answer sets."""
    return "by_steps" in result


def coverage_curves(results: Results, path: Path) -> None:
    """A panel a protocol: the share of all solutions found, in percent, against the steps spent on an input.

    Evaluations of independent samples stand beside sets: k samples cost k times the steps of one.
    """
    figure, grid = panels(1, 2, 9.6, 3.9)
    for axes, (protocol, title) in zip(grid.flat, PROTOCOLS.items(), strict=True):
        for i, (name, result) in enumerate(results.items()):
            if is_set(result):
                _coverage(axes, result["by_steps"], protocol, name, f"C{i}")
                if "independent" in result:
                    beside = result["independent"]["by_steps"]
                    _coverage(axes, beside, protocol, f"{name}, independent with halting", f"C{i}", "--")
            elif "coverage_by_samples" in result:
                cost = result["mean_steps"]
                points = [(int(k) * cost, 100 * row[protocol]) for k, row in result["coverage_by_samples"].items()]
                axes.plot(*zip(*points, strict=True), color=f"C{i}", lw=1.4, ls=":", label=name)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("supervision steps an input")
        axes.set_ylabel("%")
        axes.set_ylim(0, 101.5)
        axes.set_xlim(0)
        axes.grid(alpha=0.25)
    grid[0, 1].legend(fontsize=7, loc="lower right")
    save(figure, path)


def _coverage(
    axes: Axes, rows: dict[str, list[float]], protocol: str, name: str, colour: str, style: str = "-"
) -> None:
    values = [100 * value for value in rows[f"chosen_{protocol}"]]
    axes.plot(rows["mean_spent"], values, color=colour, ls=style, lw=1.5, label=name)


def risk_curves(results: Results, path: Path) -> None:
    """A panel an evaluation: wrong answers among those given, in percent, against the share of inputs answered."""
    sets = {name: result for name, result in results.items() if is_set(result)}
    if not sets:
        raise UserError(f"{path}: no risk to draw, expected evaluations with --answers")
    figure, grid = panels(1, len(sets), 4.6 * len(sets), 3.7, sharey=True)
    for axes, (name, result) in zip(grid.flat, sets.items(), strict=True):
        for score, curve in result["abstention"].items():
            label = f"{score} (area {100 * curve['area']:.2f})"
            covered, risk = ([100 * x for x in curve[key]] for key in ("covered", "risk"))
            axes.plot(covered, risk, lw=1.5, label=label)
        axes.set_title(name, fontsize=9)
        axes.set_xlabel("% of inputs answered, surest first")
        axes.set_xlim(0, 100)
        axes.grid(alpha=0.25)
        axes.legend(fontsize=8)
    grid[0, 0].set_ylabel("% wrong among those answered")
    save(figure, path)
