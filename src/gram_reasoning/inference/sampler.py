"""Rollouts under the prior: N trajectories for each input, any number of supervision steps, bounded memory.

Trajectories run in a pool of fixed size; one that is done (its steps are used up, or it has halted) gives its place to
the next at once, and when none is left to start, the pool shrinks to those that go on. A trajectory's noise is keyed by
(seed, input, sample, step), so neither the pool's size and order nor the number of processes changes it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from gram_reasoning import trees
from gram_reasoning.config import EvalConfig
from gram_reasoning.errors import check
from gram_reasoning.inference.pool import ALL, Course, HaltBy
from gram_reasoning.models.base import Model, can_halt, decodes, margin
from gram_reasoning.nn.precision import Precision, autocast
from gram_reasoning.processes import ALONE, Processes
from gram_reasoning.trees import Tree
from gram_reasoning.types import Candidates

Decode = Literal["ancestral", "greedy", "beam"]
FlowBy = Literal["ode", "sde"]
LOOK_EVERY = 4
"""Steps after which the host asks a GPU how many trajectories are left; on CPU asking costs nothing."""


@dataclass(frozen=True, kw_only=True)
class SamplerConfig:
    """How to roll out."""

    samples: int = 20
    """N, trajectories for each input."""
    steps: int = 16
    """Steps of each; of a recursive model also beyond the trained number."""
    halting: bool = False
    """A trajectory ends when it is sure of its answer (ACT); `steps` is then the budget."""
    halt_by: HaltBy = "confidence"
    """How sure it is: what the decoder gives to all tokens of its answer together, or what the halt head says."""
    halt_at: float = 0.95
    """Probability above which it halts."""
    chunk: int = 512
    """Trajectories in the pool: bounds the memory."""
    seed: int = 0
    """Seed of the noise."""
    random_start: bool = False
    """Draw z_0 anew for each trajectory in place of the stored one: how a model without noise can vary."""
    latent_noise: float = 0.0
    """Standard deviation of normal noise on the latent state before every step: another way to vary (PTRM)."""
    draw_tokens: bool = False
    """Draw each token of an answer by the decoder's probabilities, in place of the most probable."""
    temperature: float | None = None
    """By which the logits of drawn tokens are divided, for a model that draws them; None: 1."""
    decode: Decode | None = None
    """How a model that draws one token after the other does it: by chance (None), always the likeliest, or by a
    stochastic beam search, whose samples of an input never repeat."""
    flow: FlowBy | None = None
    """How a flow goes from noise to an answer: without fresh noise or with it; None: as its recipe says."""
    precision: Precision = "fp32"
    """Of matrix products; bf16 is several times faster on most devices."""

    def __post_init__(self) -> None:
        for name, most in (("samples", 100_000), ("steps", 100_000), ("chunk", 1_000_000)):
            check(1 <= getattr(self, name) <= most, name, getattr(self, name), f"1 to {most}")
        check(0 <= self.latent_noise < float("inf"), "--latent-noise", self.latent_noise, "a number from 0 on")
        hot = self.temperature is None or 0 < self.temperature < float("inf")
        check(hot, "--temperature", self.temperature, "a number above 0")

    def course(
        self,
        model: Model,
        inputs: Tensor,
        first_input: int = 0,
        counted: slice | None = ALL,
        identity: Tensor | None = None,
    ) -> Course:
        """What the trajectories on `inputs` (M, L) int64 share, on the model's device."""
        return Course(
            model=as_asked(model, self),
            own_steps=model.sampling_steps,
            inputs=inputs,
            seed=self.seed,
            first_input=first_input,
            random_start=self.random_start,
            latent_noise=self.latent_noise,
            draw_tokens=self.draw_tokens,
            halt_by=self.halt_by,
            halt_at=self.halt_at,
            counted=counted,
            identity=None if identity is None else identity.to(inputs.device),
        )

    @classmethod
    def filled(
        cls, defaults: EvalConfig, model: Model, samples: int | None, steps: int | None, **rest: Any
    ) -> "SamplerConfig":
        """With the recipe's numbers, and the model's own steps, where None stands."""
        samples = defaults.samples if samples is None else samples
        steps = (defaults.steps or model.sampling_steps) if steps is None else steps
        rest["draw_tokens"] = defaults.draw_tokens or rest.get("draw_tokens", False)
        if rest.get("latent_noise") is None:
            rest["latent_noise"] = defaults.latent_noise
        return cls(samples=samples, steps=steps, **rest)


