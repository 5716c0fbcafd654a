"""The search on one input: which trajectories start, which are stopped, when it is enough, and what is chosen then.

Trajectories start in waves and end when sure. One whose decode is an answer that is held already, for two steps in a
row, is stopped; what it leaves of the budget starts new ones. All of it follows from what the input's own trajectories
say. answer_set.py runs the searches of many inputs together.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from torch import Tensor

from gram_reasoning.inference.adaptive import stays
from gram_reasoning.inference.completeness import completeness, would_show
from gram_reasoning.inference.set_config import Score, SetConfig

Pin = tuple[int, int]
"""A cell, and the token that it is to hold."""
End = Literal["sure", "repeat", "steps", "budget"]
ENDS: tuple[End, ...] = get_args(End)
PLAUSIBLE = 0.01
"""A token is worth pinning in a cell if the model gives it so much, as a mean over first steps on the input."""
AGREE = 2
"""Steps in a row whose decode is a held answer, after which a trajectory is stopped."""


@dataclass(frozen=True)
class Ended:
    """How one trajectory ended."""

    answer: tuple[int, ...]
    """What it said last, in the task's standard form."""
    number: int
    """Its number among those of its input."""
    steps: int
    """Steps that it did."""
    at: int
    """Steps spent on the input by then."""
    why: End
    """Sure of its answer, repeating one, out of steps, or out of the input's budget."""
    confidence: float
    """Probability of all its tokens together."""
    margin: float
    """Mean over the tokens of the gap between the best logit and the second."""
    value: float
    """What the value head says."""
    right: bool | None
    """Whether the rules hold; None where nobody asked them."""


@dataclass(frozen=True)
class Held:
    """One distinct answer, and what its trajectories say for it."""

    answer: tuple[int, ...]
    votes: int
    first: int
    """Number of the first trajectory that gave it."""
    at: int
    """Steps spent on the input when it was first given."""
    scores: dict[Score, float]
    """Votes, and the highest confidence, margin and value."""
    right: bool | None


@dataclass(frozen=True)
class AnswerSet:
    """What was found for one input."""

    ended: tuple[Ended, ...]
    """Every trajectory, in the order in which they ended."""
    answers: tuple[Held, ...]
    """The set, best first."""
    spent: int
    """Supervision steps, at most the budget."""

    @property
    def duplicates(self) -> int:
        """Trajectories that gave an answer which another had given before."""
        return len(self.ended) - len({e.answer for e in self.ended})

    @property
    def complete(self) -> float:
        """The estimated share that the answers given are of all that the model has to give."""
        return complete(self.ended)


def complete(ended: Sequence[Ended]) -> float:
    """Completeness (completeness.py) of what trajectories gave that ended by themselves."""
    return completeness(votes_of(e for e in ended if counts(e)).values())


def counts(e: Ended) -> bool:
    """Whether a trajectory's answer is a draw from those that the model gives: it was sure, or repeats one."""
    return e.right or (e.right is None and e.why in ("sure", "repeat"))


def votes_of(ended: Iterable[Ended]) -> dict[tuple[int, ...], int]:
    votes: dict[tuple[int, ...], int] = {}
    for e in ended:
        votes[e.answer] = votes.get(e.answer, 0) + 1
    return votes


def held(ended: Sequence[Ended]) -> list[Held]:
    """The distinct answers, in the order in which they were first given."""
    groups: dict[tuple[int, ...], list[Ended]] = {}
    for e in ended:
        groups.setdefault(e.answer, []).append(e)
    return [
        Held(
            answer=answer,
            votes=len(group),
            first=group[0].number,
            at=group[0].at,
            scores={
                "votes": float(len(group)),
                "product": max(e.confidence for e in group),
                "margin": max(e.margin for e in group),
                "lprm": max(e.value for e in group),
            },
            right=group[0].right,
        )
        for answer, group in groups.items()
    ]


def chosen(ended: Sequence[Ended], config: SetConfig) -> tuple[Held, ...]:
    """The set: the best distinct answers by score, ties by confidence, then the earlier; verified alone if asked."""
    found = [h for h in held(ended) if config.choose == "model" or h.right]
    if config.at_least > 0:
        total = len(ended) if config.score == "votes" else 1
        found = [h for h in found if h.scores[config.score] / total >= config.at_least]
    # Padding alone is no answer: last.
    found.sort(key=lambda h: (not any(h.answer), -h.scores[config.score], -h.scores["product"], h.at, h.first))
    return tuple(found[: config.answers])


