"""MDLM: masked diffusion (Sahoo et al. 2024) of the answer, given the input.

Going forward, each token of y turns into the mask on its own; at time t in [0, 1] it is still itself with probability
alpha(t) = 1 - t (the log-linear schedule). The network sees x and y_t and names the odds of y_0; nothing else is
learnt. The mask is the token 0, which no answer holds. Positions that do not count stay masked.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from gram_reasoning.models.configs import MaskedDiffusionConfig
from gram_reasoning.models.diffusion import MASK, Shown, TokenDiffusion
from gram_reasoning.nn.distributions import gumbel
from gram_reasoning.types import IGNORE

EARLIEST = 1e-3
"""The least t that is trained: the weight 1 / t has a limit."""


class MaskedDiffusion(TokenDiffusion):
    """See MaskedDiffusionConfig."""

    config: MaskedDiffusionConfig

    def logits(self, context: Tensor, tokens: Tensor) -> Tensor:
        """Log odds of y_0 (B, L, V) given y_t (B, L): never of the mask (SUBS: zero masking probability)."""
        return self.read(self.stack(self.entering(context, tokens), self.rotary))

    def terms(self, context: Tensor, targets: Tensor, t: Tensor, uniform: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The continuous-time bound at one time: the cross-entropy of the hidden tokens, times 1 / t."""
        t = EARLIEST + (1 - EARLIEST) * t
        hidden = (uniform < t[:, None]) & (targets != IGNORE)
        logits = self.logits(context, torch.where(hidden, MASK, targets.clamp(min=0)))
        learnt = torch.where(hidden, targets, IGNORE)  # what is shown stays as it is (SUBS: carry over)
        wrong = F.cross_entropy(logits.transpose(1, 2), learnt, ignore_index=IGNORE, reduction="none")
        return wrong.sum(1) / t, {}

    def step(self, context: Tensor, state: Shown, noise: Tensor, n: Tensor) -> Shown:
        """From y_t to y_s, t = 1 - n / steps and s = t - 1 / steps, all positions at once."""
        log_odds = (self.logits(context, state.tokens) / self.temperature).log_softmax(-1)
        left = self.sampling_steps - n
        odds = reverse(log_odds, ((left - 1) / left)[:, None])
        token = (odds + gumbel(noise)).argmax(-1)
        drawn = (state.tokens == MASK) & (token != MASK) & self.counts
        log_p = log_odds.gather(2, token[..., None])[..., 0].where(drawn, 0.0).sum(1)
        return Shown(torch.where(drawn, token, state.tokens), state.log_p + log_p)


def reverse(log_odds: Tensor, stays: Tensor) -> Tensor:
    """The log of q(y_s | y_t masked, y_0), with the network's odds in place of y_0: (B, L, V), the mask at 0.

    Args:
        log_odds: log of the odds of y_0 (B, L, V); what stands at 0 is not read.
        stays: (1 - alpha(s)) / (1 - alpha(t)), the probability that a masked token stays so, (B, 1) or (B, L).
    """
    masked = stays.log().expand(log_odds.shape[:2])[..., None]
    return torch.cat([masked, log_odds[..., 1:] + (-stays).log1p()[..., None]], -1)
