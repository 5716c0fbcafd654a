"""The systems that studies compare: which recipe each derives from, and what a block changes in it.

All come in the pocket size, width 64 unless a study says otherwise; `mlp_size` brings their parameters together.
"""

from collections.abc import Mapping
from typing import Any

from gram_reasoning.studies.definition import RELATIONS, Changes, Run

RECIPES: dict[str, str] = {
    "GRAM": "nqueens7-pocket",
    "GRAM rolled out": "nqueens8-units",
    "twin": "nqueens8-units",
    "TRM": "nqueens7-trm-pocket",
    "HRM": "nqueens7-hrm-pocket",
    "Looped TF": "nqueens7-looped-pocket",
    "Direct 8": "nqueens7-direct-pocket",
    "AR": "nqueens7-ar-pocket",
    "MDLM": "nqueens7-mdlm-pocket",
    "Looped Flows": "nqueens7-looped-flow-pocket",
}
ONE_ANSWER = ("twin", "TRM", "HRM", "Looped TF", "Direct 8")
"""Systems whose answers to an input are all the same."""
SAMPLERS = ("GRAM", "GRAM rolled out", "Looped Flows")
"""Systems that may give several answers to an input, by steps that can end early."""
WHOLE = ("AR", "MDLM")
"""Those that may too, but answer at their last step alone."""

COMMON: Changes = {
    "train.batch_size": 96,
    "train.examples": "inputs",
    "train.precision": "bf16",
    "train.ema": 0.998,
    "train.eval_inputs": 100,
}
"""Of every run of a study, so that none learns from more or from other examples."""
BF16 = ("--precision", "bf16")
"""Of judgements, as of training."""
SAMPLES = ("--samples", "{samples}", *BF16)


def sets(budget: int = 320) -> tuple[str, ...]:
    """A set of 20 answers for so many steps an input, chosen by the model."""
    return ("--answers", "20", "--budget", str(budget), "--choose", "model", "--no-beside", *BF16)


BY_UNITS: dict[str, Any] = {"token_mixer": "units", "mixer_size": 64, "block_start": 0.1, "prefix_tokens": 1}
"""Tokens that see each other by rows, columns and the like, from a start near the identity."""


def system(
    name: str, block: str, mlp_size: int, prefix: int = 1, train: Mapping[str, Any] | None = None, **more: Any
) -> Run:
    """One system in one block.

    Args:
        mlp_size: hidden width of its SwiGLUs.
        prefix: tokens in front of the input, of the paper's mixers: products on a CPU like multiples of 32 tokens.
        train: settings of its training.
        more: further settings of the model.
    """
    model: dict[str, Any] = {"mlp_size": mlp_size}
    if block == RELATIONS:
        model |= {"relations": True} if name == "AR" else BY_UNITS
    elif name == "AR":
        model |= {"relations": False}
    else:
        model |= {"token_mixer": "mlp", "prefix_tokens": prefix}
    if name == "twin":
        model |= {"guidance": "none", "wishes": False}
    changes = {f"model.{field}": value for field, value in {**model, **more}.items()}
    changes |= {f"train.{field}": value for field, value in (train or {}).items()}
    samples = 1 if name in ONE_ANSWER else 20
    evaluated: dict[str, Any] = {"train.eval_samples": min(4, samples)}
    if name == "twin" or more.get("wishes") is False:
        evaluated["train.prior_target"] = "nearest"
    if more.get("wishes") is False:
        evaluated["evaluation.latent_noise"] = 0.5  # as in recipes without wishes
    return Run(
        system=name,
        recipe=RECIPES[name],
        changes={**changes, **evaluated},
        block=block,
        samples=samples,
        keep=name.startswith("GRAM"),
    )
