"""An owner that a model was not trained on: its demonstrations teach vectors, then its questions are answered.

All weights stand still. The rest is as in training: slots, supervision steps and signSGD on the vectors of a batch,
one vector for each augmentation. Slots roll out under the prior, as the questions will.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from gram_reasoning import noise
from gram_reasoning.config import TrainConfig
from gram_reasoning.evaluation.evaluator import attempts, evaluate, identity_vectors
from gram_reasoning.inference.sampler import SamplerConfig, sample
from gram_reasoning.inference.select import RankedAnswer, Rule, in_standard_form, rank, scores
from gram_reasoning.models.base import Model
from gram_reasoning.nn.identity import IdentityTable
from gram_reasoning.nn.precision import autocast
from gram_reasoning.tasks.base import Problems
from gram_reasoning.tasks.demonstrations import Demonstrations, Episode, augmented
from gram_reasoning.training.deep_supervision import Slots


@dataclass(frozen=True)
class EpisodeAnswers:
    """What a model answers to the questions of one owner."""

    demonstrations_right: float
    """Share of the demonstrations that its first choice repeats."""
    answers: list[list[RankedAnswer]]
    """For each question the distinct answers, best first."""
    submitted: Tensor
    """The best `task.attempts` of each (questions, attempts, L)."""
    right: list[list[bool] | None]
    """Which of `answers` are right, where the solution is known."""


def fit(
    model: Model,
    task: Demonstrations,
    demonstrations: Problems,
    config: TrainConfig,
    steps: int,
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> IdentityTable:
    """Vectors for the augmentations of one owner, learnt from its demonstrations.

    Args:
        task: with as many augmentations as are wanted.
        demonstrations: with identity 0 throughout.
        config: of the model's training; seed, batch and the identities' learning rate and decay are taken from it.
        steps: supervision steps.
    """
    trained = model.identities
    assert trained is not None
    device = trained.vectors.device
    table = IdentityTable(task.augmentations, trained.vectors.shape[1]).to(device)
    table.vectors += trained.vectors.mean(0)  # as far from every task as from any other
    group = config.trajectories_per_input
    rows = max(1, config.batch_size // config.accumulation // group) * group
    config = replace(
        config, batch_size=rows, accumulation=1, prior_share=1.0, prior_target="drawn", halting=False,
        guided_stay="full",
    )  # fmt: skip
    weights = model.loss_weights(0, steps)
    with swapped_identities(model, table):
        slots = Slots(config, task, demonstrations.to(device), model, torch.arange(rows, device=device))
        for step in range(steps):
            slots.refill(step)
            numbers = slots.identity(slice(None), step)
            batch, carry, referee = slots.part(slice(None), step)
            assert numbers is not None
            assert batch.identity is not None
            with autocast(device, config.precision):
                draws = noise.normal(slots.keys("noise", step), model.noise_shape())
                out = model(batch, carry, draws, referee)
            total = sum((weights[name] * loss.sum() for name, loss in out.losses.items()), start=torch.zeros(()))
            (gradient,) = torch.autograd.grad(total, [batch.identity])
            table.learn(numbers, gradient, config.identity_lr, config.identity_decay)
            slots.store([out])
            tick(step + 1, steps)
    return table


@contextmanager
def swapped_identities(model: Model, table: IdentityTable) -> Iterator[None]:
    """Inside, the model's identities are those of another table."""
    kept, model.identities = model.identities, table
    try:
        yield
    finally:
        model.identities = kept


def solve_episode(
    model: Model,
    task: Demonstrations,
    episode: Episode,
    sampler: SamplerConfig,
    train: TrainConfig,
    views: int,
    steps: int,
    rule: Rule = "majority",
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> EpisodeAnswers:
    """Fit the vectors of an owner in its first `views` augmentations, then answer its questions in all of them."""
    task = task.with_augmentations(views)
    table = fit(model, task, episode.demonstrations, replace(train, seed=sampler.seed), steps, tick)
    with swapped_identities(model, table):
        repeated: dict[str, Any] = evaluate(model, task, episode.demonstrations, sampler, rule, views=views)
        seen = augmented(task, episode.questions, views)
        candidates = sample(model, seen.inputs, sampler, identity=identity_vectors(model, seen), counted=task.counted)
    candidates = in_standard_form(task, seen.inputs, candidates, seen.identity, views)
    pairs = zip(candidates.answers.cpu(), scores(candidates, rule).cpu(), strict=True)
    ranked = [rank(answers, values, rule) for answers, values in pairs]
    best = attempts(candidates, rule, task.attempts)
    right = task.right(candidates.answers, episode.questions)
    assert right is not None
    return EpisodeAnswers(
        demonstrations_right=repeated["macro"]["selected_accuracy"],
        answers=ranked,
        submitted=torch.stack([own[rows] for own, rows in zip(candidates.answers.cpu(), best, strict=True)]),
        right=[
            [bool(own[a.first]) for a in found] if known else None
            for found, own, known in zip(ranked, right.cpu(), episode.known, strict=True)
        ],
    )
