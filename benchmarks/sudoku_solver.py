"""The exact Sudoku solver on the tdoku lists: puzzles a second, one thread, and agreement with the given answers.

    GRAM_DATA_DIR=data python benchmarks/sudoku_solver.py results/sudoku_solver.json [--rounds 3]

On every row: exactly one solution, and it is the given answer. Times are medians of rounds over a whole list, compiled
beforehand. "prove" counts up to two solutions, so that uniqueness is proven; "first" stops at the first. No peer stands
beside it: the one that we tried from pip (sudoku-rust) did not come through two 17-clue puzzles in the time we gave it.
"""

import argparse
import csv
import gzip
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gram_reasoning.storage.provenance import commit
from gram_reasoning.tasks import sudoku_solver

FILES = (
    "sudoku-extreme/train_1k.csv.gz",
    "sudoku-extreme/dev_from_hf_train.csv.gz",
    "sudoku-extreme/test_genuine.csv.gz",
    "sudoku-pool/pool_eval_10k.csv.gz",
    "sudoku-pool/pool_extra_train.csv.gz",
)


def digits(texts: list[str]) -> np.ndarray:
    return np.array([[int(c) if c.isdigit() else 0 for c in text] for text in texts], np.uint8)


def lists(folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Questions and answers of each list; the genuine rows of Sudoku-Extreme are one list."""
    rows: dict[str, list[tuple[str, str]]] = {}
    for file in FILES:
        with gzip.open(folder / file, "rt", encoding="utf-8") as lines:
            for row in csv.DictReader(lines):
                name = row["source"] if "pool" in file else "sudoku-extreme"
                rows.setdefault(name, []).append((row["question"], row["answer"]))
    return {name: (digits([q for q, _ in own]), digits([a for _, a in own])) for name, own in sorted(rows.items())}


def rates(solvers: dict[str, Callable[[np.ndarray], Any]], puzzles: np.ndarray, rounds: int) -> dict[str, int]:
    """Median puzzles a second of each solver, in alternation, so that all see the same machine."""
    taken: dict[str, list[float]] = {name: [] for name in solvers}
    for _ in range(rounds):
        for name, solve in solvers.items():
            start = time.perf_counter()
            solve(puzzles)
            taken[name].append(time.perf_counter() - start)
    return {name: round(len(puzzles) / statistics.median(times)) for name, times in taken.items()}


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("json", type=Path)
    options.add_argument("--rounds", type=int, default=3)
    chosen = options.parse_args()
    solvers: dict[str, Callable[[np.ndarray], Any]] = {
        "prove": lambda puzzles: sudoku_solver.solve(puzzles, 2),
        "first": lambda puzzles: sudoku_solver.solve(puzzles, 1),
    }
    result: dict[str, Any] = {
        "command": "GRAM_DATA_DIR=data python benchmarks/sudoku_solver.py results/sudoku_solver.json",
        "commit": commit(),
        "device": f"{platform.machine()}, one thread",
        "python": platform.python_version(),
        "rounds": chosen.rounds,
        "lists": {},
    }
    for name, (questions, answers) in lists(Path(os.environ.get("GRAM_DATA_DIR") or "data")).items():
        count, first, guesses = sudoku_solver.solve(questions, 2)
        agreed = int(((count == 1) & (first == answers).all(1)).sum())
        line = {"rows": len(questions), "agreed": agreed, "mean_guesses": round(float(guesses.mean()), 2)}
        line |= {f"{way}_a_second": rate for way, rate in rates(solvers, questions, chosen.rounds).items()}
        result["lists"][name] = line
        print(f"{name}: {line}", flush=True)
        if agreed != len(questions):
            raise SystemExit(f"FAILED: {name}: {len(questions) - agreed} rows do not agree with their answers")
    chosen.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
