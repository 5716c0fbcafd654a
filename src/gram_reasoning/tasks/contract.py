"""Whether a task keeps what base.py and its optional parts promise: for `gram check`, and for tests of a task.

A promise is a function that looks at some problems of a split and returns what is broken, with the first example, or
None.
"""

import io
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from gram_reasoning import noise
from gram_reasoning.errors import UserError, one_line
from gram_reasoning.tasks.base import SPLITS, Task
from gram_reasoning.tasks.contract_data import (
    LONGEST,
    Sample,
    built_again,
    encoding,
    first,
    held_out,
    kind,
    sample_of,
    text_of,
)
from gram_reasoning.tasks.demonstrations import Demonstrations
from gram_reasoning.tasks.generation import Generation
from gram_reasoning.tasks.pictures import Boards, Images
from gram_reasoning.tasks.text import Text
from gram_reasoning.tasks.written import Written

LIMIT = 200
"""Problems of each split that are looked at; encoding and splits are looked at whole."""
COUNTED = 50
"""Problems of each split whose solutions are counted anew."""


def broken(task: Task, limit: int = LIMIT) -> Iterator[str]:
    """A line for each promise that the task breaks: the promise, what is broken, and the first example.

    Args:
        limit: problems of each split to look at.
    """
    return map(one_line, _broken(task, limit))


def _broken(task: Task, limit: int) -> Iterator[str]:
    splits = {name: task.split(name) for name in SPLITS}
    for name, problems in splits.items():
        if fault := encoding(task, problems):
            yield f"encoding: {name} split: {fault}"
            return  # nothing else can be looked at
    if fault := built_again(task, splits):
        yield f"the same in every process: {fault}"
    if fault := held_out(task, splits):
        yield f"disjoint splits: {fault}"
    samples = [sample_of(task, name, problems, limit) for name, problems in splits.items()]
    for promise, look in PROMISES.items():
        if fault := next((fault for sample in samples if (fault := look(task, sample))), None):
            yield f"{promise}: {fault}"
            if promise == "shapes":
                return  # the others count on them


def _shapes(task: Task, sample: Sample) -> str | None:
    """What `reward`, `canonical` and `augment` give: shapes, kinds of numbers, vocabulary; nothing changes in place."""
    answers, keys = sample.tries(), sample.keys("augment")
    flat, rows = answers.flatten(0, 1), sample.inputs.repeat_interleave(answers.shape[1], 0)
    given = [t.clone() for t in (flat, rows, sample.inputs, sample.solutions)]
    reward = task.reward(flat, rows)
    if reward is not None and (reward.shape != flat.shape[:1] or not reward.is_floating_point()):
        return f"`reward` gives {kind(reward)} for {len(flat)} answers, expected floating-point numbers ({len(flat)},)"
    inputs, solutions = task.augment(sample.inputs, sample.solutions, keys)
    for name, made, expected in (
        ("canonical", task.canonical(flat, rows), flat),
        ("augment", inputs, sample.inputs),
        ("augment", solutions, sample.solutions),
    ):
        if kind(made) != kind(expected):
            return f"`{name}` makes {kind(made)} of {kind(expected)}, expected the same"
        if ((made < 0) | (made >= task.vocab)).any():
            return f"`{name}` gives token {int(made.max())}, expected tokens below {task.vocab}, the vocabulary"
    if not all(torch.equal(a, b) for a, b in zip(given, (flat, rows, sample.inputs, sample.solutions), strict=True)):
        return "`reward`, `canonical` or `augment` changes its arguments, expected new tensors"
    return None


def _reward(task: Task, sample: Sample) -> str | None:
    """A number in [0, 1] for each answer, and 1 for no answer that is padding alone."""
    tries = sample.tries()
    reward, empty = sample.rewards(tries), sample.rewards(torch.zeros_like(tries[:, :1]))
    if reward is not None and (bad := first(~((reward >= 0) & (reward <= 1)))):
        return f"{float(reward[bad]):.6g} for an answer to {sample.name(bad[0])}, expected 0 to 1"
    if empty is not None and (bad := first(empty == 1)):
        return f"1 for padding alone as the answer to {sample.name(bad[0])}, expected less"
    return None


