"""Parameter groups, schedules and the weight average."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from gram_reasoning.config import TrainConfig


def parameter_groups(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """The model's parameters in two groups that partition them: "decay" and "no_decay".

    Weights of linear maps decay; embeddings, prefix tokens, biases and convolutions do not.
    """
    maps = {module.weight for module in model.modules() if isinstance(module, nn.Linear)}
    groups: dict[str, list[nn.Parameter]] = {"decay": [], "no_decay": []}
    for parameter in model.parameters():
        groups["decay" if parameter in maps else "no_decay"].append(parameter)
    ids = [id(p) for group in groups.values() for p in group]
    every = [id(p) for p in model.parameters()]
    assert len(set(ids)) == len(ids), "a parameter is in two groups"
    assert sorted(ids) == sorted(every), "a parameter is in no group"
    return groups


def make_optimizers(model: nn.Module, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """AdamW over everything, or Muon over the decaying (2-D) weights and AdamW over the rest."""
    groups = parameter_groups(model)
    betas = (config.beta1, config.beta2)
    fused = all(p.is_cuda for p in model.parameters())  # one kernel for all weights
    plain = {"params": groups["no_decay"], "weight_decay": 0.0}
    if config.optimizer == "adamw":
        decayed = {"params": groups["decay"], "weight_decay": config.weight_decay}
        return [torch.optim.AdamW([decayed, plain], lr=config.lr, betas=betas, fused=fused)]
    muon = torch.optim.Muon(groups["decay"], lr=config.muon_lr, weight_decay=config.weight_decay)
    return [muon, torch.optim.AdamW([plain], lr=config.lr, betas=betas, fused=fused)]


def lr_factor(config: TrainConfig, step: int) -> float:
    """What the learning rates are multiplied with at optimizer step `step` (from 0)."""
    warmup = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
    if config.lr_schedule == "constant":
        return warmup
    done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return warmup * 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, done))))


class WeightAverage:
    """Exponential moving average of a model's parameters, swapped in place for evaluation."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model, self.decay = model, decay
        self.weights = {name: p.detach().clone() for name, p in model.named_parameters()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after optimizer step `step` (from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        current: list[Tensor] = [p.detach() for p in self.model.parameters()]
        averages = list(self.weights.values())
        torch._foreach_lerp_(averages, current, 1 - decay)  # pyright: ignore[reportPrivateImportUsage]

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Inside, the model has the averaged weights; after, its own again."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, parameter in self.model.named_parameters():
            kept = self.weights[name].clone()
            self.weights[name].copy_(parameter)
            parameter.copy_(kept)
