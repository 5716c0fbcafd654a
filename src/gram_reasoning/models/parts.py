"""What several models are made of: how tokens enter, stacks of blocks, the recursions' cores, noise heads.

Shape letters: B rows, L output tokens, P prefix tokens, S latent positions, D channels, V vocabulary.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gram_reasoning.errors import check
from gram_reasoning.models.base import Model
from gram_reasoning.models.configs import GramConfig, ModelConfig
from gram_reasoning.nn.distributions import DiagonalGaussian
from gram_reasoning.nn.identity import IdentityTable
from gram_reasoning.nn.layers import Attention, Block, GridMixer, SequenceMLP, SwiGLU, rotary_table, truncated_normal_
from gram_reasoning.nn.layouts import PatchLayout, TokenLayout
from gram_reasoning.types import Shape

# -- tables ----------------------------------------------------------------------------------------------------

Sizes = Any
"""A config with the fields `hidden_size`, `num_heads`, `mlp_size`, `token_mixer` and so on that GramConfig has."""


def _square(positions: int) -> bool:
    return math.isqrt(positions) ** 2 == positions


def _grid(c: Sizes, prefix: int, positions: int) -> nn.Module:
    check(_square(positions), "model.token_mixer", "grid", "attention or mlp, unless a task is about square boards")
    return GridMixer(c.hidden_size, prefix, positions)


MIXERS: dict[str, Callable[[Sizes, int, int], nn.Module]] = {
    "attention": lambda c, prefix, positions: Attention(c.hidden_size, c.num_heads, c.qk_norm),
    "mlp": lambda c, prefix, positions: SequenceMLP(prefix + positions, c.mixer_size),
    "grid": _grid,
}
"""How tokens see each other, by the name in a config; made from it, the prefix tokens and the layout's positions."""


def _patches(c: Sizes, shape: Shape) -> PatchLayout:
    fits = shape.vocab == 3 and _square(shape.length)
    check(fits, "model.layout", "patches", "tokens, unless a task is about square images of black and white")
    return PatchLayout(shape.length, shape.vocab, c.hidden_size, c.patch_channels)


LAYOUTS: dict[str, Callable[[Sizes, Shape], Any]] = {
    "tokens": lambda c, shape: TokenLayout(shape.length, shape.vocab, c.hidden_size),
    "patches": _patches,
}
"""How tokens stand at positions, by the name in a config."""


def chosen(table: dict[str, Callable[..., Any]], option: str, name: str) -> Callable[..., Any]:
    """The entry of a table that an option names; UserError if there is none."""
    check(name in table, f"model.{option}", name, f"one of {', '.join(table)}")
    return table[name]


# -- what enters -----------------------------------------------------------------------------------------------


