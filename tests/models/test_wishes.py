"""Wishes: what a trajectory remembers of its first noise, sees at every step, and learns to follow."""

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from gram_reasoning.config import from_json, to_json
from gram_reasoning.errors import UserError
from gram_reasoning.inference.sampler import SamplerConfig, sample
from gram_reasoning.models.gram import Gram, Latent
from gram_reasoning.nn.layouts import NEVER, SymbolLayout
from gram_reasoning.recipes import get_recipe
from gram_reasoning.recipes.variants import twin
from helpers import mixed_step, noise_of, tiny_gram, toy_slots

L, V, P = 9, 3, 3


def wishing(**changes: object) -> Gram:
    return tiny_gram(L, wishes=True, prefix_tokens=P, **changes)


def noises(model: Gram, rows: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, *model.noise_shape(), generator=torch.Generator().manual_seed(seed))


def test_they_are_the_first_numbers_of_the_first_noise_and_stay():
    model, inputs = wishing(), torch.randint(0, V, (2, L))
    context, first, later = model.encode(inputs), noises(model, 2), noises(model, 2, 1)
    begun = model.step(context, model.initial_state(2), first, torch.tensor([0, 0]))
    assert torch.equal(begun.wishes, first[:, 0, P:, :V])
    gone_on = model.step(context, begun, later, torch.tensor([1, 0]))
    assert torch.equal(gone_on.wishes[0], first[0, 0, P:, :V])
    assert torch.equal(gone_on.wishes[1], later[1, 0, P:, :V])  # another trajectory, which begins


def test_every_step_sees_them_beside_the_input():
    """A step is that of the model without wishes on e_x + W wishes, the prefix left as it is."""
    model, inputs = wishing(), torch.randint(0, V, (4, L))
    plain = tiny_gram(L, prefix_tokens=P)
    plain.load_state_dict({name: w for name, w in model.state_dict().items() if not name.startswith("wish")})
    noise, context = noises(model, 4), model.encode(inputs)
    state = model.initial_state(4)._replace(wishes=torch.randn(4, L, V))
    n = torch.full((4,), 2)
    seen = context.clone()
    for row in range(4):
        for i in range(L):
            seen[row, P + i] += model.wish_embedding.weight @ state.wishes[row, i]
    with torch.no_grad():
        ours = model.step(context, state, noise, n)
        other = plain.step(seen, Latent(state.high, state.low), noise)
    torch.testing.assert_close(ours.high, other.high, rtol=0, atol=1e-3)
    torch.testing.assert_close(ours.low, other.low, rtol=0, atol=1e-3)
    assert not torch.allclose(ours.high, plain.step(context, Latent(state.high, state.low), noise).high)


def test_training_carries_them_and_tells_the_referee():
    model = wishing()
    batch, carry, noise, referee = mixed_step(model)
    old = torch.randn(6, L, V)
    told: list[Tensor | None] = []
    referee.targets = lambda logits, wishes=None: told.append(wishes) or batch.targets  # type: ignore[method-assign]
    out = model(batch, carry._replace(wishes=old), noise, referee)
    fresh = noise[:, 0, P:, :V]
    expected = torch.where((batch.step == 0)[:, None, None], fresh, old)
    assert (batch.step == 0).any()
    assert (batch.step > 0).any()
    assert torch.equal(out.carry.wishes, expected)
    assert torch.equal(told[0], expected)  # type: ignore[arg-type]
    out.losses["cross_entropy"].sum().backward()
    assert model.wish_embedding.weight.grad is not None


def test_noise_of_the_sampler_leaves_them_alone():
    model, inputs = wishing(), torch.randint(0, V, (1, L))
    seen: list[Tensor] = []
    step = model.step

    def watched(context: Tensor, state: Latent, noise: Tensor, n: Tensor) -> Latent:
        found = step(context, state, noise, n)
        seen.append(found.wishes)
        return found

    model.step = watched  # type: ignore[method-assign]
    sample(model, inputs, SamplerConfig(samples=3, steps=3, latent_noise=0.5))
    assert len(seen) == 3
    assert torch.equal(seen[0], seen[2])
    assert not torch.equal(seen[0][0], seen[0][1])


def test_the_target_is_what_wishes_and_nearness_favour():
    slots = toy_slots({"wishes": True}, prior_target="wished", prior_share=1, batch_size=64, wish_weight=2.0)
    slots.refill(0)
    draw = torch.Generator().manual_seed(0)
    logits, wishes = torch.randn(64, 25, 3, generator=draw), torch.randn(64, 25, 3, generator=draw)
    chosen = slots.part(slice(0, 64), 0)[2].targets(logits, wishes)
    several = 0
    for row, wish, board, example in zip(logits, wishes, chosen, slots.example.tolist(), strict=True):
        solutions = slots.problems.solution_sets(example).long()
        several += len(solutions) > 1
        score = [
            sum(float(row[i].log_softmax(-1)[t] + 2.0 * wish[i, t]) for i, t in enumerate(s.tolist()))
            for s in solutions
        ]
        assert torch.equal(board, solutions[score.index(max(score))])
    assert several >= 3


