"""The values that cross the borders between tasks, models, training and inference.

Shape letters, here and everywhere: B rows (slots or trajectories), L output tokens, P prefix tokens,
S = P + L latent positions, D channels, V vocabulary, T transitions of a supervision step, M inputs,
N samples of an input, n solutions of an input.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

Kind = Sequence[Sequence[int]]
"""Units of one kind, such as all rows of a board: for each the positions that belong to it."""

IGNORE = -100
"""Target value of positions that carry no loss."""


@dataclass(frozen=True)
class LatentState:
    """z = (h, l): what a recursive model carries from one supervision step to the next."""

    high: Tensor  # h (B, S, D)
    low: Tensor  # l (B, S, D)

    def detach(self) -> "LatentState":
        return LatentState(self.high.detach(), self.low.detach())

    def where(self, mask_B: Tensor, other: "LatentState") -> "LatentState":
        """Rows of `other` where the mask holds, own rows elsewhere."""
        mask = mask_B[:, None, None]
        return LatentState(torch.where(mask, other.high, self.high), torch.where(mask, other.low, self.low))


@dataclass(frozen=True)
class SlotState:
    """What a training slot carries: the latent, how far it is, and the tokens its value loss will need."""

    latent: LatentState
    steps: Tensor  # supervision steps done (B,)
    limit: Tensor  # it leaves after this many (B,)
    may_halt_from: Tensor  # it may halt from this step on (B,)
    done: Tensor  # its trajectory is over; it waits for the rest of its group (B,) bool
    registers: Tensor  # first token of h after each transition so far, detached (B, N_sup * T, D)


@dataclass(frozen=True)
class Batch:
    """The rows of one supervision step."""

    inputs: Tensor  # x (B, L) int64
    targets: Tensor  # y (B, L) int64, IGNORE where no loss
    is_posterior: Tensor  # the slot's role (B,) bool
    is_open: Tensor  # whether more than one solution of x is known (B,) bool
    identity: Tensor | None = None  # vector of what x belongs to (B, D), where the model learns one


class Referee(Protocol):
    """What training tells a model about the task: which answer to learn now, and how good an answer is."""

    def targets(self, logits: Tensor) -> Tensor:
        """The targets (B, L) for logits (B, L, V); IGNORE throughout a row that is not to learn."""
        ...

    def reward(self, prediction: Tensor) -> Tensor | None:
        """How right each prediction (B, L) is, in [0, 1], (B,); None where the task has no rules."""
        ...


@dataclass(frozen=True)
class StepOutput:
    """What one supervision step gives back."""

    losses: dict[str, Tensor]  # each (B,)
    metrics: dict[str, Tensor]  # each (B,)
    state: SlotState  # detached
    logits: Tensor  # (B, L, V), detached


@dataclass(frozen=True)
class Candidates:
    """N sampled answers for each of M inputs."""

    answers: Tensor  # (M, N, L) int64
    values: Tensor  # LPRM value of the final state (M, N)
    steps: Tensor  # supervision steps taken (M, N)
