"""What the page says of a run, as HTML: a message, how far it is, its answers, its trajectories after some step."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from gram_reasoning.app.drawing import Drawer
from gram_reasoning.app.run import Found, State

CARDS, WRONG = 24, 6
"""Answers that are drawn, and of these such as break a rule."""


def message(error: Exception | None) -> str:
    """The line that the command prints; empty without an error."""
    return "" if error is None else f'<p class="error" role="alert">{escape(str(error))}</p>'


ENOUGH = 0.95
"""The estimated share of all that the model has to give, above which it would hardly give more."""


def standing(
    state: State, known: int | None = None, limit: int | None = None, done: bool = False, stopped: bool = False
) -> str:
    """How far the trajectories are, what they found, and how complete that is by estimate.

    Args:
        known: solutions that exist, as far as anything can count them.
        limit: what `known` counts no further than.
        done: nothing more will come.
        stopped: nothing more will come, because the visitor said so.
    """
    solutions = [one for one in state.found if one.verified]
    if known is None:
        found = f"{_count(len(solutions), 'solution')} found"
    else:
        found = f"{len(solutions)} of {known:,}{' or more' if known == limit else ''} solutions found"
    parts = [
        found,
        f"{sum(one.votes for one in solutions)} of {state.ended} answers valid",
        *([] if done or stopped else [f"{state.samples - state.ended} trajectories still run"]),
        _count(state.spent, "step"),
        _complete(state.complete, missing=known is not None and len(solutions) < known),
    ]
    begin = [halted(state.ended, state.samples)] if stopped else []
    return status(" · ".join(begin + parts), done or stopped)


def halted(ended: int, samples: int) -> str:
    """That the visitor stopped a run."""
    return f"stopped after {ended} of {_count(samples, 'trajectory', 'trajectories')}"


def _complete(share: float, missing: bool) -> str:
    """How much of what the model has to give was found; `missing`: solutions exist beside those found."""
    if missing and share >= ENOUGH:
        return f"the model alone would hardly give more: by estimate this is {100 * share:.0f}% of what it has"
    return f"by estimate {100 * share:.0f}% of what the model has to give"


def status(said: str, done: bool) -> str:
    """A line that says how far a run is."""
    return f'<p class="standing" role="status" data-done="{str(done).lower()}">{said}</p>'


BEGUN = status("thinking", done=False)


def _count(number: int, thing: str, things: str | None = None) -> str:
    return f"{number:,} {thing if number == 1 else things or f'{thing}s'}"


def answers(drawer: Drawer, state: State) -> str:
    """A card for each distinct answer: those that the rules hold first, then by votes."""
    ranked = sorted(state.found, key=lambda one: (not one.verified, -one.votes))
    right = sum(one.verified is True for one in ranked)
    cards = [_card(drawer, one) for one in ranked[: min(CARDS, right + WRONG)]]
    rest = len(ranked) - len(cards)
    more = f'<p class="more">and {_count(rest, "more answer")}</p>' if rest else ""
    return f'<div class="cards">{"".join(cards)}</div>{more}'


def _card(drawer: Drawer, one: Found) -> str:
    caption = f"<figcaption>{_count(one.votes, 'vote')}{_mark(one.verified)}</figcaption>"
    return f'<figure class="card" title="{escape(drawer.text(one.tokens))}">{drawer.draw(one.tokens)}{caption}</figure>'


def _mark(right: bool | None) -> str:
    return '<b class="right">✓ verified</b>' if right else '<b class="wrong">✗ not a solution</b>'


@dataclass(frozen=True)
class Film:
    """The trajectories that can be watched step by step, kept for one visitor."""

    drawer: Drawer
    state: State
    verdicts: Sequence[bool | None]
    """Whether each ends in an answer that satisfies every rule."""

    @classmethod
    def of(cls, drawer: Drawer, state: State) -> "Film":
        """The watched trajectories of a state."""
        right = {one.tokens: one.verified for one in state.found}
        return cls(drawer, state, [right.get(path.decodes[-1]) for path in state.watched])

    @property
    def steps(self) -> int:
        """Steps of the longest trajectory."""
        return max((len(path.decodes) for path in self.state.watched), default=1)

    def after(self, step: int) -> str:
        """What each trajectory decodes to after a step, from 1; one that ended before stays at its end."""
        cards = []
        for number, (path, right) in enumerate(zip(self.state.watched, self.verdicts, strict=True), 1):
            at = min(max(step, 1), len(path.decodes))
            over = path.ended and at == len(path.decodes)
            mark = "" if right is None else _mark(right)
            end = f"ended at step {at}{mark}" if over else f"step {at}"
            name = f"Trajectory {number}: {end}" if len(self.state.watched) > 1 else end
            cards.append(
                f'<figure class="card">{self.drawer.draw(path.decodes[at - 1])}<figcaption>{name}</figcaption>'
            )
        return f'<div class="cards film">{"</figure>".join([*cards, ""])}</div>'