def test_wishes_alone_choose_evenly():
    """The solution whose tokens are wished for most is any of the n about equally often: that is why they cure."""
    slots = toy_slots({"wishes": True}, prior_target="wished", prior_share=1, batch_size=4000)
    slots.refill(0)
    slots.example.fill_(int(slots.problems.count.argmax()))
    solutions = slots.problems.solution_sets(int(slots.example[0]))
    wishes = torch.randn(4000, 25, 3, generator=torch.Generator().manual_seed(0))
    chosen = slots.part(slice(0, 4000), 0)[2].targets(torch.zeros(4000, 25, 3), wishes)
    counts = Counter(map(tuple, chosen.tolist()))
    n = len(solutions)
    assert n > 2
    assert len(counts) == n
    expected = 4000 / n
    assert all(0.75 * expected < count < 1.25 * expected for count in counts.values())


def test_a_run_learns_to_follow_them():
    """After a few steps of training on two solutions the answer follows the wish."""
    slots = toy_slots({"wishes": True, "guidance": "noise", "sigma_start": 0.1}, prior_target="wished", prior_share=1.0)
    model = slots.model
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for step in range(60):
        slots.refill(step)
        batch, carry, referee = slots.part(slice(0, 8), step)
        out = model(batch, carry, noise_of(slots, step), referee)
        slots.store([out])
        loss = out.losses["cross_entropy"].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])
    assert isinstance(model, Gram)
    gradient = model.wish_embedding.weight.grad
    assert gradient is not None
    assert math.isfinite(float(gradient.norm()))
    assert float(gradient.norm()) > 0


def test_a_model_without_wishes_has_no_trace_of_them():
    model = tiny_gram(L)
    assert model.initial_state(2).wishes == ()
    assert not [name for name in model.state_dict() if "wish" in name]


def test_what_cannot_be_is_refused():
    recipe = to_json(get_recipe("nqueens7-pocket"))
    recipe["train"]["prior_target"] = "wished"
    with pytest.raises(
        UserError, match=r"prior_target: got 'wished', expected another such as nearest, unless .*wishes"
    ):
        from_json(type(get_recipe("nqueens7-pocket")), recipe)
    recipe["model"]["wishes"] = True
    recipe["train"]["prior_share"] = 0.0
    with pytest.raises(UserError, match=r"train.prior_share: got 0.0, expected above 0"):
        from_json(type(get_recipe("nqueens7-pocket")), recipe)
    recipe["train"]["prior_share"] = 0.5
    assert from_json(type(get_recipe("nqueens7-pocket")), recipe).model.wishes
    with pytest.raises(UserError, match="wish_weight"):
        toy_slots(prior_target="wished", wish_weight=0.0)


def test_symbols_have_a_wish_for_each_name():
    """In the layout of names a wish is one number for each place and name, read as logits are."""
    wishes = torch.randn(2, 16 * 4, 1)
    layout = SymbolLayout(16, 5, 8, 4)
    read = layout.read(wishes)
    assert read.shape == (2, 16, 5)
    assert torch.equal(read[..., 1:], wishes[..., 0].unflatten(1, (16, 4)))
    assert (read[..., 0] == NEVER).all()


def test_a_twin_has_none():
    from_wishes = twin(get_recipe("nqueens8-units"))
    assert (from_wishes.model.wishes, from_wishes.train.prior_target) == (False, "nearest")  # type: ignore[attr-defined]


@pytest.mark.parametrize("prior_share", [0.5, 1.0])
def test_slots_take_them_along_across_a_stop(prior_share: float):
    settings: dict[str, Any] = {"prior_target": "wished", "prior_share": prior_share}
    runs = [toy_slots({"wishes": True}, **settings) for _ in range(2)]
    for step in range(5):
        if step == 3:  # what a checkpoint holds
            runs[1] = toy_slots({"wishes": True}, **settings)
            runs[1].load({name: tensor.clone() for name, tensor in runs[0].tensors().items()})
        for slots in runs:
            slots.refill(step)
            batch, carry, referee = slots.part(slice(0, 8), step)
            with torch.no_grad():
                slots.store([slots.model(batch, carry, noise_of(slots, step), referee)])
    for name, tensor in runs[0].tensors().items():
        assert torch.equal(tensor, runs[1].tensors()[name]), name
    assert runs[0].carry.wishes.abs().sum() > 0


def test_the_bounds_are_of_trajectories_with_wishes():
    model = wishing()
    batch, _, _, _ = mixed_step(model)
    batch = replace(batch, targets=batch.targets.clamp(min=1), is_guided=torch.ones(6, dtype=torch.bool))
    draws = torch.randn(6, model.supervision_steps, *model.noise_shape())
    moved = draws.clone()
    moved[:, 0, 0, P:, :V] += 1.0  # other wishes
    first, other = (model.diagnostics(batch, d, {"kl": 1.0})["elbo_full"] for d in (draws, moved))
    assert not torch.allclose(first, other)
