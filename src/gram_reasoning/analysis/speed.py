"""Measure what a device can do and what a training step, the sampler and a cold start take of it."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from gram_reasoning.errors import UserError
from gram_reasoning.evaluation.evaluator import attempts, identity_vectors, judge
from gram_reasoning.evaluation.metrics import wilson
from gram_reasoning.inference.sampler import SamplerConfig, sample
from gram_reasoning.models.base import Model
from gram_reasoning.tasks.base import Problems, Task
from gram_reasoning.types import Candidates


def wait(device: torch.device) -> None:
    """Until the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(work: Callable[[], Any], device: torch.device, repeats: int, warmup: int = 2) -> list[float]:
    """The time of each of `repeats` calls, after `warmup` that do not count."""
    times = []
    for _ in range(warmup + repeats):
        wait(device)
        start = time.perf_counter()
        work()
        wait(device)
        times.append(time.perf_counter() - start)
    return times[warmup:]


def summary(times: Sequence[float]) -> dict[str, Any]:
    return {"median": statistics.median(times), "range": [min(times), max(times)], "repeats": len(times)}


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Operations per second of the best of some square matrix products on random numbers."""
    best = 0.0
    for size in (4096, 8192) if device.type == "cuda" else (512, 1024, 2048):
        left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        took = statistics.median(seconds(lambda a=left, b=right: a @ b, device, 8))
        best = max(best, 2 * size**3 / took)
    return best


def bandwidth(device: torch.device) -> float:
    """Bytes per second, read and written, of a copy that is larger than any cache."""
    source = torch.ones((2**31 if device.type == "cuda" else 2**28) // 4, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / statistics.median(seconds(lambda: target.copy_(source), device, 8))


def sampler_speed(model: Model, task: Task, problems: Problems, config: SamplerConfig, repeats: int) -> dict[str, Any]:
    """Time, average number of supervision steps and accuracy of sampling all problems."""
    device = next(model.parameters()).device
    vectors = identity_vectors(model, problems)

    def run() -> Candidates:
        return sample(model, problems.inputs, config, identity=vectors, counted=task.counted)

    candidates = run()
    times = seconds(run, device, repeats, warmup=0)
    found = judge(task, problems, candidates)
    result = {
        "inputs": len(problems),
        "samples": config.samples,
        "steps": config.steps,
        "halting": config.halting,
        "chunk": config.chunk,
        "precision": config.precision,
        "seconds": summary(times),
        "trajectories_per_second": len(problems) * config.samples / statistics.median(times),
        "mean_steps": float(candidates.steps.float().mean()),
    }
    if found is not None:
        right = float(found.valid[range(len(problems)), attempts(candidates, "majority", 1)[:, 0]].mean())
        result["selected_accuracy"] = right
        result["selected_interval"] = list(wilson(right * len(problems), len(problems)))
        result["sample_accuracy"] = float(found.valid.mean())
    return result


def sampler_memory(model: Model, problems: Problems, widths: Sequence[int], steps: int) -> list[dict[str, Any]]:
    """Peak memory of sampling each number of trajectories for each problem.

    On a GPU the peak of what PyTorch holds; on CPU the largest the process has been so far, which is why the
    widths must rise and nothing large may have run before.
    """
    device = next(model.parameters()).device
    rows = []
    for width in widths:
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        config = SamplerConfig(samples=width, steps=steps)
        sample(model, problems.inputs, config, identity=identity_vectors(model, problems))
        if device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(device)
        else:
            peak = _largest_so_far()
        rows.append({"samples": width, "inputs": len(problems), "peak_mb": round(peak / 1e6, 1)})
    return rows


def _largest_so_far() -> int:
    """Bytes of memory that this process held at its largest."""
    try:
        import resource
    except ImportError as error:  # Windows
        raise UserError("--parts memory: the system does not tell it, expected other parts") from error
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def cold_start(commands: dict[str, list[str]], repeats: int) -> dict[str, Any]:
    """Wall time of whole processes, from nothing to their end."""

    def launch(arguments: list[str]) -> None:
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)

    cpu = torch.device("cpu")
    return {
        name: summary(seconds(lambda arguments=arguments: launch(arguments), cpu, repeats, warmup=1))
        for name, arguments in commands.items()
    }
