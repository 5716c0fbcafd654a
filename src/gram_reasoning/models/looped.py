"""Looped TF: one network applied again and again (Giannou et al. 2023; Yang et al. 2024), as GRAM's paper has it.

h_0 = one stored vector for all positions
h <- f(h + e_x), as often as it takes             one latent, one network, the input anew in every loop
logits = decoder(h)                               after the last loop
one update a trajectory                           the loss at its end, the gradient through all loops; no halting
"""

import torch
from torch import Tensor

from gram_reasoning.models.base import RecursiveModel
from gram_reasoning.models.configs import LoopedConfig
from gram_reasoning.models.losses import CROSS_ENTROPIES, counted
from gram_reasoning.models.parts import TokenModel
from gram_reasoning.nn.layers import Linear
from gram_reasoning.trees import Tree
from gram_reasoning.types import Batch, Referee, Shape, StepOutput


class LoopedTransformer(TokenModel, RecursiveModel):
    """The looped transformer; see LoopedConfig. A step of sampling is a loop, a step of training all of them."""

    config: LoopedConfig
    initial_latent: Tensor  # h_0 (1, D)

    def __init__(self, config: LoopedConfig, shape: Shape) -> None:
        super().__init__(config, shape)
        self.sampling_steps = config.loops
        self.net = self.network()  # f
        self.add_positions()
        self.decoder = Linear(config.hidden_size, self.layout.outputs)
        self.register_buffer("initial_latent", torch.randn(self.start_shape()))  # h_0: drawn once, stored

    # -- sampling ----------------------------------------------------------------------------------------------

    def start_shape(self) -> tuple[int, ...]:
        return (1, self.config.hidden_size)

    def initial_state(self, rows: int, draws: Tensor | None = None) -> Tensor:
        start = self.initial_latent if draws is None else draws
        return start.expand(rows, self.positions, self.config.hidden_size).contiguous()

    def step(self, context: Tensor, state: Tensor, noise: Tensor, n: Tensor) -> Tensor:
        del noise, n
        return self.net(state + context, self.rotary)

    def latent(self, state: Tensor) -> Tensor:
        return state[:, self.config.prefix_tokens :]

    def decode(self, state: Tensor) -> Tensor:
        return self.layout.read(self.decoder(self.latent(state))).float()

    # -- training ----------------------------------------------------------------------------------------------

    def loss_weights(self, step: int, total: int) -> dict[str, float]:
        return {"cross_entropy": 1.0}

    def forward(self, batch: Batch, carry: Tree, noise: Tensor, referee: Referee) -> StepOutput:
        context, state = self.encode(batch.inputs, batch.identity), self.initial_state(len(batch.inputs))
        for _ in range(self.config.loops):
            state = self.step(context, state, noise, batch.step)
        logits = self.decode(state)
        targets = referee.targets(logits.detach())
        loss = CROSS_ENTROPIES[self.config.cross_entropy](logits, targets) / counted(targets)
        return StepOutput({"cross_entropy": loss}, {}, carry)
