"""Judge a model on problems by full rollouts from z_0 under the prior."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gram_reasoning import noise
from gram_reasoning.evaluation.metrics import Found, summarize, tally
from gram_reasoning.inference.sampler import SamplerConfig, sample
from gram_reasoning.inference.select import Rule, rank
from gram_reasoning.models.base import RecursiveModel
from gram_reasoning.tasks.base import Problems, Task
from gram_reasoning.types import Batch, Candidates


def evaluate(
    model: RecursiveModel,
    task: Task,
    problems: Problems,
    config: SamplerConfig,
    rule: Rule = "majority",
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Accuracy and coverage on `problems` (see metrics.summarize), with the average number of steps."""
    candidates = sample(model, problems.inputs, config, tick=tick)
    return {
        "steps": config.steps,
        "halting": config.halting,
        "mean_steps": float(candidates.steps.float().mean()),
        "select": rule,
        **summarize(judge(task, problems, candidates), chosen(candidates, rule)),
    }


def chosen(candidates: Candidates, rule: Rule) -> np.ndarray:
    """The sample that stands for each input under a selection rule: (M,)."""
    pairs = zip(candidates.answers.cpu(), candidates.values.cpu(), strict=True)
    return np.array([rank(answers, values, rule)[0].first for answers, values in pairs])


def judge(task: Task, problems: Problems, candidates: Candidates) -> Found:
    """Which sampled answers are right, and how many of them differ."""
    M, N, L = candidates.answers.shape
    inputs = problems.inputs.to(candidates.answers.device).long().repeat_interleave(N, 0)
    reward = task.reward(candidates.answers.view(M * N, L), inputs)
    assert reward is not None, "a task without rules is judged by its own metrics"
    valid = (reward == 1).view(M, N)
    return tally(candidates.answers.cpu().numpy(), valid.cpu().numpy(), problems.count.cpu().numpy())


@torch.no_grad()
def bounds(model: RecursiveModel, problems: Problems, beta_nats: float, seed: int) -> dict[str, Any]:
    """The surrogate and the full ELBO on `problems`, in nats an example (the paper's Figure 8). A diagnostic.

    full: reconstruction after the last supervision step minus the KL of every transition of the trajectory.
    surrogate: the mean over supervision steps of reconstruction minus beta times the last transition's KL.

    Args:
        beta_nats: weight of the KL beside a cross-entropy that is summed over tokens.
    """
    device = next(model.parameters()).device
    rows = torch.arange(len(problems), device=device)
    drawn = noise.choice(noise.keys(seed, "elbo target", rows), problems.count.to(device))
    targets: Tensor = problems.to(device).solution(rows, drawn)
    posterior = torch.ones(len(rows), dtype=torch.bool, device=device)
    batch = Batch(problems.inputs.to(device).long(), targets, posterior)
    steps = model.supervision_steps
    draws = noise.normal(noise.keys(seed, "elbo noise", rows), (steps, *model.noise_shape()))
    out = model.posterior_rollout(batch, steps, draws)
    kl, cross_entropy = out["kl"], out["cross_entropy"]
    transitions = kl.shape[1] // steps
    charged_last = kl[:, transitions - 1 :: transitions]
    return {
        "elbo_full": float((-cross_entropy[:, -1] - kl.sum(1)).mean()),
        "elbo_surrogate": float((-cross_entropy - beta_nats * charged_last).mean()),
        "kl_full_nats": float(kl.sum(1).mean()),
        "kl_by_transition": [round(v, 4) for v in kl.mean(0).tolist()],
    }
