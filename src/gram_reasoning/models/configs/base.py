"""What the configs of models have in common."""

from dataclasses import dataclass
from typing import ClassVar, Self

from gram_reasoning.errors import check


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What the config of every model has in common: the name of its kind, which JSON files carry."""

    kind: ClassVar[str]

    def small(self) -> Self:
        """The same model so small that it trains in seconds, for debug versions."""
        return self


@dataclass(frozen=True, kw_only=True)
class BlocksConfig(ModelConfig):
    """For models of blocks over tokens: what is alike in all, and what their sizes may be, whichever they have."""

    num_heads: int = 8
    """Attention heads."""
    block_start: float = 1.0
    """What the output maps of mixer and SwiGLU are multiplied by before training."""
    qk_norm: bool = False
    """RMS-normalise queries and keys."""

    def __post_init__(self) -> None:
        sizes = {name: getattr(self, name) for name in (*WIDTHS, *COUNTS, "patch_channels") if hasattr(self, name)}
        for name, size in sizes.items():
            if name in COUNTS:
                check(1 <= size <= 10_000, f"model.{name}", size, "1 to 10000")
            else:
                check(size >= 1, f"model.{name}", size, "at least 1")
        channels = sizes.get("patch_channels", 8)
        check(channels % 8 == 0, "model.patch_channels", channels, "a multiple of 8")
        head = sizes["hidden_size"] / self.num_heads
        check(head % 2 == 0, "model.num_heads", self.num_heads, "hidden_size / num_heads an even number")
        check(self.block_start >= 0, "model.block_start", self.block_start, "at least 0")


WIDTHS = ("hidden_size", "num_heads", "mlp_size", "mixer_size", "prefix_tokens")
COUNTS = ("num_layers", "loops", "low_steps", "transitions", "supervision_steps", "sampling_steps")
