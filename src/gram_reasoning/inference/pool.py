"""Trajectories under way, side by side: what every way to infer shares.

Each row of the pool is one trajectory on one input. Its noise is keyed by (seed, input, trajectory, step), so neither
the pool's size and order nor the number of processes changes what it says. Which trajectories start, go on and end is
the matter of who holds the pool: the sampler, answer sets, particles.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from gram_reasoning import noise, trees
from gram_reasoning.errors import UserError, check
from gram_reasoning.models.base import Model, RecursiveModel, probability
from gram_reasoning.nn.distributions import gumbel
from gram_reasoning.trees import Tree
from gram_reasoning.types import Answer

ALL = slice(None)
HaltBy = Literal["confidence", "head"]


@dataclass(frozen=True, kw_only=True)
class Course:
    """What is the same for all trajectories: the model, the inputs, the noise, and what being sure means."""

    model: Model
    own_steps: int
    """Steps that the model takes by itself."""
    inputs: Tensor
    """(M, L) int64, on the model's device."""
    seed: int
    first_input: int = 0
    """Number of the first input, which keys its noise."""
    random_start: bool = False
    """Draw z_0 anew for each trajectory in place of the stored one."""
    latent_noise: float = 0.0
    """Standard deviation of normal noise on the latent state before every step (PTRM)."""
    draw_tokens: bool = False
    """Draw each token of an answer by the decoder's probabilities, in place of the most probable."""
    halt_by: HaltBy = "confidence"
    halt_at: float = 0.95
    """Probability above which a trajectory is sure."""
    counted: slice | None
    """Tokens of an answer that count (Task.counted); None if nobody can say."""
    identity: Tensor | None = None
    """The vector of each input's identity (M, D)."""

    def check(self, steps: int, halting: bool) -> None:
        """Refuse what the model cannot do: so many steps, halting, another start, being sure by what does not count."""
        model, name = self.model, type(self.model).__name__
        own, refines = self.own_steps, isinstance(model, RecursiveModel)
        check(model.goes_deeper or steps == own, "--steps", steps, f"{own}, all that {name} takes")
        check(refines or not halting, "--halting", True, f"nothing for {name}: it answers at its last step alone")
        why = f"nothing for {name}: it has no latent state"
        check(refines or not self.latent_noise, "--latent-noise", self.latent_noise, why)
        start = model.start_shape() if isinstance(model, RecursiveModel) else None
        varies = start is not None or not self.random_start
        check(varies, "--random-start", True, f"nothing for {name}: it has one start")
        unsure = halting and self.halt_by == "confidence" and self.counted is None
        check(not unsure, "--halt-by", "confidence", "head, for a task whose answers differ in size")

    def start(self, row: Tensor, number: Tensor, stored: Tree) -> Tree:
        """The first state of each trajectory `number` on input `row`, `stored` where all begin alike."""
        if not self.random_start:
            return stored
        assert isinstance(self.model, RecursiveModel)
        shape = self.model.start_shape()
        assert shape is not None
        keys = noise.keys(self.seed, "start", self.first_input + row, number)
        return self.model.initial_state(len(row), noise.normal(keys, shape))

    def context(self, row: Tensor, tokens: Tensor | None = None) -> Tree:
        """What the steps see of input `row`, or of `tokens` (B, L) in its place."""
        identity = None if self.identity is None else self.identity[row]
        return self.model.encode(self.inputs[row] if tokens is None else tokens, identity)

    def step(self, context: Tree, state: Tree, row: Tensor, number: Tensor, steps: Tensor) -> Tree:
        """One step of trajectories that have done `steps`, each with its own noise."""

        def draws(purpose: str, shape: Sequence[int]) -> Tensor:
            return noise.normal(noise.keys(self.seed, purpose, self.first_input + row, number, steps), tuple(shape))

        if self.latent_noise:
            tensors = trees.named(state)
            for name in tensors.keys() - self.model.steady:
                tensors[name] = tensors[name] + self.latent_noise * draws(f"latent {name}", tensors[name].shape[1:])
            state = trees.rebuilt(state, tensors)
        return self.model.step(context, state, draws("sample", self.model.step_noise_shape()), steps)

    def answer(self, state: Tree, row: Tensor, number: Tensor, steps: Tensor) -> Answer:
        """What the states say after the step that followed `steps`; tokens are drawn by the Gumbel trick."""
        answer = self.model.answer(state)
        if not self.draw_tokens:
            return answer
        if answer.logits is None:
            raise UserError("--draw-tokens: expected a model whose answer is decoded from logits")
        keys = noise.keys(self.seed, "tokens", self.first_input + row, number, steps)
        normal = noise.normal(keys, answer.logits.shape[1:])
        return answer._replace(tokens=(answer.logits + gumbel(normal.double())).argmax(-1))

    def sureness(self, answer: Answer) -> Tensor:
        """How sure each trajectory is of its answer, as a probability (B,)."""
        if self.halt_by == "head":
            if answer.halt is None:
                raise UserError("--halt-by: got 'head', expected confidence, for a model without a halt head")
            return answer.halt
        assert answer.logits is not None
        return probability(answer.logits[:, self.counted or ALL])


