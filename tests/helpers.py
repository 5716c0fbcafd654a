"""Small models, batches and runs that several test files share."""

import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from gram_reasoning import noise
from gram_reasoning.build import MODELS, TASKS, build_model
from gram_reasoning.config import Recipe, TrainConfig
from gram_reasoning.errors import UserError
from gram_reasoning.inference.sampler import SamplerConfig, sample
from gram_reasoning.models.configs import DirectConfig, GramConfig, HrmConfig, LoopedConfig, ModelConfig, TrmConfig
from gram_reasoning.models.gram import Carry, Gram
from gram_reasoning.processes import ALONE, Processes
from gram_reasoning.recipes import RECIPES, get_recipe
from gram_reasoning.tasks.base import Task
from gram_reasoning.tasks.configs import KINDS, NQueensConfig, TaskConfig
from gram_reasoning.tasks.nqueens import NQueens
from gram_reasoning.training.deep_supervision import Slots, Stay
from gram_reasoning.training.trainer import Trainer
from gram_reasoning.types import IGNORE, Batch, Shape


def tiny_config(**changes: Any) -> GramConfig:
    shape: dict[str, Any] = {
        "hidden_size": 16,
        "num_heads": 2,
        "mlp_size": 24,
        "mixer_size": 8,
        "prefix_tokens": 3,
        "patch_channels": 8,
    }
    return GramConfig(**{**shape, "low_steps": 2, "supervision_steps": 4, **changes})


def tiny_gram(length: int = 9, **changes: Any) -> Gram:
    """A small model whose every weight is away from its start, so that zero heads hide nothing."""
    torch.manual_seed(0)
    model = Gram(tiny_config(**changes), Shape(length=length, vocab=3))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model


TINY: dict[str, Any] = {
    "hidden_size": 16,
    "num_heads": 2,
    "mlp_size": 24,
    "mixer_size": 8,
    "prefix_tokens": 3,
    "num_layers": 2,
}
RIVALS: dict[str, ModelConfig] = {
    "direct": DirectConfig(**TINY),
    "looped": LoopedConfig(**TINY, loops=3),
    "hrm": HrmConfig(**TINY, low_steps=2, transitions=3, supervision_steps=4),
    "trm": TrmConfig(**TINY, low_steps=3, transitions=2, supervision_steps=4),
}


def tiny_rival(name: str, **changes: Any) -> Any:
    """A small rival of GRAM, every weight away from its start."""
    torch.manual_seed(0)
    config = replace(RIVALS[name], **changes)
    model = MODELS[name](config, Shape(length=9, vocab=3))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model


@dataclass
class FixedReferee:
    """Rules that say what they are given, and the clock of some slots."""

    answer: Tensor
    right: Tensor | None
    stay: Stay
    is_guided: Tensor

    def targets(self, logits: Tensor, wishes: Tensor | None = None) -> Tensor:
        return self.answer

    def reward(self, prediction: Tensor) -> Tensor | None:
        return self.right

    def ends(self, sure: Tensor) -> Tensor:
        return self.stay.after_step(sure & ~self.is_guided).done


def mixed_step(model: Gram, rows: int = 6) -> tuple[Batch, Carry, Tensor, FixedReferee]:
    """What a supervision step takes: both roles, slots at different steps, some leaving, some targets ignored."""
    draw = torch.Generator().manual_seed(1)
    L, D, T = model.shape.length, model.config.hidden_size, model.config.transitions
    targets = torch.randint(1, 3, (rows, L), generator=draw)
    targets[0, :2] = IGNORE
    is_guided = torch.arange(rows) % 2 == 0
    is_open = torch.arange(rows) % 2 == 1
    inputs = torch.randint(0, 3, (rows, L), generator=draw)
    steps = torch.arange(rows) // 2 % model.supervision_steps
    batch = Batch(inputs, targets, is_guided, is_open, steps)
    registers = torch.randn(rows, model.supervision_steps * T, D, generator=draw)
    past = torch.arange(registers.shape[1]) < steps[:, None] * T
    high, low = torch.randn(2, rows, model.positions, D, generator=draw)
    carry = Carry(high, low, registers * past[..., None])
    limit = torch.tensor([steps[0] + 2, *(steps[1:] + 1)])
    stay = Stay(steps, limit, torch.ones_like(steps), torch.zeros_like(steps, dtype=torch.bool))
    noise = torch.randn(rows, *model.noise_shape(), generator=draw)
    answer = torch.where(is_guided[:, None], targets, IGNORE)
    return batch, carry, noise, FixedReferee(answer, torch.linspace(1, 0.2, rows), stay, is_guided)


@lru_cache
def queens(size: int = 5) -> NQueens:
    return NQueens(NQueensConfig(size=size, max_removed=size))


def toy_slots(
    model: dict[str, Any] | None = None, weights: Gram | None = None, ids: Tensor | None = None, **train: Any
) -> Slots:
    """Slots of 5x5 boards on a small model."""
    config = TrainConfig(**{"batch_size": 8, "prior_share": 0.5, **train})
    task = queens()
    gram = weights or tiny_gram(task.length, **(model or {}))
    return Slots(config, task, task.split("train"), gram, torch.arange(config.batch_size) if ids is None else ids)


def noise_of(slots: Slots, step: int) -> Tensor:
    """The noise of a step, as the trainer draws it."""
    return noise.normal(slots.keys("noise", step), slots.model.noise_shape())


