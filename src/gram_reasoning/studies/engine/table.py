"""What a study has found, from the files of its runs: table.json, the same as Markdown, logs and weights beside it."""

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gram_reasoning.evaluation.metrics import interval
from gram_reasoning.storage.checkpoint import load_json
from gram_reasoning.storage.files import write_whole
from gram_reasoning.studies.definition import Column, Run, Study
from gram_reasoning.studies.engine import earlier, plan, work

Row = dict[str, Any]
KEEP_BYTES = 2 * 2**20
"""Most that kept weights may take."""
SECTIONS = (
    *("macro", "macro_several", "paper", "by_solutions", "coverage_by_samples", "conflicts", "measures", "pass"),
    *("held", "by_score", "precision", "set_size", "duplicates", "mean_spent", "independent", "sets"),
)
"""Of what a judgement wrote, those whose numbers become rows."""
NOT_RUN, NO_NUMBER = "not run", "-"


# -- rows --------------------------------------------------------------------------------------------------------------


def rows_of(study: Study, run: Run, folder: Path) -> list[Row]:
    """A row for each number that judged the run so far."""
    log = work.log_of(run, folder)
    start = next((line for line in log if line["kind"] == "start"), {})
    rows = []
    for judgement in study.judgements:
        path = work.judged_file(run, judgement, folder)
        if not judgement.of(run) or not path.is_file():
            continue
        found = load_json(path)
        common = {"task": study.recipe, "system": run.system, "block": run.block, "mixer": _mixer(run, folder)}
        inputs = found.get("inputs")
        cost = {
            "inputs": inputs,
            "cpu_seconds": plan.spent(log),
            "parameters": start.get("parameters"),
            "sampling_steps": _steps_an_input(found),
            "sampling_cpu_seconds": found["cpu_seconds"] / inputs if inputs and "cpu_seconds" in found else None,
            "commit": found.get("commit"),
            "weights_sha256": weights_sha256(work.run_folder(run, folder) / "model"),
            "declared": plan.declared(study, run),
        }
        for measure, value in _numbers({name: found[name] for name in SECTIONS if name in found}):
            if run.samples > 1 or not ("ceiling" in measure or measure.startswith("coverage_by_samples")):
                rows.append(
                    {**common, "seed": run.seed, "measure": f"{judgement.name}.{measure}", "value": value, **cost}
                )
    return rows


