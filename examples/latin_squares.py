"""A task of your own: Latin squares of order 4, each row and each column a permutation of 1 to 4."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import ClassVar

import torch
from torch import Tensor

from gram_reasoning import noise
from gram_reasoning.build import register_task
from gram_reasoning.cli import main
from gram_reasoning.recipes import get_recipe
from gram_reasoning.tasks.base import Problems
from gram_reasoning.tasks.board_text import BoardText
from gram_reasoning.tasks.configs import SplitConfig
from gram_reasoning.tasks.splits import HeldOutTask

ORDER = 4
BLANK, ONE = 1, 2  # tokens: 0 pads, 1 is a blank cell, 2 to 5 are the symbols 1 to 4
CELLS = torch.arange(ORDER * ORDER).view(ORDER, ORDER)


@dataclass(frozen=True, kw_only=True)
class LatinConfig(SplitConfig):
    """Latin squares of order 4: fill the blanks; each row and each column holds 1 to 4."""

    kind: ClassVar[str] = "latin"

    inputs: int = 6000
    """Squares with blanks that are drawn for all splits together."""
    most_blanks: int = 12
    """Most blanks of an input."""


class Latin(HeldOutTask, BoardText):
    """See LatinConfig."""

    name = "latin"
    length, vocab, columns = ORDER * ORDER, ONE + ORDER, ORDER
    symbols = ("?", ".", "1", "2", "3", "4")  # how each token is written
    names = ORDER  # the last tokens may be exchanged
    units = tuple(tuple(map(tuple, kind)) for kind in (CELLS.tolist(), CELLS.T.tolist()))  # rows, columns

    def __init__(self, config: LatinConfig) -> None:
        super().__init__(config)
        rows = torch.tensor(list(permutations(range(ONE, ONE + ORDER))))
        boards = rows[torch.cartesian_prod(*[torch.arange(len(rows))] * ORDER)].flatten(1)
        self.squares = boards[self.reward(boards, boards) == 1]  # all 576 of them

    def reward(self, prediction: Tensor, inputs: Tensor) -> Tensor:
        """How right answers (B, L) are, (B,): 1 exactly if right, else the share of what holds, below 1."""
        board = prediction.view(-1, ORDER, ORDER)
        symbols = torch.arange(ONE, ONE + ORDER, device=board.device)
        in_rows = (board[..., None] == symbols).any(2)  # (B, row, symbol)
        in_columns = (board[..., None] == symbols).any(1)  # (B, column, symbol)
        kept = (prediction == inputs) | (inputs == BLANK)
        return torch.cat([in_rows.flatten(1), in_columns.flatten(1), kept], 1).float().mean(1)

    def problems(self) -> Problems:
        """All inputs of all splits, each with all its solutions."""
        ids = torch.arange(self.config.inputs)
        which, blanks, order = (noise.keys(0, f"latin {what}", ids) for what in ("square", "blanks", "order"))
        kept = noise.permutation(order, self.length) > noise.choice(blanks, self.config.most_blanks)[:, None]
        inputs = self.squares[noise.choice(which, len(self.squares))].where(kept, BLANK).unique(dim=0)
        return Problems.of_table(inputs.byte(), self.squares.byte(), self._fits(inputs))

    def count_solutions(self, tokens: Sequence[int]) -> int:
        return int(self._fits(torch.tensor([tokens])).sum())

    def _fits(self, inputs: Tensor) -> Tensor:
        """Which squares complete which inputs (M, L): (M, 576)."""
        return ((inputs[:, None] == self.squares) | (inputs[:, None] == BLANK)).all(2)


base = get_recipe("nqueens7-pocket")  # a small model and a short training, to start from
recipe = replace(
    base,
    name="latin-squares",
    summary="Latin squares of order 4: two minutes on one CPU core.",
    task=LatinConfig(),
    model=replace(base.model, prefix_tokens=16),  # 16 + 16 = 32 tokens
    train=replace(base.train, steps=800, eval_every=200, eval_inputs=100),
)
register_task(LatinConfig, Latin, recipe)

if __name__ == "__main__":
    sys.exit(main())
