"""The options about sampling that commands share."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gram_reasoning.config import EvalConfig
from gram_reasoning.errors import UserError

if TYPE_CHECKING:
    from gram_reasoning.inference.sampler import SamplerConfig
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
    temperature: float | None = None
    """Of drawn tokens, for a model that draws them (AR, MDLM); the default is 1."""
    decode: Literal["ancestral", "greedy", "beam"] | None = None
    """How a model from left to right (AR) takes its tokens: by chance (the default), always the likeliest, or by a
    stochastic beam search, whose samples of an input never repeat."""
    chunk: int = 512
    """Trajectories at once: bounds the memory."""
    seed: int = 0
    """Seed of the noise."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    threads: int | None = None
    """CPU threads; the default is torch's."""


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
    names = ("steps", "halting", "halt_by", "halt_at", "temperature", "decode", "chunk", "seed")
    given = {name: getattr(options, name) for name in names}
    return SamplerConfig.filled(defaults, model, samples=samples, **given, **more)
