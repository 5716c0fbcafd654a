"""What every model promises: the narrow waist that training, inference and evaluation look through.

Training calls `forward` once for each optimizer step and hands the rows their `carry` again. Sampling is `encode`,
then `initial_state`, then `step` as often as it takes, then `answer`; what `n` counts is the model's matter: thoughts
of a recursive model, positions from left to right, times of a diffusion. Carry and state are trees (trees.py) that
nobody else looks into.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from gram_reasoning.models.configs import ModelConfig
from gram_reasoning.nn.identity import IdentityTable
from gram_reasoning.trees import Tree
from gram_reasoning.types import Answer, Batch, Referee, Shape, StepOutput


class Look(NamedTuple):
    """What an evaluation during training found."""

    trained: dict[str, float]
    """The last means of the training log."""
    accuracy: float
    """Of full rollouts on held-out inputs, from 0 to 1; the better of raw and averaged weights."""


class Model(nn.Module, ABC):
    """A model of answers given inputs.

    Args:
        config: of this model's kind.
        shape: of the task.
    """

    supervision_steps: int = 1
    """Calls of `forward` in a training trajectory (N_sup)."""
    sampling_steps: int = 1
    """Calls of `step` until there is an answer, if nobody says otherwise."""
    samples: int = 1
    """Answers of each input that are drawn, set by the sampler."""
    goes_deeper: bool = False
    """Whether sampling may take another number of steps."""
    heeds: frozenset[str] = frozenset()
    """Settings of sampling, by their name in SamplerConfig, that this model heeds and others do not."""
    steady: frozenset[str] = frozenset()
    """Tensors of its state, by name, that noise of the sampler's own leaves alone."""
    identities: IdentityTable | None
    """The vector of each identity, for a task whose inputs belong to one (see tasks/demonstrations.py)."""

    def __init__(self, config: ModelConfig, shape: Shape) -> None:
        super().__init__()
        self.config, self.shape = config, shape
        self.identities = None

    # -- training ----------------------------------------------------------------------------------------------

    @abstractmethod
    def forward(self, batch: Batch, carry: Tree, noise: Tensor, referee: Referee) -> StepOutput:
        """One supervision step of training.

        Args:
            batch: inputs, targets and roles of B slots.
            carry: what the slots carry.
            noise: standard normal (B, *noise_shape()).
            referee: the task's rules and the slots' clock.
        """

    @abstractmethod
    def loss_weights(self, step: int, total: int) -> dict[str, float]:
        """The weight of each entry of `StepOutput.losses` at optimizer step `step` of `total`."""

    def noise_shape(self) -> tuple[int, ...]:
        """Shape of the noise that one row needs for one call of `forward`."""
        return (0,)

    def initial_carry(self, rows: int) -> Tree:
        """What slots carry at the start of a trajectory."""
        del rows
        return ()

    def diagnostics(self, batch: Batch, noise: Tensor, weights: dict[str, float]) -> dict[str, Tensor]:
        """What to watch beside the losses on held-out rows: each (B,) or (B, numbers). Never a result.

        Args:
            batch: rows that are all guided.
            noise: standard normal (B, supervision_steps, *noise_shape()).
            weights: of the losses, now.
        """
        del batch, noise, weights
        return {}

    def alarm(self, looks: Sequence[Look]) -> str | None:
        """What is wrong, if the looks at a run betray it; the last of them is the latest."""
        del looks
        return None

    # -- sampling ----------------------------------------------------------------------------------------------

    def set_to(self, **settings: Any) -> Self:
        """The model as it samples by these settings, weights shared: `sampling_steps`, `samples`, what it `heeds`."""
        other = copy.copy(self)
        for name, value in settings.items():
            setattr(other, name, value)
        return other

    @property
    def side_by_side(self) -> int:
        """How many rows of an input `step` must get after each other: all `samples`, if they depend on each other."""
        return 1

    @abstractmethod
    def encode(self, inputs: Tensor, identity: Tensor | None = None) -> Tree:
        """What the steps see of inputs (B, L) and the vectors of their identities (B, D), if any."""

    @abstractmethod
    def initial_state(self, rows: int) -> Tree:
        """The state of each row before the first step."""

    @abstractmethod
    def step(self, context: Tree, state: Tree, noise: Tensor, n: Tensor) -> Tree:
        """One step of sampling.

        Args:
            context: what `encode` gave.
            state: of B rows.
            noise: standard normal (B, *step_noise_shape()).
            n: steps that each row has done (B,).
        """

    @abstractmethod
    def answer(self, state: Tree) -> Answer:
        """What the states say."""

    def step_noise_shape(self) -> tuple[int, ...]:
        """Shape of the noise that one row needs for one call of `step`."""
        return self.noise_shape()


class RecursiveModel(Model):
    """A model that refines a latent state: any number of steps, an answer after each, and a say on when to stop."""

    goes_deeper = True

    @abstractmethod
    def initial_state(self, rows: int, draws: Tensor | None = None) -> Tree:
        """The z_0 of every trajectory, for each row; or one made of `draws`, standard normal (rows, *start_shape())."""

    @abstractmethod
    def decode(self, state: Tree) -> Tensor:
        """Logits (B, L, V)."""

    def start_shape(self) -> tuple[int, ...] | None:
        """Shape of the noise that makes an initial state; None for a model that has but one."""
        return None

    def latent(self, state: Tree) -> Tensor:
        """What the answer is decoded from (B, positions, D), for those who study it."""
        return state

    def halt_logit(self, state: Tree) -> Tensor | None:
        """Above 0 where the model takes its answer for right: (B,); None for a model that cannot say."""
        del state
        return None

    def value(self, state: Tree) -> Tensor:
        """How right the final answer will be (B,), to choose by: the probability of all its tokens together."""
        return probability(self.decode(state))

    def answer(self, state: Tree) -> Answer:
        logits, halt = self.decode(state), self.halt_logit(state)
        return Answer(logits.argmax(-1), logits, self.value(state), None if halt is None else halt.sigmoid())


class OneShotModel(Model):
    """A model that answers at once: its state is the logits (B, L, V), its one step makes them."""

    @abstractmethod
    def predict(self, context: Tree) -> Tensor:
        """Logits (B, L, V) from what `encode` gave."""

    def initial_state(self, rows: int) -> Tensor:
        where = next(self.parameters()).device
        return torch.zeros(rows, self.shape.length, self.shape.vocab, device=where)

    def step(self, context: Tree, state: Tensor, noise: Tensor, n: Tensor) -> Tensor:
        del state, noise, n
        return self.predict(context).float()

    def answer(self, state: Tensor) -> Answer:
        return Answer(state.argmax(-1), state, probability(state), None)


def can_halt(model: Model) -> bool:
    """Whether the model can say that it takes its answer for right."""
    return isinstance(model, RecursiveModel) and model.halt_logit(model.initial_state(1)) is not None


def decodes(model: Model) -> bool:
    """Whether the model's answers are decoded from logits, not drawn."""
    return model.answer(model.initial_state(1)).logits is not None


def margin(logits: Tensor) -> Tensor:
    """The mean over tokens of the gap between the best logit and the second (UFM's score), of (B, L, V): (B,)."""
    top = logits.topk(2, -1).values
    return (top[..., 0] - top[..., 1]).mean(-1)


def probability(logits: Tensor) -> Tensor:
    """Of the most probable answer under logits (B, L, V), all tokens together: (B,)."""
    return logits.log_softmax(-1).amax(-1).sum(-1).exp()
