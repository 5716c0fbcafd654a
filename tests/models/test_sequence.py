"""AR and MDLM against enumeration: every sequence of a small vocabulary, every path of sampling."""

import itertools
import math
from dataclasses import replace
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from gram_reasoning.analysis.costs import META
from gram_reasoning.build import build_model, build_task
from gram_reasoning.errors import UserError
from gram_reasoning.inference.answer_set import answer_sets
from gram_reasoning.inference.sampler import SamplerConfig, sample
from gram_reasoning.inference.set_config import SetConfig
from gram_reasoning.models.autoregressive import Autoregressive, Written
from gram_reasoning.models.base import Model
from gram_reasoning.models.configs import AutoregressiveConfig, MaskedDiffusionConfig
from gram_reasoning.models.mdlm import MaskedDiffusion, reverse
from gram_reasoning.nn.distributions import gumbel, gumbel_under
from gram_reasoning.recipes import get_recipe
from gram_reasoning.types import IGNORE, Batch, Candidates, Shape
from helpers import P, batch_beside, codes_drawn, tiny_gram
from oracles import sequences as oracle

LENGTH, ANSWER = 5, 3
SHAPE = Shape(length=LENGTH, vocab=4, counted=range(1, 1 + ANSWER))
EVERY = oracle.all_sequences((1, 2, 3), ANSWER)
INPUT = torch.tensor([[1, 3, 2, 2, 1]])
SMALL: dict[str, Any] = {"hidden_size": 16, "num_heads": 2, "mlp_size": 16, "num_layers": 2, "prefix_tokens": 2}
FAR = 62.0  # chi-square of 26 degrees of freedom lies above with probability 1e-4
AR = [{"positions": "rope"}, {"positions": "learned", "relations": True}]


def away_from_start(model: Any, std: float = 0.4) -> Any:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=std)
    return model.eval()


def ar(positions: str = "learned", relations: bool = True) -> Autoregressive:
    torch.manual_seed(0)
    config = AutoregressiveConfig(**SMALL, positions=positions, relations=relations)  # type: ignore[arg-type]
    return away_from_start(Autoregressive(config, SHAPE))


def mdlm(mixer: str = "attention") -> MaskedDiffusion:
    torch.manual_seed(1)
    config = MaskedDiffusionConfig(**SMALL, token_mixer=mixer)  # type: ignore[arg-type]
    return away_from_start(MaskedDiffusion(config, SHAPE))


def batch_of(answers: Tensor) -> Batch:
    return batch_beside(INPUT, answers)


@torch.no_grad()
def log_likelihood(model: Autoregressive) -> Tensor:
    """Of every sequence, by the whole decoder at once."""
    return -model.nats(batch_of(torch.tensor(EVERY)))[0]


def draw(model: Model, rows: int = 1, first_input: int = 0, **changes: Any) -> Candidates:
    config = SamplerConfig(**{"samples": 1, "steps": model.sampling_steps, **changes})
    return sample(model, INPUT.expand(rows, -1), config, first_input)


def counts(answers: Tensor) -> list[int]:
    """How often each sequence is among answers (..., L)."""
    assert not answers[..., [0, LENGTH - 1]].any(), "what does not count stays padding"
    code = ((answers[..., 1 : 1 + ANSWER] - 1) @ torch.tensor([9, 3, 1])).flatten()
    return torch.bincount(code, minlength=27).tolist()


# -- AR --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", AR)
def test_probabilities_of_all_sequences_sum_to_one(changes: dict[str, Any]):
    p = log_likelihood(ar(**changes)).exp()
    assert float(p.sum()) == pytest.approx(1, abs=1e-5)
    assert float(p.max() / p.min()) > 20, "the model of these tests is far from uniform"


@pytest.mark.parametrize("changes", AR)
@pytest.mark.parametrize("temperature", [None, 0.5])
def test_ancestral_samples_follow_the_probabilities(changes: dict[str, Any], temperature: float | None):
    model = ar(**changes)
    found = draw(model, samples=20_000, chunk=20_000, temperature=temperature)
    p = sharpened(model, temperature or 1.0)
    assert oracle.chi_square(counts(found.answers), p) < FAR
    expected = torch.tensor(p)[torch.tensor(code_of(found.answers[0]))]
    torch.testing.assert_close(found.values[0], expected, rtol=1e-4, atol=1e-6)  # one at a time is all at once


def code_of(answers: Tensor) -> list[int]:
    return ((answers[:, 1 : 1 + ANSWER] - 1) @ torch.tensor([9, 3, 1])).tolist()


@torch.no_grad()
def sharpened(model: Autoregressive, temperature: float) -> list[float]:
    """Probability of every sequence where each token's odds are raised to 1 / temperature."""
    answers = torch.tensor(EVERY)
    logits = model.logits(model.encode(INPUT.expand(27, -1)), answers) / temperature
    return logits.log_softmax(-1).gather(2, answers[..., None])[..., 0].sum(1).exp().tolist()


