"""The command `gram`: parse, build, run. Nothing here imports torch before a command needs it.

Exit codes: 0 done and solved; 1 ran, but not everything is solved; 2 bad input, in one line.
"""

import dataclasses
import errno
import json
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from gram_reasoning.border import (
    PICTURES,
    can_write,
    in_range,
    named,
    out_of_memory,
    parse,
    progress,
    speaks,
    tell,
    together,
    version,
    write_lines,
)
from gram_reasoning.commands import bench, export, generate, images, solve
from gram_reasoning.commands.sampling import sampler_config
from gram_reasoning.config import EvalConfig, GramConfig, TrainConfig, to_json
from gram_reasoning.errors import Failed, UserError
from gram_reasoning.task_configs import NQueensConfig, TaskConfig

HELP = """usage: gram COMMAND [options]

Recursive latent reasoning: puzzles with many answers, solved by many sampled trajectories.

commands:
  solve [PUZZLE]      solve boards from a file, from text or from standard input (-)
  generate            answers from nothing, such as full Sudoku boards or digits
  classifier          train a classifier of digits, to measure generated ones by
  fid                 measure generated digits, by a classifier or by Inception
  train RECIPE        train a model; `gram train RECIPE --help` lists every option
  eval CHECKPOINT     judge a model on held-out inputs, by rollouts under the prior
  export CHECKPOINT   write the averaged weights as a folder to share, in files of a size you name
  data RECIPE         write the inputs of a split as text
  report DIR...       runs side by side: a table, and a picture of their curves
  bench RECIPE        time the training step, the sampler and a cold start
  recipes             list the recipes

options:
  --help, --version

examples:
  gram solve "Q....../......./......./......./......./......./......." --all
  gram train nqueens7-pocket --out runs/seven --max-minutes 20
  gram eval runs/seven --samples 20
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command line; returns the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not speaks():
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - until the process ends
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()
        return code
    except UserError as error:
        tell(error)
        return 2
    except Failed as error:
        tell(error)
        return 1
    except BrokenPipeError:  # the reader of our output is gone, as in `gram data X | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        tell(UserError("not enough memory for this; expected a smaller --chunk, batch or model"))
        return 2
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"gram: standard output cannot be written ({error.strerror})", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("gram: interrupted", file=sys.stderr)
        return 130


def _dispatch(arguments: list[str]) -> int:
    commands = {
        "solve": solve.run,
        "generate": generate.run,
        "classifier": images.train_classifier,
        "fid": images.fid,
        "train": _train,
        "eval": _eval,
        "export": export.run,
        "data": _data,
        "report": _report,
        "bench": bench.run,
        "recipes": _recipes,
    }
    if not arguments or arguments[0] in ("--help", "-h"):
        print(HELP, end="")
        return 0 if arguments else 2
    if arguments[0] == "--version":
        print(version())
        return 0
    if arguments[0] not in commands:
        raise UserError(f"unknown command {arguments[0]!r}, expected one of {', '.join(commands)}")
    return commands[arguments[0]](arguments[1:])


# -- train -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Train a recipe; every field of its configuration is an option."""

    out: Path | None = None
    """Folder of the run; the default is runs/RECIPE."""
    resume: bool = False
    """Go on with the run in that folder; starts it if there is none."""
    max_minutes: float | None = None
    """Save and stop after so many minutes."""
    seed: int | None = None
    """Short for --train.seed."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    threads: int | None = None
    """CPU threads; the default is torch's."""
    timeout: float = 600.0
    """Seconds after which one of several processes that does not answer counts as lost."""
    task: TaskConfig = field(default_factory=NQueensConfig)
    model: GramConfig = field(default_factory=GramConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    evaluation: EvalConfig = field(default_factory=EvalConfig)


def _train(arguments: list[str]) -> int:
    example = "gram train nqueens7-pocket --out runs/seven --train.steps 2000"
    name, rest = named(arguments, "the name of a recipe", TrainOptions, "gram train RECIPE", example)
    from gram_reasoning.recipes import get_recipe

    recipe = get_recipe(name)
    default = TrainOptions(task=recipe.task, model=recipe.model, train=recipe.train, evaluation=recipe.evaluation)
    options = parse(TrainOptions, rest, f"gram train {name}", example, default)
    if options.max_minutes is not None and not options.max_minutes > 0:  # also refuses nan
        raise UserError(f"--max-minutes: got {options.max_minutes}, expected a number above 0")
    train = options.train if options.seed is None else dataclasses.replace(options.train, seed=options.seed)
    recipe = dataclasses.replace(
        recipe, task=options.task, model=options.model, train=train, evaluation=options.evaluation
    )

    from gram_reasoning.build import build_model, build_task
    from gram_reasoning.training.trainer import Trainer

    run = options.out or Path("runs") / name
    with together(options.device, options.threads, options.timeout) as processes:
        task = build_task(recipe)
        trainer = Trainer(recipe, task, build_model(recipe, task), run, processes)
        with progress(f"training {run}") as trainer.tick:
            how = trainer.fit(options.resume, options.max_minutes)
    print(f"{how} at step {trainer.step} of {recipe.train.steps} after {trainer.seconds:.0f} s of training; run: {run}")
    if how != "finished":
        print("go on with the same command and --resume")
    return 0 if trainer.stop_signal is None else 128 + trainer.stop_signal


# -- eval ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class EvalOptions:
    """Judge a trained model on held-out inputs by full rollouts from z_0 under the prior."""

    split: Literal["test", "validation", "train"] = "test"
    """Which inputs."""
    samples: int | None = None
    """Trajectories for each input; the default is the recipe's."""
    steps: int | None = None
    """Supervision steps of each; the default is as many as in training."""
    halting: bool = False
    """A trajectory ends when it is sure of its answer; --steps is then the budget."""
    halt_by: Literal["confidence", "head"] = "confidence"
    """Sure by its decoder, all tokens together, or by its halt head."""
    halt_at: float = 0.95
    """The probability above which it is sure."""
    select: Literal["majority", "lprm", "first"] = "majority"
    """Which answer counts as the model's choice."""
    views: int | None = None
    """Disguises in which each input is solved, whose answers vote (ARC); the default is the recipe's."""
    limit: int | None = None
    """Only the first so many inputs."""
    random_start: bool = False
    """Draw z_0 anew for each trajectory: how a model without noise can vary."""
    chunk: int = 512
    """Trajectories at once: bounds the memory."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Of matrix products; bf16 is several times faster on most devices."""
    seed: int = 0
    """Seed of the noise."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    threads: int | None = None
    """CPU threads; the default is torch's."""
    timeout: float = 600.0
    """Seconds after which one of several processes that does not answer counts as lost."""
    json: Path | None = None
    """Also write every number to this file."""
    submission: Path | None = None
    """Also write the answers to hand in, as a submission.json (ARC)."""


def _eval(arguments: list[str]) -> int:
    prog, example = "gram eval CHECKPOINT", "gram eval runs/seven --samples 20 --steps 12 --json seven.json"
    name, rest = named(arguments, "the folder of a run or a model", EvalOptions, prog, example)
    options = parse(EvalOptions, rest, prog, example)
    can_write(options.json)
    can_write(options.submission)
    if options.submission is not None and options.limit is not None:
        raise UserError("--submission: expected all inputs, without --limit")

    import torch

    from gram_reasoning.build import load_model
    from gram_reasoning.evaluation.evaluator import evaluate
    from gram_reasoning.evaluation.report import evaluation_table
    from gram_reasoning.provenance import provenance

    start = time.perf_counter()
    with together(options.device, options.threads, options.timeout) as processes:
        recipe, task, model = load_model(name, processes.device)
        sampler = sampler_config(options, recipe.evaluation, model)
        sampler = dataclasses.replace(sampler, precision=options.precision)
        problems = task.split(options.split)
        if options.limit is not None:
            in_range("limit", options.limit, 1)
            problems = problems.subset(torch.arange(min(options.limit, len(problems))))
        with progress(f"evaluating {name}") as tick:
            views = recipe.evaluation.views if options.views is None else options.views
            handed_in: list[torch.Tensor] = []
            result = evaluate(model, task, problems, sampler, options.select, tick, processes, views, handed_in.append)
    result = {"checkpoint": name, "recipe": recipe.name, "split": options.split, "seed": options.seed, **result}
    result |= provenance(["eval", *arguments], time.perf_counter() - start, processes.device)
    print(evaluation_table(result))
    if options.json and speaks():
        write_lines(options.json, [json.dumps(result, indent=1)])
    if options.submission and speaks():
        submission = task.submission(problems, *handed_in)
        if submission is None:
            raise UserError(f"--submission: {task.name} has none, expected a model of a task that is handed in (arc)")
        write_lines(options.submission, [json.dumps(submission)])
    return 0


# -- report ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """Set runs side by side: the newest evaluation of each by prior rollouts, and the curves."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders of runs, or their metrics.jsonl."""
    picture: Path | None = None
    """Draw the curves into this image file."""
    reach: float = 0.8
    """Also tell the first step at which the accuracy of a sample reached this."""


def _report(arguments: list[str]) -> int:
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


# -- data, recipes ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Write the inputs of a split as text, one a line, as `gram solve` reads them."""

    split: Literal["test", "validation", "train"] = "test"
    """Which inputs."""
    out: Path | None = None
    """File; the default is standard output."""


def _data(arguments: list[str]) -> int:
    prog, example = "gram data RECIPE", "gram data nqueens7-pocket --split test --out test.txt"
    name, rest = named(arguments, "the name of a recipe", DataOptions, prog, example)
    options = parse(DataOptions, rest, prog, example)
    from gram_reasoning.recipes import get_recipe

    recipe = get_recipe(name)
    from gram_reasoning.build import build_task

    task = build_task(recipe)
    lines = [task.compact(tokens) for tokens in task.split(options.split).inputs.tolist()]
    if options.out is None:
        print("\n".join(lines))
    else:
        write_lines(options.out, lines)
        print(f"{len(lines)} inputs written to {options.out}")
    return 0


@dataclass(frozen=True, kw_only=True)
class RecipesOptions:
    """List the recipes."""

    json: bool = False
    """Print the whole configuration of each as JSON."""


def _recipes(arguments: list[str]) -> int:
    options = parse(RecipesOptions, arguments, "gram recipes", "gram recipes --json")
    from gram_reasoning.recipes import RECIPES

    if options.json:
        print(json.dumps({name: to_json(recipe) for name, recipe in RECIPES.items()}, indent=1))
        return 0
    width = max(map(len, RECIPES))
    for name, recipe in RECIPES.items():
        if not name.endswith("-debug"):
            print(f"{name:{width}}  {recipe.summary}")
    print("\nEach has a twin NAME-debug that runs whole in seconds.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
