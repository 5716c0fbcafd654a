"""`gram generate`: answers from nothing, by a model of an unconditional task."""

import json
from dataclasses import dataclass, replace
from math import isqrt
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gram_reasoning.cli.border import PICTURES, can_write, in_range, parse, progress, set_threads, write_lines
from gram_reasoning.cli.sampling import SamplingOptions, no_halting, sampler_config
from gram_reasoning.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from gram_reasoning.inference.sampler import SamplerConfig
    from gram_reasoning.models.base import Model
    from gram_reasoning.tasks.generation import Generation

MOST = 100_000
"""Answers of one call."""
DRAWN, FORMING = 64, 8
"""Answers in a picture, and in one of how they form."""


@dataclass(frozen=True, kw_only=True)
class GenerateOptions(SamplingOptions):
    """Generate answers from nothing, such as full Sudoku boards; each comes with its check by the rules.

    The exit code is 0 if every answer is valid, else 1.
    """

    checkpoint: str | None = None
    """A run or a model folder, of a task that generates; the default is the model of the
    package for --task."""
    task: Literal["boards", "digits"] | None = None
    """What to generate by a model of the package: full 4x4 Sudoku boards, unless it is digits of 14x14 pixels."""
    count: int = 10
    """How many, valid or not."""
    puzzles: bool = False
    """Also take clues away from each valid board, down to a puzzle with one solution."""
    compact: bool = False
    """One answer a line."""
    picture: Path | None = None
    """Draw the first 64 into this image file."""
    forming: Path | None = None
    """Draw what the first 8 would be after every step into this image file."""
    json: Path | None = None
    """Write one JSON object an answer, and a last one with the measures, to this file."""


def run(arguments: list[str]) -> int:
    """Run `gram generate` with these arguments; returns the exit code."""
    options = parse(GenerateOptions, arguments, "gram generate", "gram generate --count 20 --picture boards.png")
    in_range("count", options.count, 1, MOST)
    can_write(options.json)
    for picture in (options.picture, options.forming):
        can_write(picture, PICTURES)
    no_halting(options, "forming", options.forming)

    import torch

    from gram_reasoning import noise
    from gram_reasoning.build import load_model
    from gram_reasoning.inference.sampler import sample
    from gram_reasoning.inference.select import in_standard_form
    from gram_reasoning.processes import choose_device
    from gram_reasoning.tasks.base import lacks
    from gram_reasoning.tasks.generation import Generation, Puzzles

    set_threads(options.threads)
    if options.checkpoint is not None and options.task is not None:
        raise UserError(f"--task {options.task}: expected nothing beside --checkpoint, whose task it is")
    name = options.checkpoint or options.task or "boards"
    recipe, task, model = load_model(name, choose_device(options.device))
    if not isinstance(task, Generation):
        raise lacks(task, Generation, name)
    if options.puzzles and not isinstance(task, Puzzles):
        raise lacks(task, Puzzles, "--puzzles")
    blank = task.blank()
    config = sampler_config(options, options.count, recipe.evaluation, model)
    with progress("generating") as tick:
        candidates = in_standard_form(task, blank[None], sample(model, blank[None], config, tick=tick))
    answers = candidates.answers[0].cpu()
    if options.picture is not None or options.forming is not None:
        _draw(options, config, task, model, blank, answers)
    reward = task.reward(answers, blank.expand_as(answers))
    valid = [None] * len(answers) if reward is None else (reward == 1).tolist()
    puzzles = None
    if options.puzzles and isinstance(task, Puzzles):
        right = torch.tensor([bool(ok) for ok in valid])
        keys = noise.keys(options.seed, "puzzles", torch.arange(len(answers)))
        puzzles = task.to_puzzles(answers[right], keys[right])
    rest = iter([] if puzzles is None else puzzles.tolist())
    lines = []
    for tokens, ok in zip(answers.tolist(), valid, strict=True):
        puzzle = next(rest, None) if ok else None
        write = task.compact if options.compact else task.format
        parts = [write(tokens)] + ([write(puzzle)] if puzzle is not None else [])
        note = "" if ok is None or ok else "  (not valid)"
        print((" " if options.compact else "\n\n").join(parts) + note + ("" if options.compact else "\n"))
        item = {"answer": task.compact(tokens), "valid": ok}
        lines.append(item if puzzle is None else {**item, "puzzle": task.compact(puzzle)})
    measures = task.measures(candidates.answers.cpu(), task.split("test")) if task.at_hand() else {}
    for name, value in measures.items():
        print(f"{name.replace('_', ' ')}: {f'{value:.4g}' if isinstance(value, float) else value}")
    if not task.at_hand():
        print("not compared with the training images, which are not on this machine; `gram fid` downloads them")
    if options.json is not None:
        write_lines(options.json, [json.dumps(line) for line in (*lines, {"measures": measures})])
    return 1 if False in valid else 0


def _draw(
    options: GenerateOptions,
    config: "SamplerConfig",
    task: "Generation",
    model: "Model",
    blank: "Tensor",
    answers: "Tensor",
) -> None:
    from gram_reasoning.analysis.figures import picture_of_answers
    from gram_reasoning.analysis.trajectories import record

    if options.picture is not None:
        drawn = answers[:DRAWN]
        across = isqrt(len(drawn))
        picture_of_answers(task, drawn[: len(drawn) // across * across].unflatten(0, (-1, across)), options.picture)
    if options.forming is not None:
        paths = record(model, blank, replace(config, samples=min(FORMING, options.count))).argmax(-1)
        forms = task.canonical(paths.flatten(0, 1), blank.expand(paths.shape[0] * paths.shape[1], -1))
        picture_of_answers(task, forms.view_as(paths), options.forming)
