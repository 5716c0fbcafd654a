"""Answer sets: the budget holds, answers differ, nothing depends on the pool; a plain search says the same."""

import json
import math
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gram_reasoning import noise
from gram_reasoning.errors import UserError
from gram_reasoning.evaluation.answer_sets import BINS, Judged, _completeness, _with_score
from gram_reasoning.inference.answer_set import answer_sets
from gram_reasoning.inference.sampler import SamplerConfig
from gram_reasoning.inference.search import AGREE, AnswerSet, Ended, Search, chosen, held
from gram_reasoning.inference.set_config import SetConfig
from gram_reasoning.models.base import OneShotModel
from gram_reasoning.models.gram import Gram
from gram_reasoning.processes import Processes
from gram_reasoning.tasks.configs import NQueensConfig
from gram_reasoning.tasks.nqueens import NQueens
from gram_reasoning.types import Shape
from helpers import queens, tiny_config

SIZE = 4
STEPS = 5
HALT_AT = 0.02
"""Weights drawn at random are never as sure as trained ones."""


def gram() -> Gram:
    """Random weights: trajectories end at different steps, and repeat each other now and then."""
    torch.manual_seed(0)
    model = Gram(tiny_config(transitions=2), Shape(length=SIZE * SIZE, vocab=3))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model


def boards() -> torch.Tensor:
    return queens(SIZE).split("train").inputs[:4].long()


