"""Direct, Looped TF, HRM and TRM against loops written from their pseudocode: float64, no code of the models."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gram_reasoning.analysis.costs import META, training_operations
from gram_reasoning.build import MODELS, build_model, build_task
from gram_reasoning.models.base import Model
from gram_reasoning.models.gram import Gram
from gram_reasoning.models.losses import stablemax, stablemax_cross_entropy
from gram_reasoning.models.two_latents import State, TwoLatents
from gram_reasoning.recipes import get_recipe
from gram_reasoning.types import IGNORE, Batch, Shape
from helpers import RIVALS, FixedReferee, mixed_step, tiny_config, tiny_gram, tiny_rival

SHAPE = Shape(length=9, vocab=3)
CASES: list[tuple[str, dict[str, Any]]] = [
    *((name, changes) for name in RIVALS for changes in ({}, {"token_mixer": "mlp", "positions": "learned"})),
    ("trm", {"token_mixer": "mlp-released"}),
    ("trm", {"start": "drawn"}),
    ("trm", {"transitions": 1, "low_steps": 1}),
    ("trm", {"cross_entropy": "stablemax"}),
    ("hrm", {"transitions": 1, "low_steps": 1}),
    ("hrm", {"cross_entropy": "stablemax"}),
    ("looped", {"loops": 1}),
    ("direct", {"num_layers": 3, "qk_norm": True}),
]


def entering(model: Model, rows: int = 6) -> tuple[Batch, Any, Tensor, FixedReferee]:
    """What a supervision step takes: slots at different steps, one of which is in its last, some targets ignored."""
    batch, carry, _, referee = mixed_step(tiny_gram(), rows)
    draw = torch.Generator().manual_seed(2)
    steps = torch.arange(rows) % model.supervision_steps
    batch = replace(batch, is_guided=torch.zeros_like(batch.is_guided), step=steps)
    answer = batch.targets.clone()
    answer[1] = IGNORE
    noise = torch.randn(rows, *model.noise_shape(), generator=draw)
    two = isinstance(model, TwoLatents)
    carried: Any = State(carry.high, carry.low) if two else model.initial_carry(rows)
    return batch, carried, noise, replace(referee, answer=answer)


class Pseudocode:
    """The papers' pages, on a dictionary of weights."""

    def __init__(self, model: Any) -> None:
        self.c = model.config
        self.w = {name: t.detach().double() for name, t in model.state_dict().items()}
        for name, _ in model.named_parameters():
            self.w[name].requires_grad_()

    @staticmethod
    def norm(x: Tensor, axis: int = -1) -> Tensor:
        return x / (x.square().mean(axis, keepdim=True) + 1e-5).sqrt()

    def swiglu(self, name: str, x: Tensor) -> Tensor:
        gate, value = (x @ self.w[f"{name}.gate_value.weight"].T).chunk(2, -1)
        return (gate * gate.sigmoid() * value) @ self.w[f"{name}.out.weight"].T

    def attention(self, name: str, x: Tensor) -> Tensor:
        B, S, D = x.shape
        heads, E = self.c.num_heads, D // self.c.num_heads
        q, k, v = (part.unflatten(-1, (heads, E)) for part in (x @ self.w[f"{name}.qkv.weight"].T).chunk(3, -1))
        if self.c.qk_norm:
            q, k = self.norm(q), self.norm(k)
        if self.c.positions == "rope":
            angle = torch.arange(S)[:, None] * 10000.0 ** (-torch.arange(0, E, 2).double() / E)
            turn = torch.polar(torch.ones_like(angle), angle)[:, None]
            q, k = (torch.complex(t[..., : E // 2], t[..., E // 2 :]) * turn for t in (q, k))
            q, k = (torch.cat([t.real, t.imag], -1) for t in (q, k))
        odds = (torch.einsum("bqhe,bkhe->bhqk", q, k) / math.sqrt(E)).softmax(-1)
        return torch.einsum("bhqk,bkhe->bqhe", odds, v).reshape(B, S, D) @ self.w[f"{name}.out.weight"].T

    def net(self, name: str, x: Tensor) -> Tensor:
        for layer in range(self.c.num_layers):
            block = f"{name}.blocks.{layer}"
            if self.c.token_mixer == "attention":
                mixed = self.attention(f"{block}.mixer", x)
            else:
                mixed = self.swiglu(f"{block}.mixer.mlp", x.transpose(1, 2)).transpose(1, 2)
            x = self.norm(x + mixed, 1 if self.c.token_mixer == "mlp-released" else -1)
            x = self.norm(x + self.swiglu(f"{block}.mlp", x))
        return x

    def context(self, x: Tensor) -> Tensor:
        tokens = self.w["token_embedding"][x]
        if self.c.positions == "learned":
            tokens = tokens + self.w["position_embedding"]
        return torch.cat([self.w["prefix"].expand(len(x), -1, -1), tokens], 1) * math.sqrt(self.c.hidden_size)

    def direct(self, x: Tensor) -> Tensor:
        return self.net("net", self.context(x))

    def looped(self, x: Tensor) -> Tensor:
        e_x = self.context(x)
        h = self.w["initial_latent"].expand_as(e_x)
        for _ in range(self.c.loops):
            h = self.net("net", h + e_x)
        return h

    def trm(self, h: Tensor, low: Tensor, e_x: Tensor) -> tuple[Tensor, Tensor]:
        for t in range(self.c.transitions):
            h, low = h.detach(), low.detach()
            with torch.set_grad_enabled(t == self.c.transitions - 1):
                for _ in range(self.c.low_steps):
                    low = self.net("net", low + h + e_x)
                h = self.net("net", low + h)
        return h, low

    def hrm(self, h: Tensor, low: Tensor, e_x: Tensor) -> tuple[Tensor, Tensor]:
        N, T = self.c.transitions, self.c.low_steps
        with torch.no_grad():
            for i in range(N * T - 1):
                low = self.net("low_network", low + h + e_x)
                if (i + 1) % T == 0:
                    h = self.net("high_network", h + low)
        low = self.net("low_network", low + h + e_x)
        return self.net("high_network", h + low), low

    def logits(self, h: Tensor) -> Tensor:
        return h[:, self.c.prefix_tokens :] @ self.w["decoder.weight"].T

    def q(self, h: Tensor) -> Tensor:
        return h[:, 0] @ self.w["halt_head.weight"].T + self.w["halt_head.bias"]

    def answer_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Token by token."""
        rows = []
        for told, wanted in zip(logits, targets, strict=True):
            found = [told.sum() * 0]
            for scores, token in zip(told, wanted.tolist(), strict=True):
                if self.c.cross_entropy == "stablemax":
                    weight = torch.stack([s + 1 if s >= 0 else 1 / (1 - s) for s in scores])
                else:
                    weight = scores.exp()
                found += [] if token == IGNORE else [-(weight[token] / weight.sum()).log()]
            rows.append(torch.stack(found).sum() / max(1, len(found) - 1))
        return torch.stack(rows)

    def supervise(self, name: str, batch: Batch, carry: Any, noise: Tensor, referee: FixedReferee):
        """Losses, logits, and who is sure."""
        if name in ("direct", "looped"):
            logits = self.logits(getattr(self, name)(batch.inputs))
            return {"cross_entropy": self.answer_loss(logits, referee.answer)}, logits, None, ()
        assert referee.right is not None
        e_x, (h, low) = self.context(batch.inputs), carry
        if name == "trm" and self.c.start == "drawn":
            first = (batch.step == 0)[:, None, None]
            h, low = (torch.where(first, noise[:, n], z) for n, z in enumerate((h, low)))
        h, low = getattr(self, name)(h, low, e_x)
        halt, more = self.q(h).unbind(1)
        right = (referee.right == 1).double()

        def cross_entropy(q: Tensor, target: Tensor) -> Tensor:
            return -target * F.logsigmoid(q) - (1 - target) * F.logsigmoid(-q)

        losses = {"cross_entropy": self.answer_loss(self.logits(h), referee.answer), "halt": cross_entropy(halt, right)}
        sure = halt > 0
        if name == "hrm":
            with torch.no_grad():
                next_halt, next_more = self.q(self.hrm(h, low, e_x)[0]).unbind(1)
            is_last = batch.step == self.c.supervision_steps - 1
            target = torch.where(is_last, next_halt, torch.maximum(next_halt, next_more)).sigmoid()
            losses["continue"], sure = cross_entropy(more, target), halt > more
        return losses, self.logits(h), sure, (h, low)


@pytest.fixture
def double_precision(monkeypatch: pytest.MonkeyPatch):
    """What the models cast to float32, for autocast's sake, stays float64 here."""
    monkeypatch.setattr(Tensor, "float", Tensor.double)


def double(model: Any, carry: Any, noise: Tensor) -> tuple[Any, Any, Tensor]:
    model = model.double()
    if model.rotary is not None:  # made in float32
        E = model.config.hidden_size // model.config.num_heads
        angle = torch.arange(model.positions)[:, None] * 10000.0 ** (-torch.arange(0, E, 2).double() / E)
        model.rotary = torch.stack([angle.cos(), angle.sin()])
    return model, State(*(t.double() for t in carry)) if carry else carry, noise.double()


@pytest.mark.parametrize(("name", "changes"), CASES, ids=lambda v: v if isinstance(v, str) else "-".join(v) or "plain")
@pytest.mark.usefixtures("double_precision")
def test_supervision_step_and_its_gradient(name: str, changes: dict[str, Any]):
    model = tiny_rival(name, **changes)
    batch, carry, noise, referee = entering(model)
    model, carry, noise = double(model, carry, noise)
    paper = Pseudocode(model)
    out = model(batch, carry, noise, referee)
    losses, logits, sure, state = paper.supervise(name, batch, carry, noise, referee)
    weights = model.loss_weights(0, 1)
    assert weights == {"cross_entropy": 1.0, **{other: 0.5 for other in losses if other != "cross_entropy"}}
    assert out.losses.keys() == losses.keys()
    for term, values in losses.items():
        torch.testing.assert_close(out.losses[term], values, rtol=1e-8, atol=1e-9, msg=lambda m, t=term: f"{t}: {m}")
    if sure is None:
        assert out.sure is None
        assert out.carry == ()
    else:
        assert torch.equal(out.sure, sure)
        torch.testing.assert_close(tuple(out.carry), tuple(z.detach() for z in state), rtol=1e-8, atol=1e-9)
        torch.testing.assert_close(model.decode(out.carry), logits, rtol=1e-8, atol=1e-9)
        assert not any(t.requires_grad for t in (*out.carry, out.sure))
    for terms in (out.losses, losses):
        torch.stack([weights[term] * values.sum() for term, values in terms.items()]).sum().backward()
    for term, parameter in model.named_parameters():
        expected = paper.w[term].grad
        ours, theirs = (torch.zeros_like(parameter) if g is None else g for g in (parameter.grad, expected))
        scale = max(1.0, float(theirs.abs().max()))
        torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-9 * scale, msg=lambda m, t=term: f"{t}: {m}")


@pytest.mark.parametrize("name", ["looped", "hrm", "trm"])
def test_sampling_does_the_steps_of_training(name: str):
    model = tiny_rival(name)
    batch, carry, noise, referee = entering(model)
    context, steps = model.encode(batch.inputs), torch.zeros(6, dtype=torch.int64)
    with torch.no_grad():
        if name == "looped":
            state = model.initial_state(6)
            for n in range(model.sampling_steps):
                state = model.step(context, state, noise, steps + n)
            loss = model.config.loops
            assert loss == 3
            expected = Pseudocode(model.double()).looped(batch.inputs)
            torch.testing.assert_close(state.double(), expected, rtol=1e-4, atol=1e-5)
        else:
            state = model.step(context, carry, noise, steps)
            trained = model(batch, carry, noise, referee).carry
            torch.testing.assert_close(tuple(state), tuple(trained))
            answer = model.answer(state)
            assert torch.equal(answer.halt, model.q_values(state)[:, 0].sigmoid())


def test_a_drawn_start_is_the_noise_of_the_first_step_alone():
    model = tiny_rival("trm", start="drawn")
    batch, carry, _, _ = entering(model)
    context, other = model.encode(batch.inputs), torch.randn(2, 6, 2, 1, 16, generator=torch.Generator().manual_seed(0))
    first, later = torch.zeros(6, dtype=torch.int64), torch.ones(6, dtype=torch.int64)
    with torch.no_grad():
        begun = [model.step(context, carry, noise, first).high for noise in other]
        assert not torch.equal(*begun)
        kept = [model.step(context, carry, noise, later).high for noise in other]
        assert torch.equal(*kept)
        stored = tiny_rival("trm")
        assert torch.equal(begun[0], stored.step(context, stored.initial_state(6, other[0]), other[0], first).high)


# -- what trains what ----------------------------------------------------------------------------------------------


def reached(model: Any, loss: Tensor) -> set[str]:
    names, parameters = zip(*model.named_parameters(), strict=True)
    found = torch.autograd.grad(loss.sum(), parameters, allow_unused=True, materialize_grads=True)
    return {name.split(".")[0] for name, gradient in zip(names, found, strict=True) if gradient.any()}


@pytest.mark.parametrize(
    ("name", "term", "parts"),
    [
        ("direct", "cross_entropy", {"token_embedding", "prefix", "net", "decoder"}),
        ("looped", "cross_entropy", {"token_embedding", "prefix", "net", "decoder"}),
        ("trm", "cross_entropy", {"token_embedding", "prefix", "net", "decoder"}),
        ("trm", "halt", {"token_embedding", "prefix", "net", "halt_head"}),
        ("hrm", "cross_entropy", {"token_embedding", "prefix", "low_network", "high_network", "decoder"}),
        ("hrm", "halt", {"token_embedding", "prefix", "low_network", "high_network", "halt_head"}),
        ("hrm", "continue", {"token_embedding", "prefix", "low_network", "high_network", "halt_head"}),
    ],
)
def test_what_each_loss_trains(name: str, term: str, parts: set[str]):
    model = tiny_rival(name)
    assert reached(model, model(*entering(model)).losses[term]) == parts


@pytest.mark.parametrize("name", ["hrm", "trm"])
def test_no_gradient_reaches_the_state_that_enters(name: str):
    model = tiny_rival(name)
    batch, carry, noise, referee = entering(model)
    carry = State(*(z.clone().requires_grad_() for z in carry))
    torch.stack([loss.sum() for loss in model(batch, carry, noise, referee).losses.values()]).sum().backward()
    assert carry.high.grad is None
    assert carry.low.grad is None


@pytest.mark.parametrize("name", ["hrm", "trm"])
def test_without_rules_nobody_is_sure_and_the_heads_learn_nothing(name: str):
    model = tiny_rival(name)
    with torch.no_grad():
        model.halt_head.bias.fill_(-5.0)
    batch, carry, noise, referee = entering(model)
    out = model(batch, carry, noise, replace(referee, right=None))
    heads = [loss for term, loss in out.losses.items() if term != "cross_entropy"]
    assert not torch.stack(heads).any()
    assert not reached(model, torch.stack(heads))
    assert name == "trm" or not out.sure.any()
    assert out.metrics == {}


def test_gradient_through_all_transitions_is_that_of_the_unrolled_chain():
    """Without deep supervision: T transitions under one graph, not the last alone."""
    changes: dict[str, Any] = {"guidance": "none", "transitions": 3, "core": "flat"}
    model = tiny_gram(**changes, gradient_transitions=3, supervision_steps=1)
    batch, carry, noise, referee = mixed_step(model)
    out = model(batch, carry, noise, referee)
    parameters = list(model.parameters())
    ours = torch.autograd.grad(out.losses["cross_entropy"].sum(), parameters, allow_unused=True)

    context, z = model.encode(batch.inputs), model.initial_state(6)._replace(high=carry.high, low=carry.low)
    for t in range(3):
        z, _ = model.transition(z, context, noise[:, t])
    told = F.cross_entropy(model.decode(z).transpose(1, 2), referee.answer, ignore_index=IGNORE, reduction="none")
    loss = (told.sum(1) / (referee.answer != IGNORE).sum(1).clamp(min=1)).sum()
    whole = torch.autograd.grad(loss, parameters, allow_unused=True)
    last = tiny_gram(**changes, supervision_steps=1)
    short_loss = last(batch, carry, noise, referee).losses["cross_entropy"].sum()
    less = torch.autograd.grad(short_loss, list(last.parameters()), allow_unused=True)
    differs = False
    for left, right, short in zip(ours, whole, less, strict=True):
        if left is not None:
            torch.testing.assert_close(left, right)
            differs |= not torch.allclose(left, short)
    assert differs


def test_charged_transitions_train_the_prior_of_all():
    model = tiny_gram(transitions=3, gradient_transitions=3, charged_transitions="all", supervision_steps=1)
    batch, carry, noise, referee = mixed_step(model)
    nats = model(batch, carry, noise, referee).losses["kl"]
    assert {"core", "prior_head", "posterior_head"} <= reached(model, nats)


# -- stablemax -----------------------------------------------------------------------------------------------------


def test_stablemax_is_a_distribution_that_keeps_the_order():
    logits = torch.tensor([[-50.0, -1.0, 0.0, 1e-3, 3.0, 1e4]])
    p = stablemax(logits.double()).exp()
    torch.testing.assert_close(p.sum(), torch.tensor(1.0).double())
    assert (p.diff() > 0).all()
    torch.testing.assert_close(p[0, 4] / p[0, 1], torch.tensor(4 / 0.5).double())


def test_stablemax_of_large_logits_has_a_finite_gradient():
    logits = (torch.tensor([-1.0, 0.0, 1.0]) * 1e6).expand(2, 4, 3).clone().requires_grad_()
    targets = torch.tensor([[0, 1, 2, IGNORE]] * 2)
    loss = stablemax_cross_entropy(logits, targets)
    loss.sum().backward()
    assert logits.grad is not None
    assert loss.isfinite().all()
    assert logits.grad.isfinite().all()
    assert not logits.grad[:, 3].any()


# -- sizes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("nqueens8-direct8", 27),
        ("nqueens8-direct32", 100),
        ("nqueens8-looped", 7),
        ("nqueens8-hrm", 27),
        ("nqueens8-trm", 7),
        ("sudoku-extreme-direct", 27),
        ("sudoku-extreme-looped", 7),
        ("sudoku-extreme-hrm", 27),
        ("sudoku-extreme-trm", 7),
    ],
)
def test_sizes_are_the_papers(name: str, millions: float):
    recipe = get_recipe(name)
    lengths = {"nqueens": Shape(length=64, vocab=3), "sudoku": Shape(length=81, vocab=11)}
    with META:
        model = MODELS[recipe.model.kind](recipe.model, lengths[recipe.task.kind])
    parameters = sum(p.numel() for p in model.parameters())
    assert parameters == pytest.approx(millions * 1e6, rel=0.1)


