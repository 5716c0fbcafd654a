"""What HRM and TRM share: a state z = (h, l) without noise, a decoder of h, and two values of its first token.

Shape letters: B rows, L output tokens, P prefix tokens, S = P + L latent positions, D channels, V vocabulary.
"""

from abc import abstractmethod
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gram_reasoning.models.base import RecursiveModel
from gram_reasoning.models.configs import HrmConfig, TrmConfig
from gram_reasoning.models.losses import CROSS_ENTROPIES, counted
from gram_reasoning.models.parts import TokenModel
from gram_reasoning.nn.layers import Linear
from gram_reasoning.trees import Tree
from gram_reasoning.types import Batch, Measured, Referee, Shape


class State(NamedTuple):
    """z = (h, l)."""

    high: Tensor  # h (B, S, D)
    low: Tensor  # l (B, S, D)


class TwoLatents(TokenModel, RecursiveModel):
    """A model that refines (h, l) by rules of its own: `recursion` is one supervision step."""

    initial_latent: Tensor  # z_0, for h and l (2, 1, D)

    def __init__(self, config: HrmConfig | TrmConfig, shape: Shape) -> None:
        super().__init__(config, shape)
        self.supervision_steps = self.sampling_steps = config.supervision_steps
        self.add_positions()
        self.decoder = Linear(config.hidden_size, self.layout.outputs)
        self.halt_head = nn.Linear(config.hidden_size, 2)  # q_halt, q_continue
        nn.init.zeros_(self.halt_head.weight)
        nn.init.constant_(self.halt_head.bias, -5.0)  # do not halt before it has learnt to
        self.register_buffer("initial_latent", torch.randn(self.start_shape()))  # z_0: drawn once, stored

    @abstractmethod
    def recursion(self, z: State, context: Tensor) -> State:
        """One supervision step: (h, l) refined under e_x, with the gradient that the model trains by."""

    # -- sampling ----------------------------------------------------------------------------------------------

    def start_shape(self) -> tuple[int, ...]:
        return (2, 1, self.sizes.hidden_size)

    def initial_state(self, rows: int, draws: Tensor | None = None) -> Tree:
        high, low = self.initial_latent if draws is None else draws.transpose(0, 1)
        full = (rows, self.positions, self.sizes.hidden_size)
        return State(high.expand(full).contiguous(), low.expand(full).contiguous())

    def step(self, context: Tensor, state: Tree, noise: Tensor, n: Tensor) -> Tree:
        del noise, n
        return self.recursion(state, context)

    def latent(self, state: State) -> Tensor:
        return state.high[:, self.sizes.prefix_tokens :]

    def decode(self, state: State) -> Tensor:
        return self.layout.read(self.decoder(self.latent(state))).float()

    def q_values(self, state: State) -> Tensor:
        """The logits of halting and of going on (B, 2). Their losses shape the state too, as in the released code."""
        return self.halt_head(state.high[:, 0]).float()

    def halt_logit(self, state: State) -> Tensor:
        return self.q_values(state)[:, 0]

    # -- training ----------------------------------------------------------------------------------------------

    def initial_carry(self, rows: int) -> Tree:
        return self.initial_state(rows)

    def answer_loss(self, logits: Tensor, referee: Referee) -> Tensor:
        """-ln p of the target under logits (B, L, V), a mean over the tokens that count: (B,)."""
        targets = referee.targets(logits.detach())
        return CROSS_ENTROPIES[self.sizes.cross_entropy](logits, targets) / counted(targets)


def halting(batch: Batch, q_halt: Tensor, reward: Tensor | None, sure: Tensor) -> tuple[Tensor, dict[str, Measured]]:
    """The loss of q_halt, whose target is whether the answer is right (B,), and what to log."""
    if reward is None:
        return 0.0 * q_halt, {}
    right, everyone = reward >= 1, torch.ones_like(batch.is_guided)
    loss = F.binary_cross_entropy_with_logits(q_halt, right.to(q_halt.dtype), reduction="none")
    told = {"slot_accuracy": right, "halt_accuracy": sure == right}
    return loss, {name: Measured(values.float(), everyone) for name, values in told.items()}


def detached(z: State) -> State:
    """The state as the next step takes it."""
    return State(z.high.detach(), z.low.detach())