class Blurred(NQueens):
    """Answers count as one if they begin alike, so that trajectories repeat each other."""

    def canonical(self, answers: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        return blurred(answers)


def blurry() -> Blurred:
    return Blurred(NQueensConfig(size=SIZE, max_removed=SIZE))


def blurred(answers: torch.Tensor) -> torch.Tensor:
    return answers.where(torch.arange(answers.shape[-1]) < 3, 0)


def config(**changes: Any) -> SetConfig:
    chunk, seed = changes.pop("chunk", 512), changes.pop("seed", 0)
    sampler = SamplerConfig(steps=STEPS, halting=True, halt_at=changes.pop("halt_at", HALT_AT), chunk=chunk, seed=seed)
    return SetConfig(**{"answers": 5, "budget": 60, "width": 4, "sampler": sampler, **changes})


def draw(task: NQueens | None = None, inputs: torch.Tensor | None = None, first: int = 0, **changes: Any):
    inputs = boards() if inputs is None else inputs
    return answer_sets(gram(), task or queens(SIZE), inputs, config(**changes), first)


def alike(left: Sequence[AnswerSet], right: Sequence[AnswerSet]) -> bool:
    """The same but for the last digits of scores."""

    def told(sets: Sequence[AnswerSet]) -> Any:
        return [
            (
                s.spent,
                [(e.answer, e.number, e.steps, e.at, e.why, e.right) for e in s.ended],
                {h.answer for h in s.answers},
            )
            for s in sets
        ]

    return told(left) == told(right)


@torch.no_grad()
def plain_search(tokens: torch.Tensor, row: int, c: SetConfig) -> tuple[list[tuple[Any, ...]], int]:
    """One trajectory's step after the other, no pins: (answer, number, steps, why) of each that ended, and the cost."""
    model, spent, started = gram(), 0, 0
    live: list[dict[str, Any]] = []
    ended: list[tuple[Any, ...]] = []
    known: set[tuple[int, ...]] = set()
    while True:
        while len(live) < c.width and spent + len(live) < c.budget:
            live.append({"n": started, "state": model.initial_state(1), "steps": 0, "said": []})
            started += 1
        if not live:
            return ended, spent
        spent += len(live)
        going = []
        for t in live:
            ids = (torch.tensor([i]) for i in (row, t["n"], t["steps"]))
            draws = noise.normal(noise.keys(c.sampler.seed, "sample", *ids), model.noise_shape())
            t["state"] = model.step(model.encode(tokens[None]), t["state"], draws, torch.tensor([t["steps"]]))
            t["steps"] += 1
            odds = model.decode(t["state"])[0].softmax(-1).max(-1).values
            answer = tuple(blurred(model.decode(t["state"])[0].argmax(-1)).tolist())
            t["sure"] = math.prod(odds.tolist())
            t["said"].append((answer, answer in known))
            repeats = len(t["said"]) >= AGREE and all(s == (answer, True) for s in t["said"][-AGREE:])
            why = "sure" if t["sure"] > c.sampler.halt_at else "steps" if t["steps"] == c.sampler.steps else ""
            why = why or ("repeat" if c.avoid and repeats else "")
            if why:
                ended.append((answer, t["n"], t["steps"], why))
                known.add(answer)
            else:
                going.append(t)
        left = c.budget - spent
        stays = sorted(going, key=lambda t: (-t["sure"], t["n"]))[:left]
        ended += [(t["said"][-1][0], t["n"], t["steps"], "budget") for t in going if t not in stays]
        live = [t for t in going if t in stays]


@pytest.mark.parametrize("avoid", [True, False])
@pytest.mark.parametrize("budget", [1, 7, 60, 200])
def test_a_plain_search_says_the_same(budget: int, avoid: bool):
    c = config(budget=budget, explore="none", avoid=avoid)
    for row, found in enumerate(answer_sets(gram(), blurry(), boards(), c)):
        ended, spent = plain_search(boards()[row], row, c)
        assert spent == found.spent
        assert sorted(ended) == sorted((e.answer, e.number, e.steps, e.why) for e in found.ended)


def test_the_model_of_these_tests_stops_trajectories_for_every_reason():
    reasons = {e.why for s in draw(blurry(), budget=200, explore="none") for e in s.ended}
    assert reasons == {"sure", "repeat", "steps", "budget"}


@settings(max_examples=12, deadline=None)
@given(
    budget=st.integers(1, 90),
    width=st.integers(1, 9),
    answers=st.integers(1, 6),
    choose=st.sampled_from(["model", "verified"]),
    explore=st.sampled_from(["pin", "none"]),
    score=st.sampled_from(["votes", "product", "margin", "lprm"]),
    until=st.sampled_from([None, 0.5, 0.99]),
)
def test_what_every_set_keeps(**changes: Any):
    c = config(**changes)
    for s in answer_sets(gram(), queens(SIZE), boards()[:2], c):
        assert s.spent <= c.budget
        assert s.spent == sum(e.steps for e in s.ended)
        assert len({h.answer for h in s.answers}) == len(s.answers) <= c.answers
        assert [e.number for e in sorted(s.ended, key=lambda e: e.number)] == list(range(len(s.ended)))
        assert sum(h.votes for h in held(s.ended)) == len(s.ended)
        assert all(e.at <= s.spent for e in s.ended)
        if c.until is None and len(s.answers) < c.answers:
            assert s.spent == c.budget


@pytest.mark.parametrize("choose", ["model", "verified"])
@pytest.mark.parametrize("chunk", [1, 3, 8])
def test_any_chunk_gives_the_same_sets(chunk: int, choose: Any):
    assert alike(draw(chunk=chunk, choose=choose), draw(choose=choose))


def test_pieces_of_a_stream_give_the_same_sets():
    assert alike(draw(inputs=boards()[:1]) + draw(inputs=boards()[1:], first=1), draw())


class Beside(Processes):
    """One of two threads that act as processes."""

    def swap(self, value: Any) -> list[Any]:
        MET.wait()
        TABLE[self.rank] = value
        MET.wait()
        return [TABLE[0], TABLE[1]]

    def gather(self, rows: torch.Tensor, total: int) -> torch.Tensor:
        return torch.cat(self.swap(rows))

    def largest(self, value: int) -> int:
        return max(self.swap(value))


MET, TABLE = threading.Barrier(2, timeout=100), dict[int, Any]()


@pytest.mark.parametrize("choose", ["model", "verified"])
def test_two_processes_give_the_same_sets(choose: Any):
    with ThreadPoolExecutor(2) as pool:
        runs = [
            pool.submit(answer_sets, gram(), queens(SIZE), boards()[:3], config(choose=choose), processes=Beside(r, 2))
            for r in (0, 1)
        ]
        found = [run.result() for run in runs]
    assert found[0] == found[1]
    assert alike(found[0], draw(inputs=boards()[:3], choose=choose))


def test_the_seed_keys_the_noise():
    assert not alike(draw(), draw(seed=1))


def test_what_a_smaller_budget_finds_a_larger_one_finds_too():
    few, many = draw(budget=40), draw(budget=90)
    for s, t in zip(few, many, strict=True):
        by_itself = [(e.answer, e.number, e.at) for e in s.ended if e.why != "budget"]
        assert by_itself == [(e.answer, e.number, e.at) for e in t.ended][: len(by_itself)]


class Lenient(NQueens):
    """Whatever begins with a queen is right."""

    def reward(self, prediction: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        return (prediction[:, 0] == 2).float()


class Untouchable(NQueens):
    """Rules that nobody may ask."""

    def reward(self, prediction: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        raise AssertionError("the rules were asked")

    def count_solutions(self, tokens: Sequence[int]) -> int:
        raise AssertionError("the solver was asked")


def test_the_model_alone_chooses_before_rules_or_solver_are_asked():
    task = Untouchable(NQueensConfig(size=SIZE, max_removed=SIZE))
    for explore in ("pin", "none"):
        assert alike(draw(task, explore=explore), draw(explore=explore))
    with pytest.raises(AssertionError, match="the rules were asked"):
        draw(task, choose="verified")


def test_verified_answers_are_right_and_end_a_search_that_has_enough():
    found = draw(Lenient(NQueensConfig(size=SIZE, max_removed=SIZE)), choose="verified", halt_at=1.0, answers=2)
    for s in found:
        assert all(h.answer[0] == 2 for h in s.answers)
        assert all((e.why == "sure") == (e.answer[0] == 2) for e in s.ended)
        assert (s.spent < 60) == (len(s.answers) == 2)
    assert {len(s.answers) for s in found} >= {2}


def test_no_rules_no_verified_answers():
    class Lawless(NQueens):
        def reward(self, prediction: torch.Tensor, inputs: torch.Tensor) -> Any:
            return None

    with pytest.raises(UserError, match="--choose verified: nqueens is a task without rules"):
        draw(Lawless(NQueensConfig(size=SIZE, max_removed=SIZE)), choose="verified")


def test_a_model_of_one_step_gives_an_answer_for_each():
    class Guess(OneShotModel):
        """Nothing but its input, and one queen where the table says."""

        def __init__(self) -> None:
            super().__init__(tiny_config(), Shape(length=SIZE * SIZE, vocab=3))
            self.table = torch.nn.Parameter(torch.randn(SIZE * SIZE, 3))

        def forward(self, batch: Any, carry: Any, noise: Any, referee: Any) -> Any:
            raise NotImplementedError

        def loss_weights(self, step: int, total: int) -> Any:
            raise NotImplementedError

        def encode(self, inputs: torch.Tensor, identity: Any = None) -> torch.Tensor:
            return inputs

        def predict(self, context: torch.Tensor) -> torch.Tensor:
            return self.table.expand(len(context), -1, -1) + 9 * torch.nn.functional.one_hot(context, 3)

    c = config(budget=6)
    c = replace(c, sampler=replace(c.sampler, steps=1))
    for s in answer_sets(Guess(), queens(SIZE), boards(), c):
        assert [e.why for e in s.ended] == ["sure"] * 6
        assert s.complete > 0


# -- one search, told what to hear --------------------------------------------------------------------------------


def says(number: int, answer: tuple[int, ...], why: Any = "sure", sure: float = 0.99, **more: Any) -> Ended:
    values: dict[str, Any] = {"margin": 1.0, "value": 0.5, "right": None, "steps": 1, "at": 0, **more}
    return Ended(answer=answer, number=number, why=why, confidence=sure, **values)


def test_a_trajectory_that_repeats_a_held_answer_is_stopped_after_two_steps():
    search = Search(config(width=2, explore="none"))
    assert [n for n, _ in search.start()] == [0, 1]
    assert search.hear([says(0, (1,)), says(1, (2,), "budget")]) == [1]
    assert [n for n, _ in search.start()] == [2]
    assert search.hear([says(1, (1,), "budget"), says(2, (1,), "budget")]) == [0, 1]
    assert search.hear([says(1, (1,), "budget"), says(2, (3,), "budget")]) == [1]
    assert [(e.number, e.why) for e in search.ended] == [(0, "sure"), (1, "repeat")]


def test_pins_go_where_the_model_sees_a_chance_and_nobody_was():
    tokens, odds = [1, 1, 2], torch.tensor([[0, 0.4, 0.6], [0, 0.7, 0.3], [0, 0, 1.0]])
    search = Search(config(width=1), tokens, open_token=1)
    assert search.start() == [(0, None)]
    search.saw(odds)
    search.hear([says(0, (2, 1, 2))])
    assert search.start() == [(1, (1, 2))]  # cell 0 is answered already; cell 2 is given
    search.hear([says(1, (1, 2, 2))])
    assert search.start() == [(2, (0, 2))]
    alone = Search(config(width=1, explore="none"), tokens, open_token=1)
    alone.start()
    alone.saw(odds)
    alone.hear([says(0, (2, 1, 2))])
    assert alone.start() == [(1, None)]


@pytest.mark.parametrize(("explore", "seen"), [("pin", True), ("none", False)])
def test_what_the_model_finds_plausible_is_looked_at_for_pins_alone(
    explore: str, seen: bool, monkeypatch: pytest.MonkeyPatch
):
    looks: list[torch.Tensor] = []
    monkeypatch.setattr(Search, "saw", lambda self, odds: looks.append(odds))
    draw(explore=explore)
    assert bool(looks) == seen


def test_the_estimate_is_judged_in_bins_of_equal_count():
    """Each input has two solutions; half of them found one, half both, and none says so."""
    inputs = 2 * BINS
    ended = [[says(0, (1,)), says(1, (1,))] if m % 2 else [says(0, (1,)), says(1, (2,))] for m in range(inputs)]
    sets = [SimpleNamespace(ended=e) for e in ended]
    right: Any = [{e.answer for e in some} for some in ended]
    judged = Judged(sets, right, np.full(inputs, 2), np.ones(inputs))  # type: ignore[arg-type]
    found = _completeness(judged, right_ones=False)
    assert found["inputs"] == inputs
    assert found["truth"] == 0.75
    assert len(found["bins"]) == BINS
    assert found["worst_gap"] == max(abs(told - true) for told, true in found["bins"]) > 0
    assert _completeness(Judged(sets[:3], right[:3], np.full(3, 2), np.ones(3)), False) == {"inputs": 3}  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "most"), [("answers", 100_000), ("budget", 10_000_000), ("width", 100_000)])
def test_bounds_of_a_set(name: str, most: int):
    assert getattr(config(**{name: most}), name) == most
    assert getattr(config(**{name: 1}), name) == 1
    for value in (0, most + 1):
        with pytest.raises(UserError, match=rf"^{name}: got {value}, expected 1 to {most}$"):
            config(**{name: value})


def test_the_first_of_a_set_is_its_choice():
    sets: Any = [SimpleNamespace(ended=[says(0, (1,)), says(1, (2,)), says(2, (2,))]) for _ in range(3)]
    sets.append(SimpleNamespace(ended=[]))
    judged = Judged(sets, [frozenset({(answer,)}) for answer in (2, 1, 2, 2)], np.ones(4), np.ones(4))
    found = _with_score(judged, config(score="votes"))
    assert (found["selected_accuracy"], found["macro"]) == (0.5, 0.75)


def test_a_pin_counts_as_much_as_an_answer():
    odds = torch.tensor([[0, 0.1, 0.9], [0, 0.5, 0.5]])
    search = Search(config(width=1), [1, 1], open_token=1)
    assert search.start() == [(0, None)]
    search.saw(odds)
    search.hear([says(0, (1, 1))])
    assert search.start() == [(1, (0, 2))]  # pinned once, and answered by nobody
    search.hear([says(1, (1, 2))])
    assert search.start() == [(2, (0, 2))]  # the cells are level: the more plausible one again
    search.hear([says(2, (1, 2))])
    assert search.start() == [(3, (1, 2))]


def test_the_default_device_does_not_matter():
    given = gram(), queens(SIZE), boards(), config()
    expected = answer_sets(*given)
    with torch.device("meta"):
        found = answer_sets(*given)
    assert found == expected


def test_scores_order_the_set_and_padding_comes_last():
    ended = [says(0, (1,), sure=0.97, value=0.9), says(1, (2,), sure=0.99, value=0.1), says(2, (1,), sure=0.96)]
    ended += [says(3, (0,), sure=1.0, value=1.0)]
    order = {s: [h.answer for h in chosen(ended, config(score=s))] for s in ("votes", "product", "lprm")}
    assert order == {"votes": [(1,), (2,), (0,)], "product": [(2,), (1,), (0,)], "lprm": [(1,), (2,), (0,)]}
    assert len(chosen(ended, config(answers=1))) == 1
    assert [h.answer for h in chosen(ended, config(score="votes", at_least=0.5))] == [(1,)]
    assert chosen(ended, config(score="lprm", at_least=0.999)) == chosen(ended, config(score="lprm", at_least=1.0))


def test_until_waits_for_enough_draws():
    search = Search(config(width=1, budget=1000, until=0.99, explore="none"))
    draws = 0
    while not search.done:
        [(number, _)] = search.start()
        search.hear([says(number, (1,))])
        draws += 1
    assert draws == math.ceil(math.log(0.01) / math.log(5 / 6))


def test_settling_stops_when_the_rest_cannot_change_the_choice():
    def draws(level: float) -> int:
        search = Search(config(width=1, budget=1000, most=20, settle=level, explore="none"))
        while not search.done:
            [(number, _)] = search.start()
            search.hear([says(number, (1,))])
        return len(search.ended)

    assert draws(1.0) == 11  # after ten, the ten that are left could draw level
    assert draws(0.95) == 4  # 1 - 1 / 2^5 is above 0.95, 1 - 1 / 2^4 is not


@pytest.mark.parametrize("wrong", [{"answers": 0}, {"budget": 0}, {"until": 0.0}, {"score": "luck"}, {"width": 0}])
def test_settings_that_make_no_sense(wrong: dict[str, Any]):
    with pytest.raises(UserError, match=next(iter(wrong))):
        replace(config(), **wrong)


def test_scores_survive_json():
    [s] = draw(inputs=boards()[:1])
    assert json.loads(json.dumps(s.answers[0].scores)) == s.answers[0].scores
