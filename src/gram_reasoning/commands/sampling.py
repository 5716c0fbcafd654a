"""The options about sampling that commands share."""

from typing import TYPE_CHECKING, Any

from gram_reasoning.config import EvalConfig
from gram_reasoning.errors import UserError

if TYPE_CHECKING:
    from gram_reasoning.inference.sampler import SamplerConfig
    from gram_reasoning.models.base import RecursiveModel


def sampler_config(options: Any, defaults: EvalConfig, model: "RecursiveModel") -> "SamplerConfig":
    """What an EvalOptions or a SolveOptions asks for."""
    from gram_reasoning.inference.sampler import SamplerConfig

    if not 0 <= options.halt_at <= 1:
        raise UserError(f"--halt-at: got {options.halt_at}, expected a probability from 0 to 1")
    for name in ("halt_at", "halt_by"):
        if getattr(options, name) != getattr(SamplerConfig, name) and not options.halting:
            raise UserError(f"--{name.replace('_', '-')}: expected --halting beside it")
    names = ("samples", "steps", "halting", "halt_by", "halt_at", "chunk", "seed", "random_start")
    given = {name: getattr(options, name) for name in names if hasattr(options, name)}
    return SamplerConfig.filled(defaults, model, **given)
