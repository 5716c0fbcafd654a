"""What is watched while a model trains: full rollouts under the prior, the model's own diagnostics, its alarm."""

from collections.abc import Callable
from typing import Any

import torch

from gram_reasoning.config import TrainConfig
from gram_reasoning.evaluation.evaluator import diagnose, evaluate
from gram_reasoning.inference.sampler import SamplerConfig
from gram_reasoning.models.base import Look, Model
from gram_reasoning.nn.precision import autocast, chosen
from gram_reasoning.processes import Processes
from gram_reasoning.tasks.base import Task
from gram_reasoning.training.optimizer import WeightAverage


class Monitor:
    """Looks at raw and averaged weights on the first inputs of the validation split."""

    def __init__(
        self, config: TrainConfig, task: Task, model: Model, average: WeightAverage, processes: Processes
    ) -> None:
        self.config, self.task, self.model, self.average, self.processes = config, task, model, average, processes
        validation = task.split("validation")
        self.inputs = validation.subset(torch.arange(min(len(validation), config.eval_inputs)))
        self.looks: list[Look] = []  # the last two

    def look(
        self, step: int, weights: dict[str, float], means: dict[str, float], say: Callable[[str], None]
    ) -> dict[str, Any]:
        """The values of an evaluation's line in the log.

        Args:
            step: optimizer steps done.
            weights: of the losses, now.
            means: the last ones of the training log.
            say: where plain words for the user go.
        """
        c = self.config
        self.model.eval()
        with self.average.swapped():
            averaged = self._judge()
        raw = self._judge()
        with autocast(self.processes.device, c.precision):
            watched = diagnose(self.model, self.task, self.inputs, weights, c.seed, self.processes)
        found = [f"{name} {averaged[name]:.3f}" for name in ("accuracy", "coverage") if averaged[name] is not None]
        line = f"step {step}: prior {', '.join(found) or 'rollouts done'}"
        say(f"{line} ({averaged['inputs']} held-out inputs, {c.eval_samples} samples each)")
        alarm = None
        if averaged["accuracy"] is not None:
            self.looks = [*self.looks[-1:], Look(means, max(raw["accuracy"], averaged["accuracy"]))]
            alarm = self.model.alarm(self.looks)
        if alarm is not None:
            say(f"LEAK ALARM at step {step}: {alarm}")
        return {"prior": averaged, "prior_raw_weights": raw, "leak_alarm": alarm is not None, **watched}

    def _judge(self) -> dict[str, Any]:
        c, steps = self.config, self.model.sampling_steps
        precision = chosen(c.precision, self.processes.device)
        sampler = SamplerConfig(samples=c.eval_samples, steps=steps, seed=c.seed, precision=precision)
        return brief(evaluate(self.model, self.task, self.inputs, sampler, processes=self.processes))


def brief(result: dict[str, Any]) -> dict[str, Any]:
    """The few numbers of an evaluation that belong in a training log."""
    every, several = result.get("macro", {}), result.get("macro_several", {})
    more = {name: result[name] for name in ("conflicts", "measures") if name in result}
    return {
        "inputs": result["inputs"],
        "accuracy": every.get("single_sample_accuracy"),
        "best": every.get("best_of_samples_accuracy"),
        "coverage": every.get("coverage"),
        "several_accuracy": several.get("single_sample_accuracy"),
        "several_coverage": several.get("coverage"),
        "several_ceiling": several.get("independent_ceiling"),
        **more,
    }
