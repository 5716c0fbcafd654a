"""`gram bench`: what this machine can do, and how much of it training and sampling use."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from gram_reasoning.cli.border import can_write, in_range, named, parse, set_threads, write_lines
from gram_reasoning.config import Recipe, TrainConfig
from gram_reasoning.models.configs import UNNAMED, ModelConfig
from gram_reasoning.tasks.configs import NQueensConfig, TaskConfig

EXAMPLE = "gram bench nqueens8 --checkpoint runs/eight --json bench.json"
WIDTHS = (1, 20, 200, 2000)
BOARD = "Q....../......./......./......./......./......./......."


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """Time a training step, the sampler and a cold start: medians and ranges, beside the device's own rates."""

    parts: tuple[Literal["memory", "step", "sampler", "start"], ...] = ("memory", "step", "sampler", "start")
    """What to measure."""
    checkpoint: Path | None = None
    """A trained model for the sampler; the default is the recipe's with fresh weights."""
    repeats: int = 10
    """Timed repeats of each."""
    inputs: int = 64
    """Inputs of the sampler's measurement."""
    samples: int = 20
    """Trajectories for each of them."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    threads: int | None = None
    """CPU threads; the default is torch's."""
    json: Path | None = None
    """Also write every number to this file."""
    task: TaskConfig = field(default_factory=NQueensConfig)
    model: ModelConfig = field(default_factory=UNNAMED)
    train: TrainConfig = field(default_factory=TrainConfig)


def run(arguments: list[str]) -> int:
    prog = "gram bench RECIPE"
    name, rest = named(arguments, "the name of a recipe", BenchOptions, prog, EXAMPLE)
    from gram_reasoning.recipes import get_recipe

    recipe = get_recipe(name)
    default = BenchOptions(task=recipe.task, model=recipe.model, train=recipe.train)
    options = parse(BenchOptions, rest, f"gram bench {name}", EXAMPLE, default)
    for limit in ("repeats", "inputs", "samples"):
        in_range(limit, getattr(options, limit), 1)
    can_write(options.json)
    recipe = dataclasses.replace(recipe, task=options.task, model=options.model, train=options.train)

    from gram_reasoning.processes import choose_device
    from gram_reasoning.training.compiler import check_compiles

    device = choose_device(options.device)
    set_threads(options.threads)
    if "step" in options.parts:
        check_compiles(device, recipe.train.compile)
    result = measure(recipe, options, device)
    print(_text(result))
    if options.json is not None:
        write_lines(options.json, [json.dumps(result, indent=1)])
    return 0


def measure(recipe: Recipe, options: BenchOptions, device: Any) -> dict[str, Any]:
    import torch

    from gram_reasoning.analysis import speed
    from gram_reasoning.build import build_model, build_task, load_model
    from gram_reasoning.inference.sampler import SamplerConfig
    from gram_reasoning.models.base import RecursiveModel
    from gram_reasoning.nn.precision import chosen
    from gram_reasoning.storage.provenance import machine

    weights = "fresh" if options.checkpoint is None else str(options.checkpoint)
    result: dict[str, Any] = {"recipe": recipe.name, "weights": weights, **machine(device)}
    if options.checkpoint is not None:
        _, task, model = load_model(options.checkpoint, device)
    else:
        task = build_task(recipe)
        model = build_model(recipe, task).to(device).eval()
    problems = task.split("test")
    problems = problems.subset(torch.arange(min(options.inputs, len(problems))))
    longest = model.sampling_steps
    if "memory" in options.parts:  # first: on CPU the peak is that of the whole process so far
        result["memory"] = speed.sampler_memory(
            model, problems.subset(torch.arange(1)), WIDTHS, min(2, longest) if model.goes_deeper else longest
        )
    if "step" in options.parts:
        result["rates"] = rates = {
            "bf16": speed.matrix_rate(device, torch.bfloat16),
            "fp32": speed.matrix_rate(device, torch.float32),
            "bytes": speed.bandwidth(device),
        }
        result["step"] = _step(recipe, device, rates, options.repeats)
    if "sampler" in options.parts:
        result["sampler"] = [
            speed.sampler_speed(
                model,
                task,
                problems,
                SamplerConfig(
                    samples=options.samples,
                    steps=longest,
                    halting=halting,
                    halt_by="head",
                    halt_at=0.5,
                    precision=chosen(recipe.train.precision, device),
                ),
                3,
            )
            for halting in ((False, True) if isinstance(model, RecursiveModel) else (False,))
        ]
    if "start" in options.parts:
        commands = {
            "python": ["-c", "pass"],
            "gram --help": ["-m", "gram_reasoning", "--help"],
            "gram solve": ["-m", "gram_reasoning", "solve", BOARD, "--samples", "20"],
        }
        result["start"] = speed.cold_start(commands, 3)
    return result


