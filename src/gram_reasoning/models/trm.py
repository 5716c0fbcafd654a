"""TRM: the Tiny Recursive Model (arXiv 2510.04871), with the released halting, in the order of its pseudocode.

    l <- f(l + h + e_x), K times                      low-level steps
    h <- f(h + l)                                     the same network f
    (l, h) so T times                                 a supervision step; the gradient through the whole last one
    logits, q_halt = heads(h)                         q_halt: is the answer right? It stops where q_halt > 0

`token_mixer` "attention" and "mlp-released" are its two variants. PTRM is inference on it: noise on (h, l) at every
step, and of all trajectories the one whose q_halt is highest (`--latent-noise 0.3 --select halt`).
"""

import torch
from torch import Tensor

from gram_reasoning.models.configs import TrmConfig
from gram_reasoning.models.two_latents import State, TwoLatents, detached, halting
from gram_reasoning.trees import Tree, where
from gram_reasoning.types import Batch, Referee, Shape, StepOutput


class TinyRecursion(TwoLatents):
    """TRM; see TrmConfig."""

    config: TrmConfig

    def __init__(self, config: TrmConfig, shape: Shape) -> None:
        super().__init__(config, shape)
        self.net = self.network()  # f

    def transition(self, z: State, context: Tensor) -> State:
        """K low-level steps, then the high one."""
        high, low = z
        injected = high + context
        for _ in range(self.config.low_steps):
            low = self.net(low + injected, self.rotary)
        return State(self.net(high + low, self.rotary), low)

    def recursion(self, z: State, context: Tensor) -> State:
        with torch.no_grad():
            for _ in range(self.config.transitions - 1):
                z = self.transition(z, context)
        return self.transition(z, context)

    # -- z_0 drawn anew, the ablation --------------------------------------------------------------------------

    def noise_shape(self) -> tuple[int, ...]:
        return self.start_shape() if self.config.start == "drawn" else (0,)

    def begun(self, z: State, noise: Tensor, n: Tensor) -> State:
        """The state, and z_0 made of the noise where a trajectory begins."""
        return z if self.config.start == "stored" else where(n == 0, self.initial_state(len(n), noise), z)

    def step(self, context: Tensor, state: Tree, noise: Tensor, n: Tensor) -> Tree:
        return self.recursion(self.begun(state, noise, n), context)

    # -- training ----------------------------------------------------------------------------------------------

    def loss_weights(self, step: int, total: int) -> dict[str, float]:
        return {"cross_entropy": 1.0, "halt": self.config.halt_weight}

    def forward(self, batch: Batch, carry: Tree, noise: Tensor, referee: Referee) -> StepOutput:
        start = self.begun(detached(carry), noise, batch.step)
        return self.supervised(batch, start, self.encode(batch.inputs, batch.identity), referee)[1]

    def supervised(self, batch: Batch, start: State, context: Tensor, referee: Referee) -> tuple[State, StepOutput]:
        """The state after a supervision step from `start`, and what is learnt from it."""
        z = self.recursion(start, context)
        logits, q_halt = self.decode(z), self.halt_logit(z)
        sure = q_halt.detach() > 0
        losses = {"cross_entropy": self.answer_loss(logits, referee)}
        losses["halt"], metrics = halting(batch, q_halt, referee.reward(logits.argmax(-1)), sure)
        return z, StepOutput(losses, metrics, detached(z), sure)
