"""Shortest paths through many mazes at once: how long they are, how many there are, and which squares they take."""

import torch
import torch.nn.functional as F
from torch import Tensor

MOST_WAYS = 2.0**24
"""Ways are counted in float32: exactly up to here, no further."""


def neighbours(x: Tensor) -> Tensor:
    """The sum over the neighbours of each square of (M, n, n): left, right, above, below."""
    wide = F.pad(x, (1, 1, 1, 1))
    return wide[:, :-2, 1:-1] + wide[:, 2:, 1:-1] + wide[:, 1:-1, :-2] + wide[:, 1:-1, 2:]


def flood(free: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    """Walk from the start of every maze in all directions at once.

    On a GPU the loop is as long as the longest path that could be, since asking whether all are done would stop it.

    Args:
        free: squares that can be walked (M, n, n) bool.
        start: one of them (M, n, n) bool.

    Returns:
        Steps to each square, -1 where none leads (M, n, n) int64, and the number of shortest ways to it (M, n, n).
    """
    if torch.compiler.is_compiling():  # a compiler would write the loop out; the decorator takes a second to import
        return torch.compiler.disable()(_flood)(free, start)
    return _flood(free, start)


def _flood(free: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    n = free.shape[1]
    front = start.float()
    ways, left = front, (free & ~start).float()  # left: squares that no step has reached
    waited = left
    for _ in range(3 * n * n // 4 + n):  # a shortest path takes at most 3 squares of any 2x2
        front = (neighbours(front) * left).clamp_(max=MOST_WAYS)
        if front.device.type == "cpu" and not front.any():
            break
        left = left * (front == 0)
        ways, waited = ways + front, waited + left
    return torch.where(ways > 0, waited.long(), -1), ways


def path(steps: Tensor, ways: Tensor, goal: Tensor, which: Tensor) -> Tensor:
    """The squares of shortest path number `which` (M,) from the start that was flooded to a goal: (M, n * n) bool.

    The paths to a square are numbered through its neighbours one step nearer, by the ways to each. Ends are left out.

    Args:
        steps, ways: what `flood` gave (M, n, n).
        goal: its square (M,).
    """
    M, n = len(steps), steps.shape[1]
    square = torch.arange(n * n).view(1, n, n)
    off = F.pad(square + 1, (1, 1, 1, 1)) - 1  # the board with a border of -1
    around = torch.stack([off[:, :-2, 1:-1], off[:, 2:, 1:-1], off[:, 1:-1, :-2], off[:, 1:-1, 2:]], -1).view(n * n, 4)
    steps, ways = steps.flatten(1), ways.flatten(1).long()
    rows, here = torch.arange(M), goal
    left = steps[rows, here]
    taken = torch.zeros(M, n * n, dtype=torch.bool)
    for _ in range(int(left.max()) - 1):
        near = around[here]
        nearer = (near >= 0) & (steps.gather(1, near.clamp(min=0)) == left[:, None] - 1)
        through = ways.gather(1, near.clamp(min=0)) * nearer
        passed = through.cumsum(1)
        pick = (which[:, None] >= passed).sum(1, keepdim=True).clamp(max=3)
        walks = left > 1
        which = torch.where(walks, which - (passed - through).gather(1, pick)[:, 0], which)
        here = torch.where(walks, near.gather(1, pick)[:, 0], here)
        left = torch.where(walks, left - 1, left)
        taken[rows[walks], here[walks]] = True
    return taken
