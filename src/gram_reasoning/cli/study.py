"""`gram study`: a question of the paper, answered again: trains and judges what is missing, then writes the table."""

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gram_reasoning.cli.border import in_range, parse
from gram_reasoning.errors import UserError

if TYPE_CHECKING:
    from gram_reasoning.studies import Run, Study

EXAMPLE = "gram study smoke --runs runs/smoke --out smoke"


@dataclass(frozen=True, kw_only=True)
class StudyOptions:
    """Run a study: train and judge what is missing, one run a core, and write its table and its figure.

    `gram study` alone lists the studies. A study that was stopped goes on with the same command.
    """

    only: tuple[str, ...] = ()
    """Only these runs: names of systems, blocks, seeds (s0) or runs; kinds are joined by "and"."""
    dry_run: bool = False
    """Only say what it would do and what it would cost, from a timing of 50 steps of each system."""
    jobs: int | None = None
    """Runs at once; the default is a run a core."""
    runs: Path | None = None
    """Folder of the runs; the default is runs/studies/NAME."""
    out: Path | None = None
    """Folder of table and figure; the default is results/NAME."""
    against: Path | None = None
    """Also say whether each number lies in the interval that this table.json of the study states."""
    cluster: str | None = None
    """Hand the runs to submitit (needs gram-reasoning[cluster]): slurm, or local for processes of this machine."""
    cluster_parameters: tuple[str, ...] = ()
    """Of submitit's executor, such as slurm_partition=cpu mem_gb=4."""
    job: str | None = None
    """Do this one job in this process and end: a run, prepare:GROUP or setup. It is what runs on each core."""


def run(arguments: list[str]) -> int:
    if not arguments:
        return _list()
    if arguments[0].startswith("-"):
        parse(StudyOptions, arguments, "gram study NAME", EXAMPLE)
        raise UserError("study: expected the name of a study first (`gram study` lists them)")
    name, options = arguments[0], parse(StudyOptions, arguments[1:], f"gram study {arguments[0]}", EXAMPLE)
    from gram_reasoning.studies import chosen, get_study

    study = get_study(name)
    folder = (options.runs or Path("runs") / "studies" / study.name).absolute()
    if options.job is not None:
        return _one_job(study, options.job, folder)
    known = set(study.known())
    runs = tuple(run for run in chosen(study, options.only) if run in known)
    for line in study.unknown():
        print(line)
    jobs = (os.cpu_count() or 1) if options.jobs is None else options.jobs
    in_range("jobs", jobs, 1)
    if options.dry_run:
        return _dry(study, runs, folder)
    _table_of(options.against)
    failed = _work(name, study, runs, folder, options, jobs)
    return max(_tell(study, folder, options), _told(failed))


def _list() -> int:
    from gram_reasoning.studies import STUDIES

    width = max(map(len, STUDIES))
    for name, study in STUDIES.items():
        hours = len(study.runs) * study.core_minutes / 60
        print(f"{name:{width}}  {study.title} {len(study.runs)} runs, {hours:.2g} core-hours beside the screens.")
    print("\n`gram study NAME --dry-run` tells the protocol and times the systems.")
    return 0


def _one_job(study: "Study", job: str, folder: Path) -> int:
    from gram_reasoning.cli.main import main
    from gram_reasoning.studies.engine import work

    work.do(study, job, folder, main)
    return 0


def _dry(study: "Study", runs: "tuple[Run, ...]", folder: Path) -> int:
    """Say what is planned; returns 1 if it breaks a rule of the protocol."""
    from gram_reasoning.studies.engine import plan, work

    print(f"{study.words.strip()}\n")
    timings, minutes, total, screens = {}, {}, 0.0, 0.0
    for group, members in study.groups(runs).items():
        timing = timings[group] = plan.measure(study, members[0], folder)
        each = plan.projected(study, members[0], timing)
        left = sum(not work.is_judged(study, run, folder) for run in members)
        minutes[group], total, screens = each, total + each * left, screens + plan.screening(study, timing)
        print(
            f"{group}: {len(members)} runs, {left} to do, of {timing.steps(study.core_minutes)} steps of "
            f"{1000 * timing.seconds:.1f} ms, {each:.2f} core-minutes each; {timing.parameters:,} parameters"
        )
    print(f"in all {total / 60:.2f} core-hours of training to do, and {screens / 60:.2f} of the screens")
    return _told([*plan.parameter_faults(study, timings), *plan.minute_faults(study, minutes, "projected")])


def _work(
    name: str, study: "Study", runs: "tuple[Run, ...]", folder: Path, options: StudyOptions, jobs: int
) -> list[str]:
    """Do what is missing; a line for each job that failed, whose dependants are left for the next time."""
    from gram_reasoning.studies.engine import scheduler, work

    def command(job: str) -> list[str]:
        return scheduler.again(os.path.abspath(name) if name.endswith(".py") else name, job, folder)

    def do(wanted: list[str], minutes: float) -> list[str]:
        if not wanted:
            return []
        if options.cluster is not None:
            settings = dict(map(_parameter, options.cluster_parameters))
            return scheduler.on_cluster(wanted, command, options.cluster, settings, folder / "logs", minutes)
        return scheduler.here(wanted, command, jobs, folder / "logs", print)

    with _ending_with_its_jobs():
        before = do(work.jobs_before(study, runs, folder), 60 + 3 * study.core_minutes)
        return before or do(work.jobs_of(study, runs, folder), 240 + 3 * study.core_minutes)


@contextlib.contextmanager
def _ending_with_its_jobs():
    """Inside, a request to end is an exception, so that the jobs are ended too."""

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _parameter(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"--cluster-parameters: got {text!r}, expected NAME=VALUE")
    return name, int(value) if value.isdigit() else value


def _tell(study: "Study", folder: Path, options: StudyOptions) -> int:
    """Write and print the table; returns 1 if it breaks a rule of the protocol or leaves a stated interval."""
    from gram_reasoning.studies.engine import figure, table

    out = options.out or Path("results") / study.name
    stated = _table_of(options.against)  # before it may be written over
    found = table.write(study, folder, out)
    if found["rows"]:
        figure.draw(study, found["rows"], out / "figure.png")
    print(f"\n{table.markdown(study, found)}\ntable: {out / 'table.json'}")
    code = _told(table.faults(study, found))
    if stated is not None:
        lines = table.against(study, found["rows"], stated["rows"])
        print("\n".join(lines))
        code = max(code, int(any(line.endswith("OUTSIDE") for line in lines)))
    return code


def _table_of(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    from gram_reasoning.storage.checkpoint import load_json

    found = load_json(path)
    if not isinstance(found, dict) or "rows" not in found:
        raise UserError(f"--against {path}: no rows, expected the table.json of a study")
    return found


def _told(faults: list[str]) -> int:
    for line in faults:
        print(f"gram: {line}")
    return int(bool(faults))
