"""The training loop: slots -> supervision step -> loss -> optimizer -> average -> log, evaluate, save.

Every draw is a function of (seed, step, slot) and every schedule of the step, so a resumed run is the undisturbed one.
"""

import math
import signal
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gram_reasoning.config import Recipe, to_json
from gram_reasoning.errors import UserError
from gram_reasoning.evaluation.evaluator import bounds, evaluate
from gram_reasoning.inference.sampler import SamplerConfig
from gram_reasoning.models.base import RecursiveModel
from gram_reasoning.tasks.base import Task
from gram_reasoning.training import checkpoint
from gram_reasoning.training.deep_supervision import Slots
from gram_reasoning.training.optimizer import WeightAverage, kl_weight, lr_factor, make_optimizers
from gram_reasoning.training.runlog import RunLog
from gram_reasoning.types import StepOutput

LEAK_GAP = 0.3
"""The leak alarm rings when posterior accuracy is this far above prior accuracy."""


class NonFiniteLoss(RuntimeError):
    """A loss term stopped being a number; the message names the step and the term."""


class Trainer:
    """One run in one folder.

    Args:
        recipe: the whole configuration.
        task, model: built from it.
        run: folder of the run (see checkpoint.py).
        device: where it trains.
        say: where plain words for the user go.
        tick: told after each step how many of how many are done.
    """

    def __init__(
        self,
        recipe: Recipe,
        task: Task,
        model: RecursiveModel,
        run: Path,
        device: torch.device | str = "cpu",
        say: Callable[[str], None] = print,
        tick: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self.recipe, self.config, self.task, self.run, self.say = recipe, recipe.train, task, run, say
        self.tick = tick
        self.device = torch.device(device)
        self.model = model.to(self.device)
        self.train_problems = task.split("train").to(self.device)
        validation = task.split("validation")
        self.validation = validation.subset(torch.arange(min(len(validation), self.config.eval_inputs)))
        self.optimizers = make_optimizers(self.model, self.config)
        self.average = WeightAverage(self.model, self.config.ema)
        ids = torch.arange(self.config.batch_size, device=self.device)
        self.slots = Slots(self.config, task, self.train_problems, self.model, ids)
        self.step = 0
        self.seconds = 0.0  # spent training, evaluations left out
        self.posterior_accuracy = math.nan
        self.stop_signal: int | None = None

    # -- one step ----------------------------------------------------------------------------------------------

    def train_step(self) -> dict[str, Tensor]:
        """One optimizer step: one supervision step of every slot. Returns the means of losses and metrics."""
        c = self.config
        self.model.train()
        self.slots.refill(self.step)
        factor = lr_factor(c, self.step)
        for optimizer in self.optimizers:
            base = c.muon_lr if isinstance(optimizer, torch.optim.Muon) else c.lr
            for group in optimizer.param_groups:
                group["lr"] = base * factor
            optimizer.zero_grad(set_to_none=True)
        weights = {**self.model.loss_weights}
        weights["kl"] = kl_weight(c, weights["kl"], self.step)
        rows = c.batch_size // c.accumulation
        parts: list[StepOutput] = []
        for start in range(0, c.batch_size, rows):
            part = slice(start, start + rows)
            batch, state, referee = self.slots.part(part, self.step)
            with self._autocast():
                out = self.model(batch, state, self.slots.noise(part, self.step), referee)
            assert out.losses.keys() == weights.keys(), "a loss without a weight, or a weight without a loss"
            total = sum((weights[name] * loss.sum() for name, loss in out.losses.items()), start=torch.zeros(()))
            (total / c.batch_size).backward()
            parts.append(out)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), c.clip)
        means = self._means(parts, norm)
        self._check_finite(means)
        for optimizer in self.optimizers:
            optimizer.step()
        self.average.update(self.step)
        self.slots.store(parts)
        self.step += 1
        return means

    def _autocast(self):
        if self.config.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def _means(self, parts: list[StepOutput], norm: Tensor) -> dict[str, Tensor]:
        """Means over the slots; what belongs to one role is a mean over the slots of that role."""
        posterior = self.slots.is_posterior
        losses = {name: torch.cat([p.losses[name].detach() for p in parts]) for name in parts[0].losses}
        metrics = {name: torch.cat([p.metrics[name] for p in parts]) for name in parts[0].metrics}
        means = {name: value.mean() for name, value in losses.items()}
        means["kl_nats"] = _mean_where(metrics["kl_nats"], posterior)
        if "reward" in metrics:
            right = (metrics["reward"] == 1).float()
            means["posterior_accuracy"] = _mean_where(right, posterior)
            means["prior_slot_accuracy"] = _mean_where(right, ~posterior)
            means["halt_accuracy"] = _mean_where(metrics["halt_right"], ~posterior)
        done = torch.cat([p.state.done for p in parts])
        means["stay"] = _mean_where(metrics["steps"], done)
        means["gradient_norm"] = norm
        return means

    def _check_finite(self, means: dict[str, Tensor]) -> None:
        names = [*self.model.loss_weights, "gradient_norm"]
        if not bool(torch.isfinite(torch.stack([means[name] for name in names])).all()):
            name = next(n for n in names if not bool(torch.isfinite(means[n])))
            raise NonFiniteLoss(
                f"step {self.step}: the term {name!r} is {float(means[name])}; the run stops here, and its last "
                f"checkpoint in {self.run} is whole (try a smaller --train.lr or --train.precision fp32)"
            )

    # -- the run -----------------------------------------------------------------------------------------------

    def fit(self, resume: bool = False, max_minutes: float | None = None) -> str:
        """Train to the end, or until `max_minutes` of this call have passed, or a stop signal arrives.

        Returns:
            "finished", "out of time" or "stopped"; the state is saved in each case.

        Raises:
            UserError: the folder holds another run, or one that was not asked to be resumed.
            NonFiniteLoss: a loss term is no longer a number.
        """
        self._open(resume)
        log = RunLog(self.run, self.step, self.config.tensorboard)
        entropy = self.slots.target_entropy
        if self.step == 0:
            log.write("start", 0, parameters=sum(p.numel() for p in self.model.parameters()), target_entropy=entropy)
        began, first = time.monotonic(), self.step
        with _SignalCatcher(self), log:
            while self.step < self.config.steps and self.stop_signal is None:
                if max_minutes is not None and time.monotonic() - began >= 60 * max_minutes:
                    break
                start = time.monotonic()
                means = self.train_step()
                self.seconds += time.monotonic() - start
                self.tick(self.step, self.config.steps)
                c, at = self.config, self.step
                if at % c.log_every == 0:
                    values = {name: float(value) for name, value in means.items()}
                    self.posterior_accuracy = values.get("posterior_accuracy", math.nan)
                    log.write("train", at, seconds=self.seconds, target_entropy=entropy, **values)
                if at % c.eval_every == 0 or at == c.steps:
                    log.write("eval", at, seconds=self.seconds, **self._evaluate())
                if at % c.checkpoint_every == 0 and at < c.steps:
                    self.save()
        if self.step > first or not (self.run / "model").is_dir():
            self.save()
        if self.stop_signal is not None:
            return "stopped"
        return "finished" if self.step >= self.config.steps else "out of time"

    def _evaluate(self) -> dict[str, Any]:
        """Prior rollouts of raw and averaged weights, the two bounds, and the leak alarm."""
        c = self.config
        sampler = SamplerConfig(samples=c.eval_samples, steps=self.model.supervision_steps, seed=c.seed)
        self.model.eval()
        with self._autocast(), self.average.swapped():
            averaged = _brief(evaluate(self.model, self.task, self.validation, sampler))
        with self._autocast():
            raw = _brief(evaluate(self.model, self.task, self.validation, sampler))
            elbo = bounds(self.model, self.validation, self._beta_nats(), c.seed)
        told = [f"{name} {averaged[name]:.3f}" for name in ("accuracy", "coverage") if averaged[name] is not None]
        line = f"step {self.step}: prior {', '.join(told) or 'rollouts done'}"
        self.say(f"{line} ({averaged['inputs']} held-out inputs, {c.eval_samples} samples each)")
        accuracy = max(raw["accuracy"] or 0.0, averaged["accuracy"] or 0.0)
        leak = averaged["accuracy"] is not None and self.posterior_accuracy - accuracy > LEAK_GAP
        if leak:
            self.say(
                f"LEAK ALARM at step {self.step}: with the answer in view (posterior) {self.posterior_accuracy:.0%} "
                f"are right, without it (prior) {accuracy:.0%}. The model copies the answer through the noise instead "
                "of reasoning; see docs/unknowns.md on which transitions are charged and on beta."
            )
        return {"prior": averaged, "prior_raw_weights": raw, "leak_alarm": leak, **elbo}

    def _beta_nats(self) -> float:
        """Beta beside a cross-entropy and a KL that are both whole sums, as in the loss times the tokens."""
        model = self.recipe.model
        positions = self.task.length if model.kl_positions == "sum" else 1
        channels = model.hidden_size if model.kl_channels == "mean" else 1
        return kl_weight(self.config, model.beta, self.step) * positions / channels

    # -- disk --------------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write a checkpoint and the shareable model of this step."""
        model = dict(self.model.state_dict())
        tensors = {
            "model": model,
            "ema": self.average.weights,
            "optimizer": checkpoint.optimizer_tensors(self.optimizers),
            "slots": self.slots.tensors(),
        }
        values = {"seconds": self.seconds, "posterior_accuracy": self.posterior_accuracy}
        checkpoint.save_checkpoint(self.run, self.step, tensors, values)
        shared = {**model, **self.average.weights}
        config = {"format": checkpoint.FORMAT, "step": self.step, "recipe": to_json(self.recipe)}
        checkpoint.save_folder(self.run / "model", {"model": shared}, {"config": config})

    def _open(self, resume: bool) -> None:
        """Start the folder, or continue from its newest checkpoint."""
        config = self.run / "config.json"
        if config.exists():
            if not resume:
                raise UserError(
                    f"{self.run}: holds a run already; add --resume to go on with it, or name another --out"
                )
            if checkpoint.load_json(config) != to_json(self.recipe):
                raise UserError(f"{config}: differs from the options given, expected the same run to resume")
            checkpoint.sweep(self.run)
            if existing := checkpoint.checkpoints(self.run):
                self._restore(existing[-1])
            return
        if self.run.exists() and (not self.run.is_dir() or any(p.name[0] != "." for p in self.run.iterdir())):
            raise UserError(f"{self.run}: exists and is no run of gram, expected a new or an empty folder for --out")
        checkpoint.save_json(config, to_json(self.recipe))

    def _restore(self, folder: Path) -> None:
        tensors, progress = checkpoint.load_checkpoint(folder, self.device)
        here = {"model": self.model.state_dict(), "ema": self.average.weights, "slots": self.slots.tensors()}
        for name, expected in here.items():
            checkpoint.check_tensors(tensors[name], expected, folder / f"{name}.safetensors")
        self.model.load_state_dict(tensors["model"])
        self.average.weights = {name: tensors["ema"][name] for name in self.average.weights}
        checkpoint.load_optimizers(self.optimizers, tensors["optimizer"], folder / "optimizer.safetensors")
        self.slots.load(tensors["slots"])
        self.step, self.seconds = progress["step"], progress["seconds"]
        self.posterior_accuracy = progress["posterior_accuracy"]


def _brief(result: dict[str, Any]) -> dict[str, Any]:
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


def _mean_where(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the rows of the mask; not a number where there is none."""
    return (values * mask).sum() / mask.sum()


class _SignalCatcher:
    """While open, SIGTERM and Ctrl-C ask the trainer to save and stop; a second Ctrl-C interrupts at once."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.before: dict[int, Any] = {}

    def __enter__(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            try:
                self.before[number] = signal.signal(number, self._catch)
            except ValueError:  # not in the main thread: whoever runs us there handles signals
                return

    def _catch(self, number: int, frame: object) -> None:
        if self.trainer.stop_signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.trainer.stop_signal = number

    def __exit__(self, *exc: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
