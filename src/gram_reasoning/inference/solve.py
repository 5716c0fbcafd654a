"""Solve inputs with a model and check every answer against the rules."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from gram_reasoning.errors import UserError
from gram_reasoning.inference.answer_set import answer_sets
from gram_reasoning.inference.sampler import SamplerConfig, sample
from gram_reasoning.inference.search import complete, held
from gram_reasoning.inference.select import RankedAnswer, Rule, check_rule, in_standard_form, rank, scores
from gram_reasoning.inference.set_config import SetConfig
from gram_reasoning.models.base import Model
from gram_reasoning.tasks.text import Puzzle
from gram_reasoning.tasks.written import Written

FILL = 4
"""Inputs are sampled together until their trajectories would fill the pool so many times."""


@dataclass(frozen=True)
class Answer:
    """One distinct answer of the model."""

    tokens: tuple[int, ...] = field(repr=False)
    text: str
    """On one line (see tasks/written.py)."""
    verified: bool
    """It satisfies every rule."""
    votes: int
    score: float


@dataclass(frozen=True)
class Solved:
    """What the model found for one input: every distinct decode, best first."""

    input: str
    tokens: tuple[int, ...]
    answers: tuple[Answer, ...]
    samples: int
    steps: int
    writer: Written = field(repr=False, compare=False)
    """Writes the input and its answers, in the numbers of their author."""
    spent: int | None = None
    """Supervision steps that a set took; None where `samples` trajectories took `steps` each."""
    complete: float | None = None
    """The estimated share that the solutions found are of all that the model has to give; None without a set."""
    right: int | None = None
    """Samples that ended in a solution, also in one that is not in the set; None without a set."""
    abstained: bool = False
    """There were answers, and none reached the score that was asked for."""
    known_solutions: int | None = None
    """As many as the exact solver counted (see Task.count_limit); None where nothing can count."""

    def __repr__(self) -> str:
        known = "" if self.known_solutions is None else f" of {self.known_solutions}"
        given = self.input if len(self.input) <= 40 else f"{self.input[:39]}…"
        return f"Solved({given!r}: {len(self.answers)} answers, {len(self.solutions)}{known} solutions)"

    @property
    def solutions(self) -> tuple[Answer, ...]:
        """The verified answers."""
        return tuple(a for a in self.answers if a.verified)

    @property
    def miss(self) -> Answer | None:
        """The best answer where none is a solution; None where one is, or where no solution exists."""
        return self.answers[0] if self.answers and self.known_solutions != 0 and not self.solutions else None

    def to_json(self) -> dict[str, Any]:
        """The object that `gram solve --json` writes on one line."""
        return {
            "input": self.input,
            "answers": [
                {"answer": a.text, "verified": a.verified, "votes": a.votes, "score": round(a.score, 6)}
                for a in self.answers
            ],
            "samples": self.samples,
            "steps": self.steps,
            **({} if self.complete is None else {"spent": self.spent, "complete": round(self.complete, 4)}),
            "known_solutions": self.known_solutions,
        }


def solve(
    model: Model,
    task: Written,
    puzzles: Sequence[Puzzle],
    config: SamplerConfig,
    rule: Rule = "majority",
    first_input: int = 0,
) -> Iterator[Solved]:
    """Yield what the model finds for each input.

    Answers come from the model alone: the rules verify them, and the exact solver only counts what exists.

    Args:
        first_input: number of the first input, which keys its noise (see `sample`).
    """
    check_rule(model, rule, config.draw_tokens)
    together = max(1, config.chunk * FILL // config.samples)
    for start in range(0, len(puzzles), together):
        chosen = puzzles[start : start + together]
        part = torch.stack([puzzle.tokens for puzzle in chosen])
        candidates = sample(model, part, config, first_input + start, counted=task.counted)
        candidates = in_standard_form(task, part, candidates)
        found = zip(chosen, part, candidates.answers.cpu(), scores(candidates, rule).cpu(), strict=True)
        for puzzle, tokens, answers, values in found:
            ranked = rank(answers, values, rule)
            yield Solved(
                input=puzzle.writer.compact(tokens.tolist()),
                tokens=tuple(tokens.tolist()),
                answers=_verified(task, tokens, ranked),
                samples=config.samples,
                steps=config.steps,
                writer=puzzle.writer,
                known_solutions=task.count_solutions(tokens.tolist()),
            )


def solve_sets(
    model: Model, task: Written, puzzles: Sequence[Puzzle], config: SetConfig, first_input: int = 0
) -> Iterator[Solved]:
    """Yield a set of answers for each input, at most `config.answers` for at most `config.budget` steps.

    Each set is fixed before its answers are verified here, unless the rules were asked to choose.

    Args:
        first_input: number of the first input, which keys its noise.
    """
    inputs = torch.stack([puzzle.tokens for puzzle in puzzles])
    found = answer_sets(model, task, inputs, config, first_input)
    for puzzle, one in zip(puzzles, found, strict=True):
        tokens = puzzle.tokens
        every = [RankedAnswer(h.answer, h.votes, h.scores[config.score], h.first) for h in held(one.ended)]
        checked = {a.tokens: a for a in _verified(task, tokens, every)}
        answers = tuple(checked[h.answer] for h in one.answers)
        right = {a.tokens for a in checked.values() if a.verified}
        told = sum(a.verified for a in answers)
        yield Solved(
            input=puzzle.writer.compact(tokens.tolist()),
            tokens=tuple(tokens.tolist()),
            answers=answers,
            samples=len(one.ended),
            steps=config.sampler.steps,
            writer=puzzle.writer,
            spent=one.spent,
            complete=complete([e for e in one.ended if e.answer in right]) * told / max(1, len(right)),
            right=sum(e.answer in right for e in one.ended),
            abstained=not answers and bool(right) | (config.choose == "model" and bool(checked)),
            known_solutions=task.count_solutions(tokens.tolist()),
        )


def _verified(task: Written, tokens: Tensor, ranked: list[RankedAnswer]) -> tuple[Answer, ...]:
    if not ranked:
        return ()
    answers = torch.tensor([a.answer for a in ranked])
    reward = task.reward(answers, tokens.expand_as(answers))
    if reward is None:
        raise UserError(f"{task.name}: a task without rules, expected one whose answers can be verified")
    return tuple(
        Answer(a.answer, task.compact(a.answer), bool(right), a.votes, a.value)
        for a, right in zip(ranked, (reward == 1).tolist(), strict=True)
    )
