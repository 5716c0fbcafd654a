"""Those that draw an answer token by token."""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self

from gram_reasoning.errors import check
from gram_reasoning.models.configs.base import ModelConfig


@dataclass(frozen=True, kw_only=True)
class SequenceConfig(ModelConfig):
    """What the models of tokens have in common: one stack of blocks. Its defaults are AR's, of the paper's size."""

    hidden_size: int = 384  # D
    """Width of every token."""
    num_heads: int = 8
    """Attention heads."""
    mlp_size: int = 1024
    """Hidden width of every SwiGLU over channels."""
    num_layers: int = 6
    """Layers of the stack."""
    prefix_tokens: int = 1  # P
    """Learnt tokens in front of the input; where inputs have identities, the first is the identity's vector."""
    positions: Literal["rope", "learned"] = "learned"
    """Rotary positions in attention, or a learned vector for each position."""
    qk_norm: bool = False
    """RMS-normalise queries and keys."""
    block_start: float = 1.0
    """What the output maps of mixer and SwiGLU are multiplied by before training."""

    def __post_init__(self) -> None:
        for name in ("hidden_size", "num_heads", "mlp_size", "prefix_tokens"):
            check(getattr(self, name) >= 1, f"model.{name}", getattr(self, name), "at least 1")
        check(1 <= self.num_layers <= 10_000, "model.num_layers", self.num_layers, "1 to 10000")
        head = self.hidden_size / self.num_heads
        check(head % 2 == 0, "model.num_heads", self.num_heads, "hidden_size / num_heads an even number")

    def small(self) -> Self:
        return replace(self, hidden_size=32, num_heads=2, mlp_size=32, num_layers=2)


@dataclass(frozen=True, kw_only=True)
class AutoregressiveConfig(SequenceConfig):
    """AR: the answer from left to right, each token given the input and the tokens before it."""

    kind: ClassVar[str] = "ar"
    layout: ClassVar[str] = "tokens"

    relations: bool = False
    """Add a learned number for each head and each pair of positions to the attention scores."""


@dataclass(frozen=True, kw_only=True)
class TokenDiffusionConfig(SequenceConfig):
    """What the diffusions of tokens have in common."""

    token_mixer: Literal["attention", "mlp", "grid", "units"] = "attention"
    """How tokens see each other: as GramConfig's."""
    mixer_size: int = 128
    """Hidden width of the SwiGLU over the sequence axis (token_mixer "mlp" only)."""
    layout: Literal["tokens", "patches"] = "tokens"
    """A position for each token, or, for images, one for each 2x2 patch behind two convolutions."""
    patch_channels: int = 32
    """Channels of those convolutions (layout "patches" only)."""
    sampling_steps: int = 64
    """Steps of sampling, unless asked otherwise."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.mixer_size >= 1, "model.mixer_size", self.mixer_size, "at least 1")
        check(1 <= self.sampling_steps <= 10_000, "model.sampling_steps", self.sampling_steps, "1 to 10000")
        channels = self.patch_channels
        check(channels >= 8 and channels % 8 == 0, "model.patch_channels", channels, "a multiple of 8")

    def small(self) -> Self:
        return replace(super().small(), mixer_size=16, sampling_steps=4)


@dataclass(frozen=True, kw_only=True)
class MaskedDiffusionConfig(TokenDiffusionConfig):
    """MDLM: masked diffusion; the answer from all tokens hidden to none, in any order."""

    kind: ClassVar[str] = "mdlm"

    num_layers: int = 7
    """Layers of the stack."""


@dataclass(frozen=True, kw_only=True)
class DiscreteDiffusionConfig(TokenDiffusionConfig):
    """D3PM: diffusion in discrete time by a matrix of transitions. Its defaults are the paper's small one."""

    kind: ClassVar[str] = "d3pm"

    corruption: Literal["uniform", "absorbing"] = "uniform"
    """What a spoilt token becomes: any, or the mask."""
    times: int = 1000
    """Steps of the diffusion that is learnt; sampling may take fewer."""
    hybrid: float = 0.001
    """Weight of the cross-entropy of y_0 beside one of the terms of the bound."""
    hidden_size: int = 512
    """Width of every token."""
    mlp_size: int = 1408
    """Hidden width of every SwiGLU over channels: as many weights as an MLP of 4 widths."""
    num_layers: int = 3
    """Layers of the stack."""
    sampling_steps: int = 1000
    """Steps of sampling, unless asked otherwise."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(1 <= self.times <= 100_000, "model.times", self.times, "1 to 100000")
        check(self.hybrid >= 0, "model.hybrid", self.hybrid, "at least 0")

    def small(self) -> Self:
        return replace(super().small(), times=8)
