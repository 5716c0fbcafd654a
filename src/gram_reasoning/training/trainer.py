"""The training loop: slots -> supervision step -> loss -> optimizer -> average -> log, evaluate, save.

Every draw is a function of (seed, step, slot) and every schedule of the step, so a resumed run is the undisturbed one,
and several processes are one. A step waits for no number from the device: whoever needs one on the host (the log, a
checkpoint, the check that losses are finite) fetches it every so many steps.
"""

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gram_reasoning import noise
from gram_reasoning.config import Recipe, to_json
from gram_reasoning.errors import Failed, UserError
from gram_reasoning.evaluation.evaluator import bounds, evaluate
from gram_reasoning.inference.sampler import SamplerConfig
from gram_reasoning.models.base import RecursiveModel
from gram_reasoning.nn.precision import autocast
from gram_reasoning.processes import ALONE, Processes
from gram_reasoning.storage import checkpoint
from gram_reasoning.tasks.base import Task
from gram_reasoning.tasks.demonstrations import owners_of
from gram_reasoning.training.deep_supervision import Slots
from gram_reasoning.training.optimizer import WeightAverage, kl_weight, lr_factor, make_optimizers
from gram_reasoning.training.runlog import RunLog
from gram_reasoning.training.signals import StopSignals
from gram_reasoning.types import Batch, Referee, SlotState, StepOutput

LEAK_GAP = 0.5
"""The leak alarm rings when posterior accuracy is this far above prior accuracy."""


AGREE_EVERY = 8
"""Steps after which several processes ask each other whether to stop."""
NEVER = 2**62
"""Step at which a loss that stays finite is no number."""


class NonFiniteLoss(Failed):
    """A loss term stopped being a number; the message names the step and the term."""


