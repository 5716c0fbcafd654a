"""MDLM: masked diffusion (Sahoo et al. 2024) of the answer, given the input.

Going forward, each token of y turns into the mask on its own; at time t in [0, 1] it is still itself with probability
alpha(t) = 1 - t (the log-linear schedule). The network sees x and y_t and names the odds of y_0; nothing else is
learnt. The mask is the token 0, which no answer holds. Positions that do not count stay masked.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from gram_reasoning.models.configs import MaskedDiffusionConfig
from gram_reasoning.models.losses import counted
from gram_reasoning.models.parts import TokenModel
from gram_reasoning.nn.distributions import gumbel
from gram_reasoning.nn.layers import Linear
from gram_reasoning.trees import Tree
from gram_reasoning.types import IGNORE, Answer, Batch, Measured, Referee, Shape, StepOutput

MASK = 0
EARLIEST = 1e-3
"""The least t that is trained: the weight 1 / t has a limit."""
TIMES = 16
"""Times at which the bound of a row is measured."""


class Shown(NamedTuple):
    """y_t, and ln of the probabilities with which its tokens were drawn."""

    tokens: Tensor  # (B, L)
    log_p: Tensor  # (B,)


class MaskedDiffusion(TokenModel):
    """See MaskedDiffusionConfig."""

    config: MaskedDiffusionConfig
    counts: Tensor  # positions of an answer that count (L,) bool
    goes_deeper = True
    heeds = frozenset({"temperature"})
    temperature: float = 1.0

    def __init__(self, config: MaskedDiffusionConfig, shape: Shape) -> None:
        super().__init__(config, shape)
        D = config.hidden_size
        self.sampling_steps = config.sampling_steps
        self.stack = self.network()
        self.add_positions()
        self.target_embedding = self.layout.embedding(std=1 / math.sqrt(D))  # e_y
        self.decoder = Linear(D, self.layout.outputs)
        counts = torch.zeros(shape.length, dtype=torch.bool)
        counts[range(shape.length) if shape.counted is None else shape.counted] = True
        self.register_buffer("counts", counts, persistent=False)

    def logits(self, context: Tensor, tokens: Tensor) -> Tensor:
        """Log odds of y_0 (B, L, V) given y_t (B, L): never of the mask (SUBS: zero masking probability)."""
        P, D = self.config.prefix_tokens, self.config.hidden_size
        e_y = self.layout.embed(tokens, self.target_embedding) * math.sqrt(D)
        h = self.stack(context + F.pad(e_y, (0, 0, P, 0)), self.rotary)
        logits = self.layout.read(self.decoder(h[:, P:])).float()
        return torch.cat([torch.full_like(logits[..., :1], -torch.inf), logits[..., 1:]], -1)

    # -- training ----------------------------------------------------------------------------------------------

    def noise_shape(self) -> tuple[int, ...]:
        return (1 + self.shape.length,)

    def forward(self, batch: Batch, carry: Tree, noise: Tensor, referee: Referee) -> StepOutput:
        """Every slot learns its own target: to see parts of it is how this model is taught, whatever the slot's role.

        The loss is the continuous-time bound at one time: the cross-entropy of the hidden tokens, times 1 / t.
        """
        t, *hidden_at = torch.special.ndtr(noise).split([1, self.shape.length], 1)
        nats = self.nats(self.encode(batch.inputs, batch.identity), batch.targets, t[:, 0], hidden_at[0])
        metrics = {"bound_nats": Measured(-nats.detach(), torch.ones_like(batch.is_guided))}
        return StepOutput({"cross_entropy": nats / counted(batch.targets)}, metrics, carry)

    def nats(self, context: Tensor, targets: Tensor, t: Tensor, uniform: Tensor) -> Tensor:
        """An estimate of the bound on -ln p(y | x) (B,).

        Args:
            t: the time (B,), uniform in [0, 1].
            uniform: of each token (B, L): it is hidden where this lies below t.
        """
        t = EARLIEST + (1 - EARLIEST) * t
        hidden = (uniform < t[:, None]) & (targets != IGNORE)
        logits = self.logits(context, torch.where(hidden, MASK, targets.clamp(min=0)))
        learnt = torch.where(hidden, targets, IGNORE)  # what is shown stays as it is (SUBS: carry over)
        wrong = F.cross_entropy(logits.transpose(1, 2), learnt, ignore_index=IGNORE, reduction="none")
        return wrong.sum(1) / t

    def loss_weights(self, step: int, total: int) -> dict[str, float]:
        return {"cross_entropy": 1.0}

    @torch.no_grad()
    def diagnostics(self, batch: Batch, noise: Tensor, weights: dict[str, float]) -> dict[str, Tensor]:
        """bound_nats: a lower bound of ln p(y | x) in continuous time, at temperature 1, measured at 16 times."""
        context = self.encode(batch.inputs, batch.identity)
        uniform = torch.special.ndtr(noise[:, 0])
        found = []
        for k in range(TIMES):  # one time in each sixteenth, and of one draw of numbers sixteen, each uniform
            t = (k + uniform[:, 0]) / TIMES
            found.append(self.nats(context, batch.targets, t, (uniform[:, 1:] + k * 0.618034) % 1))
        return {"bound_nats": -torch.stack(found).mean(0)}

    # -- sampling ----------------------------------------------------------------------------------------------

    def step_noise_shape(self) -> tuple[int, ...]:
        return (self.shape.length, self.shape.vocab)

    def initial_state(self, rows: int) -> Shown:
        tokens = torch.full((rows, self.shape.length), MASK, device=self.counts.device)
        return Shown(tokens, torch.zeros(rows, device=self.counts.device))

    def step(self, context: Tensor, state: Shown, noise: Tensor, n: Tensor) -> Shown:
        """From y_t to y_s, t = 1 - n / steps and s = t - 1 / steps, all positions at once."""
        log_odds = (self.logits(context, state.tokens) / self.temperature).log_softmax(-1)
        left = self.sampling_steps - n
        odds = reverse(log_odds, ((left - 1) / left)[:, None])
        token = (odds + gumbel(noise)).argmax(-1)
        drawn = (state.tokens == MASK) & (token != MASK) & self.counts
        log_p = log_odds.gather(2, token[..., None])[..., 0].where(drawn, 0.0).sum(1)
        return Shown(torch.where(drawn, token, state.tokens), state.log_p + log_p)

    def answer(self, state: Shown) -> Answer:
        """The tokens; their value is the probability with which they were drawn, given those that were shown."""
        return Answer(state.tokens, None, state.log_p.exp(), None)


def reverse(log_odds: Tensor, stays: Tensor) -> Tensor:
    """The log of q(y_s | y_t masked, y_0), with the network's odds in place of y_0: (B, L, V), the mask at 0.

    Args:
        log_odds: log of the odds of y_0 (B, L, V); what stands at 0 is not read.
        stays: (1 - alpha(s)) / (1 - alpha(t)), the probability that a masked token stays so, (B, 1) or (B, L).
    """
    masked = stays.log().expand(log_odds.shape[:2])[..., None]
    return torch.cat([masked, log_odds[..., 1:] + (-stays).log1p()[..., None]], -1)