def _step(recipe: Recipe, device: Any, rates: dict[str, float], repeats: int) -> dict[str, Any]:
    """Time of training steps, and the share of the measured matrix rate that their counted operations make."""
    from gram_reasoning.analysis.costs import META, training_operations
    from gram_reasoning.analysis.speed import seconds, summary
    from gram_reasoning.build import build_model, build_task
    from gram_reasoning.processes import Processes
    from gram_reasoning.training.trainer import Trainer

    task = build_task(recipe)
    trainer = Trainer(recipe, task, build_model(recipe, task), Path("unwritten"), Processes(device=device))
    (first,) = seconds(trainer.train_step, device, 1, warmup=0)
    times = summary(seconds(trainer.train_step, device, repeats))
    with META:
        operations = training_operations(build_model(recipe, task), recipe.train.batch_size)
    precision = trainer.config.precision
    rate = rates[precision]
    return {
        "batch_size": recipe.train.batch_size,
        "precision": precision,
        "compile": recipe.train.compile,
        "first_step_seconds": first,
        "seconds": times,
        "examples_per_second": recipe.train.batch_size / times["median"],
        "operations": operations,
        "share_of_matrix_rate": operations / times["median"] / rate,
    }


def _text(result: dict[str, Any]) -> str:
    lines = [
        f"{result['recipe']} on {result['device']}, {result['threads']} threads, torch {result['torch']}, "
        f"commit {result['commit']}"
    ]
    if "rates" in result:
        r = result["rates"]
        lines.append(
            f"matrix products: {r['bf16'] / 1e12:.2f} Top/s bf16, {r['fp32'] / 1e12:.2f} Top/s fp32; "
            f"copy: {r['bytes'] / 1e9:.0f} GB/s"
        )
        s = result["step"]
        lines.append(
            f"training step: {_range(s['seconds'])}, {s['examples_per_second']:.0f} examples/s, "
            f"{s['operations'] / 1e9:.1f} Gop, {s['share_of_matrix_rate']:.1%} of the {s['precision']} rate "
            f"(the first step took {s['first_step_seconds']:.1f} s)"
        )
    for s in result.get("sampler", []):
        kind = f"up to {s['steps']} steps, halting" if s["halting"] else f"{s['steps']} steps each"
        right = f", right {s['sample_accuracy']:.1%}" if "sample_accuracy" in s else ""
        right = ", fresh weights" if result["weights"] == "fresh" else right
        lines.append(
            f"sampler, {kind}: {s['trajectories_per_second']:.0f} trajectories/s, {s['mean_steps']:.2f} steps on "
            f"average{right}"
        )
    for m in result.get("memory", []):
        lines.append(f"memory, {m['samples']} samples of one input: peak {m['peak_mb']} MB")
    for name, times in result.get("start", {}).items():
        lines.append(f"cold start, {name}: {_range(times)}")
    return "\n".join(lines)


def _range(times: dict[str, Any]) -> str:
    low, high = times["range"]
    return f"{1e3 * times['median']:.1f} ms ({1e3 * low:.1f} to {1e3 * high:.1f})"
