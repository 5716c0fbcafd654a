"""What trains what: where gradients flow, and where they must not."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from gram_reasoning import trees
from gram_reasoning.errors import UserError
from gram_reasoning.models.configs import GramConfig
from gram_reasoning.models.gram import Gram, View
from gram_reasoning.types import IGNORE, Shape
from helpers import UNLIMITED, debug_recipe, make_trainer, mixed_step, tiny_config, tiny_gram

GUIDANCE = ["gaussian", "noise", "mean", "none"]


def losses_of(model: Gram) -> dict[str, Tensor]:
    return model(*mixed_step(model)).losses


def gradients(model: Gram, loss: Tensor) -> dict[str, Tensor]:
    """The gradient of the sum of a loss for every parameter, zero where there is none."""
    names, parameters = zip(*model.named_parameters(), strict=True)
    found = torch.autograd.grad(loss.sum(), parameters, allow_unused=True, materialize_grads=True)
    return dict(zip(names, found, strict=True))


def reached(model: Gram, loss: Tensor) -> set[str]:
    """The top-level parts that a loss trains."""
    return {name.split(".")[0] for name, gradient in gradients(model, loss).items() if gradient.any()}


@pytest.mark.parametrize("transitions", [1, 3])
@pytest.mark.parametrize("charged", ["all", "last"])
def test_no_gradient_reaches_the_state_that_enters(transitions: int, charged: str):
    model = tiny_gram(transitions=transitions, charged_transitions=charged)
    batch, carry, noise, referee = mixed_step(model)
    high, low = carry.high.requires_grad_(), carry.low.requires_grad_()
    out = model(batch, carry, noise, referee)
    torch.stack([loss.sum() for loss in out.losses.values()]).sum().backward()
    assert high.grad is None
    assert low.grad is None
    measured = (measure.values for measure in out.metrics.values())
    assert not any(t.requires_grad for t in (*trees.named(out.carry).values(), *measured, out.sure))


@pytest.mark.parametrize("name", ["cross_entropy", "kl"])
def test_gradient_flows_through_the_last_transition_only(name: str):
    """T transitions train as the last of T single ones does."""
    model = tiny_gram(transitions=3, kl_budget=5.0)
    single = Gram(replace(model.config, transitions=1, supervision_steps=12), model.shape)
    single.load_state_dict(model.state_dict())
    batch, carry, noise, referee = mixed_step(model)
    with torch.no_grad():
        for t in range(2):
            carry = single(batch, carry, noise[:, t : t + 1], referee).carry
    out = single(batch, carry, noise[:, 2:], referee)
    ours, reference = gradients(model, losses_of(model)[name]), gradients(single, out.losses[name])
    assert any(gradient.any() for gradient in reference.values())
    for parameter in reference:
        torch.testing.assert_close(ours[parameter], reference[parameter], rtol=1e-4, atol=1e-5, msg=parameter)


def test_kl_of_earlier_transitions_trains_the_heads_alone():
    """Their proposals are detached: what `all` charges beyond `last` reaches the noise heads and e_y, not the core."""
    models = [tiny_gram(charged_transitions=charged, **UNLIMITED) for charged in ("all", "last")]
    every, last = (gradients(model, losses_of(model)["kl"]) for model in models)
    extra = {name for name in every if not torch.allclose(every[name], last[name], rtol=1e-4, atol=1e-6)}
    assert {name.split(".")[0] for name in extra} == {"prior_head", "posterior_head", "target_embedding"}
    assert {name.split(".")[0] for name, gradient in last.items() if gradient.any()} >= {"core", "prior_head"}


@pytest.mark.parametrize(("balance", "trained"), [(1.0, "prior_head"), (0.0, "posterior_head")])
def test_kl_balance_says_which_head_learns(balance: float, trained: str):
    model = tiny_gram(kl_balance=balance)
    other = {"prior_head": "posterior_head", "posterior_head": "prior_head"}[trained]
    parts = reached(model, losses_of(model)["kl"])
    assert trained in parts
    assert other not in parts


def test_a_drawn_start_has_a_high_and_a_low_part_for_each_row():
    model = tiny_gram()
    draws = torch.randn(3, *model.initial_latent.shape)
    state = model.initial_state(3, draws)
    assert torch.equal(state.high, draws[:, 0].expand_as(state.high))
    assert torch.equal(state.low, draws[:, 1].expand_as(state.low))


def test_token_vectors_begin_at_unit_length():
    torch.manual_seed(0)
    size = 256
    model = Gram(tiny_config(hidden_size=size), Shape(length=9, vocab=40))
    lengths = model.token_embedding.detach().norm(dim=-1)
    assert lengths.mean() == pytest.approx(1.0, abs=0.05)


def test_a_learned_sigma_beside_a_budget_is_refused():
    with pytest.raises(UserError, match=r"^model\.sigma_learned: got True, expected False beside a budget$"):
        tiny_config(sigma_learned=True)


def test_a_transition_has_the_networks_that_it_uses():
    heads = {
        g: tiny_gram(guidance=g, sigma_learned=True, **UNLIMITED).prior_head for g in ("gaussian", "noise", "mean")
    }
    has = {g: [part for part in ("mu", "sigma") if getattr(head, part) is not None] for g, head in heads.items()}
    assert has == {"gaussian": ["mu", "sigma"], "noise": ["sigma"], "mean": ["mu"]}


@pytest.mark.parametrize("guidance", GUIDANCE)
@pytest.mark.parametrize("name", ["halt", "value"])
def test_halt_and_value_losses_train_their_own_head_alone(guidance: str, name: str):
    model = tiny_gram(guidance=guidance)
    loss = losses_of(model)[name]
    assert loss.any()
    assert reached(model, loss) == {f"{name}_head"}


def test_halt_gradient_shapes_the_state_of_prior_rows():
    model = tiny_gram(halt_gradient=True)
    assert reached(model, losses_of(model)["halt"]) >= {"halt_head", "core", "prior_head", "token_embedding"}
    assert "posterior_head" not in reached(model, losses_of(model)["halt"])


@pytest.mark.parametrize("guidance", GUIDANCE)
@pytest.mark.parametrize("core", ["hierarchical", "flat"])
def test_every_parameter_gets_a_gradient(guidance: str, core: str):
    model = tiny_gram(guidance=guidance, core=core, positions="learned", decoder="swiglu")
    torch.stack([loss.sum() for loss in losses_of(model).values()]).sum().backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("charged", ["all", "last"])
def test_prior_rows_pay_no_kl_and_posterior_rows_pay_no_heads(charged: str):
    model = tiny_gram(charged_transitions=charged)
    batch, carry, noise, referee = mixed_step(model)
    out = model(batch, carry, noise, referee)
    posterior = batch.is_guided
    assert torch.equal(out.metrics["kl_nats"].counts, posterior)
    for values in (out.losses["kl"], out.metrics["kl_nats"].values):
        assert not values[~posterior].any()
        assert (values[posterior] > 0).all()
    assert (out.losses["halt"][~posterior] > 0).all()
    for name in ("halt", "value"):
        assert not out.losses[name][posterior].any()


def test_ignored_rows_and_tokens_have_no_cross_entropy():
    model = tiny_gram()
    batch, carry, noise, referee = mixed_step(model)
    out = model(batch, carry, noise, referee)
    ignored = (referee.answer == IGNORE).all(1)
    assert ignored.any()
    assert not out.losses["cross_entropy"][ignored].any()
    assert (out.losses["cross_entropy"][~ignored] > 0).all()
    counted = referee.answer[0] != IGNORE
    assert 0 < counted.sum() < model.shape.length
    mean = -model.decode(out.carry).detach()[0].log_softmax(-1)[counted, referee.answer[0, counted]].mean()
    torch.testing.assert_close(out.losses["cross_entropy"][0].detach(), mean)


def test_without_rules_halt_and_value_cost_nothing_but_stay_in_the_graph():
    model = tiny_gram()
    batch, carry, noise, referee = mixed_step(model)
    losses = model(batch, carry, noise, replace(referee, right=None)).losses
    (losses["halt"] + losses["value"]).sum().backward()
    assert not losses["halt"].any()
    assert not losses["value"].any()
    assert all(p.grad is not None for head in (model.halt_head, model.value_head) for p in head.parameters())


@pytest.mark.parametrize("entry", ["concat", "sum"])
@pytest.mark.parametrize("start", [0.05, 1.0, 3.0])
def test_noise_starts_standard(entry: str, start: float):
    torch.manual_seed(0)
    model = Gram(tiny_config(sigma_start=start, target_entry=entry), Shape(length=9, vocab=3))
    u, e_y = torch.randn(2, 5, model.positions, 16)
    for gaussian in model.noises(u, View(e_y, torch.ones(5, dtype=torch.bool), torch.full((5,), 0.5))):
        assert gaussian is not None
        assert not gaussian.mean.any()
        torch.testing.assert_close(gaussian.std, torch.full_like(gaussian.std, start))


@pytest.mark.parametrize("scale", [-1e4, 1e4])
def test_sigma_stays_between_its_bounds(scale: float):
    model = tiny_gram(sigma_min=0.5, sigma_max=2.0, sigma_learned=True, **UNLIMITED)
    u = torch.randn(4, model.positions, 16)
    with torch.no_grad():
        for head in (model.prior_head, model.posterior_head):
            assert head.sigma is not None
            head.sigma.out.weight.mul_(scale)
        for gaussian in model.noises(u, View(u, torch.ones(4, dtype=torch.bool), None)):
            assert gaussian is not None
            assert float(gaussian.std.min()) == 0.5
            assert float(gaussian.std.max()) == 2.0


def test_posterior_spends_its_budget_and_no_more():
    """First step and later ones have their own; what is spent is the KL that the model reports and that torch finds."""
    model = tiny_gram(kl_budget_first=3.0, kl_budget_open=2.0, kl_budget=0.25, mean_bound=4.0)
    u, e_y, steps = *torch.randn(2, 6, model.positions, 16), torch.tensor([0, 1, 0, 2, 0, 3])
    batch, *_ = mixed_step(model)
    budget = model.budget(replace(batch, step=steps))
    assert budget is not None
    allowed = torch.where(steps == 0, 3.0 + 2.0 * batch.is_open, 0.25)
    torch.testing.assert_close(budget, allowed)
    for scale, binding in ((1e-3, False), (30.0, True)):
        wide = e_y * scale
        prior, q = model.noises(u * scale, View(wide, torch.ones(6, dtype=torch.bool), budget))
        assert prior is not None
        assert q is not None
        p, free = prior.detach(), model.posterior_head(torch.cat([u * scale, wide], -1))
        spent = kl_divergence(Normal(q.mean, q.std), Normal(p.mean, p.std)).sum((1, 2))
        assert (spent <= allowed * (1 + 1e-4)).all()
        if binding:
            torch.testing.assert_close(spent, allowed, rtol=1e-4, atol=1e-5)
            cosine = torch.cosine_similarity((q.mean - p.mean).flatten(1), (free.mean - p.mean).flatten(1))
            torch.testing.assert_close(cosine, torch.ones(6))
        else:
            torch.testing.assert_close(q.mean, free.mean)


@pytest.mark.parametrize("bound", [0.1, 1.0])
def test_means_stay_within_their_bound(bound: float):
    model = tiny_gram(mean_bound=bound)
    with torch.no_grad():
        assert model.prior_head.mu is not None
        model.prior_head.mu.out.weight.mul_(1e4)
        prior, _ = model.noises(torch.randn(4, model.positions, 16), None)
    assert prior is not None
    assert float(prior.mean.abs().max()) == pytest.approx(bound)


@pytest.mark.parametrize("entry", ["vector", "position"])
def test_z0_is_stored_and_never_trained(entry: str, tmp_path):
    recipe = debug_recipe(model={"initial_state": entry}, train={"weight_decay": 1.0, "lr": 0.1})
    trainer, twin = (make_trainer(recipe, tmp_path) for _ in range(2))
    start = trainer.model.state_dict()["initial_latent"].clone()
    assert "initial_latent" not in dict(trainer.model.named_parameters())
    assert torch.equal(start, twin.model.state_dict()["initial_latent"])
    before = [p.detach().clone() for p in trainer.model.parameters()]
    for _ in range(3):
        trainer.train_step()
    assert torch.equal(trainer.model.state_dict()["initial_latent"], start)
    assert not all(torch.equal(p, old) for p, old in zip(trainer.model.parameters(), before, strict=True))
    other = make_trainer(replace(recipe, train=replace(recipe.train, seed=1)), tmp_path)
    assert not torch.equal(other.model.state_dict()["initial_latent"], start)


@pytest.mark.parametrize(("entry", "low", "high"), [("concat", 11.5e6, 11.6e6), ("sum", 10.4e6, 10.6e6)])
def test_parameter_count_of_the_papers_shape(entry: Any, low: float, high: float):
    with torch.device("meta"):
        shape = Shape(length=64, vocab=3)
        model = Gram(GramConfig(target_entry=entry, sigma_learned=True, **UNLIMITED), shape)
    assert low <= sum(p.numel() for p in model.parameters()) <= high


def test_weight_of_the_kl_is_constant_or_geometric():
    def weights(steps: range | tuple[int, ...], **changes: Any) -> list[float]:
        return [tiny_gram(**changes).loss_weights(step, 100)["kl"] for step in steps]

    assert weights((0, 50, 100), beta=4.5) == [4.5] * 3
    assert weights((0, 50, 100, 200), beta=5.0, beta_final=0.05) == pytest.approx([5.0, 0.5, 0.05, 0.05])
    path = weights(range(100), beta=5.0, beta_final=0.05)
    assert [b / a for a, b in pairwise(path)] == pytest.approx([0.01**0.01] * 99)
    assert weights((50,), beta=0.0, beta_final=0.05) == [0.0]
    held = weights((0, 50, 75, 100), beta=5.0, beta_final=0.05, beta_hold=0.5)
    assert held == pytest.approx([5.0, 5.0, 0.5, 0.05])
