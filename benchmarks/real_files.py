"""The real files, through the package's own loaders: how many rows, what was checked, how long it took.

    GRAM_DATA_DIR=data python benchmarks/real_files.py results/real_files.json [--part sudoku maze ...]

Without --part, all of them; parts that stand in the JSON file and are not asked for stay. Prepared data go to a folder
that is thrown away, so "seconds" is a first reading and "seconds_prepared" one from the cache.
"""

import argparse
import csv
import gzip
import json
import os
import platform
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch

from gram_reasoning.build import TASKS
from gram_reasoning.storage.provenance import commit
from gram_reasoning.tasks.arc import Arc
from gram_reasoning.tasks.arc_canvas import read, write
from gram_reasoning.tasks.base import Task
from gram_reasoning.tasks.configs import ArcConfig, MazeConfig, MNISTConfig, SudokuConfig, TaskConfig
from gram_reasoning.tasks.mnist import MNIST
from gram_reasoning.tasks.prepared import file_sha256

SPLITS = ("train", "validation", "test")
ARC_VERSIONS: tuple[Literal[1, 2], ...] = (1, 2)


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    done = work()
    return done, round(time.perf_counter() - start, 2)


def demand(holds: bool, what: str) -> None:
    if not holds:
        raise SystemExit(f"FAILED: {what}")


def through_the_loader(config: TaskConfig, rows: dict[str, int]) -> tuple[Task, dict[str, Any]]:
    """Read all splits, from the files and then from prepared data, and every input as text back to its tokens."""

    def load() -> Task:
        task = TASKS[config.kind](config)
        for name in SPLITS:
            demand(len(task.split(name)) == rows[name], f"{rows[name]} rows in {name}")
        return task

    task, seconds = timed(load)
    _, prepared = timed(load)
    inputs = [x for name in SPLITS for x in task.split(name).inputs.long()]
    demand(len({x.numpy().tobytes() for x in inputs}) == sum(rows.values()), "no input in two splits")

    def read_back() -> bool:
        return all(torch.equal(task.parse(task.compact(x.tolist()), "row")[0][1], x) for x in inputs)

    same, text = timed(read_back)
    demand(same, "tokens -> text -> tokens is the identity")
    return task, {"rows": rows, "seconds": seconds, "seconds_prepared": prepared, "seconds_text_and_back": text}


def right_answers(task: Task) -> int:
    """The known solutions of all splits, each judged by the rules."""
    number = 0
    for name in SPLITS:
        problems = task.split(name)
        members = torch.arange(len(problems)).repeat_interleave(problems.count)
        which = torch.arange(len(members)) - (problems.count.cumsum(0) - problems.count)[members]
        for part, wanted in zip(members.split(4096), which.split(4096), strict=True):
            reward = task.reward(problems.solution(part, wanted), problems.inputs[part].long())
            demand(reward is not None and bool((reward == 1).all()), f"every solution in {name} is right")
        number += len(members)
    return number


def sudoku(folder: Path) -> dict[str, Any]:
    """Genuine rows of Sudoku-Extreme, the tdoku lists, and puzzles with several solutions."""
    genuine, pool = folder / "sudoku-extreme", folder / "sudoku-pool"
    test, several = genuine / "test_genuine.csv.gz", pool / "multi_solution_serg.csv.gz"
    sets = {
        "sudoku-extreme 1k": (genuine / "train_1k.csv.gz", test, 900, 100, 480),
        "sudoku-extreme dev": (genuine / "dev_from_hf_train.csv.gz", test, 3000, 360, 480),
        "tdoku lists": (pool / "pool_extra_train.csv.gz", pool / "pool_eval_10k.csv.gz", 69_314, 200, 10_000),
    }
    result: dict[str, Any] = {}
    for name, (train, held_out, *rows) in sets.items():
        config = SudokuConfig(train=str(train), test=str(held_out), train_puzzles=rows[0], validation_puzzles=rows[1])
        task, line = through_the_loader(config, dict(zip(SPLITS, rows, strict=True)))
        line |= {"solutions": right_answers(task), "complete": all(task.split(s).complete for s in SPLITS)}
        demand(line["solutions"] == sum(rows) and line["complete"], "each puzzle has one solution")
        result[name] = line | sums(train, held_out)
    config = SudokuConfig(train=str(genuine / "train_1k.csv.gz"), test=str(several))
    problems, seconds = timed(lambda: TASKS["sudoku"](config).split("test"))
    with gzip.open(several, "rt", encoding="utf-8") as lines:
        table = {row["question"]: int(row["num_solutions_capped_100000"]) for row in csv.DictReader(lines)}
    counts = {
        "".join(".123456789"[t - 1] for t in x): n
        for x, n in zip(problems.inputs.tolist(), problems.count.tolist(), strict=True)
    }
    demand(problems.complete and counts == table, "every puzzle with several solutions has as many as its file says")
    line = {"rows": len(problems), "seconds": seconds, "solutions": sum(counts.values())}
    result["several solutions"] = line | sums(several)
    return result


