"""Optional parts of a task whose inputs belong to an owner that must be learnt from examples (the task of ARC).

The model learns a vector for each identity. An owner has `augmentations` of them: its inputs as they are, and under
symmetries that belong to the identity. Identity number owner * augmentations + k is the owner in augmentation k; k = 0
is none. `Problems.identity` has the number of each input's owner without augmentation.
"""

import copy
from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from gram_reasoning.errors import check
from gram_reasoning.tasks.base import Problems, Task
from gram_reasoning.tasks.forms import Block
from gram_reasoning.tasks.written import Blocks


@dataclass(frozen=True)
class Episode:
    """An owner with its demonstrations and what is asked about it; both have identity 0."""

    name: str
    demonstrations: Problems
    questions: Problems
    known: tuple[bool, ...]
    """Whether the solution of each question is known; where not, it is padding."""


class Demonstrations(Task):
    """A task with owners: the training split holds their demonstrations."""

    can = "learn from demonstrations"
    augmentations: int = 1
    """Identities of each owner."""
    attempts: int = 1
    """Answers to an input that a submission may hold."""

    @property
    @abstractmethod
    def owners(self) -> tuple[str, ...]:
        """Names of what inputs belong to, in the order of their numbers."""

    @abstractmethod
    def set_owners(self, owners: tuple[str, ...]) -> None:
        """Number the owners as a trained model does; splits with inputs of others are then refused (UserError)."""

    @abstractmethod
    def apply_augmentation(self, inputs: Tensor, solutions: Tensor, identity: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs (B, L) and their solutions (B, K, L) in the augmentation of each identity (B,)."""

    @abstractmethod
    def undo_augmentation(self, answers: Tensor, identity: Tensor) -> Tensor:
        """Answers (B, L) in an augmentation as they are without, in standard form."""

    @abstractmethod
    def submission_entry(self, answers: Tensor) -> Any:
        """The best answers (attempts, L) to one input as a submission has them, as JSON."""

    @abstractmethod
    def submission(self, problems: Problems, answers: Tensor) -> dict[str, Any]:
        """A submission, as JSON: the best answers (M, attempts, L) to the problems of a split."""

    @property
    def identities(self) -> int:
        """Vectors that a model of this task learns."""
        return len(self.owners) * self.augmentations

    def with_augmentations(self, number: int) -> Self:
        """The same task with the first so many augmentations of each owner."""
        check(1 <= number <= self.augmentations, "views", number, f"1 to {self.augmentations}")
        task = copy.copy(self)
        task.augmentations, task._splits = number, {}
        return task


class DemonstrationText(Demonstrations, Blocks):
    """A task that reads owners with their demonstrations as text, for `gram solve`."""

    can = "read demonstrations as text"

    @abstractmethod
    def read_episodes(self, lines: Block, where: str) -> list[Episode]:
        """The owners with demonstrations in one block.

        Raises:
            UserError: what is wrong, with file, line and place, and what was expected.
        """


def owners_of(task: Task) -> tuple[str, ...]:
    """Names of the owners; none where inputs stand for themselves."""
    return task.owners if isinstance(task, Demonstrations) else ()


def augmented(task: Task, problems: Problems, views: int) -> Problems:
    """Each of M problems in its first `views` augmentations: M * views problems, in this order.

    Raises:
        UserError: the task has not got so many.
    """
    most = task.augmentations if isinstance(task, Demonstrations) else 1
    check(1 <= views <= most, "views", views, f"1 to {most}, the augmentations of an input of {task.name}")
    if not isinstance(task, Demonstrations) or problems.identity is None:
        return problems
    device = problems.identity.device
    repeated = problems.subset(torch.arange(len(problems), device=device).repeat_interleave(views))
    rows = problems.identity.repeat_interleave(views)
    identity = rows + torch.arange(views, device=device).repeat(len(problems))
    parts = zip(repeated.inputs.split(4096), identity.split(4096), strict=True)  # bounds the memory
    inputs = [task.apply_augmentation(x.long(), x[:, None].long(), n)[0].to(x.dtype) for x, n in parts]
    return replace(repeated, inputs=torch.cat(inputs), identity=identity)
