"""One job of a study, in this process: time a group and screen its learning rates, or train and judge one run.

Everything is done by commands of `gram`, so that what stands in a table can be made again by hand. What is done already
is left alone, a run that was stopped goes on.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gram_reasoning.config import Recipe, to_json
from gram_reasoning.errors import UserError
from gram_reasoning.storage.checkpoint import load_json, save_json
from gram_reasoning.studies.definition import Judgement, Run, Study
from gram_reasoning.studies.engine import plan

Program = Callable[[list[str]], int]
"""Runs a command line of `gram` and returns its exit code."""
PREPARE, SETUP = "prepare:", "setup"


def jobs_before(study: Study, runs: Sequence[Run], folder: Path) -> list[str]:
    """The jobs that must be done before any of the runs: data of the study, timings, screens."""
    waiting = [] if all(_out(command, folder).exists() for command in study.setup) else [SETUP]
    for group, members in study.groups(runs).items():
        timing = plan.timing_of(study, members[0], folder)
        if timing is None or (len(study.rates) > 1 and not (folder / group / "rate.json").is_file()):
            waiting.append(f"{PREPARE}{group}")
    return waiting


def jobs_of(study: Study, runs: Sequence[Run], folder: Path) -> list[str]:
    """The names of the runs that are not trained and judged yet."""
    return [run.name for run in runs if not is_judged(study, run, folder)]


def is_judged(study: Study, run: Run, folder: Path) -> bool:
    return all(judged_file(run, one, folder).is_file() for one in study.judgements if one.of(run))


def judged_file(run: Run, judgement: Judgement, folder: Path) -> Path:
    return folder / run.group / f"s{run.seed}-{judgement.name}.json"


def run_folder(run: Run, folder: Path) -> Path:
    return folder / run.group / f"s{run.seed}"


def do(study: Study, job: str, folder: Path, gram: Program) -> None:
    """Do one job by its name; nothing of it is done twice."""
    if job == SETUP:
        for command in study.setup:
            if not _out(command, folder).exists():
                _must(gram, [word.replace("{runs}", str(folder)) for word in command])
        return
    if job.startswith(PREPARE):
        members = study.groups(study.known()).get(job.removeprefix(PREPARE))
        todo = prepare
    else:
        members = [run for run in study.known() if run.name == job]
        todo = train_and_judge
    if not members:
        raise UserError(f"--job: got {job!r}, expected the name of a run of study {study.name}, or {PREPARE}GROUP")
    todo(study, members[0], folder, gram)


def prepare(study: Study, run: Run, folder: Path, gram: Program) -> None:
    """Time a group, then train and judge each learning rate in short and write down the best; the first of equals."""
    timing = plan.measure(study, run, folder)
    if len(study.rates) < 2:
        return
    rows = []
    for number, rate in enumerate(study.rates):
        at = folder / run.group / f"screen-{number}"
        _train(plan.screen_recipe(study, run, timing, rate), at, gram)
        options = ["--split", "validation", *_filled(study.screen, run, folder)]
        found = at.with_name(f"{at.name}.json")
        _judge(study.screen.command, at, options, found, gram)
        value = number_at(load_json(found), study.choose)
        if value is None:
            raise UserError(f"study {study.name}: {found} has no number {study.choose!r}, expected one to choose by")
        rows.append({"rate": rate, "value": value, "steps": timing.steps(study.screen_share * study.core_minutes)})
    best = max(rows, key=lambda row: row["value"])
    save_json(folder / run.group / "rate.json", {"rate": best["rate"], "by": study.choose, "screen": rows})


def train_and_judge(study: Study, run: Run, folder: Path, gram: Program) -> None:
    timing = plan.timing_of(study, run, folder)
    if timing is None:
        raise UserError(f"{folder / run.group}: not timed here; `--job {PREPARE}{run.group}` does it")
    at = run_folder(run, folder)
    _train(plan.run_recipe(study, run, timing, plan.rate_of(study, run, folder)), at, gram)
    for judgement in study.judgements:
        if judgement.of(run):
            found = judged_file(run, judgement, folder)
            _judge(judgement.command, at, _filled(judgement, run, folder), found, gram)


def number_at(found: Any, path: str) -> float | None:
    """The number at a place such as `macro.coverage` in what a judgement wrote; None if there is none."""
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return float(found) if isinstance(found, int | float) else None


def _train(recipe: Recipe, at: Path, gram: Program) -> None:
    config = at / "model" / "config.json"
    if config.is_file():
        shared = load_json(config)
        if shared["step"] == recipe.train.steps and shared["recipe"] == to_json(recipe):
            return
    file = at.with_name(f"{at.name}.recipe.json")
    save_json(file, to_json(recipe))
    _must(gram, ["train", "--config", str(file), "--out", str(at), "--resume", "--device", "cpu", "--threads", "1"])


def _judge(command: str, at: Path, options: list[str], found: Path, gram: Program) -> None:
    if found.is_file():
        return
    target = ["--checkpoint", str(at)] if command in ("fid", "generate") else [str(at)]
    _must(gram, [command, *target, *options, "--device", "cpu", "--threads", "1", "--json", str(found)])


def _filled(judgement: Judgement, run: Run, folder: Path) -> list[str]:
    return [word.format(samples=run.samples, few=min(4, run.samples), runs=folder) for word in judgement.options]


def _out(command: Sequence[str], folder: Path) -> Path:
    return Path(command[command.index("--out") + 1].format(runs=folder))


def _must(gram: Program, command: list[str]) -> None:
    print(f"$ gram {' '.join(command)}", flush=True)
    if code := gram(command):
        raise SystemExit(code)  # it has said why


def log_of(run: Run, folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's log; none before it has begun."""
    path = run_folder(run, folder) / "metrics.jsonl"
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
