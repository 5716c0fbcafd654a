"""`gram report`: runs and evaluations side by side, from their files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from gram_reasoning.cli.border import PICTURES, can_write, parse
from gram_reasoning.errors import UserError


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """Set runs side by side, by the newest evaluation of each, and what `gram eval --json` wrote.

    Those that differ in the seed of their training alone get a mean with its 95% interval, by Student's t.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders of runs, or their metrics.jsonl; files of evaluations."""
    picture: Path | None = None
    """Draw the curves of the runs into this image file; without runs, coverage against the steps spent."""
    risk: Path | None = None
    """Draw, for evaluations with --answers, risk against the share of inputs answered into this image file."""
    reach: float = 0.8
    """Also tell the first step at which the accuracy of a sample reached this."""


def run(arguments: list[str]) -> int:
    example = "gram report runs/seven runs/literal --picture curves.png"
    options = parse(ReportOptions, arguments, "gram report", example)
    if not options.runs:
        raise UserError("report: expected at least one run or evaluation (see `gram report --help`)")
    for picture in (options.picture, options.risk):
        can_write(picture, PICTURES)
    from gram_reasoning.analysis import runs, set_figures
    from gram_reasoning.evaluation.report import evaluations_table, runs_table

    files = {path: runs.load_evaluation(path) for path in options.runs}
    evaluations = {str(path): found for path, found in files.items() if found is not None}
    logs = {str(path): runs.load_run(path) for path, found in files.items() if found is None}
    if options.picture is not None and not logs and not any(map(set_figures.is_set, evaluations.values())):
        raise UserError("--picture: evaluations have no curves, expected runs, or evaluations with --answers")
    tables = []
    if logs:
        alike = {name: runs.run_alike(Path(name), lines) for name, lines in logs.items()}
        tables.append(runs_table(logs, options.reach, runs.over_seeds(alike)))
    if evaluations:
        alike = {name: runs.evaluation_alike(found) for name, found in evaluations.items()}
        tables.append(evaluations_table(evaluations, runs.over_seeds(alike)))
        if old := [name for name, one in alike.items() if one is None and len(alike) > 1]:
            tables.append(f"in no interval: {', '.join(old)} (older files, which do not tell recipe and seed)")
    print("\n\n".join(tables))
    if options.picture is not None and logs:
        runs.curves(logs, options.picture)
    elif options.picture is not None:
        set_figures.coverage_curves(evaluations, options.picture)
    if options.risk is not None:
        set_figures.risk_curves(evaluations, options.risk)
    return 0
