"""Lights Out on 4x4: press a lamp and it and its neighbours switch; which presses put all lamps out? 16 ways each.

docs/does-not-learn.md is about this task: `lights-out-plain` is a recipe that leaks, `lights-out` one that learns.
"""

import sys
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from gram_reasoning.build import register_task
from gram_reasoning.cli import main
from gram_reasoning.recipes import get_recipe
from gram_reasoning.tasks.base import Problems
from gram_reasoning.tasks.board_text import BoardText
from gram_reasoning.tasks.configs import SplitConfig
from gram_reasoning.tasks.splits import HeldOutTask

SIZE = 4
OFF, ON = 1, 2  # tokens: of a lamp, dark or lit; of an answer, leave or press. 0 pads
PLACES = torch.cartesian_prod(torch.arange(SIZE), torch.arange(SIZE))
CROSS = ((PLACES[:, None] - PLACES).abs().sum(-1) <= 1).float()  # which press switches which lamp (16, 16)


@dataclass(frozen=True, kw_only=True)
class LightsOutConfig(SplitConfig):
    """Lights Out on 4x4: which presses put all lamps out."""

    kind: ClassVar[str] = "lights-out"


class LightsOut(HeldOutTask, BoardText):
    """See LightsOutConfig."""

    name = "lights-out"
    length, vocab, columns = SIZE * SIZE, 1 + ON, SIZE
    symbols = ("?", ".", "*")
    units = (tuple(tuple(row.nonzero()[:, 0].tolist()) for row in CROSS),)  # each lamp with its neighbours

    def reward(self, prediction: Tensor, inputs: Tensor) -> Tensor:
        """The share of lamps that are dark after the presses (B, L), (B,); below 1 if an answer holds a pad."""
        dark = ((prediction == ON).float() @ CROSS.to(prediction.device) + (inputs == ON)) % 2 == 0
        return (dark & (prediction != 0)).float().mean(1)

    def problems(self) -> Problems:
        """All 4096 boards that have a solution, each with its 16."""
        presses = torch.cartesian_prod(*[torch.tensor([OFF, ON])] * self.length)
        lamps = OFF + ((presses - OFF).float() @ CROSS % 2).byte()
        inputs, which = lamps.unique(dim=0, return_inverse=True)
        count = which.bincount()
        return Problems(inputs, presses.byte(), which.argsort(stable=True), count.cumsum(0) - count, count)


base = get_recipe("nqueens7-pocket")
plain = replace(
    base,
    name="lights-out-plain",
    summary="Lights Out on 4x4 with the settings of 7x7 queens: leaks.",
    task=LightsOutConfig(),
    model=replace(base.model, prefix_tokens=16),  # 16 + 16 = 32 tokens
    train=replace(base.train, steps=600, eval_every=100, eval_inputs=100),
)
learns = replace(
    plain,
    name="lights-out",
    summary="Lights Out on 4x4, no posterior, each trajectory learns the nearest answer: minutes on one CPU core.",
    model=replace(
        plain.model,
        token_mixer="grid",  # what decides a press is beside it
        block_start=0.1,
        guidance="noise",  # nothing is told, so nothing leaks
        sigma_start=0.2,
        transitions=1,
        supervision_steps=16,
    ),
    train=replace(
        plain.train, steps=1000, prior_share=1.0, prior_target="nearest", lr=2e-3, warmup_steps=50, weight_decay=0.1
    ),
)
register_task(LightsOutConfig, LightsOut, plain, learns)

if __name__ == "__main__":
    sys.exit(main())