def _numbers(found: dict[str, Any], above: str = "") -> Iterator[tuple[str, float]]:
    """The numbers in nested objects by their path; lists and words are left out."""
    for name, value in found.items():
        # The model's own row of `gram fid` has its number of steps in its name.
        path = above + ("model" if name.startswith("the model") else name)
        if isinstance(value, dict):
            yield from _numbers(value, f"{path}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield path, round(float(value), 6)


def _steps_an_input(found: dict[str, Any]) -> float | None:
    """Supervision steps that were spent on an input, over all its trajectories."""
    if "mean_spent" in found:
        return found["mean_spent"]
    return found["samples"] * found["mean_steps"] if "mean_steps" in found else None


def _mixer(run: Run, folder: Path) -> str | None:
    """How the tokens of its model see each other, as its config says."""
    model = load_json(work.run_folder(run, folder) / "config.json")["model"]
    return model.get("token_mixer", "attention with relations" if model.get("relations") else "attention")


def weights_sha256(model: Path) -> str:
    """Of a model's weights, all files of them one after the other."""
    digest = hashlib.sha256()
    for file in sorted(model.glob("*.safetensors")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


# -- the whole ---------------------------------------------------------------------------------------------------------


def collect(study: Study, folder: Path) -> dict[str, Any]:
    """All that is known of a study today."""
    known = study.known()
    timings = {run.group: found for run in known if (found := plan.timing_of(study, run, folder)) is not None}
    plans, minutes, rows = [], {}, []
    for group, members in study.groups(known).items():
        if (timing := timings.get(group)) is None:
            continue
        steps = timing.steps(study.core_minutes)
        rate = folder / group / "rate.json"
        found = {"group": group, "steps": steps, "seconds_a_step": timing.seconds, "parameters": timing.parameters}
        plans.append({**found, **(load_json(rate) if rate.is_file() else {})})
        for run in members:
            log = work.log_of(run, folder)
            spent = plan.spent(log)
            if spent is not None and log[-1]["step"] == steps:
                minutes[run.name] = spent / 60
            rows += rows_of(study, run, folder)
    return {
        "study": study.name,
        "words": study.words.strip(),
        "task": study.recipe,
        "command": f"gram study {study.name}",
        "core_minutes": study.core_minutes,
        "core_minutes_spent": {name: round(value, 3) for name, value in minutes.items()},
        "plan": plans,
        "notes": [*study.unknown()],
        "rows": rows,
    }


def rules(study: Study, table: dict[str, Any]) -> list[str]:
    """A line for each rule of the protocol that the runs of the table break, wherever they were made."""
    sizes = {row["group"]: plan.Timing(row["seconds_a_step"], row["parameters"], "") for row in table["plan"]}
    return [*plan.parameter_faults(study, sizes), *plan.minute_faults(study, table["core_minutes_spent"], "spent")]


def faults(study: Study, table: dict[str, Any]) -> list[str]:
    """The notes that break a rule of the protocol."""
    known = set(study.unknown())
    return [note for note in table["notes"] if note not in known and not note.startswith((earlier.KEPT, earlier.LEFT))]


def write(study: Study, folder: Path, out: Path) -> dict[str, Any]:
    """Write table.json, table.md, the logs of the runs and the weights to keep; returns the table."""
    table = collect(study, folder)
    kept: set[str] = set()
    if (out / "table.json").is_file():
        table, kept = earlier.merged(study, table, load_json(out / "table.json"))
    table["notes"] += rules(study, table)
    out.mkdir(parents=True, exist_ok=True)
    for run in study.known():
        log = work.run_folder(run, folder) / "metrics.jsonl"
        if log.is_file() and run.name not in kept:  # its numbers are another run's
            (out / "logs").mkdir(exist_ok=True)
            write_whole(out / "logs" / f"{run.name}.jsonl", log.read_bytes())
        if run.keep and work.is_judged(study, run, folder):
            table["notes"] += _keep(work.run_folder(run, folder) / "model", out / "weights" / run.name)
    head = {name: value for name, value in table.items() if name != "rows"}
    rows = ",\n  ".join(json.dumps(row) for row in table["rows"])
    text = json.dumps(head, indent=1).removesuffix("\n}") + f',\n "rows": [\n  {rows}\n ]\n}}\n'  # a row a line
    write_whole(out / "table.json", text)
    write_whole(out / "table.md", markdown(study, table))
    return table


def _keep(model: Path, to: Path) -> list[str]:
    size = sum(file.stat().st_size for file in model.iterdir())
    if size > KEEP_BYTES:
        return [f"weights of {to.name}: {size / 2**20:.1f} MB, not kept, expected at most 2 MB"]
    shutil.copytree(model, to, dirs_exist_ok=True)
    return []


# -- Markdown ----------------------------------------------------------------------------------------------------------


def values_of(rows: Sequence[Row], run: Run, measure: str) -> list[float]:
    """One value a seed of the run's system and block."""
    return [
        row["value"]
        for row in rows
        if (row["system"], row["block"], row["measure"]) == (run.system, run.block, measure)
    ]


def told(values: Sequence[float], percent: bool) -> str:
    """A mean with its 95% interval over seeds; one value alone; or that there is none."""
    if not values:
        return NOT_RUN
    scaled, digits = ([100 * value for value in values], 1) if percent else (list(values), 2)
    if len(scaled) == 1:
        return f"{scaled[0]:.{digits}f}"
    mean, half = interval(scaled)
    return f"{mean:.{digits}f} ± {half:.{digits}f}"


def markdown(study: Study, table: dict[str, Any]) -> str:
    """A table for each block, what the screens said, and the notes."""
    lines = [f"# {study.name}", "", study.words.strip(), "", f"`{table['command']}`", ""]
    for block in dict.fromkeys(run.block for run in study.runs):
        runs = [run for run in study.runs if run.block == block]
        lines += [f"## {block.capitalize()}", "", *_block(study, runs, table), ""]
    screens = [row for row in table["plan"] if row.get("screen")]
    if screens:
        lines += ["## Learning rates", "", f"By {screens[0]['by']} on validation inputs.", ""]
        lines += ["| runs | steps | rates and what they reached | chosen |", "|---|---|---|---|"]
        for row in screens:
            reached = ", ".join(f"{one['rate']:g}: {one['value']:.4f}" for one in row["screen"])
            lines.append(f"| {row['group']} | {row['screen'][0]['steps']} | {reached} | {row['rate']:g} |")
        lines.append("")
    if table["notes"]:
        lines += ["## Notes", "", *(f"- {note}" for note in table["notes"]), ""]
    return "\n".join(lines)


def _block(study: Study, runs: Sequence[Run], table: dict[str, Any]) -> list[str]:
    costs = ("parameters", "core-minutes", "steps an input", "CPU s an input")
    headings = ["system", "seeds", *(column.heading for column in study.columns), *costs]
    lines = [f"| {' | '.join(headings)} |", "|---" * len(headings) + "|"]
    for members in study.groups(runs).values():
        run = members[0]
        own = [row for row in table["rows"] if (row["system"], row["block"]) == (run.system, run.block)]
        judged = len({row["seed"] for row in own})
        cells = [run.system, f"{judged} of {len(members)}"]
        # What was judged, but has no such number, such as the ceiling of one answer, is told from what was not run.
        values = [values_of(own, run, column.measure) for column in study.columns]
        cells += [
            NO_NUMBER if own and not found else told(found, column.percent)
            for column, found in zip(study.columns, values, strict=True)
        ]
        cells += _costs(study, own)
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _costs(study: Study, rows: Sequence[Row]) -> list[str]:
    """Parameters, core-minutes of a run, and what the judgement of the first column spends on an input."""
    first = study.columns[0].measure
    of_first = [row for row in rows if row["measure"] == first]
    if not of_first:
        return ["", "", "", ""]

    def mean(name: str, scale: float, form: str) -> str:
        values = [row[name] for row in of_first if row[name] is not None]
        return format(scale * sum(values) / len(values), form) if values else ""

    return [
        mean("parameters", 1, ",.0f"),
        mean("cpu_seconds", 1 / 60, ".2f"),
        mean("sampling_steps", 1, ".0f"),
        mean("sampling_cpu_seconds", 1, ".3g"),
    ]


# -- against another ---------------------------------------------------------------------------------------------------


def against(study: Study, rows: Sequence[Row], stated: Sequence[Row]) -> list[str]:
    """A line for each number of the table: whether this mean lies in the interval of another table of the study."""
    lines = []
    for members in study.groups().values():
        for column in study.columns:
            ours, theirs = (values_of(found, members[0], column.measure) for found in (rows, stated))
            if ours and theirs:
                lines.append(_compared(members[0], column, ours, theirs))
    return lines


def _compared(run: Run, column: Column, ours: list[float], theirs: list[float]) -> str:
    mean = sum(ours) / len(ours)
    if len(theirs) < 2:
        verdict = "no interval, one seed"
    else:
        centre, half = interval(theirs)
        verdict = "within" if abs(mean - centre) <= half + 1e-9 else "OUTSIDE"
    here, there = (told(values, column.percent) for values in (ours, theirs))
    return f"{run.group}, {column.heading}: {here} here, {there} stated: {verdict}"
