"""The options about sampling that commands share."""

from typing import Any

from gram_reasoning.border import in_range
from gram_reasoning.config import EvalConfig
from gram_reasoning.errors import UserError

LIMITS = {"samples": 100_000, "steps": 100_000, "chunk": 1_000_000}


def sampler_config(options: Any, defaults: EvalConfig, trained_steps: int):
    """The SamplerConfig that an EvalOptions or a SolveOptions asks for."""
    from gram_reasoning.inference.sampler import SamplerConfig

    samples = defaults.samples if options.samples is None else options.samples
    steps = options.steps if options.steps is not None else defaults.steps or trained_steps
    for name, value in (("samples", samples), ("steps", steps), ("chunk", options.chunk)):
        in_range(name, value, 1, LIMITS[name])
    if not 0 <= options.halt_at <= 1:
        raise UserError(f"--halt-at: got {options.halt_at}, expected a probability from 0 to 1")
    if options.halt_at != SamplerConfig.halt_at and not options.halting:
        raise UserError("--halt-at: expected --halting beside it")
    return SamplerConfig(
        samples=samples,
        steps=steps,
        halting=options.halting,
        halt_at=options.halt_at,
        chunk=options.chunk,
        seed=options.seed,
        random_start=getattr(options, "random_start", False),
    )
