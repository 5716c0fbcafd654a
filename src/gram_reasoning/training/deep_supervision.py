"""Who is in the batch: fixed slots, their roles, when they leave, what enters, and what they are to learn.

One optimizer step runs one supervision step of every slot. A slot that is done takes a new example at once, at a
fixed batch shape (`where`, never a resize). Every choice is keyed by (seed, purpose, global slot, step), so it does not
depend on the process or on the part of the batch that a slot falls into.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from gram_reasoning import noise, trees
from gram_reasoning.config import TrainConfig
from gram_reasoning.models.base import Model
from gram_reasoning.tasks.base import PAD, Problems, Task
from gram_reasoning.tasks.demonstrations import Demonstrations
from gram_reasoning.types import IGNORE, Batch, StepOutput


class Stay(NamedTuple):
    """How long each slot stays with its example."""

    steps: Tensor  # supervision steps done (B,)
    limit: Tensor  # it leaves after this many (B,)
    may_halt_from: Tensor  # it may halt from this step on (B,)
    done: Tensor  # its trajectory is over; it waits for the rest of its group (B,) bool

    def after_step(self, sure: Tensor) -> "Stay":
        """One step later, given which slots halt if they may (B,) bool."""
        steps = self.steps + 1
        done = self.done | (steps >= self.limit) | (sure & (steps >= self.may_halt_from))
        return self._replace(steps=steps, done=done)


class Slots:
    """The slots of one process and what they carry.

    Args:
        slot_ids: global numbers of these slots (B,); groups of `trajectories_per_input` share an input.
    """

    def __init__(self, config: TrainConfig, task: Task, problems: Problems, model: Model, slot_ids: Tensor) -> None:
        self.config, self.task, self.problems, self.model = config, task, problems, model
        self.ids = slot_ids
        self.groups = slot_ids // config.trajectories_per_input
        rows, device = len(slot_ids), slot_ids.device
        # Prior groups are spread evenly: group g is one where the running share passes a whole number. The share is
        # a fraction of 2^20, since it must come out the same everywhere.
        share = round(config.prior_share * 2**20)
        self.is_guided = (self.groups + 1) * share // 2**20 == self.groups * share // 2**20
        self.last_pair = problems.count.cumsum(0)  # number of pairs up to each input
        self.example = torch.zeros(rows, dtype=torch.int64, device=device)
        self.drawn = torch.zeros(rows, dtype=torch.int64, device=device)
        self.carry = model.initial_carry(rows)
        start = torch.zeros(rows, dtype=torch.int64, device=device)
        self.stay = Stay(start, start + model.supervision_steps, start + 1, start > 0)
        self.leaving = torch.ones(rows, dtype=torch.bool, device=device)
        # How long prior slots stayed lately, by number of steps: what guided slots may draw their stay from.
        self.stays = torch.zeros(model.supervision_steps, device=device)
        self.stays[-1] = 1.0

    @property
    def target_entropy(self) -> float:
        """H(y|x) = E[ln n] over the examples that slots draw."""
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
        if c.guided_stay == "drawn":
            position = noise.uniform(noise.keys(c.seed, "stay", self.groups, step))
            stay = 1 + torch.searchsorted(self.stays.cumsum(0) / self.stays.sum(), position).clamp(max=longest - 1)
            limit = torch.where(self.is_guided, stay, limit)
        may_halt_from = torch.full((rows,), 1 if c.halting else longest + 1, device=self.ids.device)
        if c.halting:  # some must go on for a while, so that the halt head sees what thinking longer brings
            random_from = 2 + noise.choice(noise.keys(c.seed, "explore", self.groups, step), max(1, longest - 1))
            explores = noise.uniform(noise.keys(c.seed, "explores", self.groups, step)) < c.halt_exploration
            may_halt_from = torch.where(explores, random_from, may_halt_from)

        if step == 0:  # desynchronise: without this all slots would enter and leave together for ever
            first = 1 + noise.choice(noise.keys(c.seed, "first stay", self.groups, 0), longest)
            limit = first
        entered = Stay(torch.zeros_like(limit), limit, may_halt_from, torch.zeros_like(self.leaving))
        self.stay = trees.where(self.leaving, entered, self.stay)
        self.carry = trees.where(self.leaving, self.model.initial_carry(rows), self.carry)

    def part(self, rows: slice, step: int) -> tuple[Batch, Any, "SlotReferee"]:
        """The slots `rows` as one batch, with what they carry and their referee."""
        index = self.example[rows]
        inputs, solution = self.seen(rows, step, self.problems.solution(index, self.drawn[rows])[:, None])
        is_open = self.problems.is_open(index)
        number = self.identity(rows, step)
        vector = None
        if number is not None and self.model.identities is not None:
            vector = self.model.identities(number).requires_grad_()
        targets = self.task.learnt(solution[:, 0])
        batch = Batch(inputs, targets, self.is_guided[rows], is_open, self.stay.steps[rows], vector)
        return batch, trees.over(lambda t: t[rows], self.carry), SlotReferee(self, batch, rows, step)

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
        entered = step - self.stay.steps[rows]
        return noise.keys(self.config.seed, "augment", self.groups[rows], entered)

    def candidates(self, rows: slice, step: int) -> tuple[Tensor, Tensor]:
        """Solutions that the slots may learn (B, C, L), as their inputs are augmented, and which exist (B, C)."""
        index = self.example[rows]
        # Wishes are for one of the same few as long as a trajectory lasts.
        when = step - self.stay.steps[rows] if self.config.prior_target == "wished" else step
        key = noise.keys(self.config.seed, "candidates", self.groups[rows], when)
        candidates, exists = self.problems.candidates(index, self.config.candidates, key)
        equivalents = self.task.equivalents(self.seen(rows, step, candidates)[1])
        return equivalents, exists.repeat(1, equivalents.shape[1] // candidates.shape[1])

    def store(self, parts: list[StepOutput]) -> Tensor:
        """Take back what the parts of the batch carry on; a group leaves when its last trajectory is done.

        Returns:
            How many prior slots leave after 1, 2, ... steps (N_sup,): `count_stays` wants it, over all processes.
        """
        self.carry = trees.cat([part.carry for part in parts])
        everyone = torch.zeros_like(self.leaving)
        sure = everyone if parts[0].sure is None else torch.cat([_sure(part) for part in parts])
        self.stay = self.stay.after_step(sure & ~self.is_guided)
        group = self.config.trajectories_per_input
        self.leaving = self.stay.done.view(-1, group).all(1).repeat_interleave(group)
        free = (self.leaving & ~self.is_guided).float()
        last = (self.stay.steps - 1).clamp(0, len(self.stays) - 1)
        return torch.zeros_like(self.stays).scatter_add_(0, last, free)

    def count_stays(self, leaving: Tensor) -> None:
        """Take note of how long the prior slots of all processes stayed."""
        self.stays = 0.99 * self.stays + leaving

    # -- checkpoint --------------------------------------------------------------------------------------------

    COMMON = ("stays",)
    """Tensors that are the same for all slots; the others have a row for each."""

    OWN = ("example", "drawn", "leaving", "stays")

    def tensors(self) -> dict[str, Tensor]:
        """Everything carried, by name."""
        own = {name: getattr(self, name) for name in self.OWN}
        return {**own, **self.stay._asdict(), **trees.named(self.carry)}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Continue from what `tensors` gave."""
        for name in self.OWN:
            setattr(self, name, tensors[name])
        self.stay = Stay(*(tensors[name] for name in Stay._fields))
        self.carry = trees.rebuilt(self.carry, tensors)


