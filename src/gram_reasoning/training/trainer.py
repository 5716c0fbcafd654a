"""The training loop: slots -> supervision step -> loss -> optimizer -> average -> log, evaluate, save.

Every draw is a function of (seed, step, slot) and every schedule of the step, so a resumed run is the undisturbed one,
and several processes are one. A step waits for no number from the device: whoever needs one on the host (the log, a
checkpoint, the check that losses are finite) fetches it every so many steps.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from gram_reasoning import noise
from gram_reasoning.config import Recipe, to_json
from gram_reasoning.errors import UserError
from gram_reasoning.models.base import Look, Model
from gram_reasoning.nn.precision import autocast, faster
from gram_reasoning.processes import ALONE, Processes
from gram_reasoning.storage import checkpoint
from gram_reasoning.tasks.base import Task
from gram_reasoning.tasks.demonstrations import owners_of
from gram_reasoning.training.deep_supervision import Slots
from gram_reasoning.training.finite import Finite
from gram_reasoning.training.monitor import Monitor
from gram_reasoning.training.optimizer import WeightAverage, lr_factor, make_optimizers
from gram_reasoning.training.run_folder import begun, open_run
from gram_reasoning.training.runlog import RunLog
from gram_reasoning.training.signals import StopSignals
from gram_reasoning.trees import Tree
from gram_reasoning.types import Batch, Measured, Referee, StepOutput

AGREE_EVERY = 8
"""Steps after which several processes ask each other whether to stop."""


class Trainer:
    """One run in one folder.

    Args:
        recipe: the whole configuration.
        task, model: built from it.
        run: folder of the run (see checkpoint.py).
        processes: who trains together, and this one's device.
        say: where plain words for the user go.
        tick: called after each step with the number done and the number in all.
        init: weights to begin from; None for those of `model`.
    """

    def __init__(
        self,
        recipe: Recipe,
        task: Task,
        model: Model,
        run: Path,
        processes: Processes = ALONE,
        say: Callable[[str], None] = print,
        tick: Callable[[int, int], None] = lambda done, total: None,
        init: dict[str, Tensor] | None = None,
    ) -> None:
        self.processes, self.device = processes, processes.device
        recipe = self._with_precision(recipe, run)
        self.recipe, self.config, self.task, self.run, self.say = recipe, recipe.train, task, run, say
        self.tick = tick
        self.start = None
        if init is not None:
            self.start = checkpoint.digest(init)
            model.load_state_dict(init)
        self.model = model.to(self.device)
        self.train_problems = task.split("train").to(self.device)
        self.optimizers = make_optimizers(self.model, self.config)
        self.average = WeightAverage(self.model, self.config.ema)
        self.monitor = Monitor(self.config, task, self.model, self.average, processes)
        c = self.config
        part = processes.count * c.trajectories_per_input * c.accumulation
        if c.batch_size % part:
            raise UserError(
                f"train.batch_size: got {c.batch_size}, expected a multiple of {processes.count} processes * "
                f"trajectories_per_input * accumulation = {part}"
            )
        self.step = 0
        ids = torch.arange(c.batch_size, device=self.device)[processes.share(c.batch_size)]
        self.slots = Slots(c, task, self.train_problems, self.model, ids)
        self.finite = Finite([*self.weights, "gradient_norm"], self.device)
        self.forward = self._forward
        if c.compile != "off":
            modes = {"kernels": "default", "graphs": "reduce-overhead"}
            self.forward = torch.compile(self._forward, dynamic=False, mode=modes[c.compile])
        self.seconds = 0.0  # spent training, evaluations left out
        self.cpu_seconds: float | None = 0.0  # the same of this process's CPU; None for a run begun without the count
        self.means: dict[str, float] = {}  # the last ones logged
        self.stop_signal: int | None = None

    def _with_precision(self, recipe: Recipe, run: Path) -> Recipe:
        """The recipe with a precision for "auto": that of the run in the folder, else the faster one here."""
        if recipe.train.precision != "auto":
            return recipe
        before = begun(run)
        precision = before[0].train.precision if before else self.processes.once(lambda: faster(self.device)[0])
        return replace(recipe, train=replace(recipe.train, precision=precision))

    # -- one step ----------------------------------------------------------------------------------------------

    @property
    def weights(self) -> dict[str, float]:
        """Of the losses, at this step."""
        return self.model.loss_weights(self.step, self.config.steps)

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
        weights = self.weights
        rows = len(self.slots.ids) // c.accumulation
        parts: list[StepOutput] = []
        vectors: list[Tensor] = []
        for start in range(0, len(self.slots.ids), rows):
            part = slice(start, start + rows)
            batch, carry, referee = self.slots.part(part, self.step)
            out = self.forward(batch, carry, self.slots.keys("noise", self.step)[part], referee)
            assert out.losses.keys() == weights.keys(), "a loss without a weight, or a weight without a loss"
            total = sum((weights[name] * loss.sum() for name, loss in out.losses.items()), start=torch.zeros(()))
            (total / c.batch_size).backward()
            parts.append(out)
            if batch.identity is not None:
                vectors.append(batch.identity)
        numbers = self.slots.identity(slice(None), self.step)
        leaving = self.slots.store(parts)
        names, sums = self._sums(parts)
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        self.processes.sum_([*gradients, sums, leaving])  # the one message of a step
        self.slots.count_stays(leaving)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), c.clip)
        means = dict(zip(names, sums[0] / sums[1], strict=True)) | {"gradient_norm": norm}
        self.finite.watch(means, self.step)
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

    def _forward(self, batch: Batch, carry: Tree, keys: Tensor, referee: Referee) -> StepOutput:
        """One supervision step with its noise: the part of a training step that may be compiled."""
        draws = noise.normal(keys, self.model.noise_shape())
        with autocast(self.device, self.config.precision):
            return self.model(batch, carry, draws, referee)

    def _sums(self, parts: list[StepOutput]) -> tuple[list[str], Tensor]:
        """What the logged means are made of: their names, and (2, names) the sums and the counts of the own slots."""
        counted = {}
        everyone = torch.ones_like(self.slots.is_guided)
        for name in parts[0].losses:
            counted[name] = Measured(torch.cat([p.losses[name].detach() for p in parts]), everyone)
        for name in parts[0].metrics:
            counted[name] = Measured(*(torch.cat(both) for both in zip(*[p.metrics[name] for p in parts], strict=True)))
        counted["stay"] = Measured(self.slots.stay.steps.float(), self.slots.stay.done)
        sums = [torch.stack([(values * rows).sum(), rows.sum()]) for values, rows in counted.values()]
        return list(counted), torch.stack(sums, dim=1)

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
            opened = self.processes.once(lambda: open_run(self.run, self.recipe, resume, stack, self.start))
            newest, note = opened
            self.start = self.start or (begun(self.run) or (None, None))[1]
            if note:
                self.say(note)
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
            known = {"parameters": parameters, "processes": self.processes.count, "precision": c.precision}
            log.write("start", 0, **known, target_entropy=entropy)
        began, first = time.monotonic(), self.step
        saved, judged = began, self.step
        stopped = False
        while self.step < c.steps:
            now = time.monotonic()
            out_of_time = max_minutes is not None and now - began >= 60 * max_minutes
            if stopped := self._agree_to_stop(out_of_time):
                break
            late = self._agree(now - saved >= c.checkpoint_seconds)
            start, cpu_start = time.monotonic(), time.process_time()
            means = self.train_step()
            at = self.step
            logging, evaluating = at % c.log_every == 0, at % c.eval_every == 0 or at == c.steps
            saving = (late or at % c.checkpoint_every == 0) and at < c.steps
            if logging or evaluating or saving:
                self.finite.check(self.run)
            self.seconds += time.monotonic() - start
            if self.cpu_seconds is not None:
                self.cpu_seconds += time.process_time() - cpu_start
            self.tick(at, c.steps)
            if logging:
                values = dict(zip(means, torch.stack(list(means.values())).tolist(), strict=True))
                self.means = values
                log.write("train", at, **self._spent(), target_entropy=entropy, **values)
            if evaluating:
                self._judge(log)
                judged = at
            if saving:
                self.save()
                saved = time.monotonic()
        self.finite.check(self.run)
        if self.step > first or not (self.run / "model").is_dir():
            self.save()
        if self.stop_signal is not None:
            return "stopped"
        if stopped and self.step > judged:  # all is saved; now a run that ends here says what it is worth
            self._judge(log)
        return "out of time" if stopped else "finished"

    def _spent(self) -> dict[str, float | None]:
        return {"seconds": self.seconds, "cpu_seconds": self.cpu_seconds}

    def _judge(self, log: RunLog) -> None:
        found = self.monitor.look(self.step, self.weights, self.means, self.say)
        log.write("eval", self.step, **self._spent(), **found)

    def _agree(self, wanted: bool) -> bool:
        """Whether any of several processes wants something; they ask each other every AGREE_EVERY steps."""
        if self.processes.count == 1:
            return wanted
        return self.step % AGREE_EVERY == 0 and self.processes.largest(int(wanted)) > 0

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
        values = {**self._spent(), "means": self.means, "owners": owners_of(self.task)}
        values["looks"] = self.monitor.looks
        checkpoint.save_checkpoint(self.run, self.step, tensors, values)
        shared = {**model, **self.average.weights}
        config = {"format": checkpoint.FORMAT, "step": self.step, "recipe": to_json(self.recipe)}
        config |= {"owners": owners} if (owners := owners_of(self.task)) else {}
        config |= {"init_sha256": self.start} if self.start else {}
        checkpoint.save_folder(self.run / "model", {"model": shared}, {"config": config}, largest=checkpoint.LARGEST)

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
        if progress["step"]:  # before the first step an optimizer has no state
            checkpoint.load_optimizers(self.optimizers, tensors["optimizer"], folder / "optimizer.safetensors")
        self.slots.load({n: t if n in Slots.COMMON else t[own].clone() for n, t in tensors["slots"].items()})
        self.step, self.seconds = progress["step"], progress["seconds"]
        self.cpu_seconds = progress.get("cpu_seconds")
        old = {name: value for name, value in progress.items() if name.endswith("_accuracy")}  # of the first release
        self.means = progress.get("means", old)
        self.monitor.looks = [Look(*look) for look in progress.get("looks", [])]


def _gradient(leaf: Tensor) -> Tensor:
    assert leaf.grad is not None
    return leaf.grad
