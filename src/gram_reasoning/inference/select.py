"""From N sampled answers of one input to a ranking of the distinct ones, up to the symmetry of the task."""

from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from gram_reasoning.errors import check
from gram_reasoning.models.base import Model, can_halt, decodes
from gram_reasoning.tasks.base import Task
from gram_reasoning.tasks.demonstrations import Demonstrations
from gram_reasoning.types import Candidates

Rule = Literal["majority", "lprm", "first", "halt", "margin"]


@dataclass(frozen=True)
class RankedAnswer:
    """One distinct answer."""

    answer: tuple[int, ...]
    votes: int
    """Trajectories that ended in it; the votes of an input sum to its samples."""
    value: float
    """Highest score among them (see `scores`), in [0, 1]; under "margin" a gap of logits."""
    first: int
    """Number of the first trajectory that ended in it."""


def rank(answers: Tensor, values: Tensor, rule: Rule) -> list[RankedAnswer]:
    """The distinct answers of one input, best first.

    Args:
        answers: (N, L) tokens.
        values: (N,) what `scores` gave.
        rule: "majority" by votes over whole answers, "lprm", "halt" and "margin" by value, "first" by order of
            sampling; ties go to the higher value, then to the earlier.
    """
    unique, inverse, votes = torch.unique(answers, dim=0, return_inverse=True, return_counts=True)
    best = values.new_empty(len(unique)).scatter_reduce(0, inverse, values, "amax", include_self=False)
    numbers = torch.arange(len(answers), device=answers.device)
    first = torch.empty_like(votes).scatter_reduce(0, inverse, numbers, "amin", include_self=False)
    columns = (unique.tolist(), votes.tolist(), best.tolist(), first.tolist())
    ranked = [RankedAnswer(tuple(answer), *numbers) for answer, *numbers in zip(*columns, strict=True)]
    order = {
        "majority": lambda a: (-a.votes, -a.value, a.first),
        "lprm": lambda a: (-a.value, a.first),
        "halt": lambda a: (-a.value, a.first),
        "margin": lambda a: (-a.value, a.first),
        "first": lambda a: (a.first,),
    }
    return sorted(ranked, key=lambda a: (not any(a.answer), *order[rule](a)))  # padding alone is no answer: last


def check_rule(model: Model, rule: Rule, drawn: bool = False) -> None:
    """UserError if the model cannot say what the rule asks.

    Args:
        drawn: the tokens of its answers are drawn from their probabilities.
    """
    check(rule != "halt" or can_halt(model), "--select", rule, "another rule, for a model without a halt head")
    check(
        rule != "margin" or (decodes(model) and not drawn),
        "--select",
        rule,
        "another rule, for a model whose tokens are drawn",
    )


def scores(candidates: Candidates, rule: Rule) -> Tensor:
    """What the model says of each candidate (M, N): by its halt head, the gap of its logits, or its value."""
    found = _told(candidates, rule)
    assert found is not None, "check_rule comes first"
    return found


def allowed(candidates: Candidates) -> list[Rule]:
    """The rules that these candidates can be ranked by."""
    return [rule for rule in get_args(Rule) if _told(candidates, rule) is not None]


def _told(candidates: Candidates, rule: Rule) -> Tensor | None:
    return {"halt": candidates.halts, "margin": candidates.margins}.get(rule, candidates.values)


def in_standard_form(
    task: Task, inputs: Tensor, candidates: Candidates, identity: Tensor | None = None, views: int = 1
) -> Candidates:
    """Every answer in the task's standard form, so that answers that count as one are equal.

    Args:
        inputs: (M, L).
        identity: the number of each input's identity (M,), in a task with Demonstrations: its augmentation is undone.
        views: so many inputs after each other are one problem; their candidates are put together.
    """
    M, N, L = candidates.answers.shape
    device = candidates.answers.device
    rows = inputs.to(device).long().repeat_interleave(N, 0)
    answers = task.canonical(candidates.answers.view(M * N, L), rows)
    if isinstance(task, Demonstrations) and identity is not None:
        answers = task.undo_augmentation(answers, identity.to(device).repeat_interleave(N))
    shape = (M // views, views * N)
    values, steps = candidates.values.view(shape), candidates.steps.view(shape)
    halts, margins = (None if t is None else t.view(shape) for t in (candidates.halts, candidates.margins))
    told = {"values": values, "steps": steps, "halts": halts, "margins": margins}
    return replace(candidates, answers=answers.view(*shape, L), **told)
