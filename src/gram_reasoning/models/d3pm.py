"""D3PM: diffusion in discrete time over tokens (Austin et al. 2021), given the input, in the order of its equations.

Q_t = alpha(t)/alpha(t-1) I + (1 - alpha(t)/alpha(t-1)) 1 pi'   a token stays, or becomes one of pi: any, or the mask
q(y_t | y_0) = alpha(t) [y_t = y_0] + (1 - alpha(t)) pi(y_t)    the product of Q_1 .. Q_t
q(y_s | y_t, y_0) ~ q(y_t | y_s) q(y_s | y_0)                   Bayes
p(y_s | y_t, x) ~ q(y_t | y_s) sum over y_0 of q(y_s | y_0) p(y_0 | y_t, x)   the network names y_0
-ln p(y | x) <= sum over t of KL(q(y_{t-1} | y_t, y) || p(y_{t-1} | y_t, x)); at the end alpha = 0, and nothing is left
loss: one term of the sum + lambda * -ln p(y | y_t, x), for every row its own t (the hybrid loss)

The network is a stack of blocks whose norms and gates depend on t (DiT). Any s < t will do, so sampling may stride.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from gram_reasoning.models.configs import DiscreteDiffusionConfig
from gram_reasoning.models.diffusion import MASK, Shown, TokenDiffusion
from gram_reasoning.models.losses import token_cross_entropy
from gram_reasoning.models.parts import TimedNetwork
from gram_reasoning.nn.distributions import gumbel
from gram_reasoning.types import IGNORE, Shape

NEVER = -1e4
"""The logarithm of nothing: its exponential is 0, and differences of it are numbers."""


class DiscreteDiffusion(TokenDiffusion):
    """See DiscreteDiffusionConfig."""

    config: DiscreteDiffusionConfig
    stack_of = TimedNetwork
    alpha: Tensor  # probability that a token is still itself, by the time (times + 1,)
    pi: Tensor  # of what it becomes (V,)

    def __init__(self, config: DiscreteDiffusionConfig, shape: Shape) -> None:
        super().__init__(config, shape)
        self.register_buffer("alpha", SCHEDULES[config.corruption](config.times), persistent=False)
        pi = torch.zeros(shape.vocab)
        if config.corruption == "absorbing":
            pi[MASK] = 1.0
        else:
            pi[1:] = 1 / (shape.vocab - 1)
        self.register_buffer("pi", pi, persistent=False)

    def logits(self, context: Tensor, tokens: Tensor, t: Tensor) -> Tensor:
        """Log odds of y_0 (B, L, V) given y_t (B, L) at times t (B,) int64."""
        return self.read(self.stack(self.entering(context, tokens), self.rotary, t / self.config.times))

    # -- what spoils, and its reverse --------------------------------------------------------------------------

    def drawn_from_pi(self, uniform: Tensor) -> Tensor:
        """What numbers in [0, 1] (...) become."""
        if self.config.corruption == "absorbing":
            return torch.full_like(uniform, MASK, dtype=torch.int64)
        symbols = self.shape.vocab - 1
        return 1 + (uniform * symbols).long().clamp(0, symbols - 1)

    def spoilt(self, answer: Tensor, t: Tensor, uniform: Tensor) -> Tensor:
        """y_t of y_0 (B, L) at times t (B,), by numbers in [0, 1] (B, L)."""
        kept = self.alpha[t][:, None]
        other = self.drawn_from_pi((uniform - kept) / (1 - kept).clamp(min=1e-12))
        return torch.where(uniform < kept, answer, other)

    def reverse(self, log_p: Tensor, tokens: Tensor, s: Tensor, t: Tensor) -> Tensor:
        """The log of q(y_s | y_t, y_0) (B, L, V), with a distribution of y_0, or one-hot y_0, in place of it.

        Args:
            log_p: log of that distribution (B, L, V).
            tokens: y_t (B, L).
            s: times (B,), below t (B,).
        """
        before, kept = self.alpha[s][:, None, None], (self.alpha[t] / self.alpha[s])[:, None, None]
        here = F.one_hot(tokens, self.shape.vocab)
        likelihood = log(kept * here + (1 - kept) * self.pi[tokens][..., None])
        prior = torch.logaddexp(log(before) + log_p, log((1 - before) * self.pi))
        return (likelihood + prior).log_softmax(-1)

    # -- training ----------------------------------------------------------------------------------------------

    def loss_weights(self, step: int, total: int) -> dict[str, float]:
        return {"cross_entropy": 1.0, "hybrid": self.config.hybrid * self.config.times}

    def terms(self, context: Tensor, targets: Tensor, t: Tensor, uniform: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """One term of the bound, times how many there are; and the cross-entropy of y_0."""
        times, counts = self.config.times, targets != IGNORE
        s = (t * times).long().clamp(0, times - 1)
        answer = targets.clamp(min=0)
        tokens = torch.where(counts, self.spoilt(answer, s + 1, uniform), MASK)
        logits = self.logits(context, tokens, s + 1)
        q = self.reverse(log(F.one_hot(answer, self.shape.vocab).float()), tokens, s, s + 1)
        p = self.reverse(logits.log_softmax(-1), tokens, s, s + 1)
        kl = (q.exp() * (q - p)).sum(-1)
        return times * (kl * counts).sum(1), {"hybrid": token_cross_entropy(logits, targets)}

    # -- sampling ----------------------------------------------------------------------------------------------

    def step_noise_shape(self) -> tuple[int, ...]:
        return (self.shape.length, 1 + self.shape.vocab)

    def step(self, context: Tensor, state: Shown, noise: Tensor, n: Tensor) -> Shown:
        """From y_t to y_s, all positions at once; the first step draws y_T from pi."""
        times, steps = self.config.times, self.sampling_steps
        t, s = (steps - n) * times // steps, (steps - n - 1) * times // steps
        first = self.drawn_from_pi(torch.special.ndtr(noise[..., 0]))
        tokens = torch.where(self.counts & (n == 0)[:, None], first, state.tokens)
        log_p = (self.logits(context, tokens, t) / self.temperature).log_softmax(-1)
        token = (self.reverse(log_p, tokens, s, t) + gumbel(noise[..., 1:])).argmax(-1)
        token = torch.where(self.counts, token, MASK)
        taken_for = log_p.gather(2, token[..., None])[..., 0].where(token != MASK, 0.0)
        return Shown(token, taken_for.sum(1))


def log(p: Tensor) -> Tensor:
    """The logarithm, NEVER of 0."""
    return torch.where(p > 0, p, 1.0).log().where(p > 0, NEVER)


def cosine(times: int) -> Tensor:
    """The cosine schedule (Nichol & Dhariwal 2021), 0 at the end."""
    angle = (torch.arange(times + 1, dtype=torch.float64) / times + 0.008) / 1.008 * (math.pi / 2)
    alpha = (angle.cos() / angle[0].cos()).square()
    alpha[-1] = 0.0
    return alpha.float()


def linear(times: int) -> Tensor:
    """That of the masks: 1 - t / T; as many tokens are masked in each step (beta(t) = 1 / (T - t + 1))."""
    return 1 - torch.arange(times + 1) / times


SCHEDULES = {"uniform": cosine, "absorbing": linear}
"""alpha by the corruption, as published."""
