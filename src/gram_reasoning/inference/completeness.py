"""How complete a set of answers is, by how often each was given: what is unseen leaves its trace in the rare ones.

Trajectories that end are draws from an unknown distribution over answers. An answer given once (a singleton) stands for
those not given yet: the share of singletons among the draws estimates the probability that the next draw is new
(Good and Turing), and singletons against answers given twice bound the number of unseen ones from below (Chao).
"""

from collections import Counter
from collections.abc import Iterable

RARE = 5
"""How much less likely than the others an answer may be that must not be missed; chosen on validation (docs/log.md)."""


def unseen_mass(votes: Iterable[int]) -> float:
    """Good and Turing: the probability that the next draw is an answer not yet given; 1 before the first draw."""
    counts = list(votes)
    draws = sum(counts)
    return sum(n == 1 for n in counts) / draws if draws else 1.0


def chao(votes: Iterable[int]) -> float:
    """Chao's lower bound of how many answers there are, in the form without bias: f1 (f1 - 1) / (2 (f2 + 1)) unseen."""
    counts = Counter(votes)
    once, twice = counts[1], counts[2]
    draws = sum(votes * answers for votes, answers in counts.items())
    rest = (draws - 1) / draws if draws else 0.0
    return sum(counts.values()) + rest * once * (once - 1) / (2 * (twice + 1))


def evenly(votes: Iterable[int]) -> float:
    """How many equally likely answers would show as many different ones in so many draws, in expectation.

    Solves n (1 - (1 - 1/n)^draws) = seen for n; infinite where no two draws agree.
    """
    counts = list(votes)
    seen, draws = len(counts), sum(counts)
    if seen == draws:
        return float("inf") if seen else 0.0
    low, high = float(seen), 2.0 * seen

    def shown(n: float) -> float:
        return n * (1 - (1 - 1 / n) ** draws)

    while shown(high) < seen:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if shown(middle) < seen else (low, middle)
    return high


def completeness(votes: Iterable[int]) -> float:
    """The estimated share of all answers that a model has to give which were given already, in [0, 1].

    Args:
        votes: how often each answer was given.
    """
    counts = list(votes)
    if not counts:
        return 0.0
    return len(counts) / max(chao(counts), evenly(counts))


def would_show(answers: int, draws: int) -> float:
    """The probability that one more answer, RARE times less likely than the others, would have shown by now."""
    return 1 - (1 - 1 / (RARE * answers + 1)) ** draws