def maze(folder: Path) -> dict[str, Any]:
    """Maze-Hard: every label a shortest path by our rules."""
    train, test = (folder / "maze-hard" / f"{part}.csv.gz" for part in ("train", "test"))
    rows = {"train": 900, "validation": 100, "test": 1000}
    task, line = through_the_loader(MazeConfig(train=str(train), test=str(test)), rows)
    return line | {"solutions": right_answers(task)} | sums(train, test)


def mnist(folder: Path) -> dict[str, Any]:
    """The four files at both sizes: every pixel white exactly where its grey is above a half."""
    source = folder / "mnist"
    wanted = {"train": 55_000, "validation": 5000, "test": 10_000}
    result: dict[str, Any] = {}
    for size in (28, 14):
        task = MNIST(MNISTConfig(source=str(source), size=size))

        def load(task: MNIST = task) -> dict[str, int]:
            return {name: int(task.split(name).count[0]) for name in SPLITS}

        rows, seconds = timed(load)
        demand(rows == wanted, f"{wanted} images")
        for name in SPLITS:
            grey, labels = task.greyscale(name)
            white = task.image(task.split(name).solutions).numpy() == 1
            demand(bool(((grey / 255 > 0.5) == white).all()), f"{name}: white where above a half")
            demand(set(labels.tolist()) == set(range(10)), f"{name}: ten kinds of digits")
        result[f"{size}x{size}"] = {"rows": rows, "seconds": seconds}
    return result | sums(*sorted(source.glob("*.gz")))


def arc(folder: Path) -> dict[str, Any]:
    """Every grid of every task: task -> tokens -> augmentation -> tokens -> task is the identity, in all 1,000."""
    result: dict[str, Any] = {}
    for version in ARC_VERSIONS:
        with tempfile.TemporaryDirectory() as place, tarfile.open(folder / f"arc/arc-agi-{version}.tar.gz") as files:
            files.extractall(place, filter="data")
            [data] = Path(place).glob("*/data")
            sets: dict[str, Any] = {part: str(data / part) for part in ("training", "evaluation")}
            task = Arc(ArcConfig(version=version, **sets, concept="none", allow_leak=True))
            riddles, seconds = timed(lambda task=task, sets=sets: [(p, r) for p in sets for r in task.riddles(p)])
            numbers = {owner: i for i, owner in enumerate(task.owners)}
            grids = [
                (numbers[f"{part}/{riddle.name}"], grid)
                for part, riddle in riddles
                for pair in (*riddle.demonstrations, *riddle.tests)
                for grid in pair
                if grid is not None
            ]
            tokens = torch.stack([write(grid, 30) for _, grid in grids]).long()
            demand([read(t) for t in tokens] == [grid for _, grid in grids], "grid -> tokens -> grid is the identity")
            owner = torch.tensor([number for number, _ in grids])

            def come_back(task: Arc = task, tokens: torch.Tensor = tokens, owner: torch.Tensor = owner) -> bool:
                for k in range(task.config.augmentations):
                    for rows in torch.arange(len(tokens)).split(256):
                        identity = owner[rows] * task.config.augmentations + k
                        moved, _ = task.apply_augmentation(tokens[rows], tokens[rows][:, None][:, :0], identity)
                        if not torch.equal(task.undo_augmentation(moved, identity), tokens[rows]):
                            return False
                return True

            same, spent = timed(come_back)
            demand(same, "every augmentation is undone")
        line = {"tasks": len(riddles), "grids": len(grids), "augmented_grids": len(grids) * task.config.augmentations}
        result[f"version {version}"] = line | {"seconds": seconds, "seconds_augmented": spent}
    return result | sums(*(folder / f"arc/arc-agi-{version}.tar.gz" for version in ARC_VERSIONS))


def sums(*files: Path) -> dict[str, Any]:
    return {"sha256": {file.name: file_sha256(file) for file in files}}


PARTS: dict[str, Callable[[Path], dict[str, Any]]] = {"sudoku": sudoku, "maze": maze, "mnist": mnist, "arc": arc}
"""A function of GRAM_DATA_DIR for each part: it stops with FAILED unless all is as it should be."""


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("json", type=Path)
    options.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    chosen = options.parse_args()
    folder = Path(os.environ.get("GRAM_DATA_DIR") or "data")
    torch.set_num_threads(1)
    result = json.loads(chosen.json.read_text(encoding="utf-8")) if chosen.json.exists() else {}
    result["machine"] = {"device": platform.machine(), "python": platform.python_version(), "torch": torch.__version__}
    result["commit"] = commit()
    result["command"] = "GRAM_DATA_DIR=data python benchmarks/real_files.py results/real_files.json, one thread"
    for part in chosen.part:
        with tempfile.TemporaryDirectory() as cache:
            os.environ["GRAM_CACHE_DIR"] = cache
            result[part] = PARTS[part](folder)
        print(f"{part}: {json.dumps(result[part], indent=1)}", flush=True)
    chosen.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