@pytest.mark.parametrize("changes", AR)
def test_a_token_depends_on_all_of_x_and_on_what_stands_before(changes: dict[str, Any]):
    model, answer = ar(**changes), torch.tensor([[1, 2, 3]])
    inputs = INPUT.expand(LENGTH, -1).clone()
    inputs[range(LENGTH), range(LENGTH)] = 0
    with torch.no_grad():
        plain = model.logits(model.encode(INPUT), answer)[0, :, 1:]
        for changed in model.logits(model.encode(inputs), answer.expand(LENGTH, -1))[:, :, 1:]:
            assert (changed - plain).abs().amax(1).min() > 1e-4
        for i in range(ANSWER):
            other = answer.clone()
            other[0, i] = 1 + other[0, i] % 3
            moved = (model.logits(model.encode(INPUT), other)[0, :, 1:] - plain).abs().amax(1)
            assert moved[: i + 1].max() < 1e-6
            assert (moved[i + 1 :] > 1e-4).all()


def test_targets_that_do_not_count_are_not_learnt():
    model, answers = ar(), torch.tensor([[1, 2, 3], [1, 2, IGNORE]])
    with torch.no_grad():
        nats, tokens = model.nats(batch_of(answers))
        logits = model.logits(model.encode(INPUT), answers[:1]).log_softmax(-1)
    assert tokens.tolist() == [3, 2]
    expected = [-sum(float(logits[0, i, answers[0, i]]) for i in range(k)) for k in (3, 2)]
    assert nats.tolist() == pytest.approx(expected, abs=1e-5)


def test_greedy_is_the_likeliest_token_at_each_step():
    model, answer = ar(), [1, 1, 1]
    with torch.no_grad():
        for i in range(ANSWER):
            logits = model.logits(model.encode(INPUT), torch.tensor([answer]))
            answer[i] = 1 + int(logits[0, i, 1:].argmax())
    found = draw(model, samples=3, decode="greedy", seed=5)
    assert found.answers[0, :, 1 : 1 + ANSWER].tolist() == [answer] * 3


@torch.no_grad()
def beams(model: Autoregressive, samples: int, seed: int = 0) -> Written:
    """The last state of a stochastic beam search, step by step."""
    model = model.set_to(decode="beam", samples=samples)
    torch.manual_seed(seed)
    state, context = model.initial_state(samples), model.encode(INPUT.expand(samples, -1))
    for n in range(ANSWER):
        state = model.step(context, state, torch.randn(samples, SHAPE.vocab), torch.full((samples,), n))
    return state


@pytest.mark.parametrize("samples", [1, 2, 5, 27, 40])
def test_a_beam_search_never_repeats_and_ranks_by_the_perturbed_probability(samples: int):
    state = beams(ar(), samples)
    there = state.score > -torch.inf
    assert int(there.sum()) == min(samples, 27)
    assert len(state.tokens[there].unique(dim=0)) == min(samples, 27)
    assert (state.score[there].diff() < 0).all()
    assert not there[27:].any()
    assert float(state.score[0]) == pytest.approx(0, abs=1e-5)  # the largest of all, which was set to 0
    exact = log_likelihood(ar())[((state.tokens[there] - 1) @ torch.tensor([9, 3, 1]))]
    torch.testing.assert_close(state.log_p[there], exact, rtol=1e-4, atol=1e-4)
    found = draw(ar(), samples=samples, decode="beam")
    assert (found.answers[0].any(1)).tolist() == [i < 27 for i in range(samples)]
    assert (found.values[0, 27:] == 0).all()


def test_a_beam_search_draws_without_replacement():
    rows, k = 6000, 3
    p = log_likelihood(ar()).exp().tolist()
    found = draw(ar(), rows=rows, samples=k, decode="beam", chunk=20_000)
    assert oracle.chi_square(counts(found.answers[:, 0]), p) < FAR  # the first is a plain sample
    for share, chance in zip(counts(found.answers), oracle.inclusion(p, k), strict=True):
        assert abs(share / rows - chance) < 4.5 * math.sqrt(chance * (1 - chance) / rows) + 1e-9


def test_gumbel_numbers():
    torch.manual_seed(0)
    drawn = gumbel(torch.randn(200_000, dtype=torch.float64))
    assert float(drawn.mean()) == pytest.approx(0.5772, abs=0.02)
    assert float(drawn.var()) == pytest.approx(math.pi**2 / 6, abs=0.04)
    assert gumbel(torch.tensor([-9.0, 5.8])).isfinite().all()
    loose = torch.randn(1000, 5, dtype=torch.float64) * 3
    largest = torch.randn(1000, dtype=torch.float64) * 3
    moved = gumbel_under(loose, largest)
    torch.testing.assert_close(moved.amax(1), largest)
    assert torch.equal(moved.argsort(1), loose.argsort(1))
    none = gumbel_under(torch.tensor([[0.0, -torch.inf], [1.0, 2.0]]), torch.tensor([1.0, -torch.inf]))
    assert none.tolist() == [[1.0, -torch.inf], [-torch.inf, -torch.inf]]


