"""`gram eval`: what a trained model is worth on held-out inputs."""

import copy
import hashlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gram_reasoning.cli.border import can_write, in_range, named, parse, progress, speaks, together, write_lines
from gram_reasoning.cli.sampling import SetOptions, no_set, sampler_config, set_config
from gram_reasoning.errors import UserError, check

if TYPE_CHECKING:
    from gram_reasoning.tasks.base import Problems, Task


@dataclass(frozen=True, kw_only=True)
class EvalOptions(SetOptions):
    """Judge a trained model on held-out inputs, or on your own, by full rollouts from z_0 under the prior."""

    split: Literal["test", "validation", "train"] = "test"
    """Which inputs."""
    puzzles: Path | None = None
    """Judge it on the inputs of this file instead, as `gram solve` reads them; answers in it must be right."""
    size: int | None = None
    """Only inputs of this size, where a model takes several; it may be one that it was not trained on."""
    samples: int | None = None
    """Trajectories for each input; the default is the recipe's."""
    select: Literal["majority", "lprm", "first", "halt", "margin"] = "majority"
    """Which answer counts as the model's choice: the one with most votes, of the highest value, the first, or the one
    that the halt head is surest of, or with the largest mean gap of the best logit to the second."""
    views: int | None = None
    """Augmentations in which each input is solved, whose answers vote (ARC); the default is the recipe's."""
    limit: int | None = None
    """Only the first so many inputs."""
    every: int = 1
    """Only every so many of the inputs, from all over the split: neighbours are often alike."""
    thin: int | None = None
    """All inputs with the fewest tokens given, and so many of the others, evenly; accuracy and coverage are weighted
    back to the whole split."""
    particles: bool = False
    """Also run --samples particles that the value head reweights and resamples at every step, beside the samples."""
    beside: bool = True
    """With --answers: also draw independent samples, with the same halting and the same budget."""
    random_start: bool = False
    """Draw z_0 anew for each trajectory: how a model without noise can vary."""
    draw_tokens: bool = False
    """Draw each token by the decoder's probabilities, in place of the most probable."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Of matrix products; bf16 is several times faster on most devices."""
    timeout: float = 600.0
    """Seconds after which one of several processes that does not answer counts as lost."""
    json: Path | None = None
    """Also write every number to this file."""
    submission: Path | None = None
    """Also write the best answers as a submission.json (ARC)."""


