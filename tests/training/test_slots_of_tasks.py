"""Slots on a task whose answers are padded, have a standard form, and are augmented."""

import signal
from dataclasses import replace
from typing import Any

import pytest
import torch

from gram_reasoning.build import build_task
from gram_reasoning.config import TrainConfig
from gram_reasoning.models.gram import Gram
from gram_reasoning.recipes import get_recipe
from gram_reasoning.tasks.configs import GraphColoringConfig
from gram_reasoning.training.deep_supervision import Slots
from gram_reasoning.types import IGNORE, Shape, StepOutput
from helpers import after_step, make_trainer, noise_of, tiny_config, weights_of

TASK = GraphColoringConfig(vertices=5, graphs=60, renumber=True)


def slots(**train: Any) -> Slots:
    config = TrainConfig(**{"batch_size": 16, "prior_share": 0.5, "prior_target": "nearest", **train})
    task = build_task(replace(get_recipe("coloring6-debug"), task=TASK))
    torch.manual_seed(0)
    model = Gram(tiny_config(supervision_steps=3), Shape(length=task.length, vocab=task.vocab))
    return Slots(config, task, task.split("train"), model, torch.arange(config.batch_size))


def forward(own: Slots, rows: slice, step: int) -> tuple[Any, Any, StepOutput]:
    batch, carry, referee = own.part(rows, step)
    return batch, referee, own.model(batch, carry, noise_of(own, step)[rows], referee)


@pytest.mark.parametrize("group", [1, 2])
def test_a_slot_keeps_its_symmetry_until_it_leaves(group: int):
    own = slots(trajectories_per_input=group, prior_target="matched")
    before: list[torch.Tensor] = []
    moved = stayed = 0
    for step in range(12):
        own.refill(step)
        entering = own.leaving.clone()
        plain = own.problems.inputs[own.example].long()
        halves = [forward(own, slice(0, 8), step), forward(own, slice(8, 16), step)]
        inputs = torch.cat([batch.inputs for batch, _, _ in halves])
        for i in range(16):
            moved += bool((inputs[i] != plain[i]).any())
            if before and not entering[i]:
                assert torch.equal(before[0][i], inputs[i])
                stayed += 1
        if group == 2:
            assert torch.equal(inputs[::2], inputs[1::2]), "the slots of a group see one input"
        before = [inputs]
        own.store([out for _, _, out in halves])
    assert moved > 100
    assert stayed > 50


def test_targets_of_both_roles_are_colorings_of_what_the_slot_sees():
    own = slots()
    own.refill(0)
    batch, referee, out = forward(own, slice(0, 16), 0)
    assert isinstance(own.model, Gram)
    logits = own.model.decode(out.carry).detach()
    targets = referee.targets(logits)
    n = TASK.vertices
    assert (targets[:, n:] == IGNORE).all()
    assert (own.task.reward(targets, batch.inputs) == 1).all()
    assert (own.task.reward(batch.targets, batch.inputs) == 1).all()
    # the nearest is the most probable of all solutions of the graph that the slot sees
    problems, log_p = own.problems, logits.log_softmax(-1)
    for i in (~batch.is_guided).nonzero()[:, 0].tolist():
        keys = own.augmentation_keys(slice(i, i + 1), 0)
        example = int(own.example[i])
        everything = problems.solution_sets(example)[None]
        _, seen = own.task.augment(problems.inputs[example : example + 1].long(), everything, keys)
        scores = [sum(float(log_p[i, v, solution[v]]) for v in range(n)) for solution in seen[0]]
        chosen = sum(float(log_p[i, v, targets[i, v]]) for v in range(n))
        assert chosen == pytest.approx(max(scores), abs=1e-4)


def test_equality_ignores_padding():
    own = slots(halt_target="equal")
    own.refill(0)
    batch, _, referee = own.part(slice(0, 16), 0)
    prediction = batch.targets.where(batch.targets != IGNORE, 5)
    assert (referee.reward(prediction) == 1).all()
    prediction[0, 0] = 3 + (prediction[0, 0] - 2) % 3
    reward = referee.reward(prediction)
    assert reward is not None
    assert reward[0] == 0


def test_augmentation_is_no_matter_of_resuming(tmp_path):
    recipe = replace(get_recipe("coloring6-debug"), task=TASK)
    recipe = replace(recipe, train=replace(recipe.train, precision="fp32", checkpoint_every=2))
    whole = make_trainer(recipe, tmp_path / "whole")
    assert whole.fit() == "finished"
    first = make_trainer(recipe, tmp_path / "parts")
    after_step(first, 3, lambda: setattr(first, "stop_signal", signal.SIGTERM))
    assert first.fit() == "stopped"
    second = make_trainer(recipe, tmp_path / "parts")
    assert second.fit(resume=True) == "finished"
    one, other = weights_of(whole.model), weights_of(second.model)
    assert all(torch.equal(one[name], other[name]) for name in one)
