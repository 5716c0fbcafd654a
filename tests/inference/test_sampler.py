"""Sampling: the pool must not show. Any chunk, any order, any piece gives what a plain loop gives."""

import math
from functools import lru_cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gram_reasoning import noise
from gram_reasoning.config import EvalConfig
from gram_reasoning.errors import UserError
from gram_reasoning.inference.sampler import SamplerConfig, sample
from gram_reasoning.inference.select import check_rule
from gram_reasoning.models.gram import Gram, Latent
from gram_reasoning.types import Candidates
from helpers import tiny_gram, tiny_rival

M, N, STEPS = 5, 7, 6
INPUTS = torch.randint(0, 3, (M, 9), generator=torch.Generator().manual_seed(0))


def gram(guidance: str = "gaussian") -> Gram:
    """A model whose trajectories halt at different steps, some never."""
    model = tiny_gram(guidance=guidance, transitions=2)
    with torch.no_grad():
        model.halt_head.bias[0] = -2.0
    return model


def draw(model: Gram, inputs: torch.Tensor = INPUTS, first_input: int = 0, **changes: Any) -> Candidates:
    """By the halt head at its even point, unless the test says otherwise."""
    defaults: dict[str, Any] = {"samples": N, "steps": STEPS, "halt_by": "head", "halt_at": 0.5}
    counted = changes.pop("counted", slice(None))
    return sample(model, inputs, SamplerConfig(**(defaults | changes)), first_input, counted=counted)


def assert_same(left: Candidates, right: Candidates) -> None:
    assert torch.equal(left.answers, right.answers)
    assert torch.equal(left.steps, right.steps)
    torch.testing.assert_close(left.values, right.values, rtol=1e-4, atol=1e-5)


@lru_cache
@torch.no_grad()
def plain_loop(
    model: Gram, halting: bool, seed: int = 0, halt_at: float = 0.5, by: str = "head", tokens: tuple[int, ...] = ()
) -> Candidates:
    """One trajectory after the other."""
    answers = torch.zeros(M, N, 9, dtype=torch.int64)
    values, steps = torch.zeros(M, N), torch.zeros(M, N, dtype=torch.int64)
    for m in range(M):
        for n in range(N):
            latent, step = model.initial_state(1), 0
            for step in range(STEPS):
                key = noise.keys(seed, "sample", torch.tensor([m]), torch.tensor([n]), torch.tensor([step]))
                latent = model.step(model.encode(INPUTS[m : m + 1]), latent, noise.normal(key, model.noise_shape()))
                if by == "head":
                    sure = 1 / (1 + math.exp(-float(model.halt_logit(latent))))
                else:
                    odds = model.decode(latent)[0].softmax(-1)
                    sure = math.prod(float(odds[token].max()) for token in tokens)
                if halting and sure > halt_at:
                    break
            answers[m, n], values[m, n] = model.decode(latent)[0].argmax(-1), model.value(latent)[0]
            steps[m, n] = step + 1
    return Candidates(answers, values, steps)


@pytest.mark.parametrize("halting", [False, True])
@pytest.mark.parametrize("chunk", [1, 3, 7, 64, M * N])
def test_any_pool_gives_what_a_plain_loop_gives(chunk: int, halting: bool):
    assert_same(draw(gram(), chunk=chunk, halting=halting), plain_loop(gram(), halting))


def test_the_model_of_these_tests_halts_at_different_steps():
    steps = draw(gram(), halting=True).steps
    assert len(steps.unique()) >= 3
    assert len(draw(gram()).answers.flatten(0, 1).unique(dim=0)) > M


@pytest.mark.parametrize("halt_at", [0.02, 0.3, 0.9])
def test_halting_at_another_probability(halt_at: float):
    asked = draw(gram(), chunk=3, halting=True, halt_at=halt_at)
    assert_same(asked, plain_loop(gram(), True, halt_at=halt_at))
    assert not torch.equal(asked.steps, draw(gram(), halting=True).steps)


@pytest.mark.parametrize(("counted", "halt_at"), [(slice(None), 0.1), (slice(2, 6), 0.4)])
def test_halting_when_the_decoder_is_sure_of_what_counts(counted: slice, halt_at: float):
    tokens = tuple(range(9)[counted])
    asked = draw(gram(), chunk=3, halting=True, halt_by="confidence", halt_at=halt_at, counted=counted)
    assert_same(asked, plain_loop(gram(), True, halt_at=halt_at, by="confidence", tokens=tokens))
    assert len(asked.steps.unique()) >= 3


