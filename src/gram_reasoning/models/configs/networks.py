"""The rivals that refine, and the one that answers at once."""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self

from gram_reasoning.errors import check
from gram_reasoning.models.configs.base import ModelConfig


@dataclass(frozen=True, kw_only=True)
class NetworkConfig(ModelConfig):
    """What the rivals have in common: blocks over P prefix tokens and those of the task, sized as in HRM and TRM."""

    hidden_size: int = 512  # D
    """Width of every token."""
    num_heads: int = 8
    """Attention heads."""
    mlp_size: int = 1536
    """Hidden width of every SwiGLU over channels."""
    mixer_size: int = 512
    """Hidden width of the SwiGLU over the sequence axis (token_mixer "mlp" only)."""
    num_layers: int = 2
    """Layers of a network."""
    prefix_tokens: int = 16  # P
    """Tokens in front of the input; the heads read the first."""
    token_mixer: Literal["attention", "mlp", "mlp-released", "grid", "units"] = "attention"
    """How tokens see each other: as GramConfig's, and "mlp-released", which norms over the sequence axis too."""
    block_start: float = 1.0
    """What the output maps of mixer and SwiGLU are multiplied by before training."""
    positions: Literal["rope", "learned"] = "rope"
    """Rotary positions in attention, or a learned vector for each position added to e_x."""
    qk_norm: bool = False
    """RMS-normalise queries and keys."""
    layout: Literal["tokens", "patches"] = "tokens"
    """A latent position for each token, or, for images, one for each 2x2 patch behind two convolutions."""
    patch_channels: int = 32
    """Channels of those convolutions (layout "patches" only)."""
    cross_entropy: Literal["softmax", "stablemax"] = "softmax"
    """How logits become probabilities in the loss: the released HRM and TRM take stablemax."""

    def __post_init__(self) -> None:
        for name in ("hidden_size", "num_heads", "mlp_size", "mixer_size", "prefix_tokens"):
            check(getattr(self, name) >= 1, f"model.{name}", getattr(self, name), "at least 1")
        counts = ("num_layers", "loops", "low_steps", "transitions", "supervision_steps")
        for name in (name for name in counts if hasattr(self, name)):
            check(1 <= getattr(self, name) <= 10_000, f"model.{name}", getattr(self, name), "1 to 10000")
        channels = self.patch_channels
        check(channels >= 8 and channels % 8 == 0, "model.patch_channels", channels, "a multiple of 8")
        head = self.hidden_size / self.num_heads
        check(head % 2 == 0, "model.num_heads", self.num_heads, "hidden_size / num_heads an even number")

    def small(self) -> Self:
        tiny = {"hidden_size": 32, "num_heads": 2, "mlp_size": 32, "mixer_size": 16, "num_layers": 1}
        fewer = {"loops": 2, "low_steps": 1, "transitions": 2, "supervision_steps": 2}
        return replace(self, **tiny, **{name: value for name, value in fewer.items() if hasattr(self, name)})


@dataclass(frozen=True, kw_only=True)
class DirectConfig(NetworkConfig):
    """Direct: one pass through many layers."""

    kind: ClassVar[str] = "direct"

    num_layers: int = 8
    """Layers: the paper has 8 (27M) and 32 (100M)."""


@dataclass(frozen=True, kw_only=True)
class LoopedConfig(NetworkConfig):
    """Looped Transformer: one network applied again and again, one update a trajectory."""

    kind: ClassVar[str] = "looped"

    loops: int = 16
    """Applications of the network in training; the gradient flows through all."""


@dataclass(frozen=True, kw_only=True)
class HrmConfig(NetworkConfig):
    """HRM: two networks at two time scales, one-step gradient, halting by Q-learning."""

    kind: ClassVar[str] = "hrm"

    num_layers: int = 4
    """Layers in each of f_L and f_H."""
    low_steps: int = 2  # K
    """Low-level steps in a transition."""
    transitions: int = 2  # T
    """Transitions in a supervision step."""
    supervision_steps: int = 16  # N_sup
    """Supervision steps of a training trajectory."""
    halt_weight: float = 0.5
    """Weight of the losses of both Q-values."""


@dataclass(frozen=True, kw_only=True)
class TrmConfig(NetworkConfig):
    """TRM: one network for both latents, the gradient through the whole last transition, halting by one logit."""

    kind: ClassVar[str] = "trm"

    low_steps: int = 6  # K
    """Low-level steps in a transition."""
    transitions: int = 3  # T
    """Transitions in a supervision step; the gradient flows through the last."""
    supervision_steps: int = 16  # N_sup
    """Supervision steps of a training trajectory."""
    start: Literal["stored", "drawn"] = "stored"
    """z_0: drawn once with the model, or anew for every trajectory, in training too (the ablation)."""
    halt_weight: float = 0.5
    """Weight of the halt loss."""


@dataclass(frozen=True, kw_only=True)
class LoopedFlowConfig(TrmConfig):
    """Looped Flows: TRM as a denoiser whose state is carried from time to time."""

    kind: ClassVar[str] = "looped-flow"

    noise_scale: float = 1.0  # c
    """Standard deviation of the noise beside one-hot answers."""
    flow: Literal["ode", "sde"] = "sde"
    """How sampling goes from time to time, unless asked otherwise: without fresh noise, or with it."""
    sampling_steps: int = 128
    """Steps of sampling, unless asked otherwise."""
    cross_entropy: Literal["softmax", "stablemax"] = "stablemax"
    """How logits become probabilities, in the loss and in sampling."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.noise_scale > 0, "model.noise_scale", self.noise_scale, "above 0")
        check(1 <= self.sampling_steps <= 10_000, "model.sampling_steps", self.sampling_steps, "1 to 10000")
        check(self.layout == "tokens", "model.layout", self.layout, "tokens: the noise is one of tokens")
        check(self.start == "stored", "model.start", self.start, "stored: a trajectory begins with noise anyway")

    def small(self) -> Self:
        return replace(super().small(), sampling_steps=4)


@dataclass(frozen=True, kw_only=True)
class VariationalConfig(NetworkConfig):
    """VAE: one latent vector for a whole answer, each token by itself given it."""

    kind: ClassVar[str] = "vae"

    latent_size: int = 64  # Z
    """Numbers of the latent vector."""
    position_channels: int = 16
    """Channels of a position on the way from and to the latent vector."""
    beta: float = 1.0
    """Weight of the KL; 1 is the bound."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("latent_size", "position_channels"):
            check(getattr(self, name) >= 1, f"model.{name}", getattr(self, name), "at least 1")
        check(self.beta >= 0, "model.beta", self.beta, "at least 0")
        plain = self.cross_entropy == "softmax"
        check(plain, "model.cross_entropy", self.cross_entropy, "softmax: the loss is a bound on its probabilities")
