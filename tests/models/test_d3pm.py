"""D3PM against matrices, Bayes and enumeration: what spoils, its reverse, the bound, every path of sampling."""

import itertools
import math
from functools import lru_cache
from typing import Any

import pytest
import torch
from torch import Tensor

from gram_reasoning.analysis.costs import META
from gram_reasoning.build import build_model, build_task
from gram_reasoning.errors import UserError
from gram_reasoning.inference.sampler import SamplerConfig, sample
from gram_reasoning.models.configs import DiscreteDiffusionConfig
from gram_reasoning.models.d3pm import DiscreteDiffusion, log
from gram_reasoning.recipes import get_recipe
from gram_reasoning.types import IGNORE, Batch, Candidates, Shape
from helpers import P, batch_beside, codes_drawn
from oracles import sequences as oracle

LENGTH, ANSWER, VOCAB, TIMES = 4, 2, 4, 6
SHAPE = Shape(length=LENGTH, vocab=VOCAB, counted=range(1, 1 + ANSWER))
EVERY = oracle.all_sequences((1, 2, 3), ANSWER)
INPUT = torch.tensor([[1, 3, 2, 1]])
SMALL: dict[str, Any] = {"hidden_size": 16, "num_heads": 2, "mlp_size": 16, "num_layers": 2, "prefix_tokens": 2}
FAR = 31.8  # chi-square of 8 degrees of freedom lies above with probability 1e-4
CORRUPTIONS = ["uniform", "absorbing"]
PI = {"uniform": [0, 1 / 3, 1 / 3, 1 / 3], "absorbing": [1, 0, 0, 0]}


def d3pm(corruption: str, mixer: str = "attention", times: int = TIMES) -> DiscreteDiffusion:
    """Away from its start."""
    torch.manual_seed(1)
    config = DiscreteDiffusionConfig(**SMALL, corruption=corruption, token_mixer=mixer, times=times)  # type: ignore[arg-type]
    model = DiscreteDiffusion(config, SHAPE)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model.eval()


def alpha(corruption: str, times: int) -> list[float]:
    """How likely a token is still itself."""
    if corruption == "absorbing":
        return [1 - t / times for t in range(times + 1)]
    angles = [(t / times + 0.008) / 1.008 * math.pi / 2 for t in range(times + 1)]
    return [math.cos(angle) ** 2 / math.cos(angles[0]) ** 2 for angle in angles]


def batch_of(answers: Tensor) -> Batch:
    return batch_beside(INPUT, answers)


def draw(model: DiscreteDiffusion, rows: int = 1, first_input: int = 0, **changes: Any) -> Candidates:
    config = SamplerConfig(**{"samples": 1, "steps": model.sampling_steps, **changes})
    return sample(model, INPUT.expand(rows, -1), config, first_input)


def counts(answers: Tensor) -> list[int]:
    assert not answers[..., [0, LENGTH - 1]].any(), "what does not count stays padding"
    return ((answers[..., 1 : 1 + ANSWER] - 1) @ torch.tensor([3, 1])).flatten().bincount(minlength=9).tolist()


# -- what spoils -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_what_spoils_is_the_product_of_the_matrices(corruption: str):
    model, rows = d3pm(corruption), 40_000
    matrices = oracle.spoiling(alpha(corruption, TIMES), PI[corruption])
    so_far = [[float(i == j) for j in range(VOCAB)] for i in range(VOCAB)]
    uniform = (torch.arange(rows, dtype=torch.float64) + 0.5).div(rows).float()[:, None]
    for t, matrix in enumerate(matrices, 1):
        assert [sum(row) for row in matrix] == pytest.approx([1] * VOCAB)
        so_far = oracle.product(so_far, matrix)
        for y0 in (1, 2, 3):
            found = model.spoilt(torch.full((rows, 1), y0), torch.full((rows,), t), uniform)
            shares = (found.flatten().bincount(minlength=VOCAB) / rows).tolist()
            assert shares == pytest.approx(so_far[y0], abs=1e-4)
    for row in so_far[1:]:
        assert row == pytest.approx(PI[corruption], abs=1e-6)  # nothing of y_0 is left


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_the_reverse_of_one_answer_is_bayes(corruption: str):
    model = d3pm(corruption)
    matrices = oracle.spoiling(alpha(corruption, TIMES), PI[corruption])
    tokens = (0, 1, 2, 3) if corruption == "absorbing" else (1, 2, 3)
    for s, t in itertools.combinations(range(TIMES + 1), 2):
        for y0, yt in itertools.product((1, 2, 3), tokens):
            if corruption == "absorbing" and (yt not in (0, y0) or (yt and t == TIMES)):
                continue  # never happens
            one_hot = log(torch.eye(VOCAB)[y0].view(1, 1, VOCAB))
            found = model.reverse(one_hot, torch.tensor([[yt]]), torch.tensor([s]), torch.tensor([t]))
            expected = oracle.backwards(matrices, s, t, y0, yt)
            assert found.exp().flatten().tolist() == pytest.approx(expected, abs=1e-5), (s, t, y0, yt)


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_the_reverse_of_odds_mixes_the_joint(corruption: str):
    """p(y_s | y_t) in proportion to the sum over y_0 of q(y_s, y_t | y_0) times its odds."""
    model, odds, (s, t) = d3pm(corruption), [0.0, 0.2, 0.5, 0.3], (2, 5)
    matrices = oracle.spoiling(alpha(corruption, TIMES), PI[corruption])
    for yt in (0,) if corruption == "absorbing" else (1, 2, 3):
        given = log(torch.tensor(odds).view(1, 1, VOCAB))
        found = model.reverse(given, torch.tensor([[yt]]), torch.tensor([s]), torch.tensor([t]))
        mixed = [0.0] * VOCAB
        for y0 in (1, 2, 3):
            to_s, on = ([[float(i == j) for j in range(VOCAB)] for i in range(VOCAB)] for _ in range(2))
            for q in matrices[:s]:
                to_s = oracle.product(to_s, q)
            for q in matrices[s:t]:
                on = oracle.product(on, q)
            mixed = [m + odds[y0] * to_s[y0][ys] * on[ys][yt] for ys, m in enumerate(mixed)]
        assert found.exp().flatten().tolist() == pytest.approx([m / sum(mixed) for m in mixed], abs=1e-5)