def test_nobody_is_sure_of_an_answer_of_unknown_size():
    with pytest.raises(UserError, match="--halt-by: got 'confidence', expected head"):
        draw(gram(), halting=True, halt_by="confidence", counted=None)
    draw(gram(), halt_by="confidence", counted=None)


@settings(max_examples=10, deadline=None)
@given(cut=st.integers(1, M - 1), chunk=st.integers(1, 40), halting=st.booleans())
def test_inputs_sampled_in_pieces(cut: int, chunk: int, halting: bool):
    whole = plain_loop(gram(), halting)
    pieces = [
        draw(gram(), INPUTS[part], first_input=part.start, chunk=chunk, halting=halting)
        for part in (slice(0, cut), slice(cut, M))
    ]
    assert_same(
        Candidates(*(torch.cat([getattr(p, f) for p in pieces]) for f in ("answers", "values", "steps"))), whole
    )


@pytest.mark.parametrize("samples", [1, 3, 12])
def test_more_samples_keep_the_first(samples: int):
    few, many = draw(gram(), samples=min(samples, N)), draw(gram(), samples=max(samples, N))
    common = min(samples, N)
    assert torch.equal(few.answers, many.answers[:, :common])


def test_an_answer_that_halts_is_the_fixed_step_answer_at_its_step():
    halted = draw(gram(), halting=True)
    for steps in halted.steps.unique().tolist():
        fixed = draw(gram(), steps=steps)
        here = halted.steps == steps
        assert torch.equal(halted.answers[here], fixed.answers[here])
        torch.testing.assert_close(halted.values[here], fixed.values[here], rtol=1e-4, atol=1e-5)
        assert (fixed.steps == steps).all()


def test_more_steps_than_trained():
    model = gram()
    beyond = draw(model, steps=5 * model.supervision_steps)
    assert (beyond.steps == 20).all()
    assert not torch.equal(beyond.answers, draw(model).answers)
    assert (draw(model, steps=20, halting=True).steps <= 20).all()


def test_the_twin_gives_one_answer():
    answers = draw(gram("none")).answers
    assert (answers == answers[:, :1]).all()
    assert len(answers[:, 0].unique(dim=0)) > 1


def test_seed_and_input_number_key_the_noise():
    model = gram()
    assert not torch.equal(draw(model).answers, draw(model, seed=1).answers)
    assert not torch.equal(draw(model).answers, draw(model, first_input=1).answers)
    twice = draw(model, INPUTS[:1].expand(2, -1))
    assert not torch.equal(twice.answers[0], twice.answers[1])


def test_no_input_gives_no_answer():
    assert draw(gram(), INPUTS[:0]).answers.shape == (0, N, 9)


def test_memory_is_bounded_by_the_pool(monkeypatch: pytest.MonkeyPatch):
    model, rows = tiny_gram(transitions=2), []
    plain = Gram.step

    def step(self: Gram, context: torch.Tensor, latent: Latent, draws: torch.Tensor, n: torch.Tensor) -> Latent:
        rows.append(len(latent.high))
        return plain(self, context, latent, draws, n)

    monkeypatch.setattr(Gram, "step", step)
    draw(model, chunk=4)
    assert set(rows) == {4}


@pytest.mark.parametrize("halting", [False, True])
def test_random_starts_are_each_trajectorys_own(halting: bool):
    """The twin without noise: one answer from the stored z_0, several from random ones, the same in any chunk."""
    model = gram("none")
    assert (draw(model).answers == draw(model).answers[:, :1]).all()
    varied = draw(model, random_start=True, halting=halting)
    assert len({tuple(answer) for answer in varied.answers[0].tolist()}) > 1
    for chunk in (1, 3, 64):
        assert_same(draw(model, random_start=True, halting=halting, chunk=chunk), varied)
    key = noise.keys(0, "start", torch.tensor([2]), torch.tensor([3]))
    latent = model.initial_state(1, noise.normal(key, model.start_shape()))
    context = model.encode(INPUTS[2:3])
    with torch.no_grad():
        for _ in range(STEPS):
            latent = model.step(context, latent, torch.zeros(1, *model.noise_shape()))
    if not halting:
        assert torch.equal(model.decode(latent)[0].argmax(-1), varied.answers[2, 3])


# -- models of other kinds -----------------------------------------------------------------------------------------

VARIED: list[tuple[str, dict[str, Any]]] = [
    ("direct", {"steps": 1}),
    ("direct", {"steps": 1, "draw_tokens": True}),
    ("looped", {}),
    ("looped", {"latent_noise": 0.3}),
    ("hrm", {"latent_noise": 0.3, "halting": True}),
    ("trm", {"latent_noise": 0.3}),
    ("trm", {"latent_noise": 0.3, "halting": True}),
    ("trm", {"draw_tokens": True, "halting": True}),
    ("trm", {"random_start": True}),
    ("trm, drawn", {}),
    ("trm, drawn", {"halting": True}),
]


