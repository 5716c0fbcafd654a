"""Numbers and boards as people read them."""

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from gram_reasoning.evaluation.metrics import interval
from gram_reasoning.inference.solve import Answer, Solved
from gram_reasoning.tasks.base import Task

WIDTH = 100  # of boards side by side


def rendered(table: Table) -> str:
    """A table as text, as wide as its rows."""
    console = Console(width=240)  # as wide as its rows: a table is not cut
    with console.capture() as capture:
        console.print(table)
    return capture.get().rstrip("\n")


def evaluation_table(result: dict[str, Any]) -> str:
    """The table that `gram eval` prints."""
    halting = f", halting after {result['mean_steps']:.1f} on average" if result["halting"] else ""
    title = (
        f"{result['checkpoint']} on {result['inputs']} {result['split']} inputs: {result['samples']} samples each, "
        f"{result['steps']} steps{halting}, under the prior"
    )
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    headings = {"macro": "unique inputs (macro)", "paper": "paper protocol"}
    if "macro_several" in result:
        headings["macro_several"] = f"{result['macro_several']['inputs']} inputs with 2+ solutions"
    columns = {column: heading for column, heading in headings.items() if column in result}
    for heading in columns.values():
        table.add_column(heading, justify="right")
    samples = result["samples"]
    rows = {
        "single_sample_accuracy": "accuracy of a sample",
        "selected_accuracy": f"accuracy of the choice ({result['select']})",
        "best_of_samples_accuracy": f"accuracy of the best of {samples}",
        "coverage": f"coverage with {samples} samples",
        "independent_ceiling": "  ceiling: independent samples",
        "no_repeat_ceiling": "  ceiling: no repeats",
    }
    for key, label in rows.items():
        if columns and all(key in result[column] for column in columns):
            table.add_row(label, *(f"{100 * result[column][key]:.1f}" for column in columns))
    parts = [rendered(table), *_further(result)]
    if "by_solutions" not in result:
        return "\n\n".join(parts)
    by = Table(box=None, pad_edge=False)
    for heading in ("solutions of the input", "inputs", "accuracy of a sample", "coverage", "independent ceiling"):
        by.add_column(heading, justify="right")
    for n, row in result["by_solutions"].items():
        numbers = (row["single_sample_accuracy"], row["coverage"], row["independent_ceiling"])
        by.add_row(n, str(row["inputs"]), *(f"{100 * number:.1f}" for number in numbers))
    return "\n\n".join([*parts, rendered(by)])


def _further(result: dict[str, Any]) -> list[str]:
    """The numbers beyond accuracy that a task reports, one a line."""
    lines = []
    if "conflicts" in result:
        mean, total = result["conflicts"]["mean"], result["conflicts"]["sum_over_inputs"]
        lines.append(f"violated constraints: {mean:.3f} an answer, {total:.1f} over all inputs")
        if (chosen := result["conflicts"].get("selected_sum_over_inputs")) is not None:
            lines.append(f"violated constraints of the choices: {chosen} over all inputs")
    if by_rule := result.get("choices"):
        found = ", ".join(f"{rule} {100 * value:.1f}" for rule, value in by_rule.items())
        lines.append(f"accuracy of the choice by rule: {found}")
    for name, value in result.get("pass", {}).items():
        lines.append(f"{name}: {100 * value:.1f} (mean over what the inputs belong to)")
    for name, value in result.get("measures", {}).items():
        lines.append(f"{name.replace('_', ' ')}: {f'{value:.4g}' if isinstance(value, float) else value}")
    return ["\n".join(lines)] if lines else []


