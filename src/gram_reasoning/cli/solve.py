"""`gram solve`: boards in, verified answers out, while later boards are still being read."""

import json
import sys
from collections.abc import Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from gram_reasoning.cli import solve_demonstrations
from gram_reasoning.cli.border import PICTURES, can_write, parse, set_threads
from gram_reasoning.cli.reading import in_groups, open_puzzle
from gram_reasoning.cli.sampling import SetOptions, no_halting, no_set, sampler_config, set_config
from gram_reasoning.cli.which import task_of, told
from gram_reasoning.errors import UserError, check
from gram_reasoning.storage.files import WholeFile
from gram_reasoning.tasks.configs import KINDS

if TYPE_CHECKING:
    from gram_reasoning.inference.solve import Solved
    from gram_reasoning.tasks.forms import Block
    from gram_reasoning.tasks.text import Puzzle
    from gram_reasoning.tasks.written import Blocks

GROUP = 64
"""Inputs that are solved together."""
DRAWN = 8
"""Inputs in a picture."""


@dataclass(frozen=True, kw_only=True)
class SolveOptions(SetOptions):
    """Solve boards with a trained model; the rules check every answer before it is printed.

    An N-Queens board is N lines of N cells (Q or .), with an empty line after it; or one line: its rows joined by / or,
    for each row, the column of its queen counted from 1 (. where open), joined by commas. Queens, Sudoku, graphs and
    mazes of the usual sizes need no --checkpoint; docs/tasks.md has their forms.

    Standard input is answered as it comes. At a bad board the command stops with its line number and exit code 2;
    what was answered before stays answered. The exit code is 0 if every board was solved, else 1.
    """

    puzzle: Annotated[str, tyro.conf.Positional] = "-"
    """A file of boards, a board as text (rows joined by /), or - for standard input."""
    task: str | None = None
    """What the input is (its kind, such as nqueens); the default is the checkpoint's task, or without one the task that
    reads the input, if only one does."""
    checkpoint: str | None = None
    """A run, a model folder, a model of the package or owner/name on the Hugging Face Hub; the default is the model of
    the package that fits the first board."""
    samples: int | None = None
    """Trajectories for each board; the default is the recipe's."""
    select: Literal["majority", "lprm", "first", "halt", "margin"] = "majority"
    """Order of the answers: by votes, the model's value, the order of sampling, what the halt head says, or
    the mean gap of the best logit to the second."""
    all: bool = False
    """Print every distinct solution found, not only the best. Without --samples they are a set: verified, at most 320
    steps a board, until 0.99 of what the model has to give is there by estimate."""
    views: int | None = None
    """Augmentations in which a question is solved, whose answers vote (ARC); the default is the recipe's."""
    fit_steps: int | None = None
    """Supervision steps in which a task's demonstrations teach its vectors (ARC); the default is 200."""
    submission: Path | None = None
    """Also write the best answers as a submission.json (ARC)."""
    json: Path | None = None
    """Also write one JSON object a board to this file; `-` prints them instead of the boards."""
    picture: Path | None = None
    """Also draw the first boards and their solutions into this image file."""
    trajectories: Path | None = None
    """Also draw the trajectories on the first board, and the solutions they end in, into this image file."""


