"""HRM: the Hierarchical Reasoning Model (arXiv 2506.21734), in the order of its equations.

l <- f_L(l + h + e_x), K times                    the fast module, under a fixed h
h <- f_H(h + l)                                   the slow module; both so T times make a supervision step
gradient through the last l and the last h only   one-step gradient: all before is a constant
logits, q_halt, q_continue = heads(h)             q_halt tells whether the answer is right
q_continue -> max of the next step's two values   Q-learning; in the last step its q_halt. Stops at q_halt > q_continue
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from gram_reasoning.models.configs import HrmConfig
from gram_reasoning.models.two_latents import State, TwoLatents, detached, halting
from gram_reasoning.types import Batch, Referee, Shape, StepOutput


class TwoTimescales(TwoLatents):
    """HRM; see HrmConfig."""

    config: HrmConfig

    def __init__(self, config: HrmConfig, shape: Shape) -> None:
        super().__init__(config, shape)
        self.low_network = self.network()  # f_L
        self.high_network = self.network()  # f_H

    def recursion(self, z: State, context: Tensor) -> State:
        K, T = self.config.low_steps, self.config.transitions
        high, low = z
        with torch.no_grad():
            for n in range(1, K * T):  # all low-level steps but the last
                low = self.low_network(low + high + context, self.rotary)
                if n % K == 0:
                    high = self.high_network(high + low, self.rotary)
        low = self.low_network(low + high + context, self.rotary)
        return State(self.high_network(high + low, self.rotary), low)

    # -- training ----------------------------------------------------------------------------------------------

    def loss_weights(self, step: int, total: int) -> dict[str, float]:
        return {"cross_entropy": 1.0, "halt": self.config.halt_weight, "continue": self.config.halt_weight}

    def forward(self, batch: Batch, carry: State, noise: Tensor, referee: Referee) -> StepOutput:
        del noise
        context = self.encode(batch.inputs, batch.identity)
        z = self.recursion(detached(carry), context)
        logits, (q_halt, q_continue) = self.decode(z), self.q_values(z).unbind(1)
        reward = referee.reward(logits.argmax(-1))
        sure = (q_halt > q_continue).detach() & (reward is not None)  # without rules the values learn nothing
        losses = {"cross_entropy": self.answer_loss(logits, referee)}
        losses["halt"], metrics = halting(batch, q_halt, reward, sure)
        worth = self.worth_of_going_on(detached(z), context.detach(), batch.step + 1 >= self.supervision_steps)
        more = F.binary_cross_entropy_with_logits(q_continue, worth, reduction="none")
        losses["continue"] = 0.0 * more if reward is None else more
        return StepOutput(losses, metrics, detached(z), sure)

    @torch.no_grad()
    def worth_of_going_on(self, z: State, context: Tensor, last: Tensor) -> Tensor:
        """The target of q_continue (B,): how right the answer will be if one more step is taken from z."""
        halt, more = self.q_values(self.recursion(z, context)).unbind(1)
        return torch.where(last, halt, torch.maximum(halt, more)).sigmoid()
