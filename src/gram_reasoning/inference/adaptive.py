"""One answer, cheaply: when the votes that are in decide the choice, and how sure the choice is."""

import math
from collections.abc import Iterable


def stays(votes: Iterable[int], most: int | None, level: float) -> bool:
    """Whether the answer with most votes stays the choice.

    Args:
        votes: of each answer so far.
        most: trajectories in all; None if nobody can say, then nothing is ever certain.
        level: with this probability, if a draw for the first or the second answer is as likely as a uniform prior and
            their votes say; at 1, when no rest of the votes can change it.
    """
    counts = sorted(votes, reverse=True)
    first, second = [*counts, 0, 0][:2]
    if first == 0:
        return False
    left = None if most is None else most - sum(counts)
    if left is not None and first - second > left:
        return True
    return level < 1 and leads(first, second) >= level


def leads(first: int, second: int) -> float:
    """The probability that the first answer is the likelier of two: p > 1/2 under Beta(first + 1, second + 1)."""
    draws = first + second + 1
    return sum(math.comb(draws, k) for k in range(first + 1)) / 2**draws