def _solutions(task: Task, sample: Sample) -> str | None:
    """Known solutions are right."""
    reward, right = sample.rewards(sample.solutions), task.right(sample.solutions, sample.problems)
    if reward is not None and (bad := first(reward != 1)):
        solution = text_of(task, sample.solutions[bad])
        return f"{solution} of {sample.name(bad[0])} has reward {float(reward[bad]):.6g}, expected 1"
    if right is not None and (bad := first(~right)):
        return f"{text_of(task, sample.solutions[bad])} of {sample.name(bad[0])} is not right, expected right"
    return None


def _count(task: Task, sample: Sample) -> str | None:
    """If all solutions are known, they differ and are as many as an exact count finds; else they are not more."""
    for row in range(min(COUNTED, len(sample.rows))):
        count, listed = task.count_solutions(sample.inputs[row].tolist()), int(sample.problems.count[row])
        complete = sample.problems.complete
        if complete and len(sample.problems.solution_sets(row).unique(dim=0)) < listed:
            return f"{sample.name(row)} has a solution twice, expected {listed} different ones"
        if count is None or count == task.count_limit:
            continue
        if listed > count or (complete and listed < count):
            return f"{count} counted for {sample.name(row)}, expected {listed}, which are in the split"
    return None


def _standard_form(task: Task, sample: Sample) -> str | None:
    """Solutions are in it; to bring an answer to it once is enough, and keeps its reward."""
    if bad := first((sample.canonical(sample.solutions) != sample.solutions).any(2)):
        return f"solution {text_of(task, sample.solutions[bad])} of {sample.name(bad[0])} is not in standard form"
    tries = sample.tries()
    once = sample.canonical(tries)
    if bad := first((sample.canonical(once) != once).any(2)):
        return f"answer {text_of(task, tries[bad])} to {sample.name(bad[0])} changes again when `canonical` comes twice"
    before, after = sample.rewards(tries), sample.rewards(once)
    if before is not None and after is not None and (bad := first(before != after)):
        change = f"from {float(before[bad]):.6g} to {float(after[bad]):.6g}"
        return f"`canonical` changes the reward of {text_of(task, tries[bad])} for {sample.name(bad[0])} {change}"
    return None


def _equivalents(task: Task, sample: Sample) -> str | None:
    """They are so many times the solutions, and come to their standard form."""
    found = task.equivalents(sample.solutions)
    times, rest = divmod(found.shape[1], sample.solutions.shape[1])
    if rest or times < 1:
        return f"`equivalents` makes {found.shape[1]} of {sample.solutions.shape[1]} solutions, expected a multiple"
    if bad := first((sample.canonical(found) != sample.solutions.repeat(1, times, 1)).any(2)):
        return f"{text_of(task, found[bad])} of {sample.name(bad[0])} has another standard form than its solution"
    return None


def _open_cells(task: Task, sample: Sample) -> str | None:
    """Where it is not open, an input holds what its solutions hold; with one more cell filled in they stay right."""
    if task.open_token is None:
        return None
    is_open = sample.inputs == task.open_token
    given = ~is_open[:, None] & (sample.inputs[:, None] != sample.solutions)
    if bad := first(given.any(2)):
        return f"{sample.name(bad[0])} holds other tokens than {text_of(task, sample.solutions[bad])}, its solution"
    orders = noise.permutation(sample.keys("open cells"), task.length)
    cell = orders.where(is_open, -1).argmax(1)
    filled = sample.inputs.scatter(1, cell[:, None], sample.solutions[:, 0].gather(1, cell[:, None]))
    reward = task.reward(sample.solutions[:, 0], torch.where(is_open.any(1)[:, None], filled, sample.inputs))
    if reward is not None and (bad := first(reward != 1)):
        return f"a solution of {sample.name(bad[0])} is not right with one of its tokens filled in"
    return None


def _augmentation(task: Task, sample: Sample) -> str | None:
    """`augment` depends on the key alone, and keeps right answers and standard form."""
    keys = sample.keys("augment")
    inputs, solutions = task.augment(sample.inputs, sample.solutions, keys)
    both = torch.cat([inputs[:, None], solutions], 1)
    flipped = task.augment(sample.inputs.flip(0), sample.solutions.flip(0), keys.flip(0))
    again = torch.cat([flipped[0][:, None], flipped[1]], 1).flip(0)
    if bad := first((again != both).flatten(1).any(1)):
        return f"{sample.name(bad[0])} comes out otherwise for the same key beside other rows, expected the same"
    moved = Sample(task, f"augmented {sample.split}", sample.rows, sample.problems, inputs, solutions)
    reward = moved.rewards(solutions)
    if reward is not None and (bad := first(reward != 1)):
        solution = text_of(task, solutions[bad])
        return f"{solution} of {moved.name(bad[0])} has reward {float(reward[bad]):.6g}, expected 1"
    if reward is not None and (bad := first((moved.canonical(solutions) != solutions).any(2))):
        return f"{text_of(task, solutions[bad])} of {moved.name(bad[0])} is not in standard form"
    return None