class Trainer:
    """One run in one folder.

    Args:
        recipe: the whole configuration.
        task, model: built from it.
        run: folder of the run (see checkpoint.py).
        processes: who trains together, and this one's device.
        say: where plain words for the user go.
        tick: called after each step with the number done and the number in all.
    """

    def __init__(
        self,
        recipe: Recipe,
        task: Task,
        model: RecursiveModel,
        run: Path,
        processes: Processes = ALONE,
        say: Callable[[str], None] = print,
        tick: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self.recipe, self.config, self.task, self.run, self.say = recipe, recipe.train, task, run, say
        self.tick = tick
        self.processes, self.device = processes, processes.device
        self.model = model.to(self.device)
        self.train_problems = task.split("train").to(self.device)
        validation = task.split("validation")
        self.validation = validation.subset(torch.arange(min(len(validation), self.config.eval_inputs)))
        self.optimizers = make_optimizers(self.model, self.config)
        self.average = WeightAverage(self.model, self.config.ema)
        c = self.config
        part = processes.count * c.trajectories_per_input * c.accumulation
        if c.batch_size % part:
            raise UserError(
                f"train.batch_size: got {c.batch_size}, expected a multiple of {processes.count} processes * "
                f"trajectories_per_input * accumulation = {part}"
            )
        ids = torch.arange(c.batch_size, device=self.device)[processes.share(c.batch_size)]
        self.slots = Slots(c, task, self.train_problems, self.model, ids)
        watched = [*self.model.loss_weights, "gradient_norm"]
        self.first_bad = torch.full((len(watched),), NEVER, device=self.device)  # step at which it was no number
        self.bad_value = torch.zeros(len(watched), device=self.device)
        self.forward = self._forward
        if c.compile != "off":
            modes = {"kernels": "default", "graphs": "reduce-overhead"}
            self.forward = torch.compile(self._forward, dynamic=False, mode=modes[c.compile])
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
        rows = len(self.slots.ids) // c.accumulation
        parts: list[StepOutput] = []
        vectors: list[Tensor] = []
        for start in range(0, len(self.slots.ids), rows):
            part = slice(start, start + rows)
            batch, state, referee = self.slots.part(part, self.step)
            out = self.forward(batch, state, self.slots.keys("noise", self.step)[part], referee)
            assert out.losses.keys() == weights.keys(), "a loss without a weight, or a weight without a loss"
            total = sum((weights[name] * loss.sum() for name, loss in out.losses.items()), start=torch.zeros(()))
            (total / c.batch_size).backward()
            parts.append(out)
            if batch.identity is not None:
                vectors.append(batch.identity)
        names, sums = self._sums(parts)
        numbers = self.slots.identity(slice(None), self.step)
        leaving = self.slots.store(parts)
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        self.processes.sum_([*gradients, sums, leaving])  # the one message of a step
        self.slots.count_stays(leaving)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), c.clip)
        means = dict(zip(names, sums[0] / sums[1], strict=True)) | {"gradient_norm": norm}
        self._watch(means)
        for optimizer in self.optimizers:
            optimizer.step()
        if numbers is not None:
            self._learn_identities(numbers, vectors, c.identity_lr * factor)
        self.average.update(self.step)
        self.step += 1
        return means

    def _learn_identities(self, numbers: Tensor, vectors: list[Tensor], lr: float) -> None:
        """Move the rows of the table that the slots of all processes used."""
        assert self.model.identities is not None
        gradient = torch.cat([_gradient(vector) for vector in vectors])
        total = self.config.batch_size
        numbers, gradient = self.processes.gather(numbers, total), self.processes.gather(gradient, total)
        self.model.identities.learn(numbers, gradient, lr, self.config.identity_decay)

    def _forward(self, batch: Batch, state: SlotState, keys: Tensor, referee: Referee) -> StepOutput:
        """One supervision step with its noise: the part of a training step that may be compiled."""
        draws = noise.normal(keys, self.model.noise_shape())
        with autocast(self.device, self.config.precision):
            return self.model(batch, state, draws, referee)

    def _sums(self, parts: list[StepOutput]) -> tuple[list[str], Tensor]:
        """What the logged means are made of: their names, and (2, names) the sums and the counts of the own slots.

        What belongs to one role is counted over the slots of that role.
        """
        posterior = self.slots.is_posterior
        losses = {name: torch.cat([p.losses[name].detach() for p in parts]) for name in parts[0].losses}
        metrics = {name: torch.cat([p.metrics[name] for p in parts]) for name in parts[0].metrics}
        everyone = torch.ones_like(posterior)
        counted = {name: (value, everyone) for name, value in losses.items()}
        counted["kl_nats"] = metrics["kl_nats"], posterior
        if "reward" in metrics:
            right = (metrics["reward"] == 1).float()
            counted["posterior_accuracy"] = right, posterior
            counted["prior_slot_accuracy"] = right, ~posterior
            counted["halt_accuracy"] = metrics["halt_right"], ~posterior
        counted["stay"] = metrics["steps"], torch.cat([p.state.done for p in parts])
        sums = [torch.stack([(value * mask).sum(), mask.sum()]) for value, mask in counted.values()]
        return list(counted), torch.stack(sums, dim=1)

    def _watch(self, means: dict[str, Tensor]) -> None:
        """Remember, on the device, at which step each loss term first was no number."""
        values = torch.stack([means[name] for name in [*self.model.loss_weights, "gradient_norm"]])
        newly_bad = ~torch.isfinite(values) & (self.first_bad == NEVER)
        self.first_bad = torch.where(newly_bad, self.step, self.first_bad)
        self.bad_value = torch.where(newly_bad, values, self.bad_value)

    def check_finite(self) -> None:
        """NonFiniteLoss if a term was no number in any step since the last call."""
        steps, values = self.first_bad.tolist(), self.bad_value.tolist()
        if (step := min(steps)) < NEVER:
            term = steps.index(step)
            name = [*self.model.loss_weights, "gradient_norm"][term]
            raise NonFiniteLoss(
                f"step {step}: the term {name!r} is {values[term]}; the run stops here, and its last "
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
            LostProcess: another process of this run is gone.
        """
        with ExitStack() as stack:
            newest = self.processes.once(lambda: self._open(resume, stack))
            if newest is not None:
                self._restore(newest)
            log = stack.enter_context(self._log())
            stack.enter_context(StopSignals(self._note_signal, patient=self.processes.count > 1))
            return self._fit(log, max_minutes)

    def _fit(self, log: RunLog, max_minutes: float | None) -> str:
        c = self.config
        entropy = self.slots.target_entropy
        if self.step == 0:
            parameters = sum(p.numel() for p in self.model.parameters())
            log.write("start", 0, parameters=parameters, processes=self.processes.count, target_entropy=entropy)
        began, first = time.monotonic(), self.step
        stopped = False
        while self.step < c.steps:
            out_of_time = max_minutes is not None and time.monotonic() - began >= 60 * max_minutes
            if stopped := self._agree_to_stop(out_of_time):
                break
            start = time.monotonic()
            means = self.train_step()
            at = self.step
            logging, evaluating = at % c.log_every == 0, at % c.eval_every == 0 or at == c.steps
            saving = at % c.checkpoint_every == 0 and at < c.steps
            if logging or evaluating or saving:
                self.check_finite()
            self.seconds += time.monotonic() - start
            self.tick(at, c.steps)
            if logging:
                values = dict(zip(means, torch.stack(list(means.values())).tolist(), strict=True))
                self.posterior_accuracy = values.get("posterior_accuracy", math.nan)
                log.write("train", at, seconds=self.seconds, target_entropy=entropy, **values)
            if evaluating:
                log.write("eval", at, seconds=self.seconds, **self._evaluate())
            if saving:
                self.save()
        self.check_finite()
        if self.step > first or not (self.run / "model").is_dir():
            self.save()
        if self.stop_signal is not None:
            return "stopped"
        return "out of time" if stopped else "finished"

    def _agree_to_stop(self, out_of_time: bool) -> bool:
        """Whether to stop here; several processes agree on it, and on the signal, every AGREE_EVERY steps."""
        if self.processes.count == 1:
            return out_of_time or self.stop_signal is not None
        if self.step % AGREE_EVERY:
            return False
        reason = self.processes.largest(self.stop_signal or int(out_of_time))  # no signal to stop has number 1
        if reason > 1:
            self.stop_signal = reason
        return reason > 0

    def _note_signal(self, number: int) -> None:
        self.stop_signal = number

    def _evaluate(self) -> dict[str, Any]:
        """Prior rollouts of raw and averaged weights, the two bounds, and the leak alarm."""
        c = self.config
        steps = self.model.supervision_steps
        sampler = SamplerConfig(samples=c.eval_samples, steps=steps, seed=c.seed, precision=c.precision)
        self.model.eval()
        with self.average.swapped():
            averaged = self._judge(sampler)
        raw = self._judge(sampler)
        with autocast(self.device, c.precision):
            elbo = bounds(self.model, self.validation, self._beta_nats(), c.seed, self.processes)
        numbers = [f"{name} {averaged[name]:.3f}" for name in ("accuracy", "coverage") if averaged[name] is not None]
        line = f"step {self.step}: prior {', '.join(numbers) or 'rollouts done'}"
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

    def _judge(self, sampler: SamplerConfig) -> dict[str, Any]:
        return _brief(evaluate(self.model, self.task, self.validation, sampler, processes=self.processes))

    def _beta_nats(self) -> float:
        """Beta beside a cross-entropy and a KL that are both whole sums, as in the loss times the tokens."""
        model = self.recipe.model
        positions = self.task.length if model.kl_positions == "sum" else 1
        channels = model.hidden_size if model.kl_channels == "mean" else 1
        return kl_weight(self.config, model.beta, self.step) * positions / channels

    # -- disk --------------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write a checkpoint and the shareable model of this step: the slots of all processes, by one of them."""
        slots = {
            name: tensor if name in Slots.COMMON else self.processes.gather(tensor, self.config.batch_size)
            for name, tensor in self.slots.tensors().items()
        }
        self.processes.once(lambda: self._write(slots))

    def _write(self, slots: dict[str, Tensor]) -> None:
        model = dict(self.model.state_dict())
        tensors = {
            "model": model,
            "ema": self.average.weights,
            "optimizer": checkpoint.optimizer_tensors(self.optimizers),
            "slots": slots,
        }
        values = {
            "seconds": self.seconds,
            "posterior_accuracy": self.posterior_accuracy,
            "owners": owners_of(self.task),
        }
        checkpoint.save_checkpoint(self.run, self.step, tensors, values)
        shared = {**model, **self.average.weights}
        config = {"format": checkpoint.FORMAT, "step": self.step, "recipe": to_json(self.recipe)}
        config |= {"owners": owners} if (owners := owners_of(self.task)) else {}
        checkpoint.save_folder(self.run / "model", {"model": shared}, {"config": config}, largest=checkpoint.LARGEST)

    def _open(self, resume: bool, stack: ExitStack) -> Path | None:
        """Start the folder and claim it as long as the stack lasts; returns the checkpoint to continue from."""
        config = self.run / "config.json"
        if config.exists():
            if not resume:
                raise UserError(
                    f"{self.run}: holds a run already; add --resume to go on with it, or name another --out"
                )
            if checkpoint.load_json(config) != to_json(self.recipe):
                raise UserError(f"{config}: differs from the options given, expected the same run to resume")
            stack.enter_context(checkpoint.claimed(self.run))
            checkpoint.sweep(self.run)
            existing = checkpoint.checkpoints(self.run)
            return existing[-1] if existing else None
        if self.run.exists() and (not self.run.is_dir() or any(p.name[0] != "." for p in self.run.iterdir())):
            raise UserError(f"{self.run}: exists and is no run of gram, expected a new or an empty folder for --out")
        checkpoint.save_json(config, to_json(self.recipe))
        stack.enter_context(checkpoint.claimed(self.run))
        return None

    def _log(self) -> RunLog:
        if self.processes.first:
            return RunLog(self.run, self.step, self.config.tensorboard)
        return RunLog(None)

    def _restore(self, folder: Path) -> None:
        c = self.config
        own = self.processes.share(c.batch_size)
        tensors, progress = checkpoint.load_checkpoint(folder, self.device)
        owners = owners_of(self.task)
        if tuple(progress.get("owners", ())) != owners:
            raise UserError(
                f"{folder / 'progress.json'}: the run has {len(progress.get('owners', ()))} owners of inputs, the "
                f"data now have {len(owners)} or others, expected the data that the run began with"
            )
        slots = {
            name: t if name in Slots.COMMON else t.new_empty(c.batch_size, *t.shape[1:])
            for name, t in self.slots.tensors().items()
        }
        here = {"model": self.model.state_dict(), "ema": self.average.weights, "slots": slots}
        for name, expected in here.items():
            checkpoint.check_tensors(tensors[name], expected, folder / f"{name}.safetensors")
        self.model.load_state_dict(tensors["model"])
        self.average.weights = {name: tensors["ema"][name] for name in self.average.weights}
        checkpoint.load_optimizers(self.optimizers, tensors["optimizer"], folder / "optimizer.safetensors")
        self.slots.load({n: t if n in Slots.COMMON else t[own].clone() for n, t in tensors["slots"].items()})
        self.step, self.seconds = progress["step"], progress["seconds"]
        self.posterior_accuracy = progress["posterior_accuracy"]


def _gradient(leaf: Tensor) -> Tensor:
    assert leaf.grad is not None
    return leaf.grad


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
