"""`gram classifier`: a small classifier of digits, by which `gram fid` measures generated ones."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gram_reasoning.cli.border import in_range, parse, set_threads
from gram_reasoning.errors import UserError, check
from gram_reasoning.tasks.configs import MNISTConfig

if TYPE_CHECKING:
    from gram_reasoning.evaluation.images import Classifier

FORMAT = 1
EXAMPLE = "gram classifier --out runs/digits --task.size 14"


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


def run(arguments: list[str]) -> int:
    options = parse(ClassifierOptions, arguments, "gram classifier", EXAMPLE)
    in_range("epochs", options.epochs, 1)
    if options.out.exists():
        raise UserError(f"{options.out}: exists already, expected the name of a new folder")

    from gram_reasoning.config import to_json
    from gram_reasoning.evaluation.images import Classifier, train_digits
    from gram_reasoning.processes import choose_device
    from gram_reasoning.storage import checkpoint

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
    from gram_reasoning.storage import checkpoint

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
