"""The values that cross the borders between tasks, models, training and inference.

Shape letters, here and everywhere: B rows (slots or trajectories), L output tokens, P prefix tokens,
S = P + L latent positions, D channels, V vocabulary, T transitions of a supervision step, M inputs,
N samples of an input, n solutions of an input.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from torch import Tensor

from gram_reasoning.trees import Tree

Kind = Sequence[Sequence[int]]
"""Units of one kind, such as all rows of a board: for each the positions that belong to it."""

IGNORE = -100
"""Target value of positions that carry no loss."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a model must know of a task to be built."""

    length: int
    """L, tokens of an input and of an answer."""
    vocab: int
    """V, token values."""
    identities: int = 0
    """Rows of the table of identities, for a task whose inputs belong to something that is learnt (ARC)."""
    units: Sequence[Kind] = ()
    """See Task.units."""
    names: int = 0
    """See Task.names."""
    counted: range | None = None
    """Positions of an answer that count; None if all may."""


@dataclass(frozen=True)
class Batch:
    """The rows of one supervision step."""

    inputs: Tensor  # x (B, L) int64
    targets: Tensor  # y (B, L) int64, IGNORE where no loss
    is_guided: Tensor  # the slot's role: whether the model may look at y while it samples (B,) bool
    is_open: Tensor  # whether more than one solution of x is known (B,) bool
    step: Tensor  # supervision steps that the row's trajectory has done (B,) int64
    identity: Tensor | None = None  # vector of what x belongs to (B, D), where the model learns one


class Referee(Protocol):
    """What training tells a model: which answer to learn now, how good an answer is, and who leaves."""

    def targets(self, logits: Tensor, wishes: Tensor | None = None) -> Tensor:
        """The targets (B, L) for logits (B, L, V); IGNORE throughout a row that is not to learn.

        Args:
            wishes: how much each trajectory favours each token at each place (B, L, V), of a model that has wishes.
        """
        ...

    def reward(self, prediction: Tensor) -> Tensor | None:
        """How right each prediction (B, L) is, in [0, 1], (B,); None where the task has no rules."""
        ...

    def ends(self, sure: Tensor) -> Tensor:
        """Whose trajectory ends with this step (B,) bool, given who is sure of its answer (B,) bool."""
        ...


class Measured(NamedTuple):
    """A number of each row, and which rows it is told of."""

    values: Tensor  # (B,)
    counts: Tensor  # (B,) bool


@dataclass(frozen=True)
class StepOutput:
    """What one supervision step gives back."""

    losses: dict[str, Tensor]  # each (B,)
    metrics: dict[str, Measured]  # detached
    carry: Tree  # what the rows take along to their next step; detached
    sure: Tensor | None = None  # who is sure of its answer (B,) bool; None for a model that cannot say


class Answer(NamedTuple):
    """What a state says."""

    tokens: Tensor  # (B, L) int64
    logits: Tensor | None  # (B, L, V); None where tokens are drawn, not decoded
    value: Tensor  # how right the model takes them to be, to choose by (B,)
    halt: Tensor | None  # probability that they are right, to stop by (B,); None for a model that cannot say


@dataclass(frozen=True)
class Candidates:
    """N sampled answers for each of M inputs."""

    answers: Tensor  # (M, N, L) int64
    values: Tensor  # `Answer.value` of the final state (M, N)
    steps: Tensor  # steps taken (M, N)
    halts: Tensor | None = None  # `Answer.halt` of the final state (M, N); None for a model that cannot say
    margins: Tensor | None = None  # gap of the best logit to the second (M, N); None where tokens are drawn
