"""How well the estimate of completeness holds: beside what 2,000 trajectories find, on inputs with several solutions.

    python benchmarks/completeness.py OUT.json nqueens8 nqueens7 coloring:6

A model of several sizes takes the size after a colon. On every test input with two or more solutions the truth is the
distinct valid answers of many trajectories that halt, with those of the set itself: all that the model has to give, as
far as anyone can see. Beside it the estimate of the set, verified and stopped at 0.99, as `gram solve --all` draws it,
and of so many independent trajectories that halt. Bins are of equal count, over all models together and for each.
"""

import argparse
import json
import shlex
import sys
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gram_reasoning.build import load_model
from gram_reasoning.evaluation.answer_sets import BINS
from gram_reasoning.inference.answer_set import answer_sets
from gram_reasoning.inference.completeness import completeness
from gram_reasoning.inference.sampler import SamplerConfig, sample
from gram_reasoning.inference.search import complete
from gram_reasoning.inference.select import in_standard_form
from gram_reasoning.inference.set_config import SetConfig
from gram_reasoning.storage.provenance import machine
from gram_reasoning.tasks.base import Problems, Task
from gram_reasoning.tasks.sizes import OfSizes

TRAJECTORIES = 2000
DRAWS = (10, 20, 40, 80)
TOGETHER = 8
"""Inputs whose trajectories are held in memory at once."""


def problems_of(task: Task, size: int | None, every: int) -> Problems:
    """The test inputs with two or more solutions."""
    split = task.split("test") if size is None or not isinstance(task, OfSizes) else task.split_of(size, "test")
    return split.subset(torch.nonzero(split.count > 1).flatten()[::every])


def drawn(model: Any, task: Task, problems: Problems, config: SamplerConfig) -> list[list[tuple[int, ...] | None]]:
    """What each trajectory on each input answers, in order: a valid answer, or None."""
    found: list[list[tuple[int, ...] | None]] = []
    for start in range(0, len(problems), TOGETHER):
        part = problems.subset(torch.arange(start, min(start + TOGETHER, len(problems))))
        candidates = sample(model, part.inputs, config, start, counted=task.counted)
        candidates = in_standard_form(task, part.inputs, candidates)
        right = task.right(candidates.answers, part)
        assert right is not None, f"{task.name} has no rules"
        for answers, ok in zip(candidates.answers.tolist(), right.tolist(), strict=True):
            found.append([tuple(a) if valid else None for a, valid in zip(answers, ok, strict=True)])
    return found


def judged(name: str, every: int, trajectories: int) -> dict[str, list[tuple[float, float]]]:
    """The estimate and the truth of each input, for every way to draw."""
    folder, _, number = name.partition(":")
    size = int(number) if number else None
    recipe, task, model = load_model(folder)
    problems = problems_of(task, size, every)
    sampler = SamplerConfig.filled(
        recipe.evaluation, model, trajectories, None, halting=True, precision="bf16", chunk=512
    )
    every_answer = drawn(model, task, problems, sampler)
    config = SetConfig(choose="verified", until=0.99, sampler=replace(sampler, samples=1))
    sets = answer_sets(model, task, problems.inputs, config)
    told: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for given, one in zip(every_answer, sets, strict=True):
        of_set = {e.answer for e in one.ended if e.right}
        whole = {a for a in given if a is not None} | of_set
        if not whole:
            continue  # the model has nothing to give, and says so
        told["set, verified, until 0.99"].append((complete(one.ended), len(of_set) / len(whole)))
        for draws in DRAWS:
            votes: dict[tuple[int, ...], int] = defaultdict(int)
            for answer in given[:draws]:
                if answer is not None:
                    votes[answer] += 1
            told[f"{draws} independent"].append((completeness(votes.values()), len(votes) / len(whole)))
    return told


def summary(pairs: list[tuple[float, float]]) -> dict[str, Any]:
    """Means, and the worst gap over bins of equal count by estimate."""
    estimate, truth = np.array(pairs).T
    parts = np.array_split(np.argsort(estimate, kind="stable"), min(BINS, len(pairs)))
    bins = [[float(estimate[p].mean()), float(truth[p].mean())] for p in parts]
    gap = max(abs(told - true) for told, true in bins)
    return {
        "inputs": len(pairs),
        "estimate": float(estimate.mean()),
        "truth": float(truth.mean()),
        "worst_gap": gap,
        "bins": bins,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--trajectories", type=int, default=TRAJECTORIES)
    options = parser.parse_args()

    torch.set_num_threads(1)
    wall, cpu = time.perf_counter(), time.process_time()
    each = {name: judged(name, options.every, options.trajectories) for name in options.models}
    ways = next(iter(each.values()))
    together = {way: summary([pair for told in each.values() for pair in told[way]]) for way in ways}
    result: dict[str, Any] = {"trajectories": options.trajectories, "together": together}
    result["by_model"] = {name: {way: summary(pairs) for way, pairs in told.items()} for name, told in each.items()}
    spent = {"seconds": round(time.perf_counter() - wall, 1), "cpu_seconds": round(time.process_time() - cpu, 1)}
    result |= {"command": shlex.join(["python", *sys.argv]), **spent, **machine(torch.device("cpu"))}
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    for way, told in together.items():
        print(f"{way}: {told['inputs']} inputs, estimate {told['estimate']:.3f}, truth {told['truth']:.3f}, ", end="")
        print(f"worst gap of {BINS} bins {100 * told['worst_gap']:.1f} points")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
