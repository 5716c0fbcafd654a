"""A mixer over groups of positions, such as the rows, columns and boxes of a board: sums, a network, and back.

Shape letters: B rows, P prefix positions, L tokens, Q positions of each token (1 but for a layout of symbols),
S = P + L * Q positions, D channels, U units of all kinds together.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gram_reasoning.nn.layers import Linear, SwiGLU


def incidence(kind: Sequence[Sequence[int]], length: int) -> Tensor:
    """Which token belongs to which unit: (units, L), 1 or 0.

    Raises:
        ValueError: a unit is empty, or has a member twice, or one that is none of the tokens.
    """
    table = torch.zeros(len(kind), length)
    for number, unit in enumerate(kind):
        if not unit or len(set(unit)) < len(unit) or min(unit) < 0 or max(unit) >= length:
            raise ValueError(f"unit {number}: members {list(unit)}, expected distinct numbers from 0 to {length - 1}")
        table[number, list(unit)] = 1
    return table


class UnitsMixer(nn.Module):
    """What the members of a unit hold together, through a SwiGLU for each kind, added to each: (B, S, D) -> (B, S, D).

    The sum over a unit's members is centred over all tokens and divided by sqrt(members), so a unit of a long board
    starts like one of a short one; no weight knows a position, so one model can serve several sizes. Positions in no
    unit, such as the prefix, see the mean of all alone, whose map is zero at the start: what all see alike makes all
    positions alike, if it is there before the rest. With several positions a token the sums run over the tokens for
    each of them apart, and the positions of a token are one kind of units more.

    Centring and scale are folded into one table, so that all kinds are gathered and spread by one dense product each:
    on a CPU that is faster than index_add, whose backward pass is a gather, up to boards of some hundred tokens.

    Args:
        hidden: width of each SwiGLU.
        kinds: kinds of units, for each unit the tokens that belong to it.
        prefix: positions in front of the tokens.
        length: L, tokens.
        each: Q, positions of a token.
    """

    gather: Tensor
    spread: Tensor

    def __init__(
        self, size: int, hidden: int, prefix: int, length: int, kinds: Sequence[Sequence[Sequence[int]]], each: int = 1
    ) -> None:
        super().__init__()
        self.prefix, self.length, self.each = prefix, length, each
        tables = [incidence(kind, length) for kind in kinds]
        self.numbers = [len(table) for table in tables]  # units of each kind
        every = torch.cat(tables) if tables else torch.zeros(0, length)
        members = every.sum(1, keepdim=True)
        centred = every - members / length
        self.register_buffer("gather", centred / members.sqrt(), persistent=False)
        self.register_buffer("spread", every.T.contiguous(), persistent=False)
        self.networks = nn.ModuleList(SwiGLU(size, hidden, size) for _ in kinds)
        self.token = SwiGLU(size, hidden, size) if each > 1 else None
        self.shared = Linear(size, size)
        nn.init.zeros_(self.shared.weight)

    def forward(self, x: Tensor, rotary: Tensor | None) -> Tensor:
        del rotary  # it knows units, not positions
        B, _, D = x.shape
        board = x[:, self.prefix :].reshape(B, self.length, self.each * D)
        sums = (self.gather.to(x.dtype) @ board).split(self.numbers, dim=1)
        found = [
            network(part.reshape(-1, D)).view(B, number, self.each * D)
            for network, part, number in zip(self.networks, sums, self.numbers, strict=True)
        ]
        back = (self.spread.to(found[0].dtype) @ torch.cat(found, 1)).view(B, -1, D)
        if self.token is not None:
            together = board.view(B, self.length, self.each, D).sum(2)
            centred = (together - together.mean(1, keepdim=True)) / math.sqrt(self.each)
            back = back.view(B, self.length, self.each, D) + self.token(centred)[:, :, None]
            back = back.view(B, -1, D)
        return F.pad(back, (0, 0, self.prefix, 0)) + self.shared(x.mean(1, keepdim=True))