class SlotReferee:
    """The rules of the task for some rows of the slots (see types.Referee).

    All that depends on the step is drawn here, so that a compiled model sees tensors and constants only.
    """

    def __init__(self, slots: Slots, batch: Batch, rows: slice, step: int) -> None:
        c = slots.config
        self.task, self.batch, self.halt_target = slots.task, batch, c.halt_target
        self.stay = trees.over(lambda t: t[rows], slots.stay)
        self.prior_target = "drawn" if c.prior_share == 0 else c.prior_target
        self.group = c.trajectories_per_input if c.prior_target == "matched" else 1
        self.wish_weight = c.wish_weight
        if self.prior_target in ("nearest", "matched", "wished"):
            self.candidates, self.exists = slots.candidates(rows, step)

    def targets(self, logits: Tensor, wishes: Tensor | None = None) -> Tensor:
        batch, guided = self.batch, self.batch.is_guided[:, None]
        if self.prior_target == "drawn":
            return batch.targets
        if self.prior_target == "none":
            return torch.where(guided, batch.targets, IGNORE)
        favour = logits.float().log_softmax(-1)
        if self.prior_target == "wished":
            assert wishes is not None
            favour = favour + self.wish_weight * wishes.float()
        favour = favour.gather(2, self.candidates.transpose(1, 2))
        score = (favour * (self.candidates != PAD).transpose(1, 2)).sum(1)  # ln p(candidate | h), wished (B, C)
        score, exists = (t.unflatten(0, (-1, self.group)) for t in (score, self.exists))
        chosen = spread(score, exists[:, 0]).flatten()
        nearest = self.candidates[torch.arange(len(chosen), device=chosen.device), chosen]
        return torch.where(guided, batch.targets, self.task.learnt(nearest))

    def reward(self, prediction: Tensor) -> Tensor | None:
        if self.halt_target == "equal":
            targets = self.batch.targets
            return ((prediction == targets) | (targets == IGNORE)).all(1).float()
        return self.task.reward(prediction, self.batch.inputs)

    def ends(self, sure: Tensor) -> Tensor:
        return self.stay.after_step(sure & ~self.batch.is_guided).done & ~self.stay.done


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


def _sure(part: StepOutput) -> Tensor:
    assert part.sure is not None
    return part.sure
