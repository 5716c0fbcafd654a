"""What `gram check` looks at: the splits of a task whole, and a sample of their problems."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gram_reasoning import noise
from gram_reasoning.tasks.base import Problems, Task
from gram_reasoning.tasks.demonstrations import Demonstrations
from gram_reasoning.tasks.written import Written

SOLUTIONS = 4
"""Solutions of each problem of a sample; more where there are few problems."""
LONGEST = 100
"""Characters of an example."""


@dataclass(frozen=True)
class Sample:
    """B problems of a split with K of the solutions of each; where a problem has fewer, they come again."""

    task: Task
    split: str
    rows: Tensor  # numbers of the problems (B,)
    problems: Problems
    inputs: Tensor  # (B, L) int64
    solutions: Tensor  # (B, K, L) int64

    def name(self, row: int) -> str:
        return f"{self.split} input {int(self.rows[row])} ({text_of(self.task, self.inputs[row])})"

    def rewards(self, answers: Tensor) -> Tensor | None:
        """The reward of K answers (B, K, L) to each input: (B, K)."""
        rows = self.inputs.repeat_interleave(answers.shape[1], 0)
        reward = self.task.reward(answers.flatten(0, 1), rows)
        return None if reward is None else reward.view(answers.shape[:2])

    def canonical(self, answers: Tensor) -> Tensor:
        """Answers (B, K, L) in standard form."""
        rows = self.inputs.repeat_interleave(answers.shape[1], 0)
        return self.task.canonical(answers.flatten(0, 1), rows).view_as(answers)

    def keys(self, purpose: str) -> Tensor:
        return noise.keys(0, f"contract {purpose}", self.rows)

    def tries(self) -> Tensor:
        """Three answers to each input (B, 3, L): random tokens, a solution with one token changed, a solution."""
        B, _, L = self.solutions.shape
        tokens = noise.choice(noise.keys(0, "contract tokens", torch.arange(B * L)), self.task.vocab).view(B, L)
        place = noise.choice(self.keys("place"), L)[:, None]
        solution = self.solutions[:, 0]
        return torch.stack([tokens, solution.scatter(1, place, tokens.gather(1, place)), solution], 1)


def sample_of(task: Task, split: str, problems: Problems, limit: int) -> Sample:
    B = min(limit, len(problems))
    rows = torch.arange(B) * len(problems) // B
    part = problems.subset(rows)
    K = max(SOLUTIONS, limit // B)
    which = torch.arange(K) * part.count[:, None] // K
    solutions = part.solution(torch.arange(B)[:, None], which)
    return Sample(task, split, rows, part, part.inputs.long(), solutions)


# -- splits ------------------------------------------------------------------------------------------------------------


def encoding(task: Task, problems: Problems) -> str | None:
    """Shapes, kinds of numbers, vocabulary, and solutions for every input."""
    for name in ("inputs", "solutions"):
        tokens = getattr(problems, name)
        if tokens.dtype != torch.uint8 or tokens.dim() != 2 or tokens.shape[1] != task.length or not len(tokens):
            return f"{name} are {kind(tokens)}, expected uint8 (some rows, {task.length})"
        if (most := int(tokens.max())) >= task.vocab:
            return f"{name} hold token {most}, expected tokens below {task.vocab}, the vocabulary"
    M = len(problems)
    for name, shape in (("members", None), ("first", (M,)), ("count", (M,))):
        numbers = getattr(problems, name)
        if numbers.dtype != torch.int64 or numbers.dim() != 1 or shape not in (None, tuple(numbers.shape)):
            return f"`{name}` is {kind(numbers)}, expected int64 {shape or '(some,)'}"
    if bad := first((problems.count < 1) | (problems.first + problems.count > len(problems.members))):
        return f"input {bad[0]} has {int(problems.count[bad[0]])} solutions in `members`, expected 1 at least"
    most = len(problems.solutions) - 1
    if bad := first((problems.members < 0) | (problems.members > most)):
        return f"`members` has {int(problems.members[bad[0]])}, expected numbers of solutions, 0 to {most}"
    identity = problems.identity
    if not isinstance(task, Demonstrations):
        return None if identity is None else "there is an identity, expected none without Demonstrations"
    if identity is None or identity.dtype != torch.int64 or identity.shape != (M,):
        return f"`identity` is {'None' if identity is None else kind(identity)}, expected int64 {(M,)}"
    if bad := first((identity % task.augmentations != 0) | (identity < 0) | (identity >= task.identities)):
        return f"input {bad[0]} has identity {int(identity[bad[0]])}, expected a multiple of {task.augmentations}"
    return None


def built_again(task: Task, splits: dict[str, Problems]) -> str | None:
    """A task built anew has the same problems."""
    other = type(task)(task.config)
    for name, problems in splits.items():
        again = other.split(name)
        for part in ("inputs", "solutions", "members", "first", "count"):
            if not torch.equal(getattr(problems, part), getattr(again, part)):
                return f"the {name} split has other {part} when the task is built again, expected draws from noise.keys"
    return None


def held_out(task: Task, splits: dict[str, Problems]) -> str | None:
    """No input is in two of the training split and those held out."""
    seen: dict[bytes, str] = {}
    for name in ("train", *task.held_out):
        problems = splits[name]
        own = [row.tobytes() for row in problems.inputs.numpy()]
        if problems.identity is not None:  # the same grid is another question for another owner
            own = [key + b" %d" % owner for key, owner in zip(own, problems.identity.tolist(), strict=True)]
        if (common := next((i for i, key in enumerate(own) if key in seen), None)) is not None:
            text, other = text_of(task, problems.inputs[common]), seen[own[common]]
            return f"{name} input {common} ({text}) is also in the {other} split"
        seen |= dict.fromkeys(own, name)
    return None


# -- messages ----------------------------------------------------------------------------------------------------------


def first(bad: Tensor) -> tuple[int, ...] | None:
    """The indices of the first entry that holds."""
    return tuple(bad.nonzero()[0].tolist()) if bad.any() else None


def kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def text_of(task: Task, tokens: Tensor) -> str:
    """Tokens in a message: on one line, cut."""
    numbers = tokens.tolist()
    text = task.compact(numbers) if isinstance(task, Written) else " ".join(map(str, numbers))
    return f"{text[:LONGEST]}..." if len(text) > LONGEST else text
