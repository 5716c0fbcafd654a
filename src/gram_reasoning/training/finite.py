"""Whether the losses are still numbers: watched on the device at every step, asked for now and then."""

from pathlib import Path

import torch
from torch import Tensor

from gram_reasoning.errors import Failed

NEVER = 2**62
"""Step at which a loss that stays finite is no number."""


class NonFiniteLoss(Failed):
    """A loss term stopped being a number; the message names the step and the term."""


class Finite:
    """Remembers at which step each of some means first was no number."""

    def __init__(self, names: list[str], device: torch.device) -> None:
        self.names = names
        self.first_bad = torch.full((len(names),), NEVER, device=device)
        self.bad_value = torch.zeros(len(names), device=device)

    def watch(self, means: dict[str, Tensor], step: int) -> None:
        values = torch.stack([means[name] for name in self.names])
        newly_bad = ~torch.isfinite(values) & (self.first_bad == NEVER)
        self.first_bad = torch.where(newly_bad, step, self.first_bad)
        self.bad_value = torch.where(newly_bad, values, self.bad_value)

    def check(self, run: Path) -> None:
        """NonFiniteLoss if one was no number at any step so far."""
        steps, values = self.first_bad.tolist(), self.bad_value.tolist()
        if (step := min(steps)) < NEVER:
            term = steps.index(step)
            raise NonFiniteLoss(
                f"step {step}: the term {self.names[term]!r} is {values[term]}; the run stops here, and its last "
                f"checkpoint in {run} is whole (try a smaller --train.lr or --train.precision fp32)"
            )