# -- the bound, and sampling -----------------------------------------------------------------------------------


def steps_of(model: DiscreteDiffusion, path: list[int]) -> list[Any]:
    """The network's steps along times t_0 > t_1 > .., each a function of the sequence before."""
    with torch.no_grad():
        context = model.encode(INPUT)

    def step(t: int, s: int) -> Any:
        @lru_cache
        def rows(sequence: tuple[int, ...]) -> list[list[float]]:
            tokens = torch.zeros(1, LENGTH, dtype=torch.int64)
            tokens[0, 1 : 1 + ANSWER] = torch.tensor(sequence)
            with torch.no_grad():
                log_p = model.logits(context, tokens, torch.tensor([t])).log_softmax(-1)
                found = model.reverse(log_p, tokens, torch.tensor([s]), torch.tensor([t])).exp()
            return found[0, 1 : 1 + ANSWER].tolist()

        return rows

    return [step(t, s) for t, s in itertools.pairwise(path)]


def start_of(corruption: str) -> dict[tuple[int, ...], float]:
    if corruption == "absorbing":
        return {(0,) * ANSWER: 1.0}
    return {sequence: 1 / len(EVERY) for sequence in EVERY}


def exact(corruption: str, mixer: str, path: list[int]) -> list[float]:
    found = oracle.chain(steps_of(d3pm(corruption, mixer), path), start_of(corruption))
    assert sum(found.values()) == pytest.approx(1, abs=1e-5)
    return [found[sequence] for sequence in EVERY]


@pytest.mark.parametrize(("corruption", "mixer"), [("uniform", "attention"), ("absorbing", "mlp")])
@pytest.mark.parametrize(("steps", "path"), [(6, [6, 5, 4, 3, 2, 1, 0]), (4, [6, 4, 3, 1, 0]), (1, [6, 0])])
def test_samples_follow_the_paths_of_sampling(corruption: str, mixer: str, steps: int, path: list[int]):
    p = exact(corruption, mixer, path)
    assert max(p) > 2 * min(p), "the model of these tests is not uniform"
    found = draw(d3pm(corruption, mixer), samples=20_000, chunk=20_000, steps=steps)
    assert oracle.chi_square(counts(found.answers), p) < FAR


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_the_bound_lies_above_minus_the_log_probability(corruption: str):
    """The bound by enumeration, which the loss and the diagnostics estimate, and -ln p by enumeration of all paths."""
    model, rows = d3pm(corruption), 20_000
    p = exact(corruption, "attention", list(range(TIMES, -1, -1)))
    matrices = oracle.spoiling(alpha(corruption, TIMES), PI[corruption])
    steps = steps_of(model, list(range(TIMES, -1, -1)))[::-1]  # from t = 1 on
    noise = torch.randn(rows, *model.noise_shape(), generator=torch.Generator().manual_seed(0))
    for sequence, chance in list(zip(EVERY, p, strict=True))[::4]:
        bound, spoilt = 0.0, {sequence: 1.0}
        for t, matrix in enumerate(matrices, 1):
            spoilt = oracle.chain([lambda y, q=matrix: [q[token] for token in y]], spoilt)
            for yt, weight in spoilt.items():
                for token, target, says in zip(yt, sequence, steps[t - 1](yt), strict=True):
                    q = oracle.backwards(matrices, t - 1, t, target, token)
                    bound += weight * sum(a * math.log(a / b) for a, b in zip(q, says, strict=True) if a > 1e-12)
        assert bound > -math.log(chance) + 1e-3
        batch = batch_of(torch.tensor([sequence]).expand(rows, -1))
        with torch.no_grad():
            out = model(batch, (), noise, None)  # type: ignore[arg-type]
        trained = out.losses["cross_entropy"] * ANSWER
        watched = -model.diagnostics(batch_of(torch.tensor([sequence]).expand(2000, -1)), noise[:2000, None], {})[
            "bound_nats"
        ]
        for values in (trained, watched):
            assert float(values.mean()) == pytest.approx(bound, abs=4 * float(values.std()) / math.sqrt(len(values)))


