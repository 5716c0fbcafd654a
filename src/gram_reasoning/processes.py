"""The processes of a run: which part of the work is whose, what they add up, agree on and tell each other.

A run is one process, or several that `torchrun` or `accelerate launch` started, each with a part of the slots, of
the trajectories and of the inputs to judge. Draws are keyed by global numbers, so the parts do not show. Everything
that one process sends another passes through this file, so that a lost process is noticed in one place.
"""

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from gram_reasoning.errors import Failed, UserError

Value = TypeVar("Value")
CPU = torch.device("cpu")


class LostProcess(Failed):
    """Another process of the run is gone or stuck; the message says who noticed and how to go on."""


@dataclass(frozen=True)
class Processes:
    """One process's view of all of them; the default is a run that is one process."""

    rank: int = 0
    count: int = 1
    device: torch.device = CPU

    @property
    def first(self) -> bool:
        """Whether this one speaks and writes."""
        return self.rank == 0

    def share(self, total: int) -> slice:
        """The part of this process of `total` things: contiguous, sizes differ by one at most."""
        return slice(total * self.rank // self.count, total * (self.rank + 1) // self.count)

    def sum_(self, tensors: list[Tensor]) -> None:
        """Replace float32 tensors by their sums over all processes, in one message."""
        if self.count == 1:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        self._talk(dist.all_reduce, flat)
        for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def gather(self, rows: Tensor, total: int) -> Tensor:
        """All `total` rows, in order, from the `share(total)` that each process holds; the same on every process."""
        if self.count == 1:
            return rows
        longest = -(-total // self.count)
        padded = rows.new_zeros((longest, *rows.shape[1:]))
        padded[: len(rows)] = rows
        as_bytes = padded.flatten().view(torch.uint8)  # not every backend knows every type
        everyone = [torch.empty_like(as_bytes) for _ in range(self.count)]
        self._talk(dist.all_gather, everyone, as_bytes)
        parts = [part.view(rows.dtype).view_as(padded) for part in everyone]
        sizes = [len(range(total)[Processes(rank, self.count).share(total)]) for rank in range(self.count)]
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    def largest(self, value: int) -> int:
        """The largest of the values that the processes name."""
        if self.count == 1:
            return value
        shared = torch.tensor(value, device=self.device)
        self._talk(dist.all_reduce, shared, op=dist.ReduceOp.MAX)
        return int(shared)

    def once(self, work: Callable[[], Value]) -> Value:
        """Let the first process do `work` and tell the others its result; if it cannot, all stop and it says why."""
        if self.count == 1:
            return work()
        result: list[Any] = [None, False]
        if not self.first:
            self._talk(dist.broadcast_object_list, result)
            if not result[1]:
                raise SystemExit(2)
            return result[0]
        try:
            result = [work(), True]
        finally:
            self._talk(dist.broadcast_object_list, result)
        return result[0]

    def leave(self) -> None:
        """Say goodbye at the end of the work."""
        if self.count > 1:
            dist.destroy_process_group()

    def _talk(self, collective: Callable[..., Any], *arguments: Any, **options: Any) -> None:
        try:
            collective(*arguments, **options)
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise LostProcess(
                f"process {self.rank} of {self.count} gets no answer from another one: it was killed, or is stuck "
                f"({reason}); start all of them again with --resume"
            ) from error


ALONE = Processes()


def choose_device(name: str) -> torch.device:
    """The device of that name; "auto" is a CUDA GPU where there is one, else the CPU."""
    kind, _, number = name.partition(":")
    if kind not in ("auto", "cpu", "cuda", "mps") or (number and not (kind == "cuda" and number.isdecimal())):
        raise UserError(f"--device: got {name!r}, expected auto, cpu, cuda, cuda:N (N from 0) or mps")
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind == "cuda" and int(number or 0) >= gpus:
        raise UserError(f"--device: got {name!r}, but PyTorch sees {gpus} CUDA GPUs here; expected another device")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise UserError(f"--device: got {name!r}, but PyTorch sees no Apple GPU here; expected another device")
    return torch.device(("cuda" if gpus else "cpu") if kind == "auto" else name)


def join(device: torch.device, timeout: float) -> Processes:
    """Meet the other processes, if a launcher started several.

    Args:
        device: where to work; with several processes on CUDA, each takes the GPU of its local number.
        timeout: seconds after which a process that does not answer counts as lost.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Processes(device=device)
    here = int(os.environ.get("LOCAL_WORLD_SIZE", count))
    if device.type == "cuda" and device.index is not None:
        raise UserError(f"--device {device}: one GPU for {count} processes, expected --device cuda, or one process")
    if device.type == "cuda" and here > torch.cuda.device_count():
        raise UserError(
            f"{here} processes on this machine, but {torch.cuda.device_count()} GPUs; expected one for each"
        )
    from accelerate import PartialState

    # Before the group exists: imported later, its default arguments hold the group, whose threads then outlive `leave`.
    importlib.import_module("torch.distributed.nn")
    try:
        state = PartialState(cpu=device.type == "cpu", timeout=timedelta(seconds=timeout))
    except (RuntimeError, ValueError) as error:
        raise LostProcess(f"the {count} processes did not meet ({str(error).splitlines()[0]})") from error
    own = torch.device("cuda", state.local_process_index) if device.type == "cuda" else device
    return Processes(state.process_index, state.num_processes, own)
