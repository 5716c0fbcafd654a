"""Judge a model on problems by full rollouts from z_0 under the prior."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gram_reasoning import noise
from gram_reasoning.evaluation.metrics import Found, passed, summarize, tally
from gram_reasoning.inference.sampler import SamplerConfig, sample
from gram_reasoning.inference.select import Rule, allowed, check_rule, in_standard_form, rank, scores
from gram_reasoning.models.base import Model
from gram_reasoning.processes import ALONE, Processes
from gram_reasoning.tasks.base import Problems, Task
from gram_reasoning.tasks.demonstrations import Demonstrations, augmented
from gram_reasoning.types import Batch, Candidates


def evaluate(
    model: Model,
    task: Task,
    problems: Problems,
    config: SamplerConfig,
    rule: Rule = "majority",
    tick: Callable[[int, int], None] = lambda done, total: None,
    processes: Processes = ALONE,
    views: int = 1,
    submit: Callable[[Tensor], None] = lambda answers: None,
    stands_for: np.ndarray | None = None,
) -> dict[str, Any]:
    """What the answers to `problems` are worth, with the average number of steps.

    Accuracy and coverage by the rules (metrics.summarize), conflicts and the task's own measures, each where the task
    has it. Several processes share the trajectories; each gets the whole result.

    Args:
        views: augmentations in which each input is solved (see tasks/demonstrations.py).
        submit: called with the answers for a submission, best first (M, attempts, L).
        stands_for: how many inputs of a split each problem stands for (M,), in accuracy and coverage.
    """
    check_rule(model, rule, config.draw_tokens)
    seen = augmented(task, problems, views)
    vectors = identity_vectors(model, seen)
    candidates = sample(
        model, seen.inputs, config, tick=tick, processes=processes, identity=vectors, counted=task.counted
    )
    candidates = in_standard_form(task, seen.inputs, candidates, seen.identity, views)
    result: dict[str, Any] = {
        "steps": config.steps,
        "halting": config.halting,
        "mean_steps": float(candidates.steps.float().mean()),
        "select": rule,
        "inputs": len(problems),
        "samples": config.samples * views,
    }
    best = None
    if (found := judge(task, problems, candidates)) is not None:
        number = task.attempts if isinstance(task, Demonstrations) else 1
        best = attempts(candidates, rule, number)
        result |= summarize(replace(found, stands_for=stands_for), best[:, 0])
        result["choices"] = choices(found, candidates)
        if number > 1:
            owners = None if problems.identity is None else problems.identity.cpu().numpy()
            result["pass"] = passed(found, best, owners)
        submit(torch.stack([answers[rows] for answers, rows in zip(candidates.answers.cpu(), best, strict=True)]))
    if (conflicts := task.conflicts(*_rows(problems, candidates))) is not None:
        mean = float(conflicts.float().mean())
        result["conflicts"] = {"mean": mean, "sum_over_inputs": mean * len(problems)}
        if best is not None:
            chosen = conflicts.view(len(problems), -1).cpu().numpy()[np.arange(len(problems)), best[:, 0]]
            result["conflicts"]["selected_sum_over_inputs"] = int(chosen.sum())
    if measures := task.measures(candidates.answers, problems):
        result["measures"] = measures
    return result


def identity_vectors(model: Model, problems: Problems) -> Tensor | None:
    """What the model learnt of the identity of each problem: (M, D)."""
    if problems.identity is None or model.identities is None:
        return None
    return model.identities(problems.identity.to(model.identities.vectors.device))


def attempts(candidates: Candidates, rule: Rule, number: int) -> np.ndarray:
    """The samples whose answers are the best `number` of each input under a selection rule: (M, number).

    Where fewer differ, the best comes again.
    """
    pairs = zip(candidates.answers.cpu(), scores(candidates, rule).cpu(), strict=True)
    ranked = [[a.first for a in rank(answers, values, rule)[:number]] for answers, values in pairs]
    return np.array([rows + rows[:1] * (number - len(rows)) for rows in ranked])


def choices(found: Found, candidates: Candidates) -> dict[str, float]:
    """The share of inputs whose answer is right, for each selection rule that the candidates allow."""
    best = {rule: attempts(candidates, rule, 1) for rule in allowed(candidates)}
    return {rule: float(np.take_along_axis(found.valid, rows, 1).mean()) for rule, rows in best.items()}


def judge(task: Task, problems: Problems, candidates: Candidates) -> Found | None:
    """Which sampled answers are right, and how many of them differ; None where nothing decides that."""
    valid = task.right(candidates.answers, problems)
    if valid is None:
        return None
    answers, solutions = candidates.answers.cpu().numpy(), problems.count.cpu().numpy()
    return tally(answers, valid.cpu().numpy(), solutions, problems.complete)


def _rows(problems: Problems, candidates: Candidates) -> tuple[Tensor, Tensor]:
    """Each answer beside its input: both (M * N, L)."""
    answers = candidates.answers.flatten(0, 1)
    inputs = problems.inputs.to(answers.device).long()
    return answers, inputs.repeat_interleave(candidates.answers.shape[1], 0)


@torch.no_grad()
def diagnose(
    model: Model, task: Task, problems: Problems, weights: dict[str, float], seed: int, processes: Processes = ALONE
) -> dict[str, Any]:
    """The model's own diagnostics on `problems`, each towards a solution drawn for it, as means over the problems.

    Args:
        weights: of the losses, now.
    """
    device = next(model.parameters()).device
    total, own = len(problems), processes.share(len(problems))
    problems = problems.to(device)
    rows = torch.arange(total, device=device)[own]
    drawn = noise.choice(noise.keys(seed, "elbo target", rows), problems.count[own])
    guided = torch.ones(len(rows), dtype=torch.bool, device=device)
    vectors = identity_vectors(model, problems)
    batch = Batch(
        inputs=problems.inputs[own].long(),
        targets=task.learnt(problems.solution(rows, drawn)),
        is_guided=guided,
        is_open=problems.is_open(own),
        step=torch.zeros_like(rows),
        identity=None if vectors is None else vectors[own],
    )
    draws = noise.normal(noise.keys(seed, "elbo noise", rows), (model.supervision_steps, *model.noise_shape()))
    found = model.diagnostics(batch, draws, weights)
    means = {name: processes.gather(values, total).mean(0).tolist() for name, values in found.items()}
    return {name: [round(v, 4) for v in mean] if isinstance(mean, list) else mean for name, mean in means.items()}
