"""How tokens (B, L) stand at positions: a position a token, or, for square images, a position for each 2x2 patch.

A layout makes embeddings, embeds tokens by them as (B, positions, D), and turns what the decoder gives (B, positions,
outputs) into logits (B, L, V). A negative token is no token. Shape letters: B rows, L tokens, C channels, V vocabulary.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gram_reasoning.nn.layers import Linear, truncated_normal_

GROUPS = 8
"""Of each GroupNorm."""


def patches_of(pixels: int) -> int:
    """How many patches an image of so many pixels has."""
    return ((math.isqrt(pixels) + 1) // 2) ** 2


class TokenLayout:
    """A position a token; an embedding is a table (V, D)."""

    def __init__(self, length: int, vocab: int, size: int) -> None:
        self.positions, self.outputs, self.size = length, vocab, size

    def embedding(self, std: float) -> nn.Parameter:
        return nn.Parameter(truncated_normal_(torch.empty(self.outputs, self.size), std=std))

    def embed(self, tokens: Tensor, table: nn.Parameter) -> Tensor:
        """Zero where there is no token."""
        return F.embedding(tokens.clamp(min=0), table) * (tokens >= 0)[..., None]

    def read(self, outputs: Tensor) -> Tensor:
        return outputs


class PatchLayout:
    """A position a patch; an embedding is a PatchEmbedding, and a position gives the logits of its four pixels."""

    def __init__(self, pixels: int, vocab: int, size: int, channels: int) -> None:
        self.pixels, self.size, self.channels = pixels, size, channels
        self.positions, self.outputs = patches_of(pixels), 4 * vocab

    def embedding(self, std: float) -> "PatchEmbedding":
        return PatchEmbedding(self.channels, self.size, std)

    def embed(self, tokens: Tensor, embedding: "PatchEmbedding") -> Tensor:
        """A pixel of value 0 where there is no token."""
        return embedding(tokens.clamp(min=0))

    def read(self, outputs: Tensor) -> Tensor:
        side, across = math.isqrt(self.pixels), math.isqrt(self.positions)
        patches = outputs.unflatten(2, (-1, 2, 2)).unflatten(1, (across, across))  # (B, rows, columns, V, 2, 2)
        image = patches.permute(0, 1, 4, 2, 5, 3).flatten(3, 4).flatten(1, 2)
        return image[:, :side, :side].flatten(1, 2)


class PatchEmbedding(nn.Module):
    """A vector for each patch of an image of tokens 0 (nothing), 1 (black), 2 (white): (B, L) -> (B, positions, D).

    Pixels 0, -1 and 1 pass twice through [5x5 convolution, SiLU, GroupNorm]; a linear map takes the patches to D. A
    side that is odd is padded by one row and one column.

    Args:
        std: about the standard deviation of the vectors at the start.
    """

    def __init__(self, channels: int, size: int, std: float) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for size_in in (1, channels):
            convolution = nn.Conv2d(size_in, channels, 5, padding=2)
            parts += [convolution, nn.SiLU(), nn.GroupNorm(GROUPS, channels)]
        self.convolutions = nn.Sequential(*parts)
        self.out = Linear(4 * channels, size)
        truncated_normal_(self.out.weight, std=std / math.sqrt(4 * channels))

    def forward(self, tokens: Tensor) -> Tensor:
        side = math.isqrt(tokens.shape[1])
        pixels = (2 * tokens - 3) * (tokens != 0)
        image = pixels.view(-1, 1, side, side).to(self.out.weight.dtype)
        image = F.pad(image, (0, side % 2, 0, side % 2))
        across = (side + 1) // 2
        corners = self.convolutions(image).unflatten(3, (across, 2)).unflatten(2, (across, 2))
        return self.out(corners.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2))  # no rows are rows too