def test_the_hybrid_loss_is_the_cross_entropy_of_the_answer():
    model, answers = d3pm("uniform"), torch.tensor([[1, 2], [3, IGNORE]])
    noise = torch.randn(2, *model.noise_shape(), generator=torch.Generator().manual_seed(3))
    uniform = torch.special.ndtr(noise)
    with torch.no_grad():
        losses = model(batch_of(answers), (), noise, None).losses  # type: ignore[arg-type]
        for row in range(2):
            t = torch.tensor([1 + int(uniform[row, 0] * TIMES)])
            spoilt = model.spoilt(answers[row : row + 1].clamp(min=0), t, uniform[row : row + 1, 2:4])
            tokens = torch.zeros(1, LENGTH, dtype=torch.int64)
            tokens[0, 1 : 1 + ANSWER] = torch.where(answers[row] >= 0, spoilt[0], 0)
            log_p = model.logits(model.encode(INPUT), tokens, t).log_softmax(-1)[0, 1 : 1 + ANSWER]
            wrong = [-float(log_p[i, y]) for i, y in enumerate(answers[row].tolist()) if y >= 0]
            assert float(losses["hybrid"][row]) == pytest.approx(sum(wrong) / len(wrong), abs=1e-4)
    assert model.loss_weights(0, 1) == {"cross_entropy": 1.0, "hybrid": pytest.approx(0.001 * TIMES)}


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_a_trained_model_draws_a_known_distribution(corruption: str):
    torch.manual_seed(0)
    config = DiscreteDiffusionConfig(**{**SMALL, "hidden_size": 32}, corruption=corruption, times=50, sampling_steps=50)  # type: ignore[arg-type]
    found = codes_drawn(DiscreteDiffusion(config, Shape(length=3, vocab=3)), 400, 5e-3, 50)
    assert oracle.chi_square(found, P.tolist()) < 29.9  # 7 degrees of freedom, probability 1e-4
    assert oracle.chi_square(found, [1 / 8] * 8) > 200


# -- as a model of the package ---------------------------------------------------------------------------------


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_any_chunk_and_any_piece_gives_the_same(corruption: str):
    model = d3pm(corruption)
    whole = draw(model, rows=5, samples=4, steps=5)
    for chunk in (1, 6, 9):
        found = draw(model, rows=5, samples=4, chunk=chunk, steps=5)
        assert torch.equal(found.answers, whole.answers)
        torch.testing.assert_close(found.values, whole.values)
    pieces = [draw(model, rows=k, first_input=f, samples=4, steps=5) for f, k in ((0, 2), (2, 3))]
    assert torch.equal(torch.cat([piece.answers for piece in pieces]), whole.answers)


def test_a_low_temperature_takes_the_likeliest():
    one, many = (draw(d3pm("absorbing"), samples=200, steps=1, temperature=t).answers[0] for t in (0.01, None))
    assert len(one.unique(dim=0)) == 1 < len(many.unique(dim=0))


def test_the_value_is_how_probable_the_network_takes_the_answer_to_be():
    model = d3pm("uniform").set_to(sampling_steps=TIMES)
    state, context = model.initial_state(50), model.encode(INPUT.expand(50, -1))
    before = state.tokens
    with torch.no_grad():
        for n in range(TIMES):
            before = state.tokens
            state = model.step(context, state, torch.randn(50, *model.step_noise_shape()), torch.full((50,), n))
        log_p = model.logits(context, before, torch.ones(50, dtype=torch.int64)).log_softmax(-1)
    taken_for = log_p.gather(2, state.tokens[..., None])[:, 1 : 1 + ANSWER, 0].sum(1)
    torch.testing.assert_close(model.answer(state).value, taken_for.exp())


def test_it_refuses_what_it_does_not_heed():
    with pytest.raises(UserError, match="--halting: got True, expected nothing for DiscreteDiffusion"):
        draw(d3pm("uniform"), halting=True)
    with pytest.raises(UserError, match=r"model.times: got 0, expected 1 to 100000"):
        DiscreteDiffusionConfig(times=0)


@pytest.mark.parametrize(("size", "millions"), [("small", 15.9), ("big", 55.1)])
@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_the_papers_sizes(corruption: str, size: str, millions: float):
    recipe = get_recipe(f"sudoku9-boards-d3pm-{corruption}-{size}")
    task = build_task(recipe)
    with META:
        model = build_model(recipe, task)
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, rel=0.1)
    assert (model.config.times, model.sampling_steps) == (1000, 1000)  # type: ignore[attr-defined]
