"""`gram solve` where demonstrations say what to do (ARC): fit, answer, write the submission."""

import json
import sys
from collections.abc import Iterator
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING, Any

from gram_reasoning.cli.border import progress, write_lines
from gram_reasoning.cli.sampling import SET_OPTIONS
from gram_reasoning.errors import UserError, check
from gram_reasoning.storage.files import WholeFile

if TYPE_CHECKING:
    from gram_reasoning.config import Recipe
    from gram_reasoning.inference.sampler import SamplerConfig
    from gram_reasoning.models.base import Model
    from gram_reasoning.tasks.demonstrations import DemonstrationText, Episode
    from gram_reasoning.tasks.forms import Block
    from gram_reasoning.training.demonstrations import EpisodeAnswers

STEPS = 200
"""Supervision steps of a fit, unless --fit-steps says otherwise."""


def run(
    options: Any,
    blocks: "Iterator[Block]",
    where: str,
    recipe: "Recipe",
    task: "DemonstrationText",
    model: "Model",
    sampler: "SamplerConfig",
) -> int:
    """Answer every question of every task read; returns the exit code."""
    from gram_reasoning.training.demonstrations import solve_episode

    for name in ("picture", "trajectories", "answers", *SET_OPTIONS):
        check(
            getattr(options, name) is None,
            f"--{name.replace('_', '-')}",
            getattr(options, name),
            f"nothing for {task.name}",
        )
    views = min(recipe.evaluation.views, task.augmentations) if options.views is None else options.views
    check(1 <= views <= task.augmentations, "--views", views, f"1 to {task.augmentations}")
    steps = STEPS if options.fit_steps is None else options.fit_steps
    check(1 <= steps <= 1_000_000, "--fit-steps", steps, "1 to 1000000")
    to_stdout = options.json is not None and str(options.json) == "-"
    submission: dict[str, Any] = {}
    failed = count = 0
    with nullcontext() if options.json is None or to_stdout else closing(WholeFile(options.json)) as file:
        for block in blocks:
            for episode in task.read_episodes(block, where):
                name = episode.name
                if options.submission is not None and name in submission:
                    raise UserError(f"{where}: a second task {name}, expected different names in a submission")
                with progress(f"fitting {name}") as tick:
                    found = solve_episode(
                        model, task, episode, sampler, recipe.train, views, steps, options.select, tick
                    )
                submission[name] = [task.submission_entry(answers) for answers in found.submitted]
                for number, ranked in enumerate(found.answers):
                    count += 1
                    best = ranked[: task.attempts]
                    right = found.right[number]
                    failed += not (any(right[: task.attempts]) if right is not None else any(best[0].answer))
                    line = json.dumps(_values(task, episode, found, number, sampler.samples * views, sampler.steps))
                    print(line if to_stdout else _text(task, episode, found, number, options.all), flush=True)
                    if file is not None:
                        file.write(f"{line}\n".encode())
    if count == 0:
        raise UserError(f"{where}: no input found, expected at least one")
    if options.submission is not None:
        write_lines(options.submission, [json.dumps(submission)])
        print(f"{len(submission)} tasks written to {options.submission}", file=sys.stderr)
    return 0 if failed == 0 else 1


def _values(
    task: "DemonstrationText", episode: "Episode", found: "EpisodeAnswers", number: int, samples: int, steps: int
) -> dict[str, Any]:
    """The object that `--json` writes for one question."""
    right = found.right[number]
    return {
        "task": episode.name,
        "question": number + 1,
        "input": task.compact(episode.questions.inputs[number].tolist()),
        "answers": [
            {
                "answer": task.compact(a.answer),
                "verified": None if right is None else right[i],
                "votes": a.votes,
                "score": round(a.value, 6),
            }
            for i, a in enumerate(found.answers[number])
        ],
        "samples": samples,
        "steps": steps,
        "demonstrations_right": found.demonstrations_right,
    }


def _text(task: "DemonstrationText", episode: "Episode", found: "EpisodeAnswers", number: int, show_all: bool) -> str:
    """One question and the answers of its submission, or all of them."""
    from gram_reasoning.evaluation.report import side_by_side

    ranked, right = found.answers[number], found.right[number]
    total = len(episode.demonstrations)
    repeated = round(found.demonstrations_right * total)
    head = f"task {episode.name}, question {number + 1}: {repeated} of {total} demonstrations repeated"
    if right is not None:
        head += ", solved" if any(right[: task.attempts]) else ", not solved"
    blocks = [[*task.format(episode.questions.inputs[number].tolist()).splitlines(), "input"]]
    for i, a in enumerate(ranked if show_all else ranked[: task.attempts]):
        mark = "" if right is None else ", right" if right[i] else ", wrong"
        blocks.append([*(task.format(a.answer).splitlines() or ["no grid"]), f"{a.votes} votes{mark}"])
    return f"{head}\n{side_by_side(blocks)}\n"