class TokenModel(Model):
    """A model whose positions are P prefix tokens and those of a layout; e_x = embedding(x), injected as it goes."""

    rotary: Tensor | None

    def __init__(self, config: ModelConfig, shape: Shape) -> None:
        super().__init__(config, shape)
        c: Sizes = config
        self.sizes, D = c, c.hidden_size
        self.layout: Any = chosen(LAYOUTS, "layout", c.layout)(c, shape)
        self.positions = c.prefix_tokens + self.layout.positions  # S
        self.token_embedding = self.layout.embedding(std=1 / math.sqrt(D))
        if shape.identities:
            self.identities = IdentityTable(shape.identities, D)
        fixed = c.prefix_tokens - bool(shape.identities)  # prefix tokens that all inputs share
        self.prefix = nn.Parameter(truncated_normal_(torch.empty(fixed, D), std=1 / math.sqrt(D)))

    def network(self) -> "Network":
        """A stack of blocks over all positions."""
        return Network(self.sizes, self.sizes.prefix_tokens, self.layout.positions)

    def add_positions(self) -> None:
        """A learned vector for each position, added to e_x, or the table that turns queries and keys."""
        c, rotary = self.sizes, None
        if c.positions == "learned":
            vectors = torch.empty(self.layout.positions, c.hidden_size)
            self.position_embedding = nn.Parameter(truncated_normal_(vectors, std=1 / math.sqrt(c.hidden_size)))
        else:
            rotary = rotary_table(self.positions, c.hidden_size // c.num_heads)
        self.register_buffer("rotary", rotary, persistent=False)

    def encode(self, inputs: Tensor, identity: Tensor | None = None) -> Tensor:
        """e_x: (B, S, D). The vector of a row's identity stands first in its prefix."""
        c = self.sizes
        tokens = self.layout.embed(inputs, self.token_embedding)
        if c.positions == "learned":
            tokens = tokens + self.position_embedding
        prefix = self.prefix.expand(len(inputs), -1, -1)
        if identity is not None:
            prefix = torch.cat([identity[:, None], prefix], dim=1)
        return torch.cat([prefix, tokens], dim=1) * math.sqrt(c.hidden_size)


# -- what refines ----------------------------------------------------------------------------------------------


class Network(nn.Module):
    """A stack of post-norm blocks over the sum of its inputs, (B, S, D) -> (B, S, D)."""

    def __init__(self, config: Sizes, prefix: int, positions: int) -> None:
        super().__init__()
        mixer = chosen(MIXERS, "token_mixer", config.token_mixer)
        D, hidden = config.hidden_size, config.mlp_size
        layers = (Block(mixer(config, prefix, positions), D, hidden) for _ in range(config.num_layers))
        self.blocks = nn.ModuleList(layers)

    def forward(self, x: Tensor, rotary: Tensor | None) -> Tensor:
        for block in self.blocks:
            x = block(x, rotary)
        return x


class HierarchicalCore(nn.Module):
    """Two latents, two networks: l is refined K times under a fixed h, then h is proposed anew."""

    def __init__(self, low_steps: int, network: Callable[[], Network]) -> None:
        super().__init__()
        self.low_steps = low_steps  # K
        self.low_network = network()  # f_L
        self.high_network = network()  # f_H

    def forward(self, high: Tensor, low: Tensor, context: Tensor, rotary: Tensor | None) -> tuple[Tensor, Tensor]:
        injected = high + context
        for _ in range(self.low_steps):
            low = self.low_network(low + injected, rotary)
        return self.high_network(high + low, rotary), low


class FlatCore(nn.Module):
    """One latent, one network, applied K + 1 times: the ablation without hierarchy, at equal depth."""

    def __init__(self, low_steps: int, network: Callable[[], Network]) -> None:
        super().__init__()
        self.low_steps = low_steps
        self.network = network()

    def forward(self, high: Tensor, low: Tensor, context: Tensor, rotary: Tensor | None) -> tuple[Tensor, Tensor]:
        for _ in range(self.low_steps + 1):
            high = self.network(high + context, rotary)
        return high, low


CORES: dict[str, Callable[[int, Callable[[], Network]], nn.Module]] = {
    "hierarchical": HierarchicalCore,
    "flat": FlatCore,
}
"""How a state is refined, by the name in a config."""


class GaussianHead(nn.Module):
    """mu and sigma, SwiGLU MLPs of one input; zero output weights start it at N(0, sigma_start^2).

    mu is bounded: u has unit scale and sigma is of its order, so a mean that grows without bound would drown the noise.
    The ablations keep one of them: guidance "noise" is N(0, sigma^2), "mean" is mu alone.
    """

    def __init__(self, config: GramConfig, size_in: int) -> None:
        super().__init__()
        D = config.hidden_size
        self.config = config
        self.mu = SwiGLU(size_in, config.mlp_size, D) if config.guidance != "noise" else None
        self.sigma = SwiGLU(size_in, config.mlp_size, D) if config.sigma_learned and config.guidance != "mean" else None
        for mlp in (self.mu, self.sigma):
            if mlp is not None:
                nn.init.zeros_(mlp.out.weight)
        self.sigma_offset = math.log(math.expm1(config.sigma_start - config.sigma_min))

    def forward(self, x: Tensor) -> DiagonalGaussian:
        c = self.config
        none = x.new_zeros((*x.shape[:-1], c.hidden_size)).float()
        mean = none if self.mu is None else self.mu(x).float()
        if c.mean_bound is not None:
            mean = c.mean_bound * (mean / c.mean_bound).tanh()
        if self.sigma is None:
            return DiagonalGaussian(mean, none if c.guidance == "mean" else none + c.sigma_start)
        std = F.softplus(self.sigma(x).float() + self.sigma_offset) + c.sigma_min
        return DiagonalGaussian(mean, std.clamp(max=c.sigma_max))
