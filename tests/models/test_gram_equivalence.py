"""One supervision step against a loop written from the paper: float64, weights by name, no code of the model."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from gram_reasoning import trees
from gram_reasoning.errors import UserError
from gram_reasoning.models.gram import Carry, Gram, Latent
from gram_reasoning.types import IGNORE, Batch, Shape
from helpers import FixedReferee, mixed_step, tiny_config, tiny_gram

ALONE: dict[str, list[Any]] = {
    "core": ["flat"],
    "token_mixer": ["mlp", "grid"],
    "positions": ["learned"],
    "qk_norm": [True],
    "posterior_transitions": ["last"],
    "charged_transitions": ["all"],
    "kl_channels": ["mean"],
    "kl_positions": ["sum"],
    "kl_balance": [0.0, 1.0],
    "target_entry": ["sum"],
    "guidance": ["noise", "mean", "none"],
    "initial_state": ["position"],
    "decoder": ["swiglu"],
    "layout": ["patches"],
    "transitions": [1, 2],
    "low_steps": [1, 3],
    "num_layers": [1],
    "num_heads": [1],
    "prefix_tokens": [1],
    "sigma_start": [0.3],
    "mean_bound": [None, 0.2],
    "kl_budget_first": [None, 0.1],
    "kl_budget_open": [2.0],
    "kl_budget": [None, 0.1],
}
UNBOUNDED = {"kl_budget_first": None, "kl_budget": None}
PAIRS: list[dict[str, Any]] = [
    {"posterior_transitions": "all", "charged_transitions": "all"},
    {"posterior_transitions": "all", "charged_transitions": "all", "kl_channels": "mean", "kl_positions": "sum"},
    {"core": "flat", "token_mixer": "mlp", "positions": "learned"},
    {"core": "flat", "guidance": "none"},
    {"qk_norm": True, "positions": "learned"},
    {"charged_transitions": "all", "kl_budget_first": 2.0, "kl_budget": 0.01},
    UNBOUNDED,
    {"sigma_learned": True, **UNBOUNDED},
    {"sigma_learned": True, "sigma_max": 1.05, "mean_bound": None, **UNBOUNDED},
    {"sigma_learned": True, "guidance": "noise", **UNBOUNDED},
    {"target_entry": "sum", "posterior_transitions": "all", "decoder": "swiglu"},
    {"layout": "patches", "patch_channels": 16, "decoder": "swiglu", "positions": "learned"},
    {"layout": "patches", "token_mixer": "grid"},
    {"layout": "patches", "token_mixer": "mlp", "charged_transitions": "all"},
]
CASES = [{}, *({name: value} for name, values in ALONE.items() for value in values), *PAIRS]


def name_of(case: dict[str, Any]) -> str:
    return "-".join(f"{name}={value}" for name, value in case.items()) or "default"


def angles(positions: int, head_size: int) -> Tensor:
    """Position * 10000^(-2e/E)."""
    return torch.arange(positions)[:, None] * 10000.0 ** (-torch.arange(0, head_size, 2).double() / head_size)


class Paper:
    """Sections 2 and 3 on a dictionary of weights."""

    def __init__(self, model: Gram) -> None:
        self.c = model.config
        self.length = model.shape.length
        self.w = {name: t.detach().double() for name, t in model.state_dict().items()}
        for name, _ in model.named_parameters():
            self.w[name].requires_grad_()

    @staticmethod
    def norm(x: Tensor) -> Tensor:
        return x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt()

    def swiglu(self, name: str, x: Tensor) -> Tensor:
        both = x @ self.w[f"{name}.gate_value.weight"].T
        half = both.shape[-1] // 2
        gate, value = both[..., :half], both[..., half:]
        return (gate * gate.sigmoid() * value) @ self.w[f"{name}.out.weight"].T

    def rope(self, x: Tensor) -> Tensor:
        """Channel e and channel e + E/2 are one complex number, turned by its position's angles."""
        half = x.shape[-1] // 2
        angle = angles(x.shape[-2], x.shape[-1])
        turned = torch.complex(x[..., :half], x[..., half:]) * torch.polar(torch.ones_like(angle), angle)
        return torch.cat([turned.real, turned.imag], -1)

    def attention(self, name: str, x: Tensor) -> Tensor:
        D, heads = self.c.hidden_size, self.c.num_heads
        E = D // heads
        outputs = []
        for head in range(heads):
            rows = [slice(part * D + head * E, part * D + (head + 1) * E) for part in range(3)]
            q, k, v = (x @ self.w[f"{name}.qkv.weight"][r].T for r in rows)
            if self.c.qk_norm:
                q, k = self.norm(q), self.norm(k)
            if self.c.positions == "rope":
                q, k = self.rope(q), self.rope(k)
            weight = torch.exp(torch.einsum("bqe,bke->bqk", q, k) / math.sqrt(E))
            outputs.append(weight / weight.sum(-1, keepdim=True) @ v)
        return torch.cat(outputs, -1) @ self.w[f"{name}.out.weight"].T

    def grid(self, name: str, x: Tensor) -> Tensor:
        """Square by square: its neighbours on the board, and the mean of all positions."""
        P, near = self.c.prefix_tokens, self.w[f"{name}.near.weight"]
        mixed = (x.sum(1, keepdim=True) / x.shape[1] @ self.w[f"{name}.far.weight"].T).repeat(1, x.shape[1], 1)
        side = math.isqrt(x.shape[1] - P)
        for row in range(side):
            for column in range(side):
                for y in (-1, 0, 1):
                    for z in (-1, 0, 1):
                        if 0 <= row + y < side and 0 <= column + z < side:
                            seen = x[:, P + (row + y) * side + column + z]
                            mixed[:, P + row * side + column] += seen @ near[:, :, 1 + y, 1 + z].T
        return mixed

    def network(self, name: str, x: Tensor) -> Tensor:
        for layer in range(self.c.num_layers):
            block = f"core.{name}.blocks.{layer}"
            if self.c.token_mixer == "attention":
                mixed = self.attention(f"{block}.mixer", x)
            elif self.c.token_mixer == "grid":
                mixed = self.grid(f"{block}.mixer", x)
            else:
                mixed = self.swiglu(f"{block}.mixer.mlp", x.mT).mT
            x = self.norm(x + mixed)
            x = self.norm(x + self.swiglu(f"{block}.mlp", x))
        return x

    def patches(self, name: str, tokens: Tensor) -> Tensor:
        """Pixel by pixel: what a 5x5 window around it holds, twice; then the four pixels of each patch."""
        side, even = 3, 4
        image = torch.zeros(len(tokens), even, even, 1, dtype=torch.float64)
        image[:, :side, :side, 0] = torch.tensor([0.0, -1.0, 1.0]).double()[tokens].view(-1, side, side)
        for layer in (0, 3):
            wide = F.pad(image, (0, 0, 2, 2, 2, 2))
            weight, bias = (self.w[f"{name}.convolutions.{layer}.{part}"] for part in ("weight", "bias"))
            windows = [
                torch.einsum("bhwc,oc->bhwo", wide[:, y : y + even, x : x + even], weight[:, :, y, x])
                for y in range(5)
                for x in range(5)
            ]
            image = torch.stack(windows).sum(0) + bias
            groups = (image * image.sigmoid()).unflatten(-1, (8, -1))
            mean = groups.mean((1, 2, 4), keepdim=True)
            variance = (groups - mean).square().mean((1, 2, 4), keepdim=True)
            gain, shift = (self.w[f"{name}.convolutions.{layer + 2}.{part}"] for part in ("weight", "bias"))
            image = ((groups - mean) / (variance + 1e-5).sqrt()).flatten(-2) * gain + shift
        corners = [image[:, y::2, x::2] for y in (0, 1) for x in (0, 1)]  # of every patch
        return torch.stack(corners, -1).flatten(3).flatten(1, 2) @ self.w[f"{name}.out.weight"].T

    def embed(self, name: str, tokens: Tensor) -> Tensor:
        return self.patches(name, tokens) if self.c.layout == "patches" else self.w[name][tokens]

    def context(self, x: Tensor) -> Tensor:
        tokens = self.embed("token_embedding", x)
        if self.c.positions == "learned":
            tokens = tokens + self.w["position_embedding"]
        return torch.cat([self.w["prefix"].expand(len(x), -1, -1), tokens], 1) * math.sqrt(self.c.hidden_size)

    def propose(self, h: Tensor, l: Tensor, e_x: Tensor) -> tuple[Tensor, Tensor]:  # noqa: E741
        if self.c.core == "flat":
            for _ in range(self.c.low_steps + 1):
                h = self.network("network", h + e_x)
            return h, l
        for _ in range(self.c.low_steps):
            l = self.network("low_network", l + h + e_x)  # noqa: E741
        return self.network("high_network", h + l), l

    def gaussian(self, name: str, x: Tensor) -> Normal:
        c = self.c
        offset = math.log(math.exp(c.sigma_start - c.sigma_min) - 1)
        mu, sigma = torch.zeros(2, *x.shape[:-1], c.hidden_size, dtype=torch.float64)
        if c.guidance != "noise":
            mu = self.swiglu(f"{name}.mu", x)
            if c.mean_bound:
                mu = c.mean_bound * torch.tanh(mu / c.mean_bound)
        if c.guidance != "mean" and not c.sigma_learned:
            sigma = torch.full_like(sigma, c.sigma_start)
        elif c.guidance != "mean":
            sigma = torch.log1p(torch.exp(self.swiglu(f"{name}.sigma", x) + offset)) + c.sigma_min
        return Normal(mu, sigma.clamp(max=c.sigma_max), validate_args=False)

    def target(self, y: Tensor) -> Tensor:
        known = y != IGNORE
        embedded = self.embed("target_embedding", y * known)
        if self.c.layout == "tokens":
            embedded = embedded * known[..., None]
        return torch.cat([torch.zeros(len(y), self.c.prefix_tokens, self.c.hidden_size), embedded], 1)

    def q(self, u: Tensor, e_y: Tensor, is_open: Tensor, steps: Tensor) -> Normal:
        """The posterior; row by row, its mean is moved to the sphere around the prior's mean that the KL allows."""
        free = self.gaussian("posterior_head", torch.cat([u, e_y], -1) if self.c.target_entry == "concat" else u + e_y)
        if self.c.sigma_learned:
            return free
        means, center = [], self.gaussian("prior_head", u).mean.detach()
        for b, done in enumerate(steps.tolist()):
            budget = self.c.kl_budget if done else self.c.kl_budget_first
            if budget is not None and not done:
                budget += self.c.kl_budget_open * bool(is_open[b])
            away = free.mean[b] - center[b]
            distance = away.norm() / self.c.sigma_start
            if budget is not None and distance**2 / 2 > budget:
                away = away * (math.sqrt(2 * budget) / distance)
            means.append(center[b] + away)
        return Normal(torch.stack(means), self.c.sigma_start)

    def epsilon(
        self,
        u: Tensor,
        noise: Tensor,
        row: tuple[Tensor, Tensor] | None = None,
        seen: Tensor | None = None,
        e_y: Tensor | None = None,
    ) -> Tensor | float:
        if self.c.guidance == "none":
            return 0.0
        p = self.gaussian("prior_head", u)
        if self.c.guidance == "noise":
            return p.stddev * noise
        if self.c.guidance == "mean":
            return p.mean
        drawn = p.mean + p.stddev * noise
        if seen is None or e_y is None or row is None:
            return drawn
        q = self.q(u, e_y, *row)
        return torch.where(seen[:, None, None], q.mean + q.stddev * noise, drawn)

    def kl(self, u: Tensor, e_y: Tensor, counted: Tensor, row: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Balanced and reduced as in the loss, for answers of `counted` tokens; true, in nats."""
        p, q = self.gaussian("prior_head", u), self.q(u, e_y, *row)
        still_p, still_q = (Normal(d.mean.detach(), d.stddev.detach()) for d in (p, q))
        each = self.c.kl_balance * kl_divergence(still_q, p) + (1 - self.c.kl_balance) * kl_divergence(q, still_p)
        divided_by = (self.c.hidden_size if self.c.kl_channels == "mean" else 1) * (
            counted if self.c.kl_positions == "mean" else 1
        )
        return each.sum((1, 2)) / divided_by, kl_divergence(still_q, still_p).sum((1, 2))

    def logits(self, h: Tensor) -> Tensor:
        answer = h[:, self.c.prefix_tokens :]
        told = answer @ self.w["decoder.weight"].T if self.c.decoder == "linear" else self.swiglu("decoder", answer)
        if self.c.layout == "tokens":
            return told
        # a patch tells, for each token value in turn, what it says of its four pixels
        across, V = round(told.shape[1] ** 0.5), told.shape[2] // 4
        pixels = [(r, c) for r in range(3) for c in range(3)]
        rows = [
            torch.stack([told[:, r // 2 * across + c // 2, 4 * v + r % 2 * 2 + c % 2] for v in range(V)], -1)
            for r, c in pixels
        ]
        return torch.stack(rows, 1)

    def step(self, x: Tensor, latent: Latent, noise: Tensor) -> tuple[Tensor, Tensor]:
        e_x, h, low = self.context(x), latent.high, latent.low
        for t in range(self.c.transitions):
            u, low = self.propose(h, low, e_x)
            h = u + self.epsilon(u, noise[:, t])
        return h, low

    def supervise(self, batch: Batch, carry: Carry, noise: Tensor, referee: FixedReferee):
        answer, reward, stay = referee.answer, referee.right, referee.stay
        assert reward is not None
        c, e_x = self.c, self.context(batch.inputs)
        e_y = self.target(batch.targets) if c.guidance == "gaussian" else None
        h, low = carry.high, carry.low
        row = (batch.is_open, batch.step)
        zero = torch.zeros(len(h), dtype=torch.float64)
        kl, nats, registers = zero, zero, []
        for t in range(c.transitions):
            last = t == c.transitions - 1
            h, low = h.detach(), low.detach()
            u, low = self.propose(h, low, e_x)
            u = u if last else u.detach()
            seen = batch.is_guided if last or c.posterior_transitions == "all" else None
            h = u + self.epsilon(u, noise[:, t], row, seen, e_y)
            registers.append(h[:, 0].detach())
            if e_y is not None and (last or c.charged_transitions == "all"):
                charged, true = self.kl(u, e_y, (answer != IGNORE).sum(1).clamp(min=1), row)
                kl, nats = kl + charged * batch.is_guided, nats + true * batch.is_guided
        logits = self.logits(h)
        rows = []
        for row, y in zip(logits, answer, strict=True):
            kept = y != IGNORE
            rows.append(-row.log_softmax(-1)[kept, y[kept]].mean() if kept.any() else row.sum() * 0)

        prior = (~batch.is_guided).double()
        halt = registers[-1] @ self.w["halt_head.weight"][0] + self.w["halt_head.bias"][0]
        right = (reward == 1).double()
        halt_loss = -(right * F.logsigmoid(halt) + (1 - right) * F.logsigmoid(-halt)) * prior
        steps = stay.steps + 1
        leaving = (steps >= stay.limit) | ((halt > 0) & (steps >= stay.may_halt_from) & ~batch.is_guided)
        carried, value = carry.registers.clone(), []
        for b in range(len(h)):
            done = int(steps[b]) * c.transitions
            carried[b, done - c.transitions : done] = torch.stack([r[b] for r in registers])
            v = torch.sigmoid(carried[b, :done].clone() @ self.w["value_head.weight"][0] + self.w["value_head.bias"][0])
            value.append((v - reward[b]).square().sum() * leaving[b] * prior[b])
        losses = {"cross_entropy": torch.stack(rows), "kl": kl, "halt": halt_loss, "value": torch.stack(value)}
        return losses, {"high": h, "low": low, "logits": logits, "registers": carried, "kl_nats": nats}, leaving


@pytest.fixture(autouse=True)
def double_precision(monkeypatch: pytest.MonkeyPatch):
    """What the model casts to float32, for autocast's sake, stays float64 here."""
    monkeypatch.setattr(Tensor, "float", Tensor.double)


def close(ours: Tensor | None, reference: Tensor, what: str) -> None:
    ours = torch.zeros_like(reference) if ours is None else ours
    scale = max(1.0, float(reference.detach().abs().max()))
    torch.testing.assert_close(ours, reference.detach(), rtol=1e-8, atol=1e-9 * scale, msg=lambda m: f"{what}: {m}")


def double_gram(case: dict[str, Any]) -> Gram:
    """A model in float64; its float32 rotary table is checked, and then made exact."""
    model = tiny_gram(**case).double()
    if model.rotary is not None:
        angle = angles(model.positions, model.config.hidden_size // model.config.num_heads)
        exact = torch.stack([angle.cos(), angle.sin()])
        torch.testing.assert_close(model.rotary, exact, rtol=0, atol=2e-6)
        model.rotary = exact
    return model


def double(carry: Carry, noise: Tensor) -> tuple[Carry, Tensor]:
    return trees.over(lambda tensor: tensor.double(), carry), noise.double()


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_supervision_step_and_its_gradient(case: dict[str, Any]):
    model = double_gram(case)
    paper = Paper(model)
    batch, carry, noise, referee = mixed_step(model)
    carry, noise = double(carry, noise)
    out = model(batch, carry, noise, referee)
    assert referee.right is not None
    losses, values, leaving = paper.supervise(batch, carry, noise, referee)
    weights = model.loss_weights(0, 1)

    assert out.losses.keys() == losses.keys() == weights.keys()
    for name, loss in losses.items():
        close(out.losses[name], loss, name)
    ours = {**out.carry._asdict(), "logits": model.decode(out.carry).detach(), "kl_nats": out.metrics["kl_nats"].values}
    for name, value in values.items():
        close(ours[name], value, name)
    assert out.sure is not None
    surety = model.halt_logit(out.carry)
    assert surety is not None
    assert torch.equal(out.sure, surety > 0)
    assert torch.equal(referee.ends(out.sure), leaving)
    assert leaving.any()
    assert not leaving.all()
    for name, rows in (("posterior_accuracy", batch.is_guided), ("prior_slot_accuracy", ~batch.is_guided)):
        assert torch.equal(out.metrics[name].values, (referee.right == 1).float())
        assert torch.equal(out.metrics[name].counts, rows)

    for terms in (out.losses, losses):
        torch.stack([weights[name] * loss.sum() for name, loss in terms.items()]).sum().backward()
    for name, parameter in model.named_parameters():
        reference = paper.w[name].grad
        close(parameter.grad, torch.zeros_like(paper.w[name]) if reference is None else reference, f"grad of {name}")


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_prior_step(case: dict[str, Any]):
    model = double_gram(case)
    paper = Paper(model)
    batch, carry, noise, _ = mixed_step(model)
    carry, noise = double(carry, noise)
    start = Latent(carry.high, carry.low)
    with torch.no_grad():
        latent = model.step(model.encode(batch.inputs), start, noise)
        high, low = paper.step(batch.inputs, start, noise)
        logits, halt, value = model.decode(latent), model.halt_logit(latent), model.value(latent)
        register = high[:, 0]
    close(latent.high, high, "h")
    close(latent.low, low, "l")
    close(logits, paper.logits(high), "logits")
    close(halt, register @ paper.w["halt_head.weight"][0] + paper.w["halt_head.bias"][0], "halt")
    v = torch.sigmoid(register @ paper.w["value_head.weight"].T + paper.w["value_head.bias"])[:, 0]
    close(value, v, "value")


@pytest.mark.parametrize("entry", ["vector", "position"])
def test_initial_state_is_the_stored_latent(entry: str):
    model = tiny_gram(initial_state=entry)
    state = model.initial_state(4)
    stored = model.state_dict()["initial_latent"]
    assert stored.shape == (2, model.positions if entry == "position" else 1, 16)
    for ours, kept in zip((state.high, state.low), stored, strict=True):
        assert torch.equal(ours, kept.expand(4, model.positions, 16))


@pytest.mark.parametrize("posterior_transitions", ["all", "last"])
def test_diagnostics_follow_the_chain_of_supervision_steps(posterior_transitions: str):
    transitions = {"posterior_transitions": posterior_transitions, "charged_transitions": posterior_transitions}
    model = double_gram(transitions)
    batch, _, _, referee = mixed_step(model)
    rows, N, T = len(batch.inputs), 3, model.config.transitions
    draws = torch.randn(rows, N, *model.noise_shape(), generator=torch.Generator().manual_seed(3))
    carry, draws = double(model.initial_carry(rows), draws)
    referee.answer = batch.targets
    out = model.diagnostics(batch, draws, {"kl": 0.7})
    reconstruction, last_kl, every_kl = [], [], []
    for n in range(N):
        step = model(replace(batch, step=torch.full((rows,), n)), carry, draws[:, n], referee)
        carry = step.carry
        transitions = out["kl_by_transition"][:, n * T : (n + 1) * T]
        torch.testing.assert_close(transitions.sum(1), step.metrics["kl_nats"].values)
        reconstruction.append(-step.losses["cross_entropy"] * (batch.targets != IGNORE).sum(1))
        every_kl.append(transitions.sum(1))
        last_kl.append(transitions[:, -1])
    torch.testing.assert_close(out["kl_full_nats"], torch.stack(every_kl).sum(0))
    torch.testing.assert_close(out["elbo_full"], reconstruction[-1].detach() - torch.stack(every_kl).sum(0))
    surrogate = torch.stack(reconstruction).detach() - 0.7 * torch.stack(last_kl)
    torch.testing.assert_close(out["elbo_surrogate"], surrogate.mean(0))
    assert not torch.allclose(reconstruction[0], reconstruction[-1])


@pytest.mark.parametrize(
    ("changes", "length", "message"),
    [
        ({"token_mixer": "grid"}, 8, "model.token_mixer: got 'grid'"),
        ({"layout": "patches"}, 8, "model.layout: got 'patches'"),
    ],
)
def test_what_needs_a_square_board_is_refused_without(changes: dict[str, Any], length: int, message: str):
    with pytest.raises(UserError, match=message):
        Gram(tiny_config(**changes), Shape(length=length, vocab=3))