class Pool:
    """Rows that step together; its holder adds, keeps and repeats them between steps.

    Args:
        course: what they share.
        chunk: rows in one call of the model.
    """

    def __init__(self, course: Course, chunk: int) -> None:
        beams = course.model.side_by_side > 1
        check(not beams, "--decode", "beam", "another: here trajectories run each on its own")
        self.course, self.chunk = course, chunk
        where = course.inputs.device
        self.row = torch.zeros(0, dtype=torch.int64, device=where)
        """Input of each trajectory (B,)."""
        self.number = self.row
        """Number of each among those of its input (B,)."""
        self.steps: Tensor = self.row
        """Steps that each has done (B,)."""
        self.tokens = course.inputs[:0]
        """What each sees of its input (B, L): the input, or that with a cell pinned."""
        self.state: Tree = course.model.initial_state(0)

    def __len__(self) -> int:
        return len(self.row)

    def add(self, row: Tensor, number: Tensor, tokens: Tensor | None = None) -> None:
        """Start trajectories `number` on inputs `row`, both (B,), after those that are there.

        Args:
            tokens: what they see in place of the inputs (B, L).
        """
        fresh = self.course.start(row, number, self.course.model.initial_state(len(row)))
        self.state = trees.cat([self.state, fresh]) if len(self) else fresh
        self.row, self.number = torch.cat([self.row, row]), torch.cat([self.number, number])
        self.steps = torch.cat([self.steps, torch.zeros_like(row)])
        self.tokens = torch.cat([self.tokens, self.course.inputs[row] if tokens is None else tokens])

    def take(self, index: Tensor) -> None:
        """Go on with the rows at `index` alone; one that is named twice goes on twice."""
        self.row, self.number, self.steps = self.row[index], self.number[index], self.steps[index]
        self.tokens = self.tokens[index]
        self.state = trees.over(lambda t: t[index], self.state)

    def step(self) -> Answer:
        """One step of every trajectory, `chunk` rows at a time, and what each says then."""
        states, answers = [], []
        for part in torch.arange(len(self), device=self.row.device).split(self.chunk):
            row, number, steps = self.row[part], self.number[part], self.steps[part]
            state = trees.over(lambda t: t[part], self.state)  # noqa: B023 - used at once
            state = self.course.step(self.course.context(row, self.tokens[part]), state, row, number, steps)
            states.append(state)
            answers.append(self.course.answer(state, row, number, steps))
        self.state, self.steps = trees.cat(states), self.steps + 1

        def joined(name: str) -> Tensor | None:
            parts = [getattr(answer, name) for answer in answers]
            return None if parts[0] is None else torch.cat(parts)

        tokens, value = torch.cat([a.tokens for a in answers]), torch.cat([a.value for a in answers])
        return Answer(tokens, joined("logits"), value, joined("halt"))
