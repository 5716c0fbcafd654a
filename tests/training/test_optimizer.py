"""Parameter groups, optimizers, schedules and the weight average, each against a few lines written by hand."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from gram_reasoning.config import TrainConfig
from gram_reasoning.models.gram import Gram
from gram_reasoning.training.optimizer import WeightAverage, lr_factor, make_optimizers, parameter_groups
from gram_reasoning.types import Shape
from helpers import tiny_config, tiny_gram

CASES: list[dict[str, Any]] = [
    {},
    {"core": "flat"},
    {"token_mixer": "mlp"},
    {"positions": "learned"},
    {"decoder": "swiglu"},
    {"guidance": "noise"},
    {"guidance": "none", "core": "flat", "token_mixer": "mlp", "positions": "learned"},
    {"target_entry": "sum"},
]


def toy() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))


def config(**changes: Any) -> TrainConfig:
    return TrainConfig(**{"lr": 0.1, "weight_decay": 0.5, **changes})


@pytest.mark.parametrize("case", CASES, ids=str)
def test_groups_partition_the_parameters(case: dict[str, Any]):
    model = tiny_gram(**case)
    groups = parameter_groups(model)
    names = {id(p): name for name, p in model.named_parameters()}
    decay, plain = ([names[id(p)] for p in groups[group]] for group in ("decay", "no_decay"))
    assert sorted(decay + plain) == sorted(names.values())
    vectors = {"token_embedding", "target_embedding", "position_embedding", "prefix"} & set(names.values())
    assert set(plain) == vectors | {"halt_head.bias", "value_head.bias"}
    assert all(p.ndim == 2 for p in groups["decay"])


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_optimizers_hold_every_parameter_once(name: Any):
    model = Gram(tiny_config(), Shape(length=9, vocab=3))
    held = [p for o in make_optimizers(model, config(optimizer=name)) for g in o.param_groups for p in g["params"]]
    assert sorted(map(id, held)) == sorted(map(id, model.parameters()))


def test_muon_gets_the_maps_and_adamw_the_rest():
    model = tiny_gram(positions="learned")
    muon, adamw = make_optimizers(model, config(optimizer="muon", muon_lr=0.03))
    assert isinstance(muon, torch.optim.Muon)
    assert isinstance(adamw, torch.optim.AdamW)
    maps = {id(module.weight) for module in model.modules() if isinstance(module, nn.Linear)}
    assert {id(p) for group in muon.param_groups for p in group["params"]} == maps
    assert all(p.ndim == 2 for group in muon.param_groups for p in group["params"])
    assert muon.param_groups[0]["lr"] == 0.03
    assert all(group["weight_decay"] == 0 for group in adamw.param_groups)


def test_adamw_is_the_textbook_update():
    """m, v, bias corrections, and a decay that is not part of the gradient (Loshchilov & Hutter 2019)."""
    model, c = toy(), config(beta1=0.8, beta2=0.9)
    (optimizer,) = make_optimizers(model, c)
    expected = {name: p.detach().clone() for name, p in model.named_parameters()}
    m = {name: torch.zeros_like(p) for name, p in expected.items()}
    v = {name: torch.zeros_like(p) for name, p in expected.items()}
    for t in range(1, 5):
        for name, p in model.named_parameters():
            p.grad = torch.randn_like(p)
            decay = c.weight_decay if name.endswith("weight") else 0.0
            m[name] = 0.8 * m[name] + 0.2 * p.grad
            v[name] = 0.9 * v[name] + 0.1 * p.grad**2
            update = (m[name] / (1 - 0.8**t)) / ((v[name] / (1 - 0.9**t)).sqrt() + 1e-8)
            expected[name] = expected[name] * (1 - 0.1 * decay) - 0.1 * update
        optimizer.step()
        for name, p in model.named_parameters():
            torch.testing.assert_close(p.detach(), expected[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.999])
def test_average_is_its_recurrence(decay: float):
    model = toy()
    average = WeightAverage(model, decay)
    expected = {name: p.detach().clone() for name, p in model.named_parameters()}
    for t in range(6):
        with torch.no_grad():
            for p in model.parameters():
                p.add_(torch.randn_like(p))
        average.update(t)
        d = min(decay, (1 + t) / (10 + t))
        for name, p in model.named_parameters():
            expected[name] = d * expected[name] + (1 - d) * p.detach()
            torch.testing.assert_close(average.weights[name], expected[name])


def test_average_is_swapped_in_place_and_back():
    model = toy()
    average = WeightAverage(model, 0.9)
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(3)
    own = {name: p.detach().clone() for name, p in model.named_parameters()}
    places = [p.data_ptr() for p in model.parameters()]

    def holds(weights: dict[str, torch.Tensor]) -> bool:
        return all(torch.equal(p, weights[name]) for name, p in model.named_parameters())

    with average.swapped():
        assert holds(start)
        assert [p.data_ptr() for p in model.parameters()] == places
    assert holds(own)
    with pytest.raises(ZeroDivisionError), average.swapped():
        raise ZeroDivisionError
    assert holds(own)
    assert all(torch.equal(average.weights[name], start[name]) for name in start)


def test_learning_rate_warms_up_and_stays():
    c = config(warmup_steps=10, steps=100)
    assert [lr_factor(c, step) for step in range(10)] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert [lr_factor(c, step) for step in (10, 50, 99, 1000)] == [1.0] * 4
    assert lr_factor(config(warmup_steps=0), 0) == 1.0


@pytest.mark.parametrize("warmup", [0, 10])
def test_cosine_reaches_zero_at_the_end(warmup: int):
    c = config(warmup_steps=warmup, steps=110, lr_schedule="cosine")
    factors = [lr_factor(c, step) for step in range(warmup, 111)]
    assert factors[0] == pytest.approx(1.0)
    assert factors == sorted(factors, reverse=True)
    half = warmup + (110 - warmup) // 2
    assert lr_factor(c, half) == pytest.approx(0.5)
    quarter = warmup + (110 - warmup) // 10
    assert lr_factor(c, quarter) == pytest.approx((1 + math.cos(math.pi * (quarter - warmup) / (110 - warmup))) / 2)
    assert lr_factor(c, 109) < 1e-3
    assert lr_factor(c, 110) == pytest.approx(0.0, abs=1e-12)
    assert lr_factor(c, 500) == pytest.approx(0.0, abs=1e-12)
