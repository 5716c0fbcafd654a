"""docs/results.md: every table of the paper beside ours, from results/*/table.json and older files of results/.

    python benchmarks/results_page.py

What nobody measured is "not run".
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gram_reasoning.studies import PAPER, RELATIONS, STUDIES
from gram_reasoning.studies.engine.table import told

ROOT = Path(__file__).parents[1]
NONE = "-"


@dataclass(frozen=True)
class Number:
    """A column of a table of the paper, and which measure of a study stands beside it."""

    heading: str
    measure: str
    percent: bool = True


@dataclass(frozen=True)
class Line:
    """A row: its name there, its system here, and what the paper has for each number; None where it has none."""

    paper: str
    system: str
    values: tuple[float | None, ...]
    measures: tuple[str, ...] = ()
    """Of this row, where they differ from the columns'."""


@dataclass(frozen=True)
class Table:
    title: str
    differs: str
    study: str
    numbers: tuple[Number, ...]
    lines: tuple[Line, ...]


ROLLED = Line("", "GRAM rolled out", ())
ACCURACY = Number("accuracy", "samples.paper.single_sample_accuracy")
COVERAGE = Number("coverage", "samples.paper.coverage")
CONFLICTS = Number("conflicts", "samples.conflicts.selected_sum_over_inputs", percent=False)
TABLE_2 = {
    "Direct 8": (40.4, 13.7, 13.6, 1.6, 179.3, 19.9, 198.7, 6.7),
    "Direct 32": (40.2, 13.6, 13.1, 1.6, 174.0, 19.1, 227.7, 6.5),
    "Looped TF": (68.4, 23.6, 50.0, 6.2, 136.0, 20.5, 157.3, 7.2),
    "HRM": (78.7, 26.7, 37.4, 4.7, 109.7, 21.8, 164.3, 8.9),
    "TRM": (66.8, 36.1, 17.5, 2.0, 109.3, 22.3, 170.7, 6.8),
    "AR": (96.3, 84.8, 90.0, 53.2, 19.0, 83.0, 61.3, 40.0),
    "MDLM": (96.1, 87.2, 74.3, 47.4, 2.7, 84.5, 12.0, 48.2),
    "GRAM": (99.7, 90.3, 89.7, 57.5, 2.7, 85.8, 3.3, 51.3),
    "Looped Flows": (99.9, 91.4, 94.4, 61.5, 0.7, 89.4, 1.0, 55.2),  # arXiv 2609.11801, later than the paper
}


def of_table_2(start: int, title: str, study: str, first: Number) -> Table:
    found = STUDIES[study]
    return Table(
        title,
        f"pocket size, {found.core_minutes:g} core-minutes a run; coverage in the paper's protocol, as we read it; "
        "Looped Flows by arXiv 2609.11801",
        study,
        (first, COVERAGE),
        (*(Line(name, name, values[start : start + 2]) for name, values in TABLE_2.items()), ROLLED),
    )


