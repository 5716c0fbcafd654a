"""What evaluation says of the bounds is what training allowed."""

import torch

from gram_reasoning.evaluation.evaluator import diagnose
from helpers import queens, tiny_gram


def test_the_budget_of_training_holds_in_the_diagnostic():
    """Some inputs have one solution, some many: the first transitions spend what their kind may, and no more."""
    model = tiny_gram(25, kl_budget_first=0.25, kl_budget_open=2.0, kl_budget=0.125, mean_bound=4.0)
    task = queens()
    problems = task.split("train")
    with torch.no_grad():
        for parameter in model.posterior_head.parameters():
            parameter.mul_(30.0)  # a posterior that wants to tell more than it may
    kl = diagnose(model, task, problems, {"kl": 1.0}, seed=0)["kl_by_transition"]
    several = float((problems.count > 1).float().mean())
    assert 0.1 < several < 0.9
    first, later = kl[: model.config.transitions], kl[model.config.transitions :]
    assert all(abs(nats - (0.25 + 2.0 * several)) < 1e-3 for nats in first)
    assert all(abs(nats - 0.125) < 1e-3 for nats in later)