class Search:
    """The trajectories of one input, and what is left of its budget.

    Args:
        config: of the set.
        tokens: of the input (L,), if a cell of it may be pinned.
        open_token: what an open cell holds.
    """

    def __init__(self, config: SetConfig, tokens: Sequence[int] = (), open_token: int | None = None) -> None:
        self.config = config
        pins = config.explore == "pin" and open_token is not None
        self._open = [cell for cell, token in enumerate(tokens) if token == open_token] if pins else []
        self._open_token = open_token
        self._tried: dict[Pin, int] = {}
        self._plausible: Tensor | None = None
        self._first_steps = 0
        self.spent = self.started = self.live = 0
        self.ended: list[Ended] = []
        self._known: set[tuple[int, ...]] = set()
        self._right: set[tuple[int, ...]] = set()
        self._agreed: dict[int, tuple[tuple[int, ...], int]] = {}
        self._over = False

    @property
    def done(self) -> bool:
        """Nothing goes on and nothing will start."""
        all_started = self.config.most is not None and self.started >= self.config.most
        return self.live == 0 and (self._over or all_started or self.spent >= self.config.budget)

    def start(self) -> list[tuple[int, Pin | None]]:
        """Number and pin of the trajectories to start now: up to the wave's width, none that the budget cannot move."""
        room = min(self.config.width, self.config.budget - self.spent) - self.live
        room = room if self.config.most is None else min(room, self.config.most - self.started)
        fresh = range(self.started, self.started + (0 if self._over else max(0, room)))
        self.started, self.live = fresh.stop, self.live + len(fresh)
        pairs = self._pairs() if fresh else {}
        return [(number, self._pin(pairs)) for number in fresh]

    def saw(self, probabilities: Tensor) -> None:
        """Take what a trajectory on the input itself gave each token after its first step (L, V)."""
        if self._open:
            self._first_steps += 1
            self._plausible = probabilities if self._plausible is None else self._plausible + probabilities

    def _pairs(self) -> dict[Pin, tuple[int, float]]:
        """The plausible tokens of open cells: how often each was pinned and answered, and how plausible it is."""
        if self._plausible is None:
            return {}
        mean = self._plausible / self._first_steps
        mean[:, self._open_token] = 0.0
        cells = set(self._open)
        plausible = [(cell, token) for cell, token in (mean > PLAUSIBLE).nonzero().tolist() if cell in cells]
        seen = dict.fromkeys(plausible, 0)
        for answer in self._known:
            for cell in cells:
                if (cell, answer[cell]) in seen:
                    seen[cell, answer[cell]] += 1
        return {pin: (times + self._tried.get(pin, 0), float(mean[pin])) for pin, times in seen.items()}

    def _pin(self, pairs: dict[Pin, tuple[int, float]]) -> Pin | None:
        """The pair that was pinned and answered least, the most plausible of those; None where there is none."""
        if not pairs:
            return None
        best = min(pairs, key=lambda pin: (pairs[pin][0], -pairs[pin][1]))
        pairs[best] = (pairs[best][0] + 1, pairs[best][1])
        self._tried[best] = self._tried.get(best, 0) + 1
        return best

    def hear(self, said: Sequence[Ended]) -> list[int]:
        """Take what the live trajectories say after a step, in order of number; returns which of them go on (indices).

        Args:
            said: each with `why` "sure" or "steps" if it ends by itself, else "budget".
        """
        self.spent += len(said)
        going: list[int] = []
        for i, e in enumerate(said):
            if e.why == "budget" and self.config.avoid and self._repeats(e):
                e = replace(e, why="repeat")
            if e.why == "budget":
                going.append(i)
            else:
                self._end(replace(e, at=self.spent))
        self._over = self._over or self._enough()
        left = 0 if self._over else self.config.budget - self.spent
        # More than the budget can move: the surest go on.
        surest = sorted(going, key=lambda i: (-said[i].confidence, i))
        for i in sorted(surest[left:]):
            self._end(replace(said[i], at=self.spent))
        going = sorted(surest[:left])
        self.live = len(going)
        return going

    def _end(self, e: Ended) -> None:
        self.ended.append(e)
        if e.why != "budget":
            self._known.add(e.answer)
        if e.right:
            self._right.add(e.answer)
        self._agreed.pop(e.number, None)

    def _repeats(self, e: Ended) -> bool:
        """Whether it has decoded to the same held answer for AGREE steps."""
        before, times = self._agreed.get(e.number, ((), 0))
        times = times + 1 if e.answer == before else 1
        self._agreed[e.number] = (e.answer, times if e.answer in self._known else 0)
        return self._agreed[e.number][1] >= AGREE

    def _enough(self) -> bool:
        config = self.config
        if config.choose == "verified" and len(self._right) >= config.answers:
            return True
        if config.settle is not None and stays(votes_of(self.ended).values(), config.most, config.settle):
            return True
        if config.until is None:
            return False
        votes = votes_of(e for e in self.ended if counts(e)).values()
        # The estimate alone stops too soon: after few draws that agree it is 1, and it is asked again and again.
        return min(completeness(votes), would_show(len(votes), sum(votes))) >= config.until