# -- MDLM ------------------------------------------------------------------------------------------------------


def odds_of(model: MaskedDiffusion) -> Any:
    """The network as a function of a partly masked answer."""
    with torch.no_grad():
        context = model.encode(INPUT)

    @lru_cache
    def odds(shown: tuple[int, ...]) -> list[dict[int, float]]:
        tokens = torch.zeros(1, LENGTH, dtype=torch.int64)
        tokens[0, 1 : 1 + ANSWER] = torch.tensor(shown)
        with torch.no_grad():
            rows = model.logits(context, tokens).softmax(-1)[0, 1 : 1 + ANSWER].tolist()
        assert all(row[0] == 0 for row in rows), "the mask is never an answer"
        return [dict(enumerate(row)) for row in rows]

    return odds


@pytest.mark.parametrize(("t", "s"), [(1.0, 0.75), (0.5, 0.1), (0.25, 0.0)])
def test_the_posterior_is_bayes(t: float, s: float):
    """q(y_s | y_t = mask, y_0) from the two forward kernels, for every y_0, and mixed over a network's odds of it."""
    states = range(4)  # the mask, then three tokens

    def forward(old: int, new: int, kept: float) -> float:
        return {old: kept, 0: 1 - kept}.get(new, 0.0) if old else float(new == 0)

    def bayes(y0: int, ys: int) -> float:
        joint = [forward(y0, y, 1 - s) * forward(y, 0, (1 - t) / (1 - s)) for y in states]
        return joint[ys] / sum(joint)

    odds = torch.tensor([[[0.0, 0.2, 0.5, 0.3]]])
    for given in (odds, *(torch.eye(4)[y].view(1, 1, 4) for y in (1, 2, 3))):
        found = reverse(given.log(), torch.tensor([[s / t]])).exp()[0, 0].tolist()
        mixed = [sum(float(given[0, 0, y0]) * bayes(y0, ys) for y0 in (1, 2, 3)) for ys in states]
        assert found == pytest.approx(mixed, abs=1e-6)


@pytest.mark.parametrize("mixer", ["attention", "mlp"])
@pytest.mark.parametrize("steps", [1, 3])
def test_samples_follow_the_paths_of_sampling(mixer: str, steps: int):
    model = mdlm(mixer)
    p = [oracle.unmasked_in_steps(odds_of(model), sequence, steps) for sequence in EVERY]
    assert sum(p) == pytest.approx(1, abs=1e-5)
    found = draw(model, samples=20_000, chunk=20_000, steps=steps)
    assert oracle.chi_square(counts(found.answers), p) < FAR


def test_the_bound_is_below_the_log_probability():
    """In continuous time tokens turn up one by one, in any order; sampling comes near it as its steps grow."""
    odds, apart = odds_of(mdlm()), {3: 0.0, 12: 0.0}
    for sequence in EVERY:
        exact = 0.0
        for order in itertools.permutations(range(ANSWER)):
            shown, chance = [0] * ANSWER, 1.0
            for i in order:
                chance *= odds(tuple(shown))[i][sequence[i]]
                shown[i] = sequence[i]
            exact += chance / math.factorial(ANSWER)
        assert oracle.bound_over_orders(odds, sequence) < math.log(exact)
        for steps in apart:
            apart[steps] += abs(oracle.unmasked_in_steps(odds, sequence, steps) - exact)
    assert apart[12] < apart[3] / 2


