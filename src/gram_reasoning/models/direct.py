"""Direct: a transformer that answers in one pass, the baseline without recursion.

h = e_x                                           tokens and positions
h <- block_i(h), i = 1 .. layers                  each layer with weights of its own
logits = decoder(h)
"""

from torch import Tensor

from gram_reasoning.models.base import OneShotModel
from gram_reasoning.models.configs import DirectConfig
from gram_reasoning.models.losses import CROSS_ENTROPIES, counted
from gram_reasoning.models.parts import TokenModel
from gram_reasoning.nn.layers import Linear
from gram_reasoning.trees import Tree
from gram_reasoning.types import Batch, Referee, Shape, StepOutput


class OnePass(TokenModel, OneShotModel):
    """The direct transformer; see DirectConfig."""

    config: DirectConfig

    def __init__(self, config: DirectConfig, shape: Shape) -> None:
        super().__init__(config, shape)
        self.net = self.network()
        self.add_positions()
        self.decoder = Linear(config.hidden_size, self.layout.outputs)

    def predict(self, context: Tensor) -> Tensor:
        answer = self.net(context, self.rotary)[:, self.config.prefix_tokens :]
        return self.layout.read(self.decoder(answer)).float()

    def loss_weights(self, step: int, total: int) -> dict[str, float]:
        return {"cross_entropy": 1.0}

    def forward(self, batch: Batch, carry: Tree, noise: Tensor, referee: Referee) -> StepOutput:
        del noise
        logits = self.predict(self.encode(batch.inputs, batch.identity))
        targets = referee.targets(logits.detach())
        loss = CROSS_ENTROPIES[self.config.cross_entropy](logits, targets) / counted(targets)
        return StepOutput({"cross_entropy": loss}, {}, carry)