def images_table(result: dict[str, Any]) -> str:
    """The table that `gram fid` prints."""
    table = Table(box=None, pad_edge=False)
    for heading in ("", "images", "IS", "FID"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, row in result["sets"].items():
        table.add_row(name, str(row["images"]), f"{row['inception_score']:.2f}", f"{row['frechet_distance']:.2f}")
    head = f"{result['checkpoint']}\nIS and FID by {result['features']}, FID to {result['reference']}"
    return f"{head}\n{rendered(table)}"


Row = dict[str, float | None]
"""Numbers of a run or of an evaluation by their heading, shares of 1; None where it has none."""


def runs_table(runs: dict[str, list[dict[str, Any]]], reach: float, groups: Sequence[Sequence[str]] = ()) -> str:
    """What `gram report` prints of runs: the newest evaluation of each, on its validation inputs.

    Args:
        groups: names of runs that differ in the seed alone: their mean gets a row, with its 95% interval.
    """
    table = Table(box=None, pad_edge=False)
    table.add_column("run")
    headings = ("step", "seconds", "accuracy", "best of k", "coverage", "2+: accuracy", "coverage", "ceiling", "leak")
    for heading in (*headings, f"step at {reach:.0%}"):
        table.add_column(heading, justify="right")
    rows: dict[str, Row] = {}
    for name, lines in runs.items():
        evaluations = [line for line in lines if line["kind"] == "eval"]
        last, prior = evaluations[-1], evaluations[-1]["prior"]
        keys = ("accuracy", "best", "coverage", "several_accuracy", "several_coverage", "several_ceiling")
        rows[name] = {key: prior[key] for key in keys}
        reached = [line["step"] for line in evaluations if (line["prior"]["accuracy"] or 0.0) >= reach]
        leak = "ALARM" if last["leak_alarm"] else "no"
        first = str(reached[0]) if reached else "never"
        table.add_row(name, str(last["step"]), f"{last['seconds']:.0f}", *_percents(rows[name]), leak, first)
    for names in groups:
        table.add_row(_group_name(names), "", "", *_intervals([rows[name] for name in names]), "", "")
    return rendered(table)


def _percents(row: Row) -> list[str]:
    return ["-" if value is None else f"{100 * value:.1f}" for value in row.values()]


def _intervals(rows: Sequence[Row]) -> list[str]:
    """Mean and 95% interval of each number, in percent."""
    told = []
    for key in rows[0]:
        values = [value for row in rows if (value := row[key]) is not None]
        if len(values) < len(rows):
            told.append("-")
            continue
        mean, half = interval([100 * value for value in values])
        told.append(f"{mean:.1f} ± {half:.1f}")
    return told


def _group_name(names: Sequence[str]) -> str:
    return f"mean of {len(names)} seeds, as {names[0]}"


COMPARED = {
    "accuracy": ("macro", "single_sample_accuracy"),
    "choice": ("macro", "selected_accuracy"),
    "best of k": ("macro", "best_of_samples_accuracy"),
    "coverage": ("macro", "coverage"),
    "ceiling": ("macro", "independent_ceiling"),
    "2+: accuracy": ("macro_several", "single_sample_accuracy"),
    "2+: coverage": ("macro_several", "coverage"),
    "2+: ceiling": ("macro_several", "independent_ceiling"),
    "paper: coverage": ("paper", "coverage"),
    "paper: ceiling": ("paper", "independent_ceiling"),
}
"""Columns of evaluations side by side, and where their numbers stand in the file of one."""


def evaluations_table(results: dict[str, dict[str, Any]], groups: Sequence[Sequence[str]] = ()) -> str:
    """What `gram report` prints of evaluations: a row each, and the means over seeds; no column that all lack."""
    rows: dict[str, Row] = {
        name: {heading: result.get(part, {}).get(key) for heading, (part, key) in COMPARED.items()}
        for name, result in results.items()
    }
    has = [heading for heading in COMPARED if any(row[heading] is not None for row in rows.values())]
    rows = {name: {heading: row[heading] for heading in has} for name, row in rows.items()}
    table = Table(box=None, pad_edge=False)
    table.add_column("evaluation")
    for heading in ("inputs", "samples", "steps", *has):
        table.add_column(heading, justify="right")
    for name, row in rows.items():
        result = results[name]
        inputs = f"{result['inputs']} {result['split']}"
        steps = f"{result['budget']} in all" if "budget" in result else str(result["steps"])
        table.add_row(name, inputs, str(result["samples"]), steps, *_percents(row))
    for names in groups:
        table.add_row(_group_name(names), "", "", "", *_intervals([rows[name] for name in names]))
    return rendered(table)


def solved_text(item: Solved, place: str, show_all: bool) -> str:
    """One input and what was found for it: the best solution, or all of them."""
    task = item.writer
    found = item.solutions
    valid = sum(a.votes for a in found) if item.right is None else item.right
    if item.known_solutions == 0:
        head = "no solution exists"
    elif not found:
        exist = "" if item.known_solutions is None else f", {_number(task, item.known_solutions)} exist"
        more = "--all, or more --samples or --steps," if item.spent is None else "a larger --budget, or more --steps,"
        head = f"not solved: none of {item.samples} samples is a solution{exist}; {more} may find one"
        if item.abstained:
            head = f"abstained: no answer of {item.samples} samples reaches --at-least{exist}"
        elif valid:
            head = (
                f"not solved: of {item.samples} samples {valid} are solutions, none was chosen{exist}; {more} may help"
            )
    else:
        of = "" if item.known_solutions is None else f" of {_number(task, item.known_solutions)}"
        cost = f"{item.steps} steps" if item.spent is None else f"{item.spent} steps in all"
        head = f"{len(found)}{of} solutions found, {valid} of {item.samples} samples valid, {cost}"
        if item.complete is not None:
            head += f"; by estimate {item.complete:.0%} of those the model has to give"
    listed = found if show_all else found[:1]
    blocks = [[*task.format(item.tokens).splitlines(), "input"]]
    blocks += [[*task.format(a.tokens).splitlines(), f"{a.votes} votes"] for a in listed]
    if item.miss is not None:
        blocks.append([*task.format(item.miss.tokens).splitlines(), _missed(task, item, item.miss)])
    return f"{place}: {head}\n{side_by_side(blocks)}\n"


def _missed(task: Task, item: Solved, answer: Answer) -> str:
    """What stands below an answer that is no solution, with how many constraints it violates if the task counts."""
    conflicts = task.conflicts(torch.tensor([answer.tokens]), torch.tensor([item.tokens]))
    broken = "" if conflicts is None else f", violated: {int(conflicts[0])}"
    return f"{answer.votes} votes, NOT a solution{broken}"


def _number(task: Task, solutions: int) -> str:
    return f"{solutions} or more" if solutions == task.count_limit else str(solutions)


def side_by_side(blocks: list[list[str]], gap: str = "    ") -> str:
    """Blocks of lines beside each other, as many as fit."""
    width = max(len(line) for block in blocks for line in block)
    per_line = max(1, (WIDTH + len(gap)) // (width + len(gap)))
    lines: list[str] = []
    for start in range(0, len(blocks), per_line):
        for row in zip_longest(*blocks[start : start + per_line], fillvalue=""):
            lines.append(gap.join(cell.ljust(width) for cell in row).rstrip())
        lines.append("")
    return "\n".join(lines[:-1])