def run(arguments: list[str]) -> int:
    """Run `gram solve` with these arguments; returns the exit code."""
    options = parse(SolveOptions, arguments, "gram solve", "gram solve boards.txt --all --samples 40")
    can_write(options.json)
    can_write(options.submission)
    for picture in (options.picture, options.trajectories):
        can_write(picture, PICTURES)
    no_halting(options, "trajectories", options.trajectories)
    check(options.task in (None, *KINDS), "--task", options.task, f"one of {', '.join(KINDS)}")
    source = open_puzzle(options.puzzle)
    if source.is_stream and sys.stdin.isatty():
        print("gram: reading puzzles; an empty line ends a board, Ctrl-D ends the input", file=sys.stderr)

    import torch

    from gram_reasoning.build import bundled_model, load_model, reader
    from gram_reasoning.evaluation.report import solved_text
    from gram_reasoning.inference.solve import solve, solve_sets
    from gram_reasoning.processes import choose_device
    from gram_reasoning.tasks.base import lacks
    from gram_reasoning.tasks.demonstrations import DemonstrationText
    from gram_reasoning.tasks.generation import Generation
    from gram_reasoning.tasks.text import Text

    device = choose_device(options.device)
    set_threads(options.threads)
    lines = source.lines
    if options.checkpoint is None:
        name = options.task
        if name is None:
            name, lines = task_of(lines, source.where)
        kind = reader(name)
        first, lines = _first(kind, lines, source.where)
        try:
            folder = bundled_model(kind, first, source.where)
        except UserError as error:
            raise told(error, first, source.where, name) from error
    else:
        folder = options.checkpoint
    recipe, task, model = load_model(folder, device)
    check(options.task in (None, task.name), "--task", options.task, f"{task.name}, the task of {folder}")
    if isinstance(task, Generation):
        raise UserError(f"{folder}: the task {task.name} generates from nothing, expected `gram generate`")
    if not isinstance(task, Text | DemonstrationText):
        raise lacks(task, Text, str(folder))
    sampler = sampler_config(options, options.samples, recipe.evaluation, model)
    if isinstance(task, DemonstrationText):
        blocks = task.blocks(lines, source.where)
        return solve_demonstrations.run(options, blocks, source.where, recipe, task, model, sampler)
    for name in ("views", "fit_steps", "submission"):
        given = getattr(options, name)
        check(
            given is None,
            f"--{name.replace('_', '-')}",
            given,
            f"nothing for {task.name}, which has no demonstrations",
        )

    no_path = options.answers is None or options.trajectories is None
    check(no_path, "--trajectories", options.trajectories, "no --answers beside it")
    in_sets = options.answers is not None or (options.all and options.samples is None and not options.trajectories)
    sets = None
    if in_sets:
        whole = {"answers": 1000, "budget": 320, "choose": "verified", "until": 0.99} if options.answers is None else {}
        sets = set_config(options, sampler, **whole)
        check(options.samples is None, "--samples", options.samples, "nothing beside --answers: a set has a --budget")
    else:
        no_set(options)

    def puzzles() -> Iterator["Puzzle"]:
        for number, entry in enumerate(task.entries(lines, source.where)):
            try:
                yield task.read_entry(entry, source.where)
            except UserError as error:
                raise (error if number else told(error, entry.question, source.where, task.name)) from error

    def answers() -> Iterator["tuple[Puzzle, Solved]"]:
        done = 0
        for group in in_groups(puzzles(), GROUP, patient=not source.is_stream):
            if sets is not None:
                items = solve_sets(model, task, group, sets, first_input=done)
            else:
                items = solve(model, task, group, sampler, options.select, first_input=done)
            done += len(group)
            yield from zip(group, items, strict=True)

    to_stdout = options.json is not None and str(options.json) == "-"
    unsolved, count, drawn = 0, 0, []
    try:
        with nullcontext() if options.json is None or to_stdout else closing(WholeFile(options.json)) as file:
            for puzzle, item in answers():
                count += 1
                unsolved += not item.solutions
                line = json.dumps(item.to_json())
                print(line if to_stdout else solved_text(item, puzzle.place, options.all), flush=True)
                if file is not None:
                    file.write(f"{line}\n".encode())
                if len(drawn) < DRAWN:
                    drawn.append(item)
    finally:  # what was answered before a bad board or an interrupt is kept
        if options.picture is not None and drawn:
            from gram_reasoning.analysis.figures import picture_of_solutions

            picture_of_solutions(drawn, options.picture)
        if options.trajectories is not None and drawn:
            from gram_reasoning.analysis.trajectories import picture_of_trajectories, record

            paths = record(model, torch.tensor(drawn[0].tokens), sampler)
            picture_of_trajectories(task, drawn[0], paths, options.trajectories)
    if count == 0:
        raise UserError(f"{source.where}: no input found, expected at least one")
    return 0 if unsolved == 0 else 1


def _first(kind: "type[Blocks]", lines: Iterator[str], where: str) -> "tuple[Block, Iterator[str]]":
    """The lines of the first input, and all lines again."""
    taken: list[str] = []

    def noted() -> Iterator[str]:
        for line in lines:
            taken.append(line)
            yield line

    block = next(iter(kind.blocks(noted(), where)), None)
    if block is None:
        raise UserError(f"{where}: no input found, expected at least one")
    return block, chain(taken, lines)