def _identities(task: Task, sample: Sample) -> str | None:
    """Augmentation 0 of an owner is none, and every other one can be undone."""
    identity = sample.problems.identity
    if not isinstance(task, Demonstrations) or identity is None:
        return None
    for k in (torch.zeros_like(identity), noise.choice(sample.keys("identity"), task.augmentations)):
        inputs, solutions = task.apply_augmentation(sample.inputs, sample.solutions, identity + k)
        changed = (inputs != sample.inputs).any(1) | (solutions != sample.solutions).flatten(1).any(1)
        if bad := first(changed & (k == 0)):
            return f"augmentation 0 changes {sample.name(bad[0])}, expected none"
        for n in range(solutions.shape[1]):
            undone = task.undo_augmentation(solutions[:, n], identity + k)
            if bad := first((undone != sample.solutions[:, n]).any(1)):
                return f"augmentation {int(k[bad[0]])} of a solution of {sample.name(bad[0])} is not undone"
    return None


def _text_comes_back(task: Task, sample: Sample) -> str | None:
    """Answers are written on one line each, different ones differently; inputs are read back."""
    if not isinstance(task, Written):
        return None
    for row, tokens in enumerate(sample.inputs):
        own = sample.solutions[row].unique(dim=0)
        texts = [task.compact(t) for t in [tokens.tolist(), *own.tolist()]]
        if bad := next((text for text in texts if len(text.splitlines()) > 1), None):
            return f"{bad[:LONGEST]} for {sample.name(row)}, expected one line"
        if len(set(texts[1:])) < len(own):
            return f"two solutions of {sample.name(row)} are written alike, expected different texts"
        forms = {"compact": texts[0], "format": task.format(tokens.tolist())}
        for name in ("compact", "format") if isinstance(task, Text) and task.reads_format else ("compact",):
            if isinstance(task, Text) and (fault := _unread(task, tokens, forms[name])):
                return f"{sample.name(row)} as `{name}` writes it {fault}"
    return None


def _unread(task: Text, tokens: Tensor, text: str) -> str | None:
    try:
        found = [read for _, read in task.read(io.StringIO(text), "text")]
    except UserError as error:
        return f"is refused ({error})"
    if len(found) == 1 and torch.equal(found[0].long(), tokens):
        return None
    return f"is read as {', '.join(text_of(task, read) for read in found) or 'nothing'}"


def _pictures(task: Task, sample: Sample) -> str | None:
    """Boards have rows of one length, images brightness from 0 to 1."""
    answers = sample.solutions[:, 0]
    if isinstance(task, Boards):
        for row, tokens in enumerate(answers.tolist()):
            if len({len(line) for line in task.cells(tokens)}) != 1:
                return f"the squares of a solution of {sample.name(row)} are no rectangle"
    if isinstance(task, Images):
        image = task.image(answers)
        if image.dim() != 3 or len(image) != len(answers) or not ((image >= 0) & (image <= 1)).all():
            return f"images are {kind(image)}, expected ({len(answers)}, H, W) with brightness from 0 to 1"
    return None


def _generation(task: Task, sample: Sample) -> str | None:
    """A task that generates has one input, the empty one."""
    if isinstance(task, Generation) and not torch.equal(sample.problems.inputs.long(), task.blank()[None]):
        return f"the {sample.split} split has {sample.name(0)}, expected the empty input alone"
    return None


PROMISES: dict[str, Callable[[Task, Sample], str | None]] = {
    "shapes": _shapes,
    "reward": _reward,
    "known solutions": _solutions,
    "number of solutions": _count,
    "standard form": _standard_form,
    "equivalents": _equivalents,
    "open cells": _open_cells,
    "augmentation": _augmentation,
    "identities": _identities,
    "text": _text_comes_back,
    "pictures": _pictures,
    "generation": _generation,
}
"""Beside encoding, the same in every process, and disjoint splits."""
