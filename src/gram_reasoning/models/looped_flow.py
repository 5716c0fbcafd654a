"""Looped Flows: TRM as a denoiser that remembers (arXiv 2609.11801), in the order of its steps.

y_t = t y + (1 - t) c eps                         y: one-hot; eps normal, the same in all steps of a trajectory
z <- recursion(z, e_x + W y_t + e(t))             a supervision step of TRM, at rising times t; z carried, detached
loss = CE(y | h) + BCE(q_halt, right) / 2         as TRM's
drawn: y_0 = c eps; at each step the guess g = p(y | h), and y_s = s g + (1 - s) c eps' of the next time s
    eps' is the noise that the guess leaves (ODE), or, with as much fresh noise as the reversed process has, SDE

Steps of sampling may be more than those of training: the times between 0 and 1 are only closer. In training the times
are spread over [0, 1], each drawn within its share, so that all are seen.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from gram_reasoning.models.configs import LoopedFlowConfig
from gram_reasoning.models.losses import LOG_PROBABILITIES
from gram_reasoning.models.parts import counted_positions
from gram_reasoning.models.trm import TinyRecursion
from gram_reasoning.models.two_latents import State, detached
from gram_reasoning.nn.layers import Linear
from gram_reasoning.nn.timed import TimeEmbedding
from gram_reasoning.types import IGNORE, Batch, Referee, Shape, StepOutput


class Flow(NamedTuple):
    """z = (h, l), and what is seen of y: in sampling y_t, in training the trajectory's noise."""

    high: Tensor  # h (B, S, D)
    low: Tensor  # l (B, S, D)
    seen: Tensor  # (B, L, V)


class LoopedFlow(TinyRecursion):
    """See LoopedFlowConfig."""

    config: LoopedFlowConfig  # type: ignore[assignment]
    counts: Tensor  # positions of an answer that count (L,) bool
    heeds = frozenset({"flow"})
    flow: str

    def __init__(self, config: LoopedFlowConfig, shape: Shape) -> None:
        super().__init__(config, shape)
        self.sampling_steps, self.flow = config.sampling_steps, config.flow
        self.answer_map = Linear(shape.vocab, config.hidden_size)  # W
        self.time = TimeEmbedding(config.hidden_size)
        self.register_buffer("counts", counted_positions(shape), persistent=False)

    def initial_state(self, rows: int, draws: Tensor | None = None) -> Flow:
        z = super().initial_state(rows, draws)
        return Flow(z.high, z.low, z.high.new_zeros(rows, self.shape.length, self.shape.vocab, dtype=torch.float32))

    def informed(self, context: Tensor, seen: Tensor, t: Tensor) -> Tensor:
        """e_x + W y_t + e(t) (B, S, D) of y_t (B, L, V) at times t (B,); the prefix sees no y_t."""
        answer = F.pad(self.answer_map(seen), (0, 0, self.config.prefix_tokens, 0))
        return context + answer + self.time(t)[:, None]

    # -- training ----------------------------------------------------------------------------------------------

    def noise_shape(self) -> tuple[int, ...]:
        return (self.shape.length * self.shape.vocab + 1,)

    def forward(self, batch: Batch, carry: Flow, noise: Tensor, referee: Referee) -> StepOutput:
        """Every slot sees its own target through the noise, whatever its role."""
        drawn, within = noise.split([noise.shape[1] - 1, 1], 1)
        first = (batch.step == 0)[:, None, None]
        eps = torch.where(first, drawn.view_as(carry.seen), carry.seen)
        t = (batch.step + torch.special.ndtr(within[:, 0])) / self.supervision_steps
        seen = mixed(self.one_hot(batch.targets), self.config.noise_scale * eps, t)
        context = self.informed(self.encode(batch.inputs, batch.identity), seen, t)
        z, out = self.supervised(batch, detached(State(carry.high, carry.low)), context, referee)
        return StepOutput(out.losses, out.metrics, Flow(*detached(z), eps), out.sure)

    def one_hot(self, targets: Tensor) -> Tensor:
        """The answer as (B, L, V), zero where it does not count."""
        return F.one_hot(targets.clamp(min=0), self.shape.vocab) * (targets != IGNORE)[..., None].float()

    # -- sampling ----------------------------------------------------------------------------------------------

    def step_noise_shape(self) -> tuple[int, ...]:
        return (2, self.shape.length, self.shape.vocab)

    def step(self, context: Tensor, state: Flow, noise: Tensor, n: Tensor) -> Flow:
        """From y_t to y_s, t = n / steps and s = t + 1 / steps; the first step draws y_0."""
        scale, (drawn, fresh) = self.config.noise_scale, noise.unbind(1)
        t, s = n / self.sampling_steps, (n + 1) / self.sampling_steps
        seen = torch.where((n == 0)[:, None, None], scale * drawn, state.seen)
        z = self.recursion(State(state.high, state.low), self.informed(context, seen, t))
        log_p = LOG_PROBABILITIES[self.config.cross_entropy](self.decode(z))
        guess = log_p.exp() * self.counts[:, None]
        return Flow(*z, onward(seen, guess, t, s, scale * fresh if self.flow == "sde" else None))


def mixed(answer: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """y_t of an answer and noise (B, L, V) at times t (B,)."""
    t = t[:, None, None]
    return t * answer + (1 - t) * noise


def onward(seen: Tensor, guess: Tensor, t: Tensor, s: Tensor, fresh: Tensor | None) -> Tensor:
    """y_s, as it would be if the guess were the answer, given y_t (B, L, V) and times t < s (B,).

    With fresh noise (B, L, V) it is drawn from q(y_s | y_t, y) of the process that mixes y with ever more noise.
    """
    t, s = t[:, None, None], s[:, None, None]
    noise = (seen - t * guess) / (1 - t)
    if fresh is None:
        return s * guess + (1 - s) * noise
    kept = t * (1 - s) / (s * (1 - t))  # correlation of the noise of y_s with that of y_t
    return s * guess + (1 - s) * (kept * noise + (1 - kept.square()).sqrt() * fresh)