def rival(name: str) -> Any:
    """Its halt head even enough to halt at different steps."""
    changes = {"token_mixer": "mlp", "positions": "learned"} | ({"start": "drawn"} if name == "trm, drawn" else {})
    model = tiny_rival(name.removesuffix(", drawn"), **changes)
    if name not in ("direct", "looped"):
        with torch.no_grad():
            model.halt_head.weight.mul_(2.0)
    return model


@pytest.mark.parametrize(("name", "options"), VARIED, ids=str)
def test_any_pool_gives_what_a_rivals_plain_loop_gives(name: str, options: dict[str, Any]):
    model, asked = rival(name), SamplerConfig(**({"samples": 3, "steps": STEPS, "halt_by": "head"} | options))
    pools = [
        sample(model, INPUTS, SamplerConfig(**{**vars(asked), "chunk": chunk}), counted=slice(None))
        for chunk in (1, 4, 64)
    ]
    for pool in pools[1:]:
        assert_same(pool, pools[0])
        assert (pool.halts is None) == (name in ("direct", "looped"))
        if pool.halts is not None and pools[0].halts is not None:
            torch.testing.assert_close(pool.halts, pools[0].halts, rtol=1e-4, atol=1e-5)
    varies = options.keys() & {"latent_noise", "draw_tokens", "random_start"} or name == "trm, drawn"
    assert bool((pools[0].answers != pools[0].answers[:, :1]).any()) == bool(varies)


@torch.no_grad()
def test_latent_noise_is_added_before_every_step_to_every_tensor_of_the_state():
    model = rival("trm")
    found = sample(model, INPUTS, SamplerConfig(samples=3, steps=2, latent_noise=0.3, seed=4))
    m, n = 3, 2
    state = model.initial_state(1)
    for step in range(2):
        keys = [noise.keys(4, f"latent {name}", *(torch.tensor([i]) for i in (m, n, step))) for name in ("high", "low")]
        assert not torch.equal(*keys)
        moved = [z + 0.3 * noise.normal(key, z.shape[1:]) for z, key in zip(state, keys, strict=True)]
        state = model.recursion(type(state)(*moved), model.encode(INPUTS[m : m + 1]))
    assert torch.equal(found.answers[m, n], model.decode(state)[0].argmax(-1))
    assert found.halts is not None
    torch.testing.assert_close(found.halts[m, n], model.halt_logit(state)[0].sigmoid(), rtol=1e-4, atol=1e-6)


def test_drawn_tokens_follow_their_probabilities():
    """Chi-square of each of 9 tokens over 3 values, 2,000 draws; 18 degrees of freedom, critical value at 0.001: 42."""
    model = tiny_rival("direct")
    found = sample(model, INPUTS[:1], SamplerConfig(samples=2000, steps=1, draw_tokens=True))
    with torch.no_grad():
        expected = 2000 * model.predict(model.encode(INPUTS[:1]))[0].softmax(-1)
    seen = torch.stack([(found.answers[0] == value).sum(0) for value in range(3)], -1).float()
    assert float(((seen - expected).square() / expected.clamp(min=1e-3)).sum()) < 42.3
    assert (seen > 0).sum() > 9


def test_what_a_model_cannot_do_is_refused():
    with pytest.raises(UserError, match=r"--latent-noise: got 0\.3, expected nothing for OnePass"):
        sample(rival("direct"), INPUTS, SamplerConfig(samples=1, steps=1, latent_noise=0.3))
    with pytest.raises(UserError, match="--latent-noise: got -1"):
        SamplerConfig(latent_noise=-1)
    for name in ("direct", "looped"):
        with pytest.raises(UserError, match="--select: got 'halt'"):
            check_rule(rival(name), "halt")
    check_rule(rival("trm"), "halt")
    check_rule(gram(), "halt")


def test_the_noise_of_a_recipe_counts_unless_another_is_asked():
    model, defaults = rival("looped"), EvalConfig(samples=3, steps=2, latent_noise=0.3)
    plain, asked = (SamplerConfig.filled(defaults, model, None, None, latent_noise=noise) for noise in (None, 0.0))
    assert (plain.latent_noise, asked.latent_noise) == (0.3, 0.0)
    assert SamplerConfig.filled(defaults, model, None, None).latent_noise == 0.3
    assert not torch.equal(sample(model, INPUTS, plain).values, sample(model, INPUTS, asked).values)
    with pytest.raises(UserError, match=r"evaluation\.latent_noise"):
        EvalConfig(latent_noise=-0.1)
