"""What MDLM and D3PM share: tokens of an answer that are spoilt on their own, a network that guesses them, and a bound.

x stands beside y_t, position by position. Token 0 is in no answer: it is the mask, where there is one, and what stands
at positions that do not count. Shape letters: B rows, L tokens, V vocabulary.
"""

import math
from abc import abstractmethod
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from gram_reasoning.models.configs import TokenDiffusionConfig
from gram_reasoning.models.losses import counted
from gram_reasoning.models.parts import Network, TimedNetwork, TokenModel, counted_positions
from gram_reasoning.nn.layers import Linear
from gram_reasoning.trees import Tree
from gram_reasoning.types import Answer, Batch, Measured, Referee, Shape, StepOutput

MASK = 0
TIMES = 16
"""Times at which the bound of a row is measured."""


class Shown(NamedTuple):
    """y_t, and how probable the network takes it to be, as a logarithm."""

    tokens: Tensor  # (B, L)
    log_p: Tensor  # (B,)


class TokenDiffusion(TokenModel):
    """A model that is taught y by what is left of it at a time t in [0, 1]: all at 0, nothing at 1."""

    counts: Tensor  # positions of an answer that count (L,) bool
    goes_deeper = True
    heeds = frozenset({"temperature"})
    temperature: float = 1.0
    stack_of: type[Network | TimedNetwork] = Network
    """What the network is."""

    def __init__(self, config: TokenDiffusionConfig, shape: Shape) -> None:
        super().__init__(config, shape)
        D = config.hidden_size
        self.sampling_steps = config.sampling_steps
        self.stack = self.stack_of(config, shape, self.layout.positions)
        self.add_positions()
        self.target_embedding = self.layout.embedding(std=1 / math.sqrt(D))  # e_y
        self.decoder = Linear(D, self.layout.outputs)
        self.register_buffer("counts", counted_positions(shape), persistent=False)

    def entering(self, context: Tensor, tokens: Tensor) -> Tensor:
        """e_x + e(y_t) (B, S, D) of y_t (B, L); the prefix sees x alone."""
        e_y = self.layout.embed(tokens, self.target_embedding) * math.sqrt(self.sizes.hidden_size)
        return context + F.pad(e_y, (0, 0, self.sizes.prefix_tokens, 0))

    def read(self, h: Tensor) -> Tensor:
        """Log odds of y_0 (B, L, V) in h (B, S, D): never of token 0."""
        logits = self.layout.read(self.decoder(h[:, self.sizes.prefix_tokens :])).float()
        return torch.cat([torch.full_like(logits[..., :1], -torch.inf), logits[..., 1:]], -1)

    @abstractmethod
    def terms(self, context: Tensor, targets: Tensor, t: Tensor, uniform: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """An estimate of the bound on -ln p(y | x) (B,), and what else the loss holds, each (B,) and in its unit.

        Args:
            t: the time (B,), uniform in [0, 1].
            uniform: numbers in [0, 1] that decide what becomes of each token (B, L).
        """

    # -- training ----------------------------------------------------------------------------------------------

    def noise_shape(self) -> tuple[int, ...]:
        return (1 + self.shape.length,)

    def forward(self, batch: Batch, carry: Tree, noise: Tensor, referee: Referee) -> StepOutput:
        """Every slot learns its own target: to see parts of it is how this model is taught, whatever the slot's role.

        The loss is the bound at one time, in nats a token.
        """
        t, *spoilt_at = torch.special.ndtr(noise).split([1, self.shape.length], 1)
        bound, rest = self.terms(self.encode(batch.inputs, batch.identity), batch.targets, t[:, 0], spoilt_at[0])
        tokens = counted(batch.targets)
        losses = {"cross_entropy": bound / tokens} | {name: value / tokens for name, value in rest.items()}
        metrics = {"bound_nats": Measured(-bound.detach(), torch.ones_like(batch.is_guided))}
        return StepOutput(losses, metrics, carry)

    def loss_weights(self, step: int, total: int) -> dict[str, float]:
        return {"cross_entropy": 1.0}

    @torch.no_grad()
    def diagnostics(self, batch: Batch, noise: Tensor, weights: dict[str, float]) -> dict[str, Tensor]:
        """bound_nats: a lower bound of ln p(y | x) at temperature 1, measured at 16 times."""
        context = self.encode(batch.inputs, batch.identity)
        uniform = torch.special.ndtr(noise[:, 0])
        found = []
        for k in range(TIMES):  # one time in each sixteenth, and of one draw of numbers sixteen, each uniform
            t = (k + uniform[:, 0]) / TIMES
            found.append(self.terms(context, batch.targets, t, (uniform[:, 1:] + k * 0.618034) % 1)[0])
        return {"bound_nats": -torch.stack(found).mean(0)}

    # -- sampling ----------------------------------------------------------------------------------------------

    def step_noise_shape(self) -> tuple[int, ...]:
        return (self.shape.length, self.shape.vocab)

    def initial_state(self, rows: int) -> Shown:
        """All tokens 0."""
        tokens = torch.full((rows, self.shape.length), MASK, device=self.counts.device)
        return Shown(tokens, torch.zeros(rows, device=self.counts.device))

    def answer(self, state: Shown) -> Answer:
        """The tokens; their value is how probable the network took them to be."""
        return Answer(state.tokens, None, state.log_p.exp(), None)
