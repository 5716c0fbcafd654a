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
from gram_reasoning.nn.layouts import PatchLayout, SymbolLayout, TokenLayout
from gram_reasoning.nn.timed import Modulation, TimedBlock, TimeEmbedding, modulated
from gram_reasoning.nn.units import UnitsMixer
from gram_reasoning.types import Shape

# -- tables ----------------------------------------------------------------------------------------------------

Sizes = Any
"""A config with the fields `hidden_size`, `num_heads`, `mlp_size`, `token_mixer` and so on that GramConfig has."""


def _square(positions: int) -> bool:
    return math.isqrt(positions) ** 2 == positions


def _grid(c: Sizes, shape: Shape, positions: int) -> nn.Module:
    check(_square(positions), "model.token_mixer", "grid", "attention or mlp, unless a task is about square boards")
    return GridMixer(c.hidden_size, c.prefix_tokens, positions)


def _units(c: Sizes, shape: Shape, positions: int) -> nn.Module:
    check(bool(shape.units), "model.token_mixer", "units", "another, unless a task has units")
    each = positions // shape.length
    return UnitsMixer(c.hidden_size, c.mixer_size, c.prefix_tokens, shape.length, shape.units, each)


def _sequence(c: Sizes, shape: Shape, positions: int) -> nn.Module:
    del shape
    return SequenceMLP(c.prefix_tokens + positions, c.mixer_size)


MIXERS: dict[str, Callable[[Sizes, Shape, int], nn.Module]] = {
    "attention": lambda c, shape, positions: Attention(c.hidden_size, c.num_heads, c.qk_norm),
    "mlp": _sequence,
    "mlp-released": _sequence,
    "grid": _grid,
    "units": _units,
}
"""How tokens see each other, by the name in a config; made from it, the task's shape and the layout's positions."""


def _patches(c: Sizes, shape: Shape) -> PatchLayout:
    fits = shape.vocab == 3 and _square(shape.length)
    check(fits, "model.layout", "patches", "tokens, unless a task is about square images of black and white")
    return PatchLayout(shape.length, shape.vocab, c.hidden_size, c.patch_channels)


def _symbols(c: Sizes, shape: Shape) -> SymbolLayout:
    check(bool(shape.names), "model.layout", "symbols", "tokens, unless a task has names")
    check(c.token_mixer == "units", "model.token_mixer", c.token_mixer, 'units in layout "symbols"')
    return SymbolLayout(shape.length, shape.vocab, c.hidden_size, shape.names)


LAYOUTS: dict[str, Callable[[Sizes, Shape], Any]] = {
    "tokens": lambda c, shape: TokenLayout(shape.length, shape.vocab, c.hidden_size),
    "patches": _patches,
    "symbols": _symbols,
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
        return Network(self.sizes, self.shape, self.layout.positions)

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


def counted_positions(shape: Shape) -> Tensor:
    """Positions of an answer that count (L,) bool."""
    counts = torch.zeros(shape.length, dtype=torch.bool)
    counts[range(shape.length) if shape.counted is None else shape.counted] = True
    return counts


# -- what refines ----------------------------------------------------------------------------------------------


class Network(nn.Module):
    """A stack of post-norm blocks over the sum of its inputs, (B, S, D) -> (B, S, D)."""

    def __init__(self, config: Sizes, shape: Shape, positions: int) -> None:
        super().__init__()
        mixer, D = chosen(MIXERS, "token_mixer", config.token_mixer), config.hidden_size
        across = config.token_mixer == "mlp-released"  # TRM's released code norms what it mixed over the positions
        self.blocks = nn.ModuleList()
        for _ in range(config.num_layers):
            one = mixer(config, shape, positions)
            self.blocks.append(Block(one, D, config.mlp_size, config.block_start, norm_positions=across))

    def forward(self, x: Tensor, rotary: Tensor | None) -> Tensor:
        for block in self.blocks:
            x = block(x, rotary)
        return x


class TimedNetwork(nn.Module):
    """A stack of blocks that know the time, and a norm that does: (B, S, D), (B,) in [0, 1] -> (B, S, D)."""

    def __init__(self, config: Sizes, shape: Shape, positions: int) -> None:
        super().__init__()
        mixer, D = chosen(MIXERS, "token_mixer", config.token_mixer), config.hidden_size
        self.time = TimeEmbedding(D)
        mixers = [mixer(config, shape, positions) for _ in range(config.num_layers)]
        self.blocks = nn.ModuleList(TimedBlock(one, D, config.mlp_size) for one in mixers)
        self.last = Modulation(D, 2)

    def forward(self, x: Tensor, rotary: Tensor | None, t: Tensor) -> Tensor:
        time = self.time(t)
        for block in self.blocks:
            x = block(x, rotary, time)
        return modulated(x, *self.last(time))


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
        if self.mu is None:
            mean = torch.zeros(*x.shape[:-1], c.hidden_size, device=x.device)
        else:
            mean = self.mu(x).float()
        if c.mean_bound == 1:
            mean = mean.tanh()
        elif c.mean_bound is not None:
            mean = c.mean_bound * (mean / c.mean_bound).tanh()
        if self.sigma is None:
            return DiagonalGaussian(mean, mean.new_full((), 0.0 if c.guidance == "mean" else c.sigma_start))
        std = F.softplus(self.sigma(x).float() + self.sigma_offset) + c.sigma_min
        return DiagonalGaussian(mean, std.clamp(max=c.sigma_max))
