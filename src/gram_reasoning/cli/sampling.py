"""The options about sampling that commands share."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gram_reasoning.config import EvalConfig
from gram_reasoning.errors import UserError

if TYPE_CHECKING:
    from gram_reasoning.inference.sampler import SamplerConfig
    from gram_reasoning.inference.set_config import SetConfig
    from gram_reasoning.models.base import Model


@dataclass(frozen=True, kw_only=True)
class SamplingOptions:
    """How trajectories run: what `solve`, `eval`, `generate` and `fid` have in common."""

    steps: int | None = None
    """Supervision steps of each trajectory; the default is as many as in training."""
    halting: bool = False
    """A trajectory ends when it is sure of its answer; --steps is then the budget."""
    halt_by: Literal["confidence", "head"] = "confidence"
    """Sure by its decoder, all tokens together, or by its halt head."""
    halt_at: float = 0.95
    """The probability above which it is sure."""
    latent_noise: float | None = None
    """Normal noise of this size on the latent state before every step; the default is the recipe's. With the surest
    answer chosen (--select halt), PTRM."""
    temperature: float | None = None
    """Of drawn tokens, for a model that draws them (AR, MDLM, D3PM); the default is 1."""
    decode: Literal["ancestral", "greedy", "beam"] | None = None
    """How a model from left to right (AR) takes its tokens: by chance (the default), always the likeliest, or by a
    stochastic beam search, whose samples of an input never repeat."""
    flow: Literal["ode", "sde"] | None = None
    """How a model that goes from noise to an answer (Looped Flows) does it: without fresh noise, or with it."""
    chunk: int = 512
    """Trajectories at once: bounds the memory."""
    seed: int = 0
    """Seed of the noise."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    threads: int | None = None
    """CPU threads; the default is torch's."""


@dataclass(frozen=True, kw_only=True)
class SetOptions(SamplingOptions):
    """How a set of answers is drawn under a budget: what `solve` and `eval` have in common."""

    answers: int | None = None
    """Answer with a set: the most distinct answers of an input."""
    budget: int | None = None
    """Most supervision steps of an input, over all its trajectories; the default is 16 for
    each answer, at least 320."""
    choose: Literal["model", "verified"] | None = None
    """Who chooses the set: the model's scores alone, or the rules as the trajectories go."""
    score: Literal["votes", "product", "margin", "lprm"] | None = None
    """What the model ranks its answers by: votes, confidence, mean gap of logits, value; the default is votes."""
    until: float | None = None
    """Stop at this estimated share of all answers that the model has to give, such as 0.99."""
    explore: Literal["pin", "none"] | None = None
    """Later trajectories see the input with one more cell pinned, where the task allows it; or all see it alone."""
    at_least: float | None = None
    """Abstain: no answer whose score is below this; votes as their share of the trajectories."""
    settle: float | None = None
    """Stop when the answer with most votes stays so with this probability, 1 when nothing can change it."""
    most: int | None = None
    """Most trajectories of an input; the default leaves it to the budget."""
    width: int | None = None
    """Trajectories of an input that step together; the default is 16."""


LEAST_BUDGET = 320
"""Steps of an input where nothing else is said: a few answers want as many trajectories as many."""
SET_OPTIONS = ("budget", "choose", "score", "until", "explore", "at_least", "settle", "most", "width")


def set_config(options: SetOptions, sampler: "SamplerConfig", **defaults: Any) -> "SetConfig":
    """The set that the options ask for, with `defaults` where they leave it open."""
    from gram_reasoning.inference.set_config import SetConfig

    given = {name: value for name in ("answers", *SET_OPTIONS) if (value := getattr(options, name)) is not None}
    values = {**defaults, **given}
    values.setdefault("budget", max(LEAST_BUDGET, 16 * values["answers"]))
    return SetConfig(sampler=sampler, **values)


def no_set(options: SetOptions) -> None:
    """Refuse what only a set has."""
    for name in SET_OPTIONS:
        if getattr(options, name) is not None:
            raise UserError(f"--{name.replace('_', '-')}: expected --answers beside it")


def no_halting(options: SamplingOptions, name: str, picture: Path | None) -> None:
    """Refuse, before the work, a picture of trajectories step by step if each may end at another step."""
    if options.halting and picture is not None:
        raise UserError(f"--{name}: rollouts that halt have no common length, expected no --halting beside it")


def sampler_config(
    options: SamplingOptions, samples: int | None, defaults: EvalConfig, model: "Model", **more: Any
) -> "SamplerConfig":
    """What the options ask for, with the recipe's numbers where they leave them open.

    Args:
        samples: trajectories for each input.
        more: further fields of the config.
    """
    from gram_reasoning.inference.sampler import SamplerConfig

    if not 0 <= options.halt_at <= 1:
        raise UserError(f"--halt-at: got {options.halt_at}, expected a probability from 0 to 1")
    for name in ("halt_at", "halt_by"):
        if getattr(options, name) != getattr(SamplingOptions, name) and not options.halting:
            raise UserError(f"--{name.replace('_', '-')}: expected --halting beside it")
    names = ("steps", "halting", "halt_by", "halt_at", "latent_noise", "temperature", "decode", "flow", "chunk", "seed")
    given = {name: getattr(options, name) for name in names}
    return SamplerConfig.filled(defaults, model, samples=samples, **given, **more)
