"""Trajectories on one input while they run: what ended, who voted for what, and what each decodes to step by step."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor

from gram_reasoning.api import Solver
from gram_reasoning.errors import check
from gram_reasoning.inference.completeness import completeness
from gram_reasoning.inference.rollout import Rolled, rollout
from gram_reasoning.inference.sampler import SamplerConfig
from gram_reasoning.tasks.base import Task

TOGETHER = 16
"""Trajectories that step together: few, so that nobody's turn is long."""
SEEDS = 2**31


@dataclass(frozen=True)
class Limits:
    """What one click may cost."""

    samples: int
    """Most trajectories."""
    steps: int
    """Most supervision steps of each."""

    def check(self, samples: Any, steps: Any, seed: Any) -> None:
        """UserError unless all three are whole numbers within the limits."""
        for name, value, low, high in (
            ("trajectories", samples, 1, self.samples),
            ("steps", steps, 1, self.steps),
            ("seed", seed, 0, SEEDS - 1),
        ):
            whole = isinstance(value, int | float) and float(value).is_integer()
            check(whole and low <= value <= high, name, value, f"a whole number from {low} to {high}")


@dataclass(frozen=True)
class Found:
    """One distinct answer."""

    tokens: tuple[int, ...]
    votes: int
    verified: bool | None
    """It satisfies every rule; None for a task without rules."""


@dataclass(frozen=True)
class Watched:
    """A trajectory that is shown step by step."""

    decodes: tuple[tuple[int, ...], ...]
    """What it decodes to after each step, in the task's standard form."""
    ended: bool


@dataclass(frozen=True)
class State:
    """Where the trajectories on one input stand."""

    found: tuple[Found, ...]
    """Of those that ended, most votes first."""
    ended: int
    samples: int
    spent: int
    """Supervision steps, over all trajectories."""
    complete: float
    """The estimated share that the solutions found are of all that the model has to give."""
    watched: tuple[Watched, ...]
    """The first trajectories."""


def run(
    solver: Solver,
    tokens: Tensor,
    config: SamplerConfig,
    watch: int,
    over: Callable[[], bool] = lambda: False,
) -> Iterator[State]:
    """Yield the state after every step in which a trajectory that is watched moves, or another one ends.

    Args:
        tokens: the input (L,).
        watch: how many trajectories to keep step by step.
        over: asked after every step; nothing more comes once it says so.

    Raises:
        UserError: the model cannot run as asked for.
    """
    task = solver.task
    votes: Counter[tuple[int, ...]] = Counter()
    right: dict[tuple[int, ...], bool | None] = {}
    decodes: list[list[tuple[int, ...]]] = [[] for _ in range(min(watch, config.samples))]
    ended: set[int] = set()
    spent = 0
    for rolled in takewhile(lambda _: not over(), rollout(solver.model, tokens[None], config, task.counted)):
        numbers, ends = rolled.number.tolist(), rolled.ends.tolist()
        said = _standard(task, rolled, tokens)
        spent += len(numbers)
        for number, answer, end in zip(numbers, said, ends, strict=True):
            if number < len(decodes):
                decodes[number].append(answer)
            if end:
                ended.add(number)
                votes[answer] += 1
        fresh = [answer for answer in votes if answer not in right]
        right.update(zip(fresh, judged(task, fresh, tokens), strict=True))
        if any(ends) or min(numbers) < len(decodes):
            watched = [Watched(tuple(path), n in ended) for n, path in enumerate(decodes) if path]
            found = tuple(Found(answer, count, right[answer]) for answer, count in votes.most_common())
            solutions = [one.votes for one in found if one.verified]
            yield State(found, len(ended), config.samples, spent, completeness(solutions), tuple(watched))


def _standard(task: Task, rolled: Rolled, tokens: Tensor) -> list[tuple[int, ...]]:
    answers = rolled.answer.tokens.cpu()
    return [tuple(answer) for answer in task.canonical(answers, tokens.expand_as(answers)).tolist()]


def judged(task: Task, answers: Sequence[tuple[int, ...]], tokens: Tensor) -> list[bool | None]:
    """Whether each answer to an input (L,) satisfies every rule."""
    if not answers:
        return []
    both = torch.tensor(answers)
    reward = task.reward(both, tokens.expand_as(both))
    return [None] * len(answers) if reward is None else (reward == 1).tolist()
