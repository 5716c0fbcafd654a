"""Who is in the batch, for how long, and what it learns."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gram_reasoning import noise
from gram_reasoning.config import TrainConfig
from gram_reasoning.models.gram import Gram
from gram_reasoning.training.deep_supervision import Slots, spread
from gram_reasoning.types import IGNORE, StepOutput
from helpers import noise_of, queens, tiny_gram, toy_slots
from oracles import nqueens as oracle


def advance(slots: Slots, step: int) -> StepOutput:
    """One supervision step of every slot, without learning."""
    slots.refill(step)
    everyone = slice(0, len(slots.ids))
    batch, carry, referee = slots.part(everyone, step)
    with torch.no_grad():
        out = slots.model(batch, carry, noise_of(slots, step), referee)
    slots.count_stays(slots.store([out]))
    return out


def copied(slots: Slots) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in slots.tensors().items()}


def halting_gram(bias: float) -> Gram:
    """A model whose halt logit is its bias."""
    model = tiny_gram(queens().length)
    with torch.no_grad():
        model.halt_head.weight.zero_()
        model.halt_head.bias.fill_(bias)
    return model


def boards(problems: Any, example: int) -> list[Tensor]:
    """Every solution of a problem, found apart from the package."""
    given_queens = problems.inputs[example].view(5, 5).tolist()
    return [torch.tensor(board).flatten() for board in oracle.completions(given_queens)]


def test_the_default_device_does_not_matter():
    task, model, ids, config = queens(), tiny_gram(25), torch.arange(8), TrainConfig(batch_size=8)
    problems = task.split("train")
    with torch.device("meta"):
        own = Slots(config, task, problems, model, ids)
        own.refill(0)
        batch, _, _ = own.part(slice(0, 8), 0)
    assert {t.device for t in (own.stays, own.stay.steps, batch.inputs, batch.targets)} == {torch.device("cpu")}


def test_pairs_draw_each_input_as_often_as_it_has_solutions():
    task = queens()
    every = task.split("train")
    two = every.subset((every.count == 1).nonzero()[:2, 0])
    config = TrainConfig(batch_size=400, examples="pairs", prior_share=0.0)
    own = Slots(config, task, two, tiny_gram(task.length), torch.arange(400))
    own.refill(0)
    assert 160 < own.example.sum() < 240  # 400 fair coins


def test_the_draws_of_augmentation_are_those_of_older_runs():
    own = toy_slots(trajectories_per_input=2)
    own.refill(0)
    expected = noise.keys(own.config.seed, "augment", torch.arange(8) // 2, torch.full((8,), 5))
    assert torch.equal(own.augmentation_keys(slice(0, 8), 5), expected)


def test_refill_touches_leaving_slots_only():
    slots = toy_slots()
    for step in range(3):
        advance(slots, step)
    slots.leaving = torch.tensor([True, False, True, False, False, False, True, False])
    before = copied(slots)
    slots.refill(3)
    after, stayed = slots.tensors(), ~slots.leaving
    for name in before.keys() - {"stays"}:
        assert torch.equal(after[name][stayed], before[name][stayed]), name
    fresh = slots.model.initial_carry(8)
    left = slots.leaving
    assert torch.equal(after["high"][left], fresh.high[left])
    assert torch.equal(after["low"][left], fresh.low[left])
    assert not after["steps"][left].any()
    assert not after["registers"][left].any()
    assert (after["drawn"] < slots.problems.count[after["example"]]).all()
    assert not torch.equal(after["example"], before["example"])


@pytest.mark.parametrize("share", [0, 0.125, 0.5, 1])
@pytest.mark.parametrize("group", [1, 4])
def test_roles_have_their_share_and_last_for_life(share: float, group: int):
    slots = toy_slots(prior_share=share, batch_size=64, trajectories_per_input=group)
    roles = slots.is_guided.clone()
    assert int((~roles).sum()) == 64 * share
    assert (roles.view(-1, group) == roles.view(-1, group)[:, :1]).all()
    by_group = ~roles.view(-1, group)[:, 0]
    gaps = by_group.nonzero().diff(dim=0)
    assert share == 0 or gaps.numel() == 0 or int(gaps.max()) <= 1 / share
    for step in range(5):
        advance(slots, step)
        batch, _, _ = slots.part(slice(0, 64), step)
        assert torch.equal(slots.is_guided, roles)
        assert torch.equal(batch.is_guided, roles)


def test_a_group_shares_its_input_but_not_its_noise_or_target():
    slots = toy_slots(batch_size=16, trajectories_per_input=4)
    targets_differ = False
    for step in range(8):
        advance(slots, step)
        example = slots.example.view(-1, 4)
        assert (example == example[:, :1]).all()
        draws = noise_of(slots, step).flatten(1)
        assert len(draws.unique(dim=0)) == 16
        drawn = slots.drawn.view(-1, 4)
        targets_differ |= bool((drawn != drawn[:, :1]).any())
    assert targets_differ


def test_a_slot_leaves_after_its_limit_and_registers_hold_its_transitions(monkeypatch: pytest.MonkeyPatch):
    slots = toy_slots(halting=False, model={"transitions": 3})
    model = slots.model
    tokens: list[Tensor] = []
    assert isinstance(model, Gram)
    plain = model.transition

    def record(*args: Any) -> Any:
        z, passed = plain(*args)
        tokens.append(z.high[:, 0])
        return z, passed

    monkeypatch.setattr(model, "transition", record)
    history: list[list[Tensor]] = [[] for _ in range(8)]
    age = [0] * 8
    stays: list[list[int]] = [[] for _ in range(8)]
    for step in range(12):
        tokens.clear()
        out = advance(slots, step)
        assert len(tokens) == 3
        for b in range(8):
            history[b] = [*(history[b] if age[b] else []), *(token[b] for token in tokens)]
            age[b] += 1
            assert int(slots.stay.steps[b]) == age[b]
            registers = out.carry.registers[b]
            assert torch.equal(registers[: 3 * age[b]], torch.stack(history[b]))
            assert not registers[3 * age[b] :].any()
            assert bool(slots.stay.done[b]) == (age[b] == int(slots.stay.limit[b]))
            if slots.stay.done[b]:
                stays[b].append(age[b])
                age[b] = 0
    assert {stay for slot in stays for stay in slot[1:]} == {4}
    assert len({slot[0] for slot in stays}) > 1, "slots must not all leave together"


def test_value_loss_is_paid_on_leaving_only():
    slots = toy_slots(halting=False)
    prior = ~slots.is_guided
    for step in range(8):
        out = advance(slots, step)
        assert torch.equal(out.losses["value"] > 0, slots.stay.done & prior)


def undecided_gram() -> Gram:
    """A model some of whose trajectories halt at any step."""
    model = tiny_gram(queens().length)
    with torch.no_grad():
        model.halt_head.weight.mul_(10)
        model.halt_head.bias.zero_()
    return model


@pytest.mark.parametrize("group", [1, 4])
def test_a_trajectory_pays_its_value_loss_once(group: int):
    slots = toy_slots(
        weights=undecided_gram(), prior_share=1, batch_size=32, trajectories_per_input=group, halt_exploration=0
    )
    paid = torch.zeros(32, dtype=torch.int64)
    for step in range(12):
        paid += advance(slots, step).losses["value"] > 0
        assert (paid <= 1).all(), f"step {step}"
        assert (paid[slots.leaving] == 1).all(), f"step {step}"
        paid[slots.leaving] = 0


@pytest.mark.parametrize("group", [1, 2])
def test_a_group_leaves_once_each_of_its_trajectories_is_done(group: int):
    slots = toy_slots(
        weights=undecided_gram(), prior_share=1, batch_size=32, trajectories_per_input=group, halt_exploration=0
    )
    halted = torch.zeros(32, dtype=torch.bool)
    for step in range(12):
        advance(slots, step)
        halted |= slots.stay.done
        done = halted.view(-1, group).all(1).repeat_interleave(group)
        assert torch.equal(slots.leaving, done), f"step {step}"
        halted &= ~done


def test_prior_slots_halt_and_posterior_slots_do_not():
    slots = toy_slots(weights=halting_gram(5), halt_exploration=0)
    posterior = slots.is_guided
    for step in range(9):
        advance(slots, step)
        stay = slots.stay
        assert stay.done[~posterior].all()
        assert torch.equal(stay.done[posterior], (stay.steps >= stay.limit)[posterior])
    assert int(slots.stay.limit[posterior].max()) == 4


@pytest.mark.parametrize("settings", [{"halt_exploration": 1}, {"halting": False}])
def test_prior_slots_halt_from_the_step_that_allows_it(settings: dict[str, Any]):
    slots = toy_slots(weights=halting_gram(5), prior_share=1, batch_size=64, **settings)
    stays = set()
    for step in range(12):
        advance(slots, step)
        state = slots.stay
        may_halt = state.may_halt_from
        assert (may_halt >= 2).all()
        assert torch.equal(slots.leaving, (state.steps >= state.limit) | (state.steps >= may_halt))
        stays |= set(state.steps[slots.leaving & (state.limit == 4)].tolist())
    assert stays == ({2, 3, 4} if "halt_exploration" in settings else {4})


def test_a_low_halt_logit_never_halts():
    slots = toy_slots(weights=halting_gram(-5), prior_share=1, halt_exploration=0)
    for step in range(9):
        advance(slots, step)
        assert torch.equal(slots.stay.done, slots.stay.steps >= slots.stay.limit)


@pytest.mark.parametrize("train", [{}, {"guided_stay": "full", "trajectories_per_input": 2}])
def test_slots_do_not_depend_on_each_other(train: dict[str, Any]):
    model = tiny_gram(queens().length)
    eight = toy_slots(weights=model, **train)
    four = toy_slots(weights=model, ids=torch.arange(4), **train)
    for step in range(9):
        whole, part = advance(eight, step), advance(four, step)
        for name in whole.losses:
            torch.testing.assert_close(part.losses[name], whole.losses[name][:4], rtol=1e-4, atol=1e-5)
        for name in four.tensors().keys() - {"stays"}:
            ours, theirs = four.tensors()[name], eight.tensors()[name][:4]
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5, msg=f"{name}, step {step}")


def drawn_targets(slots: Slots) -> Tensor:
    return torch.stack(
        [slots.problems.solution_sets(e)[d] for e, d in zip(slots.example.tolist(), slots.drawn.tolist(), strict=True)]
    )


def referee_targets(slots: Slots, logits: Tensor) -> Tensor:
    rows = slice(0, len(slots.ids))
    return slots.part(rows, 0)[2].targets(logits)


@pytest.mark.parametrize("choice", ["none", "drawn", "nearest", "matched"])
def test_posterior_slots_learn_the_drawn_solution(choice: str):
    slots = toy_slots(prior_target=choice, batch_size=16, trajectories_per_input=4)
    slots.refill(0)
    targets = referee_targets(slots, torch.randn(16, 25, 3))
    posterior = slots.is_guided
    assert torch.equal(targets[posterior], drawn_targets(slots)[posterior])
    if choice == "none":
        assert (targets[~posterior] == IGNORE).all()
    if choice == "drawn":
        assert torch.equal(targets, drawn_targets(slots))


def test_drawn_targets_are_solutions_and_reach_every_one():
    slots = toy_slots(batch_size=512)
    slots.refill(0)
    for example in slots.example.unique().tolist():
        known = {tuple(board.tolist()) for board in boards(slots.problems, example)}
        rows = slots.example == example
        seen = {tuple(board.tolist()) for board in drawn_targets(slots)[rows]}
        assert seen <= known
    counts = slots.problems.count[slots.example]
    shares = (slots.drawn + 0.5) / counts
    assert abs(float(shares[counts > 1].mean()) - 0.5) < 0.1


def test_nearest_is_the_most_probable_solution():
    slots = toy_slots(prior_target="nearest", prior_share=1, batch_size=64)
    slots.refill(0)
    logits = torch.randn(64, 25, 3, generator=torch.Generator().manual_seed(0))
    chosen = referee_targets(slots, logits)
    several = 0
    for row, board, example in zip(logits, chosen, slots.example.tolist(), strict=True):
        solutions = boards(slots.problems, example)
        several += len(solutions) > 1
        score = [float(sum(row[i].log_softmax(-1)[token] for i, token in enumerate(s.tolist()))) for s in solutions]
        assert torch.equal(board, solutions[score.index(max(score))])
    assert several >= 3


def by_hand(score: list[list[float]], exists: list[bool]) -> list[int]:
    """All pairs by falling score; to each solution floor(G / n) trajectories, to G mod n of them one more."""
    least, more = divmod(len(score), sum(exists))
    pairs = sorted((value, g, c) for g, row in enumerate(score) for c, value in enumerate(row) if exists[c])
    chosen: dict[int, int] = {}
    for _, g, c in reversed(pairs):
        used = list(chosen.values()).count(c)
        if g not in chosen and (used < least or (used == least and more)):
            chosen[g] = c
            more -= used == least
    return [chosen[g] for g in range(len(score))]


def test_matched_spreads_a_group_over_the_solutions():
    slots = toy_slots(prior_target="matched", prior_share=1, batch_size=64, trajectories_per_input=4)
    slots.refill(0)
    logits = torch.randn(64, 25, 3, generator=torch.Generator().manual_seed(0))
    chosen = referee_targets(slots, logits).view(16, 4, 25)
    spread_out = 0
    for group, example, rows in zip(chosen, slots.example[::4].tolist(), logits.view(16, 4, 25, 3), strict=True):
        solutions = boards(slots.problems, example)
        log_p = rows.log_softmax(-1)
        score = [[float(log_p[g].gather(1, s[:, None]).sum()) for s in solutions] for g in range(4)]
        expected = torch.stack([solutions[c] for c in by_hand(score, [True] * len(solutions))])
        assert torch.equal(group, expected)
        distinct = len({tuple(board.tolist()) for board in group})
        assert distinct == min(4, len(solutions))
        spread_out += distinct > 1
    assert spread_out > 0


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_spread_is_greedy(data: st.DataObject):
    G, C = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 6))
    real = data.draw(st.integers(1, C))
    values = data.draw(st.permutations(range(G * C)))
    score = torch.tensor(values, dtype=torch.float32).view(1, G, C)
    exists = torch.arange(C) < real
    assert spread(score, exists[None])[0].tolist() == by_hand(score[0].tolist(), exists.tolist())


def test_few_candidates_are_still_solutions():
    slots = toy_slots(prior_target="nearest", prior_share=1, batch_size=64, candidates=1)
    slots.refill(0)
    for board, example in zip(referee_targets(slots, torch.randn(64, 25, 3)), slots.example.tolist(), strict=True):
        assert any(torch.equal(board, solution) for solution in boards(slots.problems, example))


@pytest.mark.parametrize("halt_target", ["rules", "equal"])
def test_halt_target(halt_target: str):
    slots = toy_slots(halt_target=halt_target, batch_size=64)
    slots.refill(0)
    batch, _, referee = slots.part(slice(0, 64), 0)
    solutions = [boards(slots.problems, e) for e in slots.example.tolist()]
    others = [
        next((s for s in sols if not torch.equal(s, y)), y) for sols, y in zip(solutions, batch.targets, strict=True)
    ]
    other = torch.stack(others)
    differs = (other != batch.targets).any(1)
    assert differs.any()
    for prediction, right in ((batch.targets, torch.ones(64)), (other, ~differs if halt_target == "equal" else None)):
        reward = referee.reward(prediction)
        assert reward is not None
        assert torch.equal(reward == 1, torch.ones(64, dtype=torch.bool) if right is None else right.bool())
    blank = referee.reward(torch.ones(64, 25, dtype=torch.int64))
    assert blank is not None
    assert (blank < 1).all()


def test_guided_stay_is_drawn_from_recent_stays():
    slots = toy_slots(guided_stay="drawn", batch_size=512)
    slots.stays = torch.tensor([0.0, 1.0, 3.0, 0.0])
    slots.refill(1)
    limit, posterior = slots.stay.limit, slots.is_guided
    assert set(limit[posterior].tolist()) == {2, 3}
    assert abs(float((limit[posterior] == 2).float().mean()) - 0.25) < 0.08
    assert (limit[~posterior] == 4).all()


def test_stays_follow_the_prior_slots():
    slots = toy_slots(weights=halting_gram(5), guided_stay="drawn", halt_exploration=0, batch_size=64)
    for step in range(40):
        advance(slots, step)
        assert ((slots.stay.limit >= 1) & (slots.stay.limit <= 4)).all()
    assert int(slots.stays.argmax()) == 0
    entered = slots.is_guided & slots.leaving
    slots.refill(40)
    assert (slots.stay.limit[entered] == 1).float().mean() > 0.9


def test_older_stays_count_less():
    slots = toy_slots()
    before, leaving = torch.tensor([0.0, 2.0, 5.0, 1.0]), torch.tensor([3.0, 0.0, 1.0, 0.0])
    slots.stays = before.clone()
    slots.count_stays(leaving)
    torch.testing.assert_close(slots.stays, 0.99 * before + leaving)


def test_full_guided_stay():
    slots = toy_slots(batch_size=64)
    slots.stays = torch.tensor([1.0, 0.0, 0.0, 0.0])
    slots.refill(1)
    assert (slots.stay.limit == 4).all()


def test_tensors_carry_everything():
    model = tiny_gram(queens().length)
    going, resumed = (toy_slots(weights=model, guided_stay="drawn") for _ in range(2))
    for step in range(3):
        advance(going, step)
    resumed.load(copied(going))
    for step in range(3, 9):
        advance(going, step)
        advance(resumed, step)
        assert all(torch.equal(tensor, resumed.tensors()[name]) for name, tensor in going.tensors().items())


@pytest.mark.parametrize("examples", ["inputs", "pairs"])
def test_examples_are_drawn_evenly(examples: str):
    """Inputs, or inputs as often as they have solutions."""
    slots = toy_slots(examples=examples, batch_size=4096)
    slots.refill(0)
    n = slots.problems.count.double()
    weight = n if examples == "pairs" else torch.ones_like(n)
    expected = 4096 * weight / weight.sum()
    seen = slots.example.bincount(minlength=len(n)).double()
    assert float(((seen - expected) ** 2 / expected).sum()) < len(n) + 4 * (2 * len(n)) ** 0.5


def test_seeds_give_other_slots():
    one, other = toy_slots(batch_size=64), toy_slots(batch_size=64, seed=1)
    one.refill(0)
    other.refill(0)
    assert not torch.equal(one.example, other.example)
    assert not torch.equal(noise_of(one, 0), noise_of(other, 0))
    assert replace(one.config, seed=1) == other.config
