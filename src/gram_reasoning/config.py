"""Every setting of a run, as frozen keyword-only dataclasses: the whole of what a recipe says.

This module imports no torch, so that `gram --help` and `gram recipes` answer at once. A class that is
built from a config says so in its own docstring; the paper's symbols stand in the margin.
"""

import dataclasses
import types
import typing
from dataclasses import dataclass, field
from typing import Any, Literal

from gram_reasoning.errors import UserError, check
from gram_reasoning.tasks.configs import KINDS, TaskConfig


@dataclass(frozen=True, kw_only=True)
class GramConfig:
    """GRAM and its ablations: shape, transition, objective. Defaults are the paper's where it states one."""

    hidden_size: int = 512  # D
    """Width of every token."""
    num_heads: int = 8
    """Attention heads."""
    mlp_size: int = 512
    """Hidden width of every SwiGLU over channels."""
    mixer_size: int = 128
    """Hidden width of the SwiGLU over the sequence axis (token_mixer "mlp" only)."""
    num_layers: int = 2
    """Layers in each of f_L and f_H."""
    prefix_tokens: int = 16  # P
    """Puzzle-embedding tokens in front of the input; the heads read the first."""
    low_steps: int = 4  # K
    """Low-level steps in a transition."""
    transitions: int = 3  # T
    """Transitions in a supervision step."""
    gradient_transitions: int = 1
    """Transitions, the last of a supervision step, that the gradient flows through (the paper: 1)."""
    supervision_steps: int = 16  # N_sup
    """Supervision steps of a training trajectory."""
    core: Literal["hierarchical", "flat"] = "hierarchical"
    """Two latents and two networks, or one of each (the ablation)."""
    token_mixer: Literal["attention", "mlp", "grid", "units"] = "attention"
    """How tokens see each other: attention, a SwiGLU over the sequence axis, or, not in the paper, on a square board a
    3x3 convolution beside the mean of all, or sums over the units that a task names, such as rows and columns."""
    block_start: float = 1.0
    """What the output maps of mixer and SwiGLU are multiplied by before training."""
    positions: Literal["rope", "learned"] = "rope"
    """Rotary positions in attention, or a learned vector for each position added to e_x."""
    qk_norm: bool = False
    """RMS-normalise queries and keys."""
    layout: Literal["tokens", "patches", "symbols"] = "tokens"
    """A latent position for each token; for images, one for each 2x2 patch behind two convolutions; where names such as
    digits may be exchanged, one for each token and name."""
    patch_channels: int = 32
    """Channels of those convolutions (layout "patches" only)."""
    decoder: Literal["linear", "swiglu"] = "linear"
    """Decoder from h to logits: the paper's table says linear, its text SwiGLU."""
    initial_state: Literal["vector", "position"] = "vector"
    """z_0: one fixed random vector for all positions, or one for each."""

    guidance: Literal["gaussian", "noise", "mean", "none"] = "gaussian"
    """What is added to u: N(mu, sigma^2), N(0, sigma^2), mu alone, or nothing (the deterministic twin)."""
    posterior_transitions: Literal["all", "last"] = "all"
    """Which of the T transitions of a posterior slot sample the posterior."""
    charged_transitions: Literal["all", "last"] = "last"
    """Which of the T transitions pay their KL."""
    kl_channels: Literal["sum", "mean"] = "sum"
    """Reduction of the KL over channels, in the loss (the logged KL is always the true sum)."""
    kl_positions: Literal["sum", "mean"] = "mean"
    """Reduction of the KL over positions, in the loss; the cross-entropy beside it is a mean over tokens."""
    beta: float = 1.0
    """Weight of the KL."""
    kl_budget_first: float | None = 1.0
    """Most nats that a posterior may spend on a row in one transition of its first supervision step; None: no limit."""
    kl_budget_open: float = 9.0
    """Nats more in the first supervision step where the input has several solutions: there y is a choice."""
    kl_budget: float | None = 0.5
    """The same in every later supervision step."""
    kl_balance: float = 0.8
    """Share of the KL's gradient that trains the prior; the rest trains the posterior."""
    target_entry: Literal["concat", "sum"] = "concat"
    """How e_y joins u in the posterior."""
    mean_bound: float | None = 1.0
    """Bound of |mu| (by a tanh), beside a u of unit scale; None: none, and the mean may outgrow the noise."""
    sigma_learned: bool = False
    """Whether sigma is learned; otherwise it stays sigma_start. A budget needs a fixed sigma."""
    sigma_start: float = 1.0
    """sigma before training."""
    sigma_min: float = 1e-3
    """Floor of sigma."""
    sigma_max: float = 10.0
    """Ceiling of sigma."""
    halt_weight: float = 0.5
    """Weight of the halt head's loss."""
    halt_gradient: bool = False
    """Let the halt loss shape the state too (as TRM does); otherwise it trains its head only, as the paper says."""
    value_weight: float = 0.5
    """Weight of the value head's (LPRM) loss."""

    def __post_init__(self) -> None:
        for name in ("hidden_size", "num_heads", "mlp_size", "mixer_size", "prefix_tokens"):
            check(getattr(self, name) >= 1, f"model.{name}", getattr(self, name), "at least 1")
        for name in ("num_layers", "low_steps", "transitions", "supervision_steps"):
            check(1 <= getattr(self, name) <= 10_000, f"model.{name}", getattr(self, name), "1 to 10000")
        deep = self.gradient_transitions
        check(1 <= deep <= self.transitions, "model.gradient_transitions", deep, "1 to model.transitions")
        check(self.block_start >= 0, "model.block_start", self.block_start, "at least 0")
        channels = self.patch_channels
        check(channels >= 8 and channels % 8 == 0, "model.patch_channels", channels, "a multiple of 8")
        head = self.hidden_size / self.num_heads
        check(head % 2 == 0, "model.num_heads", self.num_heads, "hidden_size / num_heads an even number")
        check(self.beta >= 0, "model.beta", self.beta, "at least 0")
        check(self.kl_budget_open >= 0, "model.kl_budget_open", self.kl_budget_open, "at least 0")
        for name in ("kl_budget_first", "kl_budget", "mean_bound"):
            value = getattr(self, name)
            check(value is None or value > 0, f"model.{name}", value, "above 0")
        budgets = (self.kl_budget_first, self.kl_budget)
        check(not self.sigma_learned or budgets == (None, None), "model.sigma_learned", True, "False beside a budget")
        check(0 <= self.kl_balance <= 1, "model.kl_balance", self.kl_balance, "a share in [0, 1]")
        ordered = 0 < self.sigma_min < self.sigma_start < self.sigma_max
        check(ordered, "model.sigma_start", self.sigma_start, "0 < sigma_min < sigma_start < sigma_max")


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
    prior_target: Literal["none", "drawn", "nearest", "matched"] = "none"
    """What a prior slot's decoder learns: nothing, the drawn solution, the valid solution nearest to
    what it decodes, or the nearest with a group's trajectories spread over the solutions."""
    trajectories_per_input: int = 1
    """Slots that share an input (a group); `matched` spreads them over its solutions."""
    candidates: int = 64
    """Most solutions of one input that `nearest` and `matched` look at in a step."""
    halt_target: Literal["rules", "equal"] = "rules"
    """Right by the rules of the task, or by equality with the drawn target (the paper's)."""
    halt_exploration: float = 0.1
    """Share of entering slots that may not halt before a random step."""
    halting: bool = True
    """Prior slots leave when they halt; otherwise after supervision_steps."""
    posterior_stay: Literal["full", "drawn"] = "full"
    """Posterior slots stay supervision_steps, or a length drawn from the prior slots' recent stays."""

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
    beta_final: float | None = None
    """Weight of the KL at `steps`, reached by a geometric path from model.beta; None keeps it constant."""
    beta_hold: float = 0.0
    """Share of the run for which the weight stays at model.beta before that path begins."""
    ema: float = 0.9999
    """Decay of the weight average, warmed up as min(ema, (1 + t) / (10 + t))."""
    precision: Literal["fp32", "bf16"] = "bf16"
    """Autocast of the forward pass."""
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
    """Steps between checkpoints."""
    tensorboard: bool = False
    """Also write TensorBoard files (needs the package tensorboard)."""

    def __post_init__(self) -> None:
        least_one = "batch_size accumulation trajectories_per_input candidates log_every eval_every eval_inputs"
        for name in [*least_one.split(), "eval_samples", "checkpoint_every"]:
            check(getattr(self, name) >= 1, f"train.{name}", getattr(self, name), "at least 1")
        for name in ("steps", "warmup_steps"):
            check(getattr(self, name) >= 0, f"train.{name}", getattr(self, name), "at least 0")
        for name in ("prior_share", "halt_exploration", "beta_hold"):
            check(0 <= getattr(self, name) <= 1, f"train.{name}", getattr(self, name), "a share in [0, 1]")
        for name in ("lr", "muon_lr", "clip", "identity_lr"):
            check(getattr(self, name) > 0, f"train.{name}", getattr(self, name), "above 0")
        check(self.beta_final is None or self.beta_final > 0, "train.beta_final", self.beta_final, "above 0")
        for name in ("beta1", "beta2"):
            check(0 <= getattr(self, name) < 1, f"train.{name}", getattr(self, name), "a decay in [0, 1)")
        check(0 <= self.ema < 1, "train.ema", self.ema, "a decay in [0, 1)")
        for name in ("weight_decay", "identity_decay"):
            check(getattr(self, name) >= 0, f"train.{name}", getattr(self, name), "at least 0")
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
    """Disguises in which each input is solved; their answers vote. Only tasks with identities have more than one."""

    def __post_init__(self) -> None:
        check(self.samples >= 1, "evaluation.samples", self.samples, "at least 1")
        check(self.steps is None or self.steps >= 1, "evaluation.steps", self.steps, "at least 1")
        check(self.views >= 1, "evaluation.views", self.views, "at least 1")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One named run."""

    name: str
    summary: str
    """One line: what it is, what it costs, what to expect."""
    task: TaskConfig
    model: GramConfig
    train: TrainConfig
    evaluation: EvalConfig = field(default_factory=EvalConfig)


def to_json(config: Any) -> dict[str, Any]:
    """The config as plain JSON values; a task's carry its kind."""
    kind = {"kind": config.kind} if isinstance(config, TaskConfig) else {}
    values = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    return kind | {name: to_json(v) if dataclasses.is_dataclass(v) else v for name, v in values.items()}


