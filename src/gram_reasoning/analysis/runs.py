"""Runs and evaluations side by side: what their files hold, which differ in the seed alone, and the curves of runs."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator

from gram_reasoning.analysis.figures import panels, save
from gram_reasoning.errors import UserError
from gram_reasoning.training.runlog import read_lines

Lines = list[dict[str, Any]]
ACROSS = 3
"""Panels beside each other."""


@dataclass(frozen=True)
class Alike:
    """What a run or an evaluation was made from, the seed of the training left out, and that seed."""

    made_from: str
    seed: int


def load_run(run: Path) -> Lines:
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


def load_evaluation(path: Path) -> dict[str, Any] | None:
    """What `gram eval --json` wrote; None if the file is something else."""
    if not path.is_file():
        return None
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
    return value if isinstance(value, dict) and {"checkpoint", "split", "samples", "steps"} <= value.keys() else None


def run_alike(run: Path, lines: Lines) -> Alike | None:
    """What tells whether another run differs from this one in its seed alone; None if its config.json is not there."""
    path = (run if run.is_dir() else run.parent) / "config.json"
    if not path.is_file():
        return None
    try:
        recipe = json.loads(path.read_text(encoding="utf-8"))
        seed = recipe["train"].pop("seed")
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not the config.json of a run ({error})") from error
    reached = [line["step"] for line in lines if line["kind"] == "eval"][-1]
    return Alike(json.dumps([recipe, reached], sort_keys=True), seed)


def evaluation_alike(result: dict[str, Any]) -> Alike | None:
    """The same for an evaluation; None if its file is too old to say."""
    if "made_from" not in result:
        return None
    return Alike(result["made_from"], result["train_seed"])


def over_seeds(alike: dict[str, Alike | None]) -> list[list[str]]:
    """The names of those that differ in the seed alone, two or more seeds in a group."""
    groups: dict[str, dict[int, str]] = {}
    for name, one in alike.items():
        if one is not None:
            groups.setdefault(one.made_from, {}).setdefault(one.seed, name)
    return [list(by_seed.values()) for by_seed in groups.values() if len(by_seed) > 1]


# -- curves ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Panel:
    """One value over the steps: where it stands in the log, and on which scale it is drawn."""

    title: str
    kind: str
    value: Callable[[dict[str, Any]], float | None]
    share: bool = False

    def points(self, lines: Lines) -> list[tuple[int, float]]:
        """(step, value) where the log has one; on the scale of a logarithm, where it is above 0."""
        values = [(line["step"], self.value(line)) for line in lines if line["kind"] == self.kind]
        return [(step, y) for step, y in values if y is not None and (self.share or y > 0)]


PANELS = (
    Panel("accuracy under the prior", "eval", lambda line: line["prior"]["accuracy"], share=True),
    Panel("coverage, inputs with 2+ solutions", "eval", lambda line: line["prior"]["several_coverage"], share=True),
    Panel("accuracy of posterior slots (diagnostic)", "train", lambda line: line.get("posterior_accuracy"), share=True),
    Panel("KL in nats an example", "train", lambda line: line.get("kl_nats")),
    Panel("nats lost by the surrogate bound", "eval", lambda line: _negative(line.get("elbo_surrogate"))),
    Panel("nats lost by the full ELBO", "eval", lambda line: _negative(line.get("elbo_full"))),
)


def _negative(value: float | None) -> float | None:
    return None if value is None else -value


def curves(runs: dict[str, Lines], path: Path) -> None:
    """A panel over the steps for each value that a run has: accuracies, coverage, KL, bounds; one colour a run."""
    drawn = [(panel, {name: panel.points(lines) for name, lines in runs.items()}) for panel in PANELS]
    drawn = [(panel, points) for panel, points in drawn if any(points.values())]
    if not drawn:
        raise UserError(f"{path}: nothing to draw, expected a run with numbers in its log")
    rows, across = -(-len(drawn) // ACROSS), min(ACROSS, len(drawn))
    figure, grid = panels(rows, across, 4 * across, 3.2 * rows)
    for axes in grid.flat[len(drawn) :]:
        axes.remove()
    for axes, (panel, points) in zip(grid.flat, drawn, strict=False):
        for i, name in enumerate(runs):
            axes.plot(*zip(*points[name], strict=True) if points[name] else ([], []), color=f"C{i}", label=name, lw=1.3)
        axes.set_title(panel.title, fontsize=10)
        axes.set_xlabel("optimizer step")
        axes.grid(alpha=0.25)
        if panel.share:
            axes.set_ylim(-0.02, 1.02)
        else:
            _logarithmic(axes)
    grid.flat[0].legend(fontsize=8)
    save(figure, path)


def _logarithmic(axes: Axes) -> None:
    """The scale of a logarithm with ticks that are plain numbers; a linear one where values hardly differ."""
    values = [y for line in axes.lines for y in line.get_ydata()]  # pyright: ignore[reportGeneralTypeIssues]
    span = max(values) / min(values)
    if span < 4:
        return
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if span < 200 else (1,)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:g}")