@pytest.mark.parametrize("sequence", [EVERY[0], EVERY[14]])
def test_the_loss_and_the_diagnostics_estimate_the_bound(sequence: tuple[int, ...]):
    model, rows = mdlm(), 40_000
    expected = oracle.bound_over_orders(odds_of(model), sequence)
    batch = batch_of(torch.tensor([sequence]).expand(rows, -1))
    noise = torch.randn(rows, *model.noise_shape(), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        trained = -model(batch, (), noise, None).losses["cross_entropy"] * ANSWER  # type: ignore[arg-type]
    part = batch_of(torch.tensor([sequence]).expand(4000, -1))
    watched = model.diagnostics(part, noise[:4000, None], {})["bound_nats"]
    for values in (trained, watched):
        error = float(values.std()) / math.sqrt(len(values))
        assert float(values.mean()) == pytest.approx(expected, abs=4 * error + 0.004)  # times below 0.001 are left out
    assert watched.std() < trained.std() / 3


def test_what_is_shown_stays():
    model = mdlm().set_to(sampling_steps=6)
    state, context = model.initial_state(200), model.encode(INPUT.expand(200, -1))
    with torch.no_grad():
        for n in range(6):
            before, draws = state.tokens, torch.randn(200, *model.step_noise_shape())
            state = model.step(context, state, draws, torch.full((200,), n))
            assert torch.equal(state.tokens[before != 0], before[before != 0])
    assert (state.tokens[:, 1 : 1 + ANSWER] != 0).all()
    assert not state.tokens[:, [0, LENGTH - 1]].any()


def test_a_trained_model_draws_a_known_distribution():
    torch.manual_seed(0)
    config = MaskedDiffusionConfig(**{**SMALL, "hidden_size": 32}, sampling_steps=200)
    found = codes_drawn(MaskedDiffusion(config, Shape(length=3, vocab=3)), 400, 3e-3, 200)
    assert oracle.chi_square(found, P.tolist()) < 29.9  # 7 degrees of freedom, probability 1e-4
    assert oracle.chi_square(found, [1 / 8] * 8) > 200


# -- both ------------------------------------------------------------------------------------------------------


CASES: list[tuple[Any, dict[str, Any]]] = [
    (ar, {}),
    (ar, {"decode": "beam"}),
    (ar, {"decode": "greedy"}),
    (mdlm, {"steps": 5}),
]


@pytest.mark.parametrize(("make", "options"), CASES)
def test_any_chunk_and_any_piece_gives_the_same(make: Any, options: dict[str, Any]):
    model = make()
    whole = draw(model, rows=5, samples=4, **options)
    for chunk in (1, 6, 8, 9):
        found = draw(model, rows=5, samples=4, chunk=chunk, **options)
        assert torch.equal(found.answers, whole.answers)
        torch.testing.assert_close(found.values, whole.values)
    pieces = [draw(model, rows=k, first_input=f, samples=4, **options) for f, k in ((0, 2), (2, 3))]
    assert torch.equal(torch.cat([piece.answers for piece in pieces]), whole.answers)
    assert draw(model, rows=0, samples=4, **options).answers.shape == (0, 4, LENGTH)


@pytest.mark.parametrize(
    ("make", "options", "told"),
    [
        (ar, {"steps": 2}, "--steps: got 2, expected 3, all that Autoregressive takes"),
        (ar, {"halting": True}, "--halting: got True, expected nothing for Autoregressive"),
        (mdlm, {"halting": True}, "--halting: got True, expected nothing for MaskedDiffusion"),
        (mdlm, {"decode": "beam"}, "--decode: got 'beam', expected nothing for MaskedDiffusion"),
        (mdlm, {"random_start": True}, "--random-start"),
        (mdlm, {"temperature": 0.0}, "--temperature: got 0.0, expected a number above 0"),
        (lambda: tiny_gram(LENGTH), {"temperature": 0.5}, "--temperature: got 0.5, expected nothing for Gram"),
    ],
)
def test_what_a_model_does_not_heed_is_refused(make: Any, options: dict[str, Any], told: str):
    with pytest.raises(UserError, match=told):
        draw(make(), **options)


def test_settings_of_one_call_are_not_those_of_the_next():
    model = ar()
    before = draw(model, samples=6).answers
    draw(model, samples=2, decode="beam", temperature=0.1)
    assert torch.equal(draw(model, samples=6).answers, before)
    assert (model.decode, model.temperature, model.samples) == ("ancestral", 1.0, 1)


@pytest.mark.parametrize(("name", "millions"), [("nqueens8-ar", 10.6), ("nqueens8-mdlm", 12.6)])
def test_the_papers_sizes(name: str, millions: float):
    recipe = get_recipe(name)
    task = build_task(recipe)
    with META:
        model = build_model(recipe, task)
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, rel=0.1)


# -- sets ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [ar, mdlm])
def test_sets_are_of_whole_answers(make: Any):
    """What a model says before its last step is no answer: the budget starts as many as it can bring to their end."""
    model, steps = make(), make().sampling_steps
    task: Any = SimpleNamespace(canonical=lambda said, inputs: said, counted=slice(1, 1 + ANSWER), open_token=None)
    config = SetConfig(answers=8, budget=3 * steps + steps - 1, sampler=SamplerConfig(samples=1, steps=steps))
    [found] = answer_sets(model, task, INPUT.view(1, -1), config)
    assert [(e.steps, e.why) for e in found.ended] == [(steps, "sure")] * 3
    assert found.spent == 3 * steps
    assert {e.answer[1 : 1 + ANSWER] for e in found.ended} <= {tuple(row) for row in EVERY}
    with pytest.raises(UserError, match=f"budget: got {steps - 1}, expected at least {steps}"):
        answer_sets(model, task, INPUT.view(1, -1), replace(config, budget=steps - 1))