def from_json(cls: type, values: Any, where: str = "config") -> Any:
    """Build a config of class `cls` from what `to_json` gave; unknown or ill-typed entries are a UserError."""
    if not isinstance(values, dict):
        raise UserError(f"{where}: expected an object, got {type(values).__name__}")
    if cls is TaskConfig:
        kind = values.get("kind")
        kind = kind if isinstance(kind, str) else ""
        check(kind in KINDS, f"{where}.kind", kind, f"one of {', '.join(KINDS)}")
        return from_json(KINDS[kind], {name: v for name, v in values.items() if name != "kind"}, where)
    hints = {f.name: typing.get_type_hints(cls)[f.name] for f in dataclasses.fields(cls)}
    unknown = sorted(set(values) - set(hints))
    if unknown:
        raise UserError(f"{where}: unknown field {unknown[0]!r} (known: {', '.join(sorted(hints))})")
    built = {name: _convert(hints[name], value, f"{where}.{name}") for name, value in values.items()}
    missing = [
        f.name
        for f in dataclasses.fields(cls)
        if f.name not in built and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise UserError(f"{where}: field {missing[0]!r} is missing")
    return cls(**built)


def _convert(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return from_json(typing.cast(type, hint), value, where)
    if typing.get_origin(hint) is Literal:
        check(value in typing.get_args(hint), where, value, f"one of {', '.join(map(str, typing.get_args(hint)))}")
        return value
    allowed = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if float in allowed and type(value) is int:
        return float(value)
    if not any(type(value) is kind for kind in allowed):
        names = " or ".join(kind.__name__ for kind in allowed)
        raise UserError(f"{where}: got {value!r}, expected {names}")
    return value
