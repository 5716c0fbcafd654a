"""VAE: one latent vector for a whole answer (Kingma & Welling 2014), given the input, in the order of its equations.

z ~ N(0, I)                                       in sampling; in training from the posterior
q(z | x, y) = N(m, s^2), of a network of e_x + e_y
p(y | x, z): a network of e_x + z at every position; each token by itself
-ln p(y | x) <= E over q of -ln p(y | x, z) + KL(q(z | x, y) || N(0, I)); the loss is this bound / (tokens that count)

Of an image whose pixels are black or white the first term is a binary cross-entropy. There is one step of sampling.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from gram_reasoning.models.base import OneShotModel
from gram_reasoning.models.configs import VariationalConfig
from gram_reasoning.models.losses import counted, token_cross_entropy
from gram_reasoning.models.parts import TokenModel
from gram_reasoning.nn.distributions import DiagonalGaussian
from gram_reasoning.nn.layers import Linear
from gram_reasoning.trees import Tree
from gram_reasoning.types import Batch, Measured, Referee, Shape, StepOutput

DRAWS = 16
"""Draws of z by which the bound of a row is measured."""


class Variational(TokenModel, OneShotModel):
    """See VariationalConfig."""

    config: VariationalConfig

    def __init__(self, config: VariationalConfig, shape: Shape) -> None:
        super().__init__(config, shape)
        D, Z, C = config.hidden_size, config.latent_size, config.position_channels
        self.add_positions()
        self.target_embedding = self.layout.embedding(std=1 / math.sqrt(D))  # e_y
        self.reader, self.writer = self.network(), self.network()
        self.told, self.posterior_head = Linear(D, C), Linear(self.layout.positions * C, 2 * Z)
        self.latent_map, self.spread = Linear(Z, self.layout.positions * C), Linear(C, D)
        self.decoder = Linear(D, self.layout.outputs)

    def posterior(self, context: Tensor, targets: Tensor) -> DiagonalGaussian:
        """q(z | x, y) (B, Z) of targets (B, L)."""
        P, D = self.config.prefix_tokens, self.config.hidden_size
        e_y = self.layout.embed(targets, self.target_embedding) * math.sqrt(D)
        h = self.reader(context + F.pad(e_y, (0, 0, P, 0)), self.rotary)[:, P:]
        mean, log_std = self.posterior_head(self.told(h).flatten(1)).float().chunk(2, 1)
        return DiagonalGaussian(mean, log_std.clamp(-10, 10).exp())

    def predict(self, context: Tensor, z: Tensor | None = None) -> Tensor:
        """Logits (B, L, V) of p(y | x, z), z (B, Z); without one, of z = 0."""
        P, C = self.config.prefix_tokens, self.config.position_channels
        if z is None:
            z = context.new_zeros(len(context), self.config.latent_size)
        told = self.spread(self.latent_map(z).unflatten(1, (-1, C)))
        h = self.writer(context + F.pad(told, (0, 0, P, 0)), self.rotary)
        logits = self.layout.read(self.decoder(h[:, P:])).float()
        return torch.cat([torch.full_like(logits[..., :1], -torch.inf), logits[..., 1:]], -1)

    # -- training ----------------------------------------------------------------------------------------------

    def noise_shape(self) -> tuple[int, ...]:
        return (self.config.latent_size,)

    def loss_weights(self, step: int, total: int) -> dict[str, float]:
        return {"cross_entropy": 1.0, "kl": self.config.beta}

    def forward(self, batch: Batch, carry: Tree, noise: Tensor, referee: Referee) -> StepOutput:
        """Every slot learns its own target: to see it is how this model is taught, whatever the slot's role."""
        wrong, kl = self.terms(batch, noise)
        tokens, everyone = counted(batch.targets), torch.ones_like(batch.is_guided)
        told = {"bound_nats": -(wrong + kl), "kl_nats": kl}
        metrics = {name: Measured(value.detach(), everyone) for name, value in told.items()}
        return StepOutput({"cross_entropy": wrong / tokens, "kl": kl / tokens}, metrics, carry)

    def terms(self, batch: Batch, noise: Tensor) -> tuple[Tensor, Tensor]:
        """-ln p(y | x, z) at the z that the noise (B, Z) draws from q, and KL(q || N(0, I)): (B,)."""
        context = self.encode(batch.inputs, batch.identity)
        q = self.posterior(context, batch.targets)
        standard = DiagonalGaussian(torch.zeros_like(q.mean), torch.ones_like(q.std))
        wrong = token_cross_entropy(self.predict(context, q.sample(noise)), batch.targets)
        return wrong, q.kl(standard).sum(1)

    @torch.no_grad()
    def diagnostics(self, batch: Batch, noise: Tensor, weights: dict[str, float]) -> dict[str, Tensor]:
        """bound_nats: the lower bound of ln p(y | x), by 16 draws of z; kl_nats: its KL."""
        uniform, found = torch.special.ndtr(noise[:, 0].double()), []
        for k in range(DRAWS):  # of one draw of numbers sixteen, each normal
            turned = ((uniform + k * 0.618034) % 1).clamp(1e-7, 1 - 1e-7)
            found.append(self.terms(batch, torch.special.ndtri(turned).float()))
        wrong, kl = (torch.stack(one).mean(0) for one in zip(*found, strict=True))
        return {"bound_nats": -(wrong + kl), "kl_nats": kl}

    # -- sampling ----------------------------------------------------------------------------------------------

    def step(self, context: Tensor, state: Tensor, noise: Tensor, n: Tensor) -> Tensor:
        """The logits of a drawn z."""
        return self.predict(context, noise)
