"""What a task is: an encoding, a set of problems with their solutions, the rules and the symmetries.

Training, inference and evaluation see a task through this file, and through the parts that it may have beside: text
(text.py), pictures (pictures.py), demonstrations (demonstrations.py), generation (generation.py). `gram check` holds
a task against what is promised here (contract.py).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from gram_reasoning import noise
from gram_reasoning.errors import UserError
from gram_reasoning.types import IGNORE, Kind

PAD = 0
"""Padding in every task: a position of a solution that holds it is no part of the answer, not learnt, not judged."""

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Problems:
    """M inputs and, for each, its known solutions: all that exist, each once, unless `complete` is False.

    Solutions are stored once; input i has the solutions `members[first[i] : first[i] + count[i]]`.
    """

    inputs: Tensor  # (M, L) uint8
    solutions: Tensor  # (all solutions, L) uint8
    members: Tensor  # (sum of counts,) int64, into `solutions`
    first: Tensor  # (M,) int64
    count: Tensor  # n (M,) int64
    complete: bool = True  # whether the solutions are all there are; if not, there is no coverage
    identity: Tensor | None = None  # number of what each input belongs to (M,) int64, in a task with Demonstrations

    @classmethod
    def of_pairs(cls, inputs: Tensor, solutions: Tensor, complete: bool) -> "Problems":
        """M inputs with one known solution each, both (M, L)."""
        rows = torch.arange(len(inputs))
        return cls(inputs, solutions, rows, rows, torch.ones_like(rows), complete)

    @classmethod
    def of_table(cls, inputs: Tensor, solutions: Tensor, fits: Tensor) -> "Problems":
        """M inputs and all S solutions that any of them has, with the table (M, S) of which fits which."""
        count = fits.sum(1)
        return cls(inputs, solutions, fits.nonzero()[:, 1], count.cumsum(0) - count, count)

    @classmethod
    def of_one_input(cls, tokens: Tensor, solutions: Tensor, complete: bool) -> "Problems":
        """One input (L,) with all the solutions (n, L)."""
        n = torch.tensor([len(solutions)])
        return cls(tokens[None].to(torch.uint8), solutions, torch.arange(len(solutions)), n - n, n, complete)

    def __len__(self) -> int:
        return len(self.inputs)

    def to(self, device: torch.device | str) -> "Problems":
        names = ("inputs", "solutions", "members", "first", "count", "identity")
        tensors = {name: getattr(self, name) for name in names}
        return replace(self, **{name: None if t is None else t.to(device) for name, t in tensors.items()})

    def subset(self, index: Tensor) -> "Problems":
        """The problems at `index`; the solution table is shared."""
        identity = None if self.identity is None else self.identity[index]
        own = {name: getattr(self, name)[index] for name in ("inputs", "first", "count")}
        return replace(self, **own, identity=identity)

    def is_open(self, index: Tensor | slice) -> Tensor:
        """Whether more than one solution of each problem at `index` is known (B,) bool."""
        return self.count[index] > 1

    def solution(self, index_B: Tensor, which_B: Tensor) -> Tensor:
        """Solution number `which` of problem `index`: (B, L) int64."""
        return self.solutions[self.members[self.first[index_B] + which_B]].long()

    def candidates(self, index_B: Tensor, limit: int, key_B: Tensor) -> tuple[Tensor, Tensor]:
        """Up to `limit` solutions of each problem, in a cyclic window that starts at a random one.

        Returns:
            candidates (B, C, L) int64 with C = min(limit, the largest count of all problems), and a mask (B, C) of
            those that exist.
        """
        width = min(limit, self._largest)
        offsets = torch.arange(width, device=index_B.device)
        count = self.count[index_B][:, None]
        which = (noise.choice(key_B, self.count[index_B])[:, None] + offsets) % count
        return self.solution(index_B[:, None], which), offsets < count

    @property
    def _largest(self) -> int:
        if not hasattr(self, "_largest_count"):  # one host sync a split, not one a step
            object.__setattr__(self, "_largest_count", int(self.count.max()))
        return self._largest_count  # type: ignore[attr-defined]

    def solution_sets(self, problem: int) -> Tensor:
        """The known solutions of one problem: (n, L) int64."""
        first, count = int(self.first[problem]), int(self.count[problem])
        return self.solutions[self.members[first : first + count]].long()


class Task(ABC):
    """One kind of puzzle.

    Inputs and answers have one length, `length`, over one vocabulary, `vocab`; the shorter of the two is padded.
    A task must say what its splits and its rules are; the rest of this class has a default that many tasks keep.
    """

    name: str
    """The `kind` of its config."""
    can: ClassVar[str] = ""
    """Of an optional part: what its methods do, in words that follow "does not"."""
    length: int
    vocab: int
    counted: slice | None = slice(None)
    """Tokens of an answer that count; None if that differs from answer to answer."""
    names: int = 0
    """How many of the last tokens are names that may be exchanged, in input and answer alike, such as digits."""
    units: Sequence[Kind] = ()
    """Kinds of groups of positions that the rules are about, such as the rows and the columns; built into a model with
    `model.token_mixer` "units"."""
    open_token: int | None = None
    """What an input holds where its answer is still open, if it is written in the tokens of its answers: an input with
    a token of an answer put there is an input again. None if inputs and answers are written differently."""
    held_out: tuple[str, ...] = ("validation", "test")
    """Splits that share no input with the training split, and none with each other."""

    def __init__(self, config: Any) -> None:
        self.config = config
        self._splits: dict[str, Problems] = {}

    @classmethod
    def of(cls, config: Any) -> "Task":
        """The task of a config; some configs ask for a class of their own."""
        return cls(config)

    # -- data --------------------------------------------------------------------------------------------------

    def split(self, name: str) -> Problems:
        """The problems of "train", "validation" or "test"."""
        if name not in SPLITS:
            raise UserError(f"unknown split {name!r}, expected one of {', '.join(SPLITS)}")
        if name not in self._splits:
            self._splits[name] = self.make_split(name)
        return self._splits[name]

    @abstractmethod
    def make_split(self, name: str) -> Problems:
        """The problems of a split, made once: disjoint by input (see `held_out`), the same in every process."""

    # -- rules -------------------------------------------------------------------------------------------------

    @abstractmethod
    def reward(self, prediction: Tensor, inputs: Tensor) -> Tensor | None:
        """How right each prediction (B, L) is, in [0, 1], (B,): 1 exactly if it satisfies every rule.

        None for a task without rules: it has no halt and no value loss, and is judged by `measures` alone.
        """

    def learnt(self, solution: Tensor) -> Tensor:
        """A solution (..., L) as the loss takes it: padding is ignored."""
        return solution.where(solution != PAD, IGNORE)

    def right(self, answers: Tensor, problems: Problems) -> Tensor | None:
        """Which of N answers (M, N, L) to each of M problems are right (M, N) bool; None if nothing decides that."""
        inputs = problems.inputs.to(answers.device).long().repeat_interleave(answers.shape[1], 0)
        reward = self.reward(answers.flatten(0, 1), inputs)
        return None if reward is None else (reward == 1).view(answers.shape[:2])

    count_limit: int | None = None
    """`count_solutions` counts no further than this."""

    def count_solutions(self, tokens: Sequence[int]) -> int | None:
        """How many valid answers an input has, counted exactly (up to `count_limit`); None if nothing can count."""
        del tokens
        return None

    def conflicts(self, answers: Tensor, inputs: Tensor) -> Tensor | None:
        """Number of violated constraints of each answer (B, L), (B,), where a task reports it."""
        del answers, inputs
        return None

    def measures(self, answers: Tensor, problems: Problems) -> dict[str, Any]:
        """Further numbers that this task reports on N answers (M, N, L) to each of M problems."""
        del answers, problems
        return {}

    # -- symmetry ----------------------------------------------------------------------------------------------

    def canonical(self, answers: Tensor, inputs: Tensor) -> Tensor:
        """The standard form of answers (B, L): those that count as one have one form, with PAD where nothing counts.

        Sampled answers are brought to it before they are counted; solutions are stored in it. It keeps the reward.
        """
        del inputs
        return answers

    def augment(self, inputs: Tensor, solutions: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        """A random symmetry of the task for each row, drawn from its key and applied to input and solutions alike.

        Training asks for it at every step with the same key for as long as a slot keeps its input, on the device.

        Args:
            inputs: (B, L).
            solutions: K solutions for each row (B, K, L), in standard form; so are those returned, by the rules.
            key: see noise.py (B,).
        """
        del key
        return inputs, solutions


def lacks(task: Task | type[Task], part: type[Task], asked: str) -> UserError:
    """What to raise where a task has not got an optional part: who asked, which task it is, what the part does."""
    return UserError(f"{asked}: the task {task.name} does not {part.can}, expected one that does")
