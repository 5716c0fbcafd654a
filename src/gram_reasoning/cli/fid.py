"""`gram fid`: what generated digits are worth by a classifier, or by Inception."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gram_reasoning.cli.border import can_write, in_range, parse, progress, set_threads, write_lines
from gram_reasoning.cli.classifier import load_classifier
from gram_reasoning.cli.sampling import SamplingOptions, sampler_config
from gram_reasoning.errors import UserError

EXAMPLE = "gram fid --checkpoint runs/mnist-pocket --classifier runs/digits --count 5000"


@dataclass(frozen=True, kw_only=True)
class FidOptions(SamplingOptions):
    """Inception score and Frechet distance of generated digits, beside noise and real test digits.

    The distance is that to the training digits; both numbers are those of the network that is named, a small classifier
    or Inception v3, and compare with no other.
    """

    checkpoint: str
    """A run or a model folder, of a task on images."""
    classifier: Path | None = None
    """Measure by this classifier, a folder that `gram classifier` wrote."""
    inception: bool = False
    """Measure by Inception v3 instead (needs gram-reasoning[inception], and its weights)."""
    reference: Literal["binarised", "greyscale"] = "binarised"
    """The training digits that the distance is taken to: as the model learns them, or as they were (the paper's)."""
    count: int = 5000
    """Images of each kind; real ones as many as there are."""
    json: Path | None = None
    """Also write every number to this file."""


def run(arguments: list[str]) -> int:
    options = parse(FidOptions, arguments, "gram fid", EXAMPLE)
    in_range("count", options.count, 2, 100_000)
    if options.inception == (options.classifier is not None):
        raise UserError("fid: expected either --classifier FOLDER or --inception")
    can_write(options.json)

    import torch

    from gram_reasoning.build import load_model
    from gram_reasoning.evaluation.images import Inception, compared, independent_pixels
    from gram_reasoning.evaluation.report import images_table
    from gram_reasoning.inference.sampler import sample
    from gram_reasoning.processes import choose_device
    from gram_reasoning.storage.provenance import provenance
    from gram_reasoning.tasks.mnist import MNIST

    start, cpu_start = time.perf_counter(), time.process_time()
    device = choose_device(options.device)
    set_threads(options.threads)
    recipe, task, model = load_model(options.checkpoint, device)
    if not isinstance(task, MNIST):
        raise UserError(f"{options.checkpoint}: a model of {task.name}, expected one that generates digits")
    if options.classifier is None:
        features = Inception(device)
    else:
        features = load_classifier(options.classifier, task.size, device)
    config = sampler_config(options, options.count, recipe.evaluation, model)
    with progress("generating") as tick:
        answers = sample(model, task.blank()[None], config, tick=tick).answers[0].cpu()
    train, test = (task.image(task.split(name).solutions) for name in ("train", "test"))
    reference = train
    if options.reference == "greyscale":
        reference = torch.from_numpy(task.greyscale("train")[0]).float() / 255
    sets = {
        f"the model, {config.steps} steps": task.image(answers),
        "independent pixels": independent_pixels(train, options.count, options.seed),
        "test digits": test[: options.count],
    }
    result = {
        "checkpoint": options.checkpoint,
        "recipe": recipe.name,
        "features": features.name,
        "reference": f"{len(reference)} {options.reference} training digits, {task.size} x {task.size}",
        "seed": options.seed,
        "sets": compared(sets, reference, features),
    }
    spent = (time.perf_counter() - start, time.process_time() - cpu_start)
    result |= provenance(["fid", *arguments], *spent, device)
    print(images_table(result))
    if options.json is not None:
        write_lines(options.json, [json.dumps(result, indent=1)])
    return 0
