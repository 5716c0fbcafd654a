"""Every setting of a run, as frozen keyword-only dataclasses: the whole of what a recipe says.

This module imports no torch, so that `gram --help` and `gram recipes` answer at once. A class that is
built from a config says so in its own docstring; the paper's symbols stand in the margin.
"""

import dataclasses
import functools
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from gram_reasoning.errors import UserError, check
from gram_reasoning.models.configs import MODEL_KINDS, UNNAMED, ModelConfig
from gram_reasoning.tasks.configs import KINDS, TaskConfig


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The loop: slots, optimizer, schedules, what is logged and when."""

    batch_size: int = 768
    """Slots, over all processes."""
    accumulation: int = 1
    """Parts in which the slots pass through the model before one optimizer step."""
    steps: int = 100_000
    """Optimizer steps, each one supervision step of every slot."""
    seed: int = 0
    """Seed of the weights and of every draw."""
    examples: Literal["inputs", "pairs"] = "pairs"
    """A slot draws an input, or an (input, solution) pair: then inputs with n solutions come n times as often."""
    prior_share: float = 0.125
    """Share of the slots that roll out under the prior."""
    prior_target: Literal["none", "drawn", "nearest", "matched", "wished"] = "none"
    """What a prior slot's decoder learns: nothing, the drawn solution, the valid solution nearest to
    what it decodes, the nearest with a group's trajectories spread over the solutions, or the one that its wishes
    favour (`model.wishes`)."""
    wish_weight: float = 8.0
    """How much a trajectory's wishes count beside how near a solution is: nats for each unit (`wished` only)."""
    trajectories_per_input: int = 1
    """Slots that share an input (a group); `matched` spreads them over its solutions."""
    candidates: int = 64
    """Most solutions of one input that `nearest`, `matched` and `wished` look at in a step."""
    halt_target: Literal["rules", "equal"] = "rules"
    """Right by the rules of the task, or by equality with the drawn target (the paper's)."""
    halt_exploration: float = 0.1
    """Share of entering slots that may not halt before a random step."""
    halting: bool = True
    """Prior slots leave when they halt; otherwise after supervision_steps."""
    guided_stay: Literal["full", "drawn"] = "full"
    """Guided slots, which see the target, stay supervision_steps, or a length drawn from the others' recent stays."""

    optimizer: Literal["adamw", "muon"] = "adamw"
    """AdamW for all, or Muon for the 2-D weights and AdamW for the rest."""
    lr: float = 1e-4
    """Learning rate of AdamW."""
    muon_lr: float = 0.02
    """Learning rate of Muon."""
    weight_decay: float = 1.0
    """Decay of the 2-D weights."""
    beta1: float = 0.9
    """AdamW's first decay rate."""
    beta2: float = 0.95
    """AdamW's second decay rate."""
    clip: float = 1.0
    """Largest gradient norm."""
    identity_lr: float = 1e-2
    """Learning rate of the identities' vectors (signSGD), where a task has them; the same schedule as the others."""
    identity_decay: float = 0.1
    """Decay of the identities' vectors that a step touches."""
    warmup_steps: int = 2000
    """Steps over which the learning rate rises from 0."""
    lr_schedule: Literal["constant", "cosine"] = "constant"
    """After the warm-up: constant, or a cosine that reaches zero at `steps`."""
    ema: float = 0.9999
    """Decay of the weight average, warmed up as min(ema, (1 + t) / (10 + t))."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Of the matrix products in training; auto is bf16 where the device is faster with it. The run keeps what it
    began with."""
    compile: Literal["off", "kernels", "graphs"] = "off"
    """torch.compile of the supervision step: not at all, fused kernels, or those replayed as CUDA graphs."""

    log_every: int = 50
    """Steps between log lines."""
    eval_every: int = 1000
    """Steps between evaluations by prior rollouts."""
    eval_inputs: int = 64
    """Held-out inputs (validation split) in such an evaluation."""
    eval_samples: int = 8
    """Trajectories for each of them."""
    checkpoint_every: int = 1000
    """Most steps between checkpoints."""
    checkpoint_seconds: float = 90.0
    """Seconds after which a checkpoint is written in any case: what a sudden end may cost."""
    tensorboard: bool = False
    """Also write TensorBoard files (needs the package tensorboard)."""

    def __post_init__(self) -> None:
        least_one = "batch_size accumulation trajectories_per_input candidates log_every eval_every eval_inputs"
        for name in [*least_one.split(), "eval_samples", "checkpoint_every"]:
            check(getattr(self, name) >= 1, f"train.{name}", getattr(self, name), "at least 1")
        for name in ("steps", "warmup_steps"):
            check(getattr(self, name) >= 0, f"train.{name}", getattr(self, name), "at least 0")
        for name in ("prior_share", "halt_exploration"):
            check(0 <= getattr(self, name) <= 1, f"train.{name}", getattr(self, name), "a share in [0, 1]")
        for name in ("lr", "muon_lr", "clip", "identity_lr"):
            check(getattr(self, name) > 0, f"train.{name}", getattr(self, name), "above 0")
        for name in ("beta1", "beta2"):
            check(0 <= getattr(self, name) < 1, f"train.{name}", getattr(self, name), "a decay in [0, 1)")
        check(self.wish_weight > 0, "train.wish_weight", self.wish_weight, "above 0")
        check(0 <= self.ema < 1, "train.ema", self.ema, "a decay in [0, 1)")
        for name in ("weight_decay", "identity_decay"):
            check(getattr(self, name) >= 0, f"train.{name}", getattr(self, name), "at least 0")
        check(self.checkpoint_seconds > 0, "train.checkpoint_seconds", self.checkpoint_seconds, "above 0")
        part = self.trajectories_per_input * self.accumulation
        check(
            self.batch_size % part == 0,
            "train.batch_size",
            self.batch_size,
            f"a multiple of trajectories_per_input * accumulation = {part}",
        )


@dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """How a checkpoint is judged: always full rollouts from z_0 under the prior."""

    samples: int = 20
    """Trajectories for each input."""
    steps: int | None = None
    """Supervision steps of each; None means as many as in training."""
    views: int = 1
    """Augmentations in which each input is solved; their answers vote. Only ARC has more than one."""
    draw_tokens: bool = False
    """Draw each token by the decoder's probabilities, in place of the most probable (an ablation)."""
    latent_noise: float = 0.0
    """Normal noise of this size on the latent state before every step, beside what the model draws itself."""

    def __post_init__(self) -> None:
        check(self.samples >= 1, "evaluation.samples", self.samples, "at least 1")
        check(self.steps is None or self.steps >= 1, "evaluation.steps", self.steps, "at least 1")
        check(self.views >= 1, "evaluation.views", self.views, "at least 1")
        noise = self.latent_noise
        check(0 <= noise < float("inf"), "evaluation.latent_noise", noise, "a number from 0 on")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One named run."""

    name: str
    summary: str
    """One line: what it is, what it costs, what to expect."""
    task: TaskConfig
    model: ModelConfig
    train: TrainConfig
    evaluation: EvalConfig = field(default_factory=EvalConfig)

    def __post_init__(self) -> None:
        if self.train.prior_target == "wished":
            expected = "another such as nearest, unless the model has wishes (model.wishes)"
            check(getattr(self.model, "wishes", False), "train.prior_target", "wished", expected)
            check(self.train.prior_share > 0, "train.prior_share", 0.0, "above 0, for slots that learn what is wished")


def to_json(config: Any) -> dict[str, Any]:
    """The config as plain JSON values; a task's and a model's carry their kind."""
    kind = {"kind": config.kind} if isinstance(config, (TaskConfig, ModelConfig)) else {}
    values = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    return kind | {name: to_json(v) if dataclasses.is_dataclass(v) else v for name, v in values.items()}


def from_json(cls: type, values: Any, where: str = "config") -> Any:
    """Build a config of class `cls` from what `to_json` gave; unknown or ill-typed entries are a UserError."""
    from cattrs.errors import BaseValidationError
    from cattrs.v import transform_error

    check(isinstance(values, dict), where, type(values).__name__, "an object")
    try:
        return _converter().structure(upgraded(values) if cls is Recipe else values, cls)
    except BaseValidationError as error:
        # Every fault is told as "what @ path"; one is enough, and the path goes first, as everywhere here.
        what, _, path = transform_error(error, where, _told)[0].rpartition(" @ ")
        if what.startswith("field "):  # the path of a field that is missing ends in it
            path = path.rpartition(".")[0]
        names_itself = what.startswith(tuple(f"{f.name}." for f in dataclasses.fields(Recipe)))
        raise UserError(what if names_itself else f"{path}: {what}") from error


def _told(error: BaseException, expected: Any) -> str:
    """One fault in our words."""
    from cattrs.errors import ForbiddenExtraKeysError

    if isinstance(error, ForbiddenExtraKeysError):
        known = sorted(f.name for f in dataclasses.fields(error.cl))
        return f"unknown field {min(error.extra_fields)!r} (known: {', '.join(known)})"
    if isinstance(error, KeyError):
        return f"field {error.args[0]!r} is missing"
    if isinstance(error, UserError):
        return str(error)
    return f"expected {'an object' if dataclasses.is_dataclass(expected) else expected}"


@functools.cache
def _converter() -> Any:
    """What makes configs of JSON values: nothing is turned into another type but a whole number into a float."""
    from cattrs import Converter

    def exact(value: Any, kind: type) -> Any:
        if type(value) is not kind:
            raise UserError(f"got {value!r}, expected {kind.__name__}")
        return value

    def one_of(value: Any, literal: Any) -> Any:
        if value not in (names := typing.get_args(literal)):
            raise UserError(f"got {value!r}, expected one of {', '.join(map(str, names))}")
        return value

    def of_kind(values: Any, kinds: Mapping[str, type], unnamed: str = "") -> Any:
        if not isinstance(values, dict):
            raise UserError(f"got {values!r}, expected an object")
        kind = values.get("kind", unnamed)
        if not isinstance(kind, str) or kind not in kinds:
            raise UserError(f"kind {kind!r}, expected one of {', '.join(kinds)}")
        return converter.structure({name: v for name, v in values.items() if name != "kind"}, kinds[kind])

    converter = Converter(forbid_extra_keys=True)
    for kind in (str, int, bool):
        converter.register_structure_hook(kind, exact)
    converter.register_structure_hook(
        float, lambda value, _: float(value) if type(value) is int else exact(value, float)
    )
    converter.register_structure_hook_func(lambda hint: typing.get_origin(hint) is Literal, one_of)
    # By identity: a hook for a class would serve its subclasses too.
    converter.register_structure_hook_func(lambda c: c is TaskConfig, lambda v, _: of_kind(v, KINDS))
    converter.register_structure_hook_func(
        lambda c: c is ModelConfig, lambda v, _: of_kind(v, MODEL_KINDS, UNNAMED.kind)
    )
    return converter


def upgraded(values: dict[str, Any]) -> dict[str, Any]:
    """A recipe's JSON of the first release as this one writes it: some settings have moved."""
    model, train = values.get("model"), values.get("train")
    if not isinstance(model, dict) or not isinstance(train, dict):
        return values
    train = {OLD_TRAIN.get(name, name): value for name, value in train.items()}
    moved = {name: train.pop(name) for name in ("beta_final", "beta_hold") if name in train}
    return {**values, "model": {**model, **moved}, "train": train}


OLD_TRAIN = {"posterior_stay": "guided_stay"}
