"""`gram classifier` and `gram fid`: a classifier of digits, and what generated digits are worth by it."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gram_reasoning.border import can_write, in_range, parse, progress, set_threads, write_lines
from gram_reasoning.commands.sampling import sampler_config
from gram_reasoning.errors import UserError, check
from gram_reasoning.task_configs import MNISTConfig

if TYPE_CHECKING:
    from gram_reasoning.evaluation.images import Classifier

FORMAT = 1
CLASSIFIER_EXAMPLE = "gram classifier --out runs/digits --task.size 14"
FID_EXAMPLE = "gram fid --checkpoint runs/mnist-pocket --classifier runs/digits --count 5000"


@dataclass(frozen=True, kw_only=True)
class ClassifierOptions:
    """Train a small classifier on binarised digits, by which `gram fid` measures images."""

    out: Path
    """Folder for it; it must not exist."""
    epochs: int = 5
    """Passes over the training split."""
    seed: int = 0
    """Seed of its weights and of the order of the images."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    threads: int | None = None
    """CPU threads; the default is torch's."""
    task: MNISTConfig = field(default_factory=MNISTConfig)


def train_classifier(arguments: list[str]) -> int:
    options = parse(ClassifierOptions, arguments, "gram classifier", CLASSIFIER_EXAMPLE)
    in_range("epochs", options.epochs, 1)
    if options.out.exists():
        raise UserError(f"{options.out}: exists already, expected the name of a new folder")

    from gram_reasoning.config import to_json
    from gram_reasoning.evaluation.images import Classifier, train_digits
    from gram_reasoning.processes import choose_device
    from gram_reasoning.training import checkpoint

    set_threads(options.threads)
    images, labels = _digits(options.task, "train")
    network = train_digits(images, labels, options.epochs, options.seed, choose_device(options.device))
    accuracy = Classifier(network, "").accuracy(*_digits(options.task, "test"))
    config = {
        "format": FORMAT,
        "classifier": "digits",
        "task": to_json(options.task),
        "epochs": options.epochs,
        "seed": options.seed,
        "test_accuracy": accuracy,
    }
    checkpoint.save_folder(options.out, {"model": dict(network.state_dict())}, {"config": config})
    print(f"{accuracy:.2%} of the test digits right; classifier: {options.out}")
    return 0


def _digits(config: MNISTConfig, split: str) -> Any:
    """The binarised images (M, H, W) of a split and their labels (M,)."""
    import torch

    from gram_reasoning.tasks.mnist import MNIST

    task = MNIST(config)
    return task.image(task.split(split).solutions), torch.from_numpy(task.greyscale(split)[1].copy())


def load_classifier(folder: Path, size: int, device: Any) -> "Classifier":
    """The classifier in a folder that `gram classifier` wrote, for images of that size."""
    from gram_reasoning.evaluation.images import Classifier, DigitNetwork
    from gram_reasoning.training import checkpoint

    path = folder / "config.json"
    config = checkpoint.load_json(path)
    if not isinstance(config, dict) or (config.get("format"), config.get("classifier")) != (FORMAT, "digits"):
        raise UserError(f"{path}: not a classifier, expected a folder that `gram classifier` wrote")
    try:
        trained, accuracy = int(config["task"]["size"]), float(config["test_accuracy"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: damaged ({error}), expected what `gram classifier` wrote") from error
    check(trained == size, f"{path}, size", trained, f"{size}, the size of the model's images")
    network, weights = DigitNetwork(), checkpoint.load_weights(folder)
    checkpoint.check_tensors(weights, network.state_dict(), folder / "model.safetensors")
    network.load_state_dict(weights)
    return Classifier(network.to(device), f"the classifier {folder} ({accuracy:.2%} of the test digits right)")


@dataclass(frozen=True, kw_only=True)
class FidOptions:
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
    steps: int | None = None
    """Supervision steps of each; the default is as many as in training."""
    halting: bool = False
    """A trajectory ends when it is sure of its answer; --steps is then the budget."""
    halt_by: Literal["confidence", "head"] = "confidence"
    """Sure by its decoder, all tokens together, or by its halt head."""
    halt_at: float = 0.95
    """The probability above which it is sure."""
    chunk: int = 512
    """Trajectories at once: bounds the memory."""
    seed: int = 0
    """Seed of the noise."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    threads: int | None = None
    """CPU threads; the default is torch's."""
    json: Path | None = None
    """Also write every number to this file."""

    @property
    def samples(self) -> int:
        """For sampler_config: all are trajectories of one input."""
        return self.count


def fid(arguments: list[str]) -> int:
    options = parse(FidOptions, arguments, "gram fid", FID_EXAMPLE)
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
    from gram_reasoning.tasks.mnist import MNIST

    device = choose_device(options.device)
    set_threads(options.threads)
    recipe, task, model = load_model(options.checkpoint, device)
    if not isinstance(task, MNIST):
        raise UserError(f"{options.checkpoint}: a model of {task.name}, expected one that generates digits")
    if options.classifier is None:
        features = Inception(device)
    else:
        features = load_classifier(options.classifier, task.size, device)
    config = sampler_config(options, recipe.evaluation, model)
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
        "features": features.name,
        "reference": f"{len(reference)} {options.reference} training digits, {task.size} x {task.size}",
        "seed": options.seed,
        "sets": compared(sets, reference, features),
    }
    print(images_table(result))
    if options.json is not None:
        write_lines(options.json, [json.dumps(result, indent=1)])
    return 0
