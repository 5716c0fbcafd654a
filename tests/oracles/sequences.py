"""Probabilities of all sequences of a small vocabulary, by enumeration in plain Python."""

import itertools
import math
from collections.abc import Callable, Sequence

Sequence_ = tuple[int, ...]


def all_sequences(symbols: Sequence[int], length: int) -> list[Sequence_]:
    return list(itertools.product(symbols, repeat=length))


def inclusion(p: Sequence[float], k: int) -> list[float]:
    """Probability that each thing is among k drawn one after the other without replacement, by p renormalised."""
    found = [0.0] * len(p)
    for order in itertools.permutations(range(len(p)), k):
        chance, left = 1.0, 1.0
        for thing in order:
            chance, left = chance * p[thing] / left, left - p[thing]
        for thing in order:
            found[thing] += chance
    return found


def unmasked_in_steps(odds: Callable[[Sequence_], list[dict[int, float]]], sequence: Sequence_, steps: int) -> float:
    """Probability of a sequence under a masked diffusion of so many equal steps.

    Each position turns up in a step of its own, any with equal probability; those of one step do not see each other.

    Args:
        odds: the network: of each position's symbol, given a sequence with 0 where it is masked.
    """
    total = 0.0
    for when in itertools.product(range(steps), repeat=len(sequence)):
        chance = 1.0
        for i, turn in enumerate(when):
            shown = tuple(s if w < turn else 0 for s, w in zip(sequence, when, strict=True))
            chance *= odds(shown)[i][sequence[i]]
        total += chance
    return total / steps ** len(sequence)


def bound_over_orders(odds: Callable[[Sequence_], list[dict[int, float]]], sequence: Sequence_) -> float:
    """The mean over all orders of ln p(sequence drawn in that order): the bound of a diffusion in continuous time."""
    orders = list(itertools.permutations(range(len(sequence))))
    total = 0.0
    for order in orders:
        shown = [0] * len(sequence)
        for i in order:
            total += math.log(odds(tuple(shown))[i][sequence[i]])
            shown[i] = sequence[i]
    return total / len(orders)


def chi_square(counts: Sequence[int], p: Sequence[float]) -> float:
    """Pearson's statistic of counts beside probabilities."""
    n = sum(counts)
    return sum((c - n * q) ** 2 / (n * q) for c, q in zip(counts, p, strict=True))


Matrix = list[list[float]]


def product(left: Matrix, right: Matrix) -> Matrix:
    return [
        [sum(a * b for a, b in zip(row, column, strict=True)) for column in zip(*right, strict=True)] for row in left
    ]


def spoiling(alpha: Sequence[float], pi: Sequence[float]) -> list[Matrix]:
    """Q_1 .. Q_T of a diffusion whose tokens stay with alpha[t] / alpha[t - 1], or become one of pi."""
    found = []
    for before, after in itertools.pairwise(alpha):
        stays = after / before
        found.append([[stays * (i == j) + (1 - stays) * p for j, p in enumerate(pi)] for i in range(len(pi))])
    return found


def backwards(steps: Sequence[Matrix], s: int, t: int, y0: int, yt: int) -> list[float]:
    """q(y_s | y_t, y_0) by Bayes, of the matrices Q_1 .. Q_T."""
    symbols = range(len(steps[0]))
    start = [[float(i == j) for j in symbols] for i in symbols]
    to_s, on = start, start
    for q in steps[:s]:
        to_s = product(to_s, q)
    for q in steps[s:t]:
        on = product(on, q)
    joint = [to_s[y0][ys] * on[ys][yt] for ys in symbols]
    return [p / sum(joint) for p in joint]


def chain(
    steps: Sequence[Callable[[Sequence_], list[Sequence[float]]]], start: dict[Sequence_, float]
) -> dict[Sequence_, float]:
    """The distribution of sequences after steps that draw each token on its own, given the sequence before.

    Args:
        steps: the probabilities of each position's symbols, given a sequence.
        start: the distribution before the first.
    """
    now = start
    for step in steps:
        after: dict[Sequence_, float] = {}
        for sequence, chance in now.items():
            rows = step(sequence)
            for following in itertools.product(*(range(len(row)) for row in rows)):
                p = chance * math.prod(row[symbol] for row, symbol in zip(rows, following, strict=True))
                if p:
                    after[following] = after.get(following, 0.0) + p
        now = after
    return now