@pytest.mark.parametrize("name", RIVALS)
def test_operations_by_hand(name: str):
    """Networks in a training step, forward and (twice as much) backward, times a network's products."""
    config: Any = replace(RIVALS[name], token_mixer="mlp", positions="learned")
    with META:
        model = MODELS[name](config, SHAPE)
    D, S, layers = config.hidden_size, 12, config.num_layers
    network = layers * 6 * (S * D * config.mlp_size + D * S * config.mixer_size)
    forward, backward = {
        "direct": (1, 1),
        "looped": (3, 3),
        "hrm": (9 + 9, 2),  # T * K low and T high ones, and once more for the target of q_continue
        "trm": (8, 4),
    }[name]
    by_hand = (forward + 2 * backward) * network + 6 * 9 * D * 3  # and the decoder
    assert training_operations(model, 10) == pytest.approx(10 * by_hand, rel=0.02)


def test_the_two_latents_of_gram_and_trm_differ_in_networks_alone():
    """TRM with both of GRAM's networks equal is GRAM's deterministic twin."""
    trm = tiny_rival("trm", low_steps=2, transitions=3)
    twin = Gram(tiny_config(guidance="none", transitions=3, low_steps=2), SHAPE)
    weights = trm.state_dict()
    named = {name.replace("net.", "core.low_network.", 1): t for name, t in weights.items()}
    named |= {
        name.replace("net.", "core.high_network.", 1): t for name, t in weights.items() if name.startswith("net.")
    }
    twin.load_state_dict({**twin.state_dict(), **named})
    batch, carry, noise, _ = entering(trm)
    with torch.no_grad():
        ours = trm.step(trm.encode(batch.inputs), carry, noise, batch.step)
        other = twin.step(
            twin.encode(batch.inputs), twin.initial_state(6)._replace(**carry._asdict()), torch.zeros(6, 3)
        )
    torch.testing.assert_close(tuple(ours), (other.high, other.low))


@pytest.mark.parametrize("name", ["nqueens7-trm-pocket", "sudoku9-hrm"])
def test_rivals_do_not_look_at_the_target(name: str):
    recipe = get_recipe(f"{name}-debug")
    assert recipe.train.prior_share == 1.0
    assert recipe.train.prior_target == "drawn"
    task = build_task(recipe)
    model = build_model(recipe, task)
    rows = torch.zeros(2, task.length, dtype=torch.int64) + 1
    no, first = torch.zeros(2, dtype=torch.bool), torch.zeros(2, dtype=torch.int64)
    batch = Batch(rows, rows, no, no, first)
    other = replace(batch, targets=rows + 1)
    referee = FixedReferee(rows, torch.ones(2), mixed_step(tiny_gram())[3].stay, batch.is_guided)
    one, two = (model(b, model.initial_carry(2), torch.zeros(2, 0), referee) for b in (batch, other))
    assert torch.equal(one.carry.high, two.carry.high)