UNLIMITED: dict[str, Any] = {"kl_budget_first": None, "kl_budget": None}

PINNED: dict[str, dict[str, Any]] = {
    "model": {
        "token_mixer": "attention", "positions": "learned", "beta": 4.5, "posterior_transitions": "last",
        "mean_bound": None, "sigma_learned": True, "beta_final": None, **UNLIMITED,
    },
    "train": {
        "precision": "fp32", "examples": "inputs", "prior_share": 0.0, "prior_target": "none",
        "halting": False, "lr": 1e-3, "weight_decay": 0.1, "steps": 6, "warmup_steps": 2,
        "lr_schedule": "cosine", "ema": 0.995,
    },
}  # fmt: skip


def debug_recipe(name: str = "nqueens7-pocket-debug", /, **changes: dict[str, Any]) -> Recipe:
    """A tiny run in fp32, with changes by part; it stays the same when recipes are tuned."""
    base = get_recipe(name)
    parts = {
        part: replace(getattr(base, part), **{**_pinned(part, getattr(base, part)), **changes.get(part, {})})
        for part in ("task", "model", "train")
    }
    return replace(base, **parts)


def _pinned(part: str, config: Any) -> dict[str, Any]:
    """What another model has no field for is left out, and its own way of training stays."""
    rival = part == "model" and not isinstance(config, GramConfig)
    return {} if rival else PINNED.get(part, {})


@lru_cache
def task_of(config: TaskConfig) -> Task:
    return TASKS[config.kind](config)


def make_trainer(
    recipe: Recipe,
    run: Path,
    say: Callable[[str], None] = lambda line: None,
    processes: Processes = ALONE,
) -> Trainer:
    task = task_of(recipe.task)
    return Trainer(recipe, task, build_model(recipe, task), run, processes, say=say)


def after_step(trainer: Trainer, step: int, act: Callable[[], object]) -> None:
    """Let the trainer do `act` when it has done `step` steps."""
    plain = trainer.train_step

    def train_step() -> dict[str, Tensor]:
        means = plain()
        if trainer.step == step:
            act()
        return means

    trainer.train_step = train_step


def weights_of(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def few_steps(name: str, folder: Path) -> tuple[Trainer, set[str], set[str]]:
    """The debug version of a recipe after three steps; the weights that moved, and those that did not."""
    recipe = get_recipe(f"{name}-debug")
    recipe = replace(recipe, train=replace(recipe.train, precision="fp32"))
    task = task_of(recipe.task)
    run = Trainer(recipe, task, build_model(recipe, task), folder, say=lambda line: None)
    before = weights_of(run.model)
    for _ in range(3):
        means = run.train_step()
        assert all(means[loss].isfinite() for loss in run.weights)
    after = weights_of(run.model)
    still = {part for part in before if torch.equal(before[part], after[part])}
    return run, before.keys() - still, still


def batch_beside(inputs: Tensor, answers: Tensor) -> Batch:
    """Targets (B, A) at the places from 1 on, each beside the one input (1, L)."""
    targets = torch.full((len(answers), inputs.shape[1]), IGNORE)
    targets[:, 1 : 1 + answers.shape[1]] = answers
    yes = torch.ones(len(answers), dtype=torch.bool)
    return Batch(inputs.expand(len(answers), -1), targets, yes, yes, yes.long())


def metrics_of(run: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl without their times."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if not name.endswith("seconds")} for line in lines]


P = torch.tensor([20, 1, 2, 9, 4, 12, 1, 15]) / 64
"""A known distribution over the eight sequences of three tokens 1 and 2, in their order."""


def codes_drawn(model: Any, steps: int, lr: float, sampling_steps: int) -> list[int]:
    """Train a model of answers of three tokens on P, draw 1000, and count each of the eight."""
    every = torch.tensor(list(product((1, 2), repeat=3)))
    rows = every.repeat_interleave((P * 256).long(), 0)
    yes = torch.ones(len(rows), dtype=torch.bool)
    batch = Batch(torch.ones_like(rows), rows, yes, yes, yes.long())
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        losses = model(batch, (), torch.randn(len(rows), 4), None).losses
        weights = model.loss_weights(step, steps)
        optimizer.zero_grad()
        sum((weights[name] * loss.mean() for name, loss in losses.items()), start=torch.zeros(())).backward()
        optimizer.step()
        schedule.step()
    settings = SamplerConfig(samples=1000, steps=sampling_steps, chunk=1000)
    answers = sample(model.eval(), torch.ones(1, 3), settings).answers[0]
    return ((answers - 1) @ torch.tensor([4, 2, 1])).bincount(minlength=8).tolist()


@contextmanager
def example_of(name: str) -> Iterator[ModuleType]:
    """A file of examples/ as a module, its tasks and recipes known to the commands until the end."""
    tables: Any = (KINDS, TASKS, RECIPES)
    before = [dict(table) for table in tables]
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[1] / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[name]
    for table, old in zip(tables, before, strict=True):
        table.clear()
        table.update(old)


def read_or_refused(read: Callable[[str, str], object], text: str) -> None:
    """Any text is read, or refused by one line that says what was expected."""
    try:
        read(text, "file")
    except UserError as error:
        message = str(error)
    else:
        return
    assert "\n" not in message
    assert "expected" in message
