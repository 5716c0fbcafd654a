"""Two models of your own beside a shared vocabulary: one that thinks in steps, one that answers at once.

python examples/own_models.py train own-recurrent --out runs/own
python examples/own_models.py solve "......./......./....Q../......./......./......./......." --checkpoint runs/own
"""

import sys
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gram_reasoning.build import register_model
from gram_reasoning.cli import main
from gram_reasoning.models.base import OneShotModel, RecursiveModel
from gram_reasoning.models.configs import ModelConfig
from gram_reasoning.models.losses import counted, token_cross_entropy
from gram_reasoning.recipes import get_recipe
from gram_reasoning.types import Batch, Referee, Shape, StepOutput


@dataclass(frozen=True, kw_only=True)
class RecurrentConfig(ModelConfig):
    """A GRU over the whole board, which sees the input again at every step."""

    kind: ClassVar[str] = "own-recurrent"

    size: int = 128
    """Width of the state."""
    supervision_steps: int = 6
    """Steps of a training trajectory."""


class Recurrent(RecursiveModel):
    """h <- GRU(x, h + noise); the answer is a linear map of h."""

    config: RecurrentConfig

    def __init__(self, config: RecurrentConfig, shape: Shape) -> None:
        super().__init__(config, shape)
        self.supervision_steps = self.sampling_steps = config.supervision_steps
        self.cell = nn.GRUCell(shape.length * shape.vocab, config.size)
        self.out = nn.Linear(config.size, shape.length * shape.vocab)

    def forward(self, batch: Batch, carry: Tensor, noise: Tensor, referee: Referee) -> StepOutput:
        state = self.step(self.encode(batch.inputs), carry, noise, batch.step)
        logits = self.decode(state)
        targets = referee.targets(logits.detach())
        losses = {"cross_entropy": token_cross_entropy(logits, targets) / counted(targets)}
        return StepOutput(losses, {}, carry=state.detach())

    def loss_weights(self, step: int, total: int) -> dict[str, float]:
        return {"cross_entropy": 1.0}

    def noise_shape(self) -> tuple[int, ...]:
        return (self.config.size,)

    def initial_carry(self, rows: int) -> Tensor:
        return self.initial_state(rows)

    def initial_state(self, rows: int, draws: Tensor | None = None) -> Tensor:
        return torch.zeros(rows, self.config.size, device=self.out.weight.device) if draws is None else draws

    def encode(self, inputs: Tensor, identity: Tensor | None = None) -> Tensor:
        return F.one_hot(inputs, self.shape.vocab).flatten(1).float()

    def step(self, context: Tensor, state: Tensor, noise: Tensor, n: Tensor) -> Tensor:
        return self.cell(context, state + 0.1 * noise)

    def decode(self, state: Tensor) -> Tensor:
        return self.out(state).view(-1, self.shape.length, self.shape.vocab).float()


@dataclass(frozen=True, kw_only=True)
class PerceptronConfig(ModelConfig):
    """One hidden layer."""

    kind: ClassVar[str] = "own-perceptron"

    size: int = 256
    """Width of the hidden layer."""


class Perceptron(OneShotModel):
    """Logits = W2 relu(W1 x)."""

    config: PerceptronConfig

    def __init__(self, config: PerceptronConfig, shape: Shape) -> None:
        super().__init__(config, shape)
        cells = shape.length * shape.vocab
        self.layers = nn.Sequential(nn.Linear(cells, config.size), nn.ReLU(), nn.Linear(config.size, cells))

    def forward(self, batch: Batch, carry: Any, noise: Tensor, referee: Referee) -> StepOutput:
        logits = self.predict(self.encode(batch.inputs))
        targets = referee.targets(logits.detach())
        return StepOutput({"cross_entropy": token_cross_entropy(logits, targets) / counted(targets)}, {}, carry)

    def loss_weights(self, step: int, total: int) -> dict[str, float]:
        return {"cross_entropy": 1.0}

    def encode(self, inputs: Tensor, identity: Tensor | None = None) -> Tensor:
        return F.one_hot(inputs, self.shape.vocab).flatten(1).float()

    def predict(self, context: Tensor) -> Tensor:
        return self.layers(context).view(-1, self.shape.length, self.shape.vocab).float()


base = get_recipe("nqueens7-pocket")
train = replace(base.train, prior_share=1.0, prior_target="nearest", steps=3000)  # nobody looks at the target
register_model(
    RecurrentConfig,
    Recurrent,
    replace(base, name="own-recurrent", summary="7x7 by a GRU: a minute.", model=RecurrentConfig(), train=train),
)
register_model(
    PerceptronConfig,
    Perceptron,
    replace(base, name="own-perceptron", summary="7x7 at once: a minute.", model=PerceptronConfig(), train=train),
)

if __name__ == "__main__":
    sys.exit(main())
