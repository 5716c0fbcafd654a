"""What a set of answers may cost, how large it may be, and who chooses it."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from gram_reasoning.errors import check
from gram_reasoning.inference.sampler import SamplerConfig

Choose = Literal["model", "verified"]
Score = Literal["votes", "product", "margin", "lprm"]
Explore = Literal["pin", "none"]


@dataclass(frozen=True, kw_only=True)
class SetConfig:
    """What a set may cost, how large it may be, and who chooses it."""

    answers: int = 20
    """k, the most distinct answers of an input."""
    budget: int = 320
    """B, the most supervision steps of an input: one is one `step` of one trajectory, discarded ones included."""
    choose: Choose = "model"
    """By the model's own scores, without rules or solver; or verified by the rules as the trajectories go."""
    score: Score = "votes"
    """What the model ranks its answers by."""
    width: int = 16
    """Trajectories of an input that step together: a wave."""
    until: float | None = None
    """Stop when the answers given are, by estimate, at least this share of all that the model has to give."""
    explore: Explore = "pin"
    """How later trajectories look where the others did not: each sees the input with one more cell pinned, where the
    task's inputs can be (Task.open_token), or all see the input alone."""
    at_least: float = 0.0
    """Abstain below this score; votes as their share of the trajectories."""
    settle: float | None = None
    """Stop when the answer with most votes stays so with this probability, were all `most` trajectories to end; at 1,
    when nothing can change it."""
    most: int | None = None
    """Most trajectories of an input; None leaves it to the budget."""
    avoid: bool = True
    """Stop trajectories that repeat an answer; without it they are independent samples that halt."""
    sampler: SamplerConfig = field(default_factory=lambda: SamplerConfig(halting=True))
    """How a trajectory runs: its most steps, when it is sure, the noise, and the chunk that bounds the memory."""

    def __post_init__(self) -> None:
        for name, most in (("answers", 100_000), ("budget", 10_000_000), ("width", 100_000)):
            check(1 <= getattr(self, name) <= most, name, getattr(self, name), f"1 to {most}")
        for name, kinds in (("choose", Choose), ("score", Score), ("explore", Explore)):
            check(getattr(self, name) in get_args(kinds), name, getattr(self, name), f"one of {get_args(kinds)}")
        most = 1.0 if self.score in ("votes", "product", "lprm") else float("inf")
        check(0 <= self.at_least <= most, "at_least", self.at_least, f"0 to {most:g}, by {self.score}")
        check(self.settle is None or 0 < self.settle <= 1, "settle", self.settle, "a probability above 0, up to 1")
        check(self.most is None or self.most >= 1, "most", self.most, "at least 1")
        check(self.until is None or 0 < self.until <= 1, "until", self.until, "a share above 0, up to 1")