@torch.no_grad()
def sample(
    model: Model,
    inputs: Tensor,
    config: SamplerConfig,
    first_input: int = 0,
    tick: Callable[[int, int], None] = lambda done, total: None,
    processes: Processes = ALONE,
    identity: Tensor | None = None,
    counted: slice | None = ALL,
) -> Candidates:
    """Sample `config.samples` answers for each input.

    Args:
        inputs: (M, L) integer tokens.
        first_input: number of the first input, which keys its noise: a stream sampled in pieces gives what it
            gives in one call.
        tick: called from time to time with the number of trajectories done and the number in all.
        processes: share the trajectories; each gets all candidates.
        identity: the vector of each input's identity (M, D), for a model that learnt some.
        counted: tokens of an answer that count (Task.counted).

    Returns:
        Candidates on the model's device.

    Raises:
        UserError: the model cannot run as asked for: so many steps, halting, another start, latent noise, drawn tokens,
            a setting that it does not heed; or nobody can say which tokens count when it halts by confidence.
    """
    inputs = inputs.to(next(model.parameters()).device).long()
    course = config.course(model, inputs, first_input, counted, identity)
    course.check(config.steps, config.halting)
    with autocast(inputs.device, config.precision):
        return _sample(course, config, tick, processes)


def as_asked(model: Model, config: SamplerConfig) -> Model:
    """The model set to sample as the config says; UserError if it does not heed a setting."""
    asked = {name: getattr(config, name) for name in ("temperature", "decode", "flow")}
    asked = {name: value for name, value in asked.items() if value is not None}
    for name, value in asked.items():
        check(name in model.heeds, f"--{name}", value, f"nothing for {type(model).__name__}, which has no such setting")
    return model.set_to(sampling_steps=config.steps, samples=config.samples, **asked)


def _sample(
    course: Course, config: SamplerConfig, tick: Callable[[int, int], None], processes: Processes
) -> Candidates:
    model, inputs = course.model, course.inputs
    device = inputs.device
    N, everyone = config.samples, len(inputs) * config.samples
    side = model.side_by_side  # trajectories that stay side by side, in the pool and among processes
    own = range(everyone)[_times(processes.share(everyone // side), side)]
    total = len(own)
    answers = torch.zeros(total + 1, inputs.shape[1], dtype=torch.int64, device=device)  # the last row: a bin
    values = torch.zeros(total + 1, device=device)
    taken = torch.zeros(total + 1, dtype=torch.int64, device=device)
    halts = torch.zeros(total + 1, device=device) if can_halt(model) else None
    margins = torch.zeros(total + 1, device=device) if decodes(model) and not config.draw_tokens else None

    rows = min(max(side, config.chunk // side * side), total)
    trajectory = torch.arange(rows, device=device)  # of those in `own`; `total` where a place is empty
    started = torch.tensor(rows, device=device)
    steps = torch.zeros(rows, dtype=torch.int64, device=device)
    stored = model.initial_state(rows)

    def place(trajectory: Tensor) -> tuple[Tensor, Tensor]:
        """Its input and its number there; an empty place repeats the last."""
        number = own.start + trajectory.clamp(max=total - 1)
        return number // N, number % N

    def context_of(trajectory: Tensor) -> Tree:
        return course.context(place(trajectory)[0])

    state = course.start(*place(trajectory), stored)
    context = context_of(trajectory)
    turn = 0
    while rows:
        here = (*place(trajectory), steps)
        state = course.step(context, state, *here)
        steps, turn = steps + 1, turn + 1
        if not config.halting and turn % config.steps:
            continue  # all began together, so nobody is done
        answer, done = course.answer(state, *here), steps >= config.steps
        if config.halting:
            done = done | (course.sureness(answer) > config.halt_at)
        finished = torch.where(done, trajectory, total)  # the others write into the bin
        answers[finished] = answer.tokens
        if halts is not None and answer.halt is not None:
            halts[finished] = answer.halt
        if margins is not None and answer.logits is not None:
            margins[finished] = margin(answer.logits[:, course.counted or ALL].float())
        values[finished] = answer.value
        taken[finished] = steps

        trajectory = torch.where(done, started + done.cumsum(0) - 1, trajectory).clamp(max=total)
        started = started + done.sum()
        steps = torch.where(done, 0, steps)
        state = trees.where(done, course.start(*place(trajectory), stored), state)
        if device.type != "cpu" and config.halting and turn % LOOK_EVERY:
            context = context_of(trajectory)
            continue
        going = trajectory < total
        left = int(going.sum())
        tick(min(int(started), total) - left, total)
        if left <= rows // 2:  # nobody waits to start: keep those that go on
            keep = going.nonzero()[:, 0]
            trajectory, steps, rows = trajectory[keep], steps[keep], left
            state = trees.over(lambda t: t[keep], state)  # noqa: B023 - used at once
            stored = trees.over(lambda t: t[:left], stored)  # noqa: B023
        context = context_of(trajectory)
    shape = (len(inputs), N)
    kept = [answers, values, taken, *(t for t in (halts, margins) if t is not None)]
    kept = [t[:total].view(total // side, side, *t.shape[1:]) for t in kept]
    found = [processes.gather(t, everyone // side).flatten(0, 1) for t in kept]
    first, *numbers = (t.view(*shape, *t.shape[1:]) for t in found)
    told = iter(numbers[2:])
    sure, gaps = (None if t is None else next(told) for t in (halts, margins))
    return Candidates(first, numbers[0], numbers[1], sure, gaps)


def _times(part: slice, factor: int) -> slice:
    """The things of a part of groups of so many things."""
    return slice(part.start * factor, part.stop * factor)
