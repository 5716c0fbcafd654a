"""The figure of a study, from the rows of its table alone."""

from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from gram_reasoning.analysis.figures import panels, save
from gram_reasoning.evaluation.metrics import interval
from gram_reasoning.studies.definition import Run, Study
from gram_reasoning.studies.engine.table import Row, values_of

MOST_COLUMNS = 3
"""Columns of the table that get a panel of their own."""


def draw(study: Study, rows: Sequence[Row], path: Path) -> None:
    """A panel for each of the first columns, and curves over samples and over solutions where there are any."""
    judged = [members[0] for members in study.groups(study.known()).values() if _has(rows, members[0])]
    drawn: list[Callable[[Axes], None]] = [
        lambda axes, column=column: _dots(axes, judged, rows, column.measure, column.heading, column.percent)
        for column in study.columns[:MOST_COLUMNS]
    ]
    curves = (
        ("coverage_by_samples", ".paper", "coverage by samples, paper protocol", "samples"),
        ("by_solutions", ".single_sample_accuracy", "accuracy by solutions of the input", "solutions"),
    )
    for section, end, title, below in curves:
        lines = {run: _curve(rows, run, f"{study.curve}.{section}.", end) for run in judged}
        if any(lines.values()):
            drawn.append(lambda axes, lines=lines, words=(title, below): _lines(axes, lines, *words))
    figure, grid = panels(1, len(drawn), 4 * len(drawn), 1.6 + 0.28 * max(5, len(judged)))
    for axes, one in zip(grid.flat, drawn, strict=True):
        one(axes)
    save(figure, path)


def _has(rows: Sequence[Row], run: Run) -> bool:
    return any((row["system"], row["block"]) == (run.system, run.block) for row in rows)


def _label(run: Run) -> str:
    return f"{run.system}, {run.block}"


def _dots(axes: Axes, runs: Sequence[Run], rows: Sequence[Row], measure: str, title: str, percent: bool) -> None:
    """A dot a seed, and the mean with its 95% interval."""
    for place, run in enumerate(runs):
        values = [(100 if percent else 1) * value for value in values_of(rows, run, measure)]
        axes.plot(values, [place] * len(values), "o", color="C0", alpha=0.5, ms=4)
        if len(values) > 1:
            mean, half = interval(values)
            axes.errorbar(mean, place, xerr=half, fmt="|", color="black", capsize=3)
    axes.set_yticks(range(len(runs)), [_label(run) for run in runs], fontsize=8)
    axes.set_ylim(len(runs) - 0.5, -0.5)
    if percent:  # an interval may reach beyond what there is
        low, high = axes.get_xlim()
        axes.set_xlim(max(low, -2), min(high, 102))
    axes.set_title(title + (", %" if percent else ""), fontsize=10)
    axes.grid(alpha=0.25)


def _curve(rows: Sequence[Row], run: Run, begin: str, end: str) -> list[tuple[int, float]]:
    """(number, mean over seeds in percent) of the measures `begin` NUMBER `end`."""
    found: dict[int, list[float]] = {}
    for row in rows:
        measure = row["measure"]
        if (row["system"], row["block"]) == (run.system, run.block) and measure.startswith(begin):
            number, dot, rest = measure.removeprefix(begin).partition(".")
            if dot + rest == end and number.isdigit():
                found.setdefault(int(number), []).append(100 * row["value"])
    return [(number, sum(values) / len(values)) for number, values in sorted(found.items())]


def _lines(axes: Axes, lines: dict[Run, list[tuple[int, float]]], title: str, below: str) -> None:
    for i, (run, points) in enumerate(lines.items()):
        if points:
            axes.plot(*zip(*points, strict=True), "-o", ms=3, lw=1.2, color=f"C{i}", label=_label(run))
    axes.set_title(f"{title}, %", fontsize=10)
    axes.set_xlabel(below)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    axes.legend(fontsize=7)