ABLATIONS = (
    ("Looped TF", "none of the three", 71.30, 61.25),
    ("HRM", "", 80.7, 55.0),
    ("TRM", "supervision, hierarchy", 72.9, 87.4),
    ("Looped TF with guidance", "guidance", 86.30, 65.64),
    ("deep supervision and guidance, flat", "guidance, supervision", 100.00, 73.90),
    ("GRAM", "GRAM", 99.69, 93.96),
    ("noise only", "noise alone", 50.27, 94.88),
    ("mean only", "mean alone", 0.0, 0.0),
    ("without guidance", "supervision, hierarchy", 72.91, 82.87),
    ("no recursion", "no recursion", 61.44, 63.43),
    ("TRM, stochastic decoding", "TRM, tokens drawn", 71.66, 82.87),
    ("TRM, random z_0", "TRM, z0 drawn", 71.82, 78.53),
)
STEPS_320 = "steps320.macro.single_sample_accuracy"
TABLES = (
    Table(
        "Table 1: Sudoku",
        "a band of Sudoku-Extreme, not all of it; pocket size, 30 core-minutes a run",
        "sudoku",
        (Number("exact", "samples.macro.single_sample_accuracy"),),
        (
            Line("Direct", "Direct 8", (0.0,)),
            Line("Looped TF", "Looped TF", (61.3,)),
            Line("HRM", "HRM", (55.0,)),
            Line("TRM", "TRM", (87.4,)),
            Line("TRM, 320 steps", "TRM", (90.5,), (STEPS_320,)),
            Line("GRAM, 20 samples, LPRM", "GRAM rolled out", (97.0,), ("lprm.macro.selected_accuracy",)),
            Line("", "GRAM rolled out", (), ("samples.macro.selected_accuracy",)),
        ),
    ),
    of_table_2(0, "Table 2: N-Queens 8x8", "queens8", ACCURACY),
    of_table_2(2, "Table 2: N-Queens 10x10", "queens10", ACCURACY),
    of_table_2(4, "Table 2: graph colouring, 8 vertices", "coloring8", CONFLICTS),
    of_table_2(6, "Table 2: graph colouring, 10 vertices", "coloring10", CONFLICTS),
    Table(
        "Table 3: ablations on N-Queens 8x8",
        "pocket size, 10 core-minutes a run; 5 samples, the choice by votes",
        "ablations",
        (Number("accuracy", "samples.paper.selected_accuracy"),),
        tuple(Line(name, system, (queens,)) for name, system, queens, _ in ABLATIONS),
    ),
    Table(
        "Table 3: ablations on Sudoku",
        "a band of Sudoku-Extreme; pocket size, 10 core-minutes a run; 5 samples, the choice by votes",
        "sudoku-ablations",
        (Number("exact", "samples.macro.selected_accuracy"),),
        tuple(Line(name, system, (sudoku,)) for name, system, _, sudoku in ABLATIONS),
    ),
    Table(
        "Sudoku boards from nothing",
        "pocket size, 60 core-minutes a run; 10,000 boards, D3PM 1,000 in 100 steps (the paper: 100,000, 1000 steps)",
        "boards",
        (Number("valid", "boards.measures.validity"), Number("distinct of valid", "boards.measures.distinct_of_valid")),
        (
            Line("D3PM uniform, 55.1M", "D3PM uniform", (91.33, None)),
            Line("D3PM absorbing", "D3PM absorbing", (79.18, None)),
            Line("GRAM, 10.9M", "GRAM", (99.05, 100.0)),
        ),
    ),
    Table(
        "Binarised MNIST",
        "14x14 instead of 28x28, D3PM in 100 steps, and by a small classifier of our own instead of Inception: the "
        "numbers do not compare",
        "digits",
        (
            Number("IS", "fid.sets.model.inception_score", percent=False),
            Number("FID", "fid.sets.model.frechet_distance", percent=False),
        ),
        (
            Line("VAE", "VAE", (1.70, 86.28)),
            Line("D3PM, 1000 steps", "D3PM", (1.86, 74.03)),
            Line("TRM, 16 steps", "TRM", (1.00, 303.29)),
            Line("GRAM, 256 steps", "GRAM", (2.04, 73.34)),
        ),
    ),
    Table(
        "Table 1: ARC-AGI-1",
        "20 small tasks of the training set on a canvas of 10 instead of 400 evaluation tasks; 10 core-minutes a run",
        "arc",
        (Number("pass@2", "tests.pass.pass@2"),),
        (
            Line("Direct", "", (21.0,)),
            Line("HRM", "", (40.3,)),
            Line("TRM", "TRM", (44.6,)),
            Line("GRAM", "GRAM", (52.0,)),
            Line("", "twin", ()),
            Line("", "GRAM, no augmentation", ()),
        ),
    ),
)
SEVEN = {
    "Direct": "rivals/direct-eval.json",
    "Looped TF": "rivals/looped-eval.json",
    "HRM": "rivals/hrm-eval.json",
    "TRM": "rivals/trm-eval.json",
    "AR": "rivals/ar-eval.json",
    "AR, beam search": "rivals/ar-beam-eval.json",
    "MDLM": "rivals/mdlm-eval.json",
    "GRAM": "nqueens7/pocket-s0-eval.json",
}
"""Evaluations on 7x7 from before there were studies; the paper has no such board."""


def rows_of(study: str) -> list[dict[str, Any]]:
    path = ROOT / "results" / study / "table.json"
    return json.loads(path.read_text(encoding="utf-8"))["rows"] if path.is_file() else []


def written(table: Table) -> list[str]:
    rows = rows_of(table.study)
    blocks = [b for b in (RELATIONS, PAPER) if any(run.block == b for run in STUDIES[table.study].runs)]
    headings = ["the paper's row", "system here"]
    for number in table.numbers:
        headings += [f"paper: {number.heading}", *(f"here: {number.heading}, {block}" for block in blocks)]
    lines = [f"## {table.title}", "", f"Here: {table.differs}. Command: `gram study {table.study}`.", ""]
    lines += [f"| {' | '.join(headings)} |", "|---" * len(headings) + "|"]
    for line in table.lines:
        cells = [line.paper or NONE, line.system or NONE]
        for i, number in enumerate(table.numbers):
            value = line.values[i] if i < len(line.values) else None
            cells.append(NONE if value is None else f"{value:g}")
            measure = line.measures[i] if line.measures else number.measure
            for block in blocks:
                here = [
                    row["value"]
                    for row in rows
                    if (row["system"], row["block"], row["measure"]) == (line.system, block, measure)
                ]
                cells.append(told(here, number.percent))
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def seven() -> list[str]:
    """What was measured on 7x7."""
    lines = [
        "## N-Queens 7x7, not in the paper",
        "",
        "Pocket recipes as they stand, one seed, not of equal minutes; in the paper's protocol. Their commands are in",
        "[results/README.md](../results/README.md).",
        "",
        "| system | accuracy of a sample | coverage | independent ceiling | file |",
        "|---|---|---|---|---|",
    ]
    for system, name in SEVEN.items():
        found = json.loads((ROOT / "results" / name).read_text(encoding="utf-8"))
        keys = ("single_sample_accuracy", "coverage", "independent_ceiling")
        numbers = [f"{100 * found['paper'][key]:.1f}" for key in keys]
        if found["samples"] == 1:
            numbers[-1] = NONE  # one answer, whatever the number of samples
        lines.append(f"| {system} | {' | '.join(numbers)} | `{name}` |")
    return [*lines, ""]


def page() -> str:
    lines = [
        "# The paper's tables beside ours",
        "",
        'Written by `python benchmarks/results_page.py` from results/; "not run" is what nobody measured.',
        "Numbers over seeds are means with 95% intervals by Student's t, in percent but for conflicts, IS and FID.",
        "What a study asks and how it is kept fair stands in [studies.md](studies.md).",
        "",
    ]
    for table in TABLES:
        lines += written(table)
    return "\n".join([*lines, *seven()])


if __name__ == "__main__":
    (ROOT / "docs" / "results.md").write_text(page(), encoding="utf-8")
