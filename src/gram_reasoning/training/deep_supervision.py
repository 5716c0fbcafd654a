"""Who is in the batch: fixed slots, their roles, when they leave, what enters, and what they are to learn.

One optimizer step runs one supervision step of every slot. A slot that is done takes a new example at once, at a
fixed batch shape (`where`, never a resize). Every choice is keyed by (seed, purpose, global slot, step), so it does not
depend on the process or on the part of the batch that a slot falls into.
"""

import dataclasses

import torch
from torch import Tensor

from gram_reasoning import noise
from gram_reasoning.config import TrainConfig
from gram_reasoning.models.base import RecursiveModel
from gram_reasoning.tasks.base import PAD, Problems, Task, learnt
from gram_reasoning.tasks.demonstrations import Demonstrations
from gram_reasoning.types import IGNORE, Batch, LatentState, SlotState, StepOutput


class Slots:
    """The slots of one process and what they carry.

    Args:
        slot_ids: global numbers of these slots (B,); groups of `trajectories_per_input` share an input.
    """

    def __init__(
        self, config: TrainConfig, task: Task, problems: Problems, model: RecursiveModel, slot_ids: Tensor
    ) -> None:
        self.config, self.task, self.problems, self.model = config, task, problems, model
        self.ids = slot_ids
        self.groups = slot_ids // config.trajectories_per_input
        rows, device = len(slot_ids), slot_ids.device
        # Prior groups are spread evenly: group g is one where the running share passes a whole number. The share is
        # a fraction of 2^20, since it must come out the same everywhere.
        share = round(config.prior_share * 2**20)
        self.is_posterior = (self.groups + 1) * share // 2**20 == self.groups * share // 2**20
        self.last_pair = problems.count.cumsum(0)  # number of pairs up to each input
        self.example = torch.zeros(rows, dtype=torch.int64, device=device)
        self.drawn = torch.zeros(rows, dtype=torch.int64, device=device)
        self.state = model.initial_slots(rows)
        self.leaving = torch.ones(rows, dtype=torch.bool, device=device)
        # How long prior slots stayed lately, by number of steps: what posterior slots may draw their stay from.
        self.stays = torch.zeros(model.supervision_steps, device=device)
        self.stays[-1] = 1.0

    @property
    def target_entropy(self) -> float:
        """H(y|x) = E[ln n] over the examples that slots draw, in nats."""
        n = self.problems.count.double()
        weight = n if self.config.examples == "pairs" else torch.ones_like(n)
        return float((weight * n.log()).sum() / weight.sum())

    def keys(self, purpose: str, step: int) -> Tensor:
        return noise.keys(self.config.seed, purpose, self.ids, step)

    def refill(self, step: int) -> None:
        """Give every leaving slot a new example, a new target, and z_0."""
        c, rows = self.config, len(self.ids)
        group_key = noise.keys(c.seed, "example", self.groups, step)
        entering = noise.choice(group_key, self.last_pair[-1] if c.examples == "pairs" else len(self.problems))
        if c.examples == "pairs":  # the input that this pair belongs to
            entering = torch.searchsorted(self.last_pair, entering, right=True)
        self.example = torch.where(self.leaving, entering, self.example)
        drawn = noise.choice(self.keys("target", step), self.problems.count[self.example])
        self.drawn = torch.where(self.leaving, drawn, self.drawn)

        longest = self.model.supervision_steps
        limit = torch.full((rows,), longest, device=self.ids.device)
        if c.posterior_stay == "drawn":
            position = noise.uniform(noise.keys(c.seed, "stay", self.groups, step))
            stay = 1 + torch.searchsorted(self.stays.cumsum(0) / self.stays.sum(), position).clamp(max=longest - 1)
            limit = torch.where(self.is_posterior, stay, limit)
        may_halt_from = torch.full((rows,), 1 if c.halting else longest + 1, device=self.ids.device)
        if c.halting:  # some must go on for a while, so that the halt head sees what thinking longer brings
            random_from = 2 + noise.choice(noise.keys(c.seed, "explore", self.groups, step), max(1, longest - 1))
            explores = noise.uniform(noise.keys(c.seed, "explores", self.groups, step)) < c.halt_exploration
            may_halt_from = torch.where(explores, random_from, may_halt_from)

        if step == 0:  # desynchronise: without this all slots would enter and leave together for ever
            first = 1 + noise.choice(noise.keys(c.seed, "first stay", self.groups, 0), longest)
            limit = first
        fresh, old = self.model.initial_slots(rows), self.state
        column = self.leaving[:, None, None]
        self.state = SlotState(
            latent=old.latent.where(self.leaving, fresh.latent),
            steps=torch.where(self.leaving, fresh.steps, old.steps),
            limit=torch.where(self.leaving, limit, old.limit),
            may_halt_from=torch.where(self.leaving, may_halt_from, old.may_halt_from),
            done=torch.where(self.leaving, fresh.done, old.done),
            registers=torch.where(column, fresh.registers, old.registers),
        )

    def part(self, rows: slice, step: int) -> tuple[Batch, SlotState, "SlotReferee"]:
        """The slots `rows` as one batch, with the state they carry and their referee."""
        index = self.example[rows]
        inputs, solution = self.seen(rows, step, self.problems.solution(index, self.drawn[rows])[:, None])
        is_open = self.problems.is_open(index)
        number = self.identity(rows, step)
        vector = None
        if number is not None and self.model.identities is not None:
            vector = self.model.identities(number).requires_grad_()
        batch = Batch(inputs, learnt(solution[:, 0]), self.is_posterior[rows], is_open, vector)
        return batch, _map_state(lambda t: t[rows], self.state), SlotReferee(self, batch, rows, step)

    def identity(self, rows: slice, step: int) -> Tensor | None:
        """The number of each slot's identity: its owner in a random augmentation, kept until the slot leaves."""
        if not isinstance(self.task, Demonstrations) or self.problems.identity is None:
            return None
        # The purpose decides the draws, so it keeps its old word.
        key = noise.keys(self.config.seed, "disguise", self.augmentation_keys(rows, step))
        return self.problems.identity[self.example[rows]] + noise.choice(key, self.task.augmentations)

    def seen(self, rows: slice, step: int, solutions: Tensor) -> tuple[Tensor, Tensor]:
        """The inputs (B, L) and the given solutions (B, K, L) as the slots see them: augmented."""
        inputs = self.problems.inputs[self.example[rows]].long()
        number = self.identity(rows, step)
        if isinstance(self.task, Demonstrations) and number is not None:
            inputs, solutions = self.task.apply_augmentation(inputs, solutions, number)
        return self.task.augment(inputs, solutions, self.augmentation_keys(rows, step))

    def augmentation_keys(self, rows: slice, step: int) -> Tensor:
        """The same for all slots of a group, and for all steps since it took its example."""
        entered = step - self.state.steps[rows]
        return noise.keys(self.config.seed, "augment", self.groups[rows], entered)

    def candidates(self, rows: slice, step: int) -> tuple[Tensor, Tensor]:
        """Solutions that the slots may learn (B, C, L), as their inputs are augmented, and which exist (B, C)."""
        index = self.example[rows]
        key = noise.keys(self.config.seed, "candidates", self.groups[rows], step)
        candidates, exists = self.problems.candidates(index, self.config.candidates, key)
        return self.seen(rows, step, candidates)[1], exists

    def store(self, parts: list[StepOutput]) -> Tensor:
        """Take back what the parts of the batch carry on; a group leaves when its last trajectory is done.

        Returns:
            How many prior slots leave after 1, 2, ... steps (N_sup,): `count_stays` wants it, over all processes.
        """
        states = [part.state for part in parts]
        self.state = _cat_states(states)
        group = self.config.trajectories_per_input
        self.leaving = self.state.done.view(-1, group).all(1).repeat_interleave(group)
        prior = (self.leaving & ~self.is_posterior).float()
        last = (self.state.steps - 1).clamp(0, len(self.stays) - 1)
        return torch.zeros_like(self.stays).scatter_add_(0, last, prior)

    def count_stays(self, leaving: Tensor) -> None:
        """Take note of how long the prior slots of all processes stayed."""
        self.stays = 0.99 * self.stays + leaving

    # -- checkpoint --------------------------------------------------------------------------------------------

    COMMON = ("stays",)
    """Tensors that are the same for all slots; the others have a row for each."""

    def tensors(self) -> dict[str, Tensor]:
        """Everything carried, by name."""
        own = {name: getattr(self, name) for name in ("example", "drawn", "leaving", "stays")}
        state = {f.name: getattr(self.state, f.name) for f in dataclasses.fields(SlotState) if f.name != "latent"}
        return {**own, **state, "high": self.state.latent.high, "low": self.state.latent.low}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Continue from what `tensors` gave."""
        for name in ("example", "drawn", "leaving", "stays"):
            setattr(self, name, tensors[name])
        rest = {f.name: tensors[f.name] for f in dataclasses.fields(SlotState) if f.name != "latent"}
        self.state = SlotState(latent=LatentState(tensors["high"], tensors["low"]), **rest)


class SlotReferee:
    """The rules of the task for some rows of the slots (see types.Referee).

    All that depends on the step is drawn here, so that a compiled model sees tensors and constants only.
    """

    def __init__(self, slots: Slots, batch: Batch, rows: slice, step: int) -> None:
        c = slots.config
        self.task, self.batch, self.halt_target = slots.task, batch, c.halt_target
        self.prior_target = "drawn" if c.prior_share == 0 else c.prior_target
        self.group = c.trajectories_per_input if c.prior_target == "matched" else 1
        if self.prior_target in ("nearest", "matched"):
            self.candidates, self.exists = slots.candidates(rows, step)

    def targets(self, logits: Tensor) -> Tensor:
        batch, posterior = self.batch, self.batch.is_posterior[:, None]
        if self.prior_target == "drawn":
            return batch.targets
        if self.prior_target == "none":
            return torch.where(posterior, batch.targets, IGNORE)
        log_p = logits.float().log_softmax(-1).gather(2, self.candidates.transpose(1, 2))
        score = (log_p * (self.candidates != PAD).transpose(1, 2)).sum(1)  # ln p(candidate | h) (B, C)
        score, exists = (t.unflatten(0, (-1, self.group)) for t in (score, self.exists))
        chosen = spread(score, exists[:, 0]).flatten()
        nearest = self.candidates[torch.arange(len(chosen), device=chosen.device), chosen]
        return torch.where(posterior, batch.targets, learnt(nearest))

    def reward(self, prediction: Tensor) -> Tensor | None:
        if self.halt_target == "equal":
            targets = self.batch.targets
            return ((prediction == targets) | (targets == IGNORE)).all(1).float()
        return self.task.reward(prediction, self.batch.inputs)


def spread(score: Tensor, exists: Tensor) -> Tensor:
    """Assign each of G trajectories one of C solutions: the best pairs first, every solution its share.

    Each of n existing solutions is given to floor(G / n) trajectories, and G mod n of them to one more. For G = 1 this
    is the best solution. Greedy, on the device, without a host sync: G rounds.

    Args:
        score: ln p of each solution under each trajectory (groups, G, C).
        exists: which solutions exist (groups, C).

    Returns:
        The chosen solution of each trajectory (groups, G) int64.
    """
    groups, G, C = score.shape
    n = exists.sum(1)
    share = torch.where(exists, (G // n)[:, None], 0)  # what each solution gets at least
    used = torch.zeros_like(share)
    extra = G % n  # solutions that get one more
    open_rows = torch.ones(groups, G, dtype=torch.bool, device=score.device)
    chosen = torch.zeros(groups, G, dtype=torch.int64, device=score.device)
    here = torch.arange(groups, device=score.device)
    for _ in range(G):
        more = (used == share) & exists & (extra > 0)[:, None]
        allowed = open_rows[:, :, None] & ((used < share) | more)[:, None, :]
        best = score.masked_fill(~allowed, -torch.inf).flatten(1).argmax(1)
        row, column = best // C, best % C
        chosen[here, row] = column
        open_rows[here, row] = False
        extra -= (used[here, column] == share[here, column]).long()
        used[here, column] += 1
    return chosen


def _map_state(function, state: SlotState) -> SlotState:
    latent = LatentState(function(state.latent.high), function(state.latent.low))
    rest = {f.name: function(getattr(state, f.name)) for f in dataclasses.fields(SlotState) if f.name != "latent"}
    return SlotState(latent=latent, **rest)


def _cat_states(states: list[SlotState]) -> SlotState:
    if len(states) == 1:
        return states[0]
    latent = LatentState(torch.cat([s.latent.high for s in states]), torch.cat([s.latent.low for s in states]))
    names = [f.name for f in dataclasses.fields(SlotState) if f.name != "latent"]
    return SlotState(latent=latent, **{name: torch.cat([getattr(s, name) for s in states]) for name in names})