def made_from(config: dict[str, Any], sampler: Any, options: EvalOptions, views: int) -> str:
    """A digest of all that decides an evaluation of the model with that config.json but the seed of its training."""
    trained = copy.deepcopy(config["recipe"])
    del trained["train"]["seed"]
    judged = {"split": options.split, "limit": options.limit, "select": options.select, "views": views}
    if options.puzzles is not None:
        judged["puzzles"] = hashlib.sha256(options.puzzles.read_bytes()).hexdigest()
    if options.size is not None:
        judged["size"] = options.size
    if options.every > 1:
        judged["every"] = options.every
    if options.thin is not None:
        judged["thin"] = options.thin
    rolled_out = {n: value for n, value in asdict(sampler).items() if n != "chunk" and value is not None}
    if "sampler" in rolled_out:  # of a set
        del rolled_out["sampler"]["chunk"]
    text = json.dumps([trained, config.get("step"), judged, rolled_out], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_problems(task: "Task", path: Path) -> "Problems":
    """The inputs of a file of puzzles, with their solutions as far as they are known."""
    from gram_reasoning.storage.lines import lines_of
    from gram_reasoning.tasks.base import lacks
    from gram_reasoning.tasks.text import Text

    if not isinstance(task, Text):
        raise lacks(task, Text, "--puzzles")
    if not path.is_file():
        raise UserError(f"--puzzles {path}: no such file, expected puzzles of {task.name}")
    puzzles = list(task.puzzles(lines_of(path.open, str(path)), str(path), answers=True))
    if not puzzles:
        raise UserError(f"{path}: no input found, expected at least one")
    return task.problems_of(puzzles, str(path))


def chosen_problems(task: "Task", options: EvalOptions) -> "Problems":
    """The inputs that the options name: a split, of one size if asked, or a file."""
    from gram_reasoning.tasks.sizes import OfSizes

    if options.puzzles is not None:
        check(options.size is None, "--size", options.size, "nothing beside --puzzles")
        return read_problems(task, options.puzzles)
    if isinstance(task, OfSizes) and options.size is not None:
        check(options.size >= task.least, "--size", options.size, f"at least {task.least}")
        return task.split_of(options.size, options.split)
    return task.split(options.split)


def run(arguments: list[str]) -> int:
    prog, example = "gram eval CHECKPOINT", "gram eval runs/seven --samples 20 --steps 12 --json seven.json"
    name, rest = named(arguments, "the folder of a run or a model", EvalOptions, prog, example)
    options = parse(EvalOptions, rest, prog, example)
    can_write(options.json)
    can_write(options.submission)
    if options.submission is not None and options.limit is not None:
        raise UserError("--submission: expected all inputs, without --limit")

    import torch

    from gram_reasoning.build import load_config, load_model, model_folder
    from gram_reasoning.evaluation.answer_sets import evaluate_sets
    from gram_reasoning.evaluation.evaluator import evaluate
    from gram_reasoning.evaluation.particles import evaluate_particles, particles_table
    from gram_reasoning.evaluation.report import evaluation_table
    from gram_reasoning.evaluation.set_report import sets_table
    from gram_reasoning.evaluation.thinned import thinned
    from gram_reasoning.storage.provenance import provenance
    from gram_reasoning.tasks.base import lacks
    from gram_reasoning.tasks.demonstrations import Demonstrations

    if options.answers is None:
        no_set(options)
    elif (
        options.particles or options.samples is not None or options.views is not None or options.submission is not None
    ):
        raise UserError(
            "--answers: a set under a budget, expected no --samples, --particles, --views or --submission beside it"
        )
    if options.thin is not None and (options.limit is not None or options.every > 1 or options.submission is not None):
        raise UserError("--thin: says itself which inputs, expected no --limit, --every or --submission beside it")
    if options.particles and (options.halting or options.random_start):
        raise UserError(
            "--particles: all go the same number of steps, expected no --halting or --random-start beside it"
        )
    start, cpu_start = time.perf_counter(), time.process_time()
    with together(options.device, options.threads, options.timeout) as processes:
        recipe, task, model = load_model(name, processes.device, options.size)
        if options.submission and not isinstance(task, Demonstrations):
            raise lacks(task, Demonstrations, "--submission")
        more = {name: getattr(options, name) for name in ("random_start", "draw_tokens", "precision")}
        sampler = sampler_config(options, options.samples, recipe.evaluation, model, **more)
        problems = chosen_problems(task, options)
        in_range("every", options.every, 1)
        problems = problems.subset(torch.arange(0, len(problems), options.every))
        if options.limit is not None:
            in_range("limit", options.limit, 1)
            problems = problems.subset(torch.arange(min(options.limit, len(problems))))
        weights = None
        if options.thin is not None:
            rows, weights = thinned(task, problems, options.thin)
            problems = problems.subset(rows)
        with progress(f"evaluating {name}") as tick:
            views = recipe.evaluation.views if options.views is None else options.views
            submitted: list[torch.Tensor] = []
            if options.answers is None:
                result = evaluate(
                    model, task, problems, sampler, options.select, tick, processes, views, submitted.append, weights
                )
                if options.particles:
                    result["particles"] = evaluate_particles(model, task, problems, sampler, tick)
            else:
                sampler = set_config(options, sampler)
                result = evaluate_sets(model, task, problems, sampler, options.beside, tick, processes, weights)
    split = options.split if options.puzzles is None else "own"
    result = {"checkpoint": name, "recipe": recipe.name, "split": split, "seed": options.seed, **result}
    if options.size is not None:
        result["size"] = options.size
    if weights is not None:
        result["stands_for"] = round(float(weights.sum()))
    origin = made_from(load_config(model_folder(name)), sampler, options, views)
    result |= {"train_seed": recipe.train.seed, "made_from": origin}
    spent = (time.perf_counter() - start, time.process_time() - cpu_start)
    result |= provenance(["eval", *arguments], *spent, processes.device)
    print(evaluation_table(result) if options.answers is None else sets_table(result))
    if options.particles:
        print(f"\n{particles_table(result['particles'])}")
    if options.json and speaks():
        write_lines(options.json, [json.dumps(result, indent=1)])
    if isinstance(task, Demonstrations) and options.submission and speaks():
        write_lines(options.submission, [json.dumps(task.submission(problems, *submitted))])
    return 0
