"""`gram report`: runs side by side, from their logs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from gram_reasoning.cli.border import PICTURES, can_write, parse
from gram_reasoning.errors import UserError


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """Set runs side by side: the newest evaluation of each by prior rollouts, and the curves."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders of runs, or their metrics.jsonl."""
    picture: Path | None = None
    """Draw the curves into this image file."""
    reach: float = 0.8
    """Also tell the first step at which the accuracy of a sample reached this."""


def run(arguments: list[str]) -> int:
    example = "gram report runs/seven runs/literal --picture curves.png"
    options = parse(ReportOptions, arguments, "gram report", example)
    if not options.runs:
        raise UserError("report: expected at least one folder of a run (see `gram report --help`)")
    can_write(options.picture, PICTURES)
    from gram_reasoning.analysis.runs import curves, load_run
    from gram_reasoning.evaluation.report import runs_table

    runs = {str(run): load_run(run) for run in options.runs}
    print(runs_table(runs, options.reach))
    if options.picture is not None:
        curves(runs, options.picture)
    return 0
