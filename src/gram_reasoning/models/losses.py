"""What several models are trained by: the cross-entropy of tokens, and the registers that a value head is judged on."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from gram_reasoning.types import IGNORE


def token_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """-ln p of the targets (B, L) under logits (B, L, V), summed over the tokens that count: (B,)."""
    return F.cross_entropy(logits.transpose(1, 2), targets, ignore_index=IGNORE, reduction="none").sum(1)


def stablemax(logits: Tensor) -> Tensor:
    """Ln p of every token, p in proportion to s(x) = x + 1 from 0 on and 1 / (1 - x) below (Prieto et al. 2025)."""
    weights = torch.where(logits < 0, 1 / (1 - logits.clamp(max=0)), logits + 1)
    return weights.log() - weights.sum(-1, keepdim=True).log()


def stablemax_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """As `token_cross_entropy`, with stablemax in place of softmax; in float64, where HRM and TRM compute it."""
    log_p = stablemax(logits.double())
    return F.nll_loss(log_p.transpose(1, 2), targets, ignore_index=IGNORE, reduction="none").sum(1).to(logits.dtype)


CROSS_ENTROPIES = {"softmax": token_cross_entropy, "stablemax": stablemax_cross_entropy}
"""How logits are judged, by the name in a config."""
LOG_PROBABILITIES: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": lambda logits: logits.log_softmax(-1),
    "stablemax": stablemax,
}
"""Ln p of every token under them."""


def counted(targets: Tensor) -> Tensor:
    """How many tokens of each target (B, L) count: (B,), 1 where none does."""
    return (targets != IGNORE).sum(1).clamp(min=1)


class Registers:
    """The first token of h after every transition of a trajectory, detached: what the value head is judged on.

    They lie in one tensor (B, N_sup * T, D), in the order of the transitions, zero where there has been none yet.
    """

    @staticmethod
    def blank(rows: int, transitions: int, size: int, device: torch.device) -> Tensor:
        return torch.zeros(rows, transitions, size, device=device)

    @staticmethod
    def written(registers: Tensor, new: Tensor, done: Tensor) -> Tensor:
        """With the T tokens `new` (B, T, D) of the step that follows `done` (B,) supervision steps."""
        T = new.shape[1]
        places = torch.arange(registers.shape[1], device=done.device)
        now = places[None] - done[:, None] * T  # place of each register relative to this step
        there = new.float().gather(1, now.clamp(0, T - 1)[..., None].expand(-1, -1, new.shape[-1]))
        return torch.where(((now >= 0) & (now < T))[..., None], there, registers)

    @staticmethod
    def error(values: Tensor, reward: Tensor, transitions: Tensor) -> Tensor:
        """Squared errors of the values (B, N_sup * T) of the first `transitions` (B,) ones against the reward (B,)."""
        places = torch.arange(values.shape[1], device=values.device)
        return ((values - reward[:, None]).square() * (places < transitions[:, None])).sum(1)
