"""Digits from nothing: MNIST with its pixels made black or white, 28x28, or 14x14 by averages of four.

Tokens: 0 pad, 1 black, 2 white, row by row; the input is all pad. A pixel is white from half of full brightness on.
There are no rules: what comes out is measured against the digits that there are (evaluation/images.py).
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gram_reasoning.errors import UserError
from gram_reasoning.tasks.base import PAD, Problems
from gram_reasoning.tasks.configs import MNISTConfig
from gram_reasoning.tasks.generation import Generation
from gram_reasoning.tasks.mnist_data import MD5, downloaded, find, read_part
from gram_reasoning.tasks.pictures import Images
from gram_reasoning.tasks.prepared import file_sha256, prepared
from gram_reasoning.tasks.written import rows_of

BLACK, WHITE = 1, 2
SYMBOLS = "?.#"
"""How each token is written."""


class MNIST(Generation, Images):
    """See MNISTConfig. The input is the empty image; its solutions are the split's images."""

    name = "mnist"

    def __init__(self, config: MNISTConfig) -> None:
        super().__init__(config)
        self.size = config.size
        self.length, self.vocab = config.size**2, WHITE + 1

    def blank(self) -> Tensor:
        return torch.full((self.length,), PAD)

    def at_hand(self) -> bool:
        return self.config.source != "mirror" or all(downloaded(name).is_file() for name in MD5)

    def reward(self, prediction: Tensor, inputs: Tensor) -> None:
        """There are no rules."""

    def canonical(self, answers: Tensor, inputs: Tensor) -> Tensor:
        """What is not white is black."""
        del inputs
        return answers.clamp(min=BLACK)

    def make_split(self, name: str) -> Problems:
        settings = {"task": self.name, "split": name, **asdict(self.config)}
        if self.config.source != "drawn":
            part = "t10k" if name == "test" else "train"
            files = (find(self.config, f"{part}-{kind}-ubyte") for kind in ("images-idx3", "labels-idx1"))
            settings |= {"source": [file_sha256(file) for file in files]}
        return prepared(f"{self.name}-{name}", settings, lambda: self._make(name))

    def _make(self, name: str) -> Problems:
        images = torch.from_numpy(np.where(self.greyscale(name)[0] >= 128, WHITE, BLACK).astype(np.uint8)).flatten(1)
        return Problems.of_one_input(self.blank(), images, complete=False)

    def greyscale(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """The images (M, size, size) uint8 of a split with their labels (M,).

        The validation split is the end of the training file; the test split is the test file.
        """
        images, labels = read_part(self.config, "t10k" if name == "test" else "train")
        if name == "test":
            return images, labels
        kept = len(images) - self.config.validation_images
        if kept < 1:
            raise UserError(
                f"task.validation_images: got {self.config.validation_images}, expected fewer than the {len(images)} "
                "images of the training file"
            )
        part = slice(kept) if name == "train" else slice(kept, None)
        return images[part], labels[part]

    def measures(self, answers: Tensor, problems: Problems) -> dict[str, Any]:
        """How many images differ, how many are those of the training split, and how white they are."""
        del problems
        images = answers.flatten(0, 1).cpu().to(torch.uint8)
        known = {image.tobytes() for image in self.split("train").solutions.numpy()}
        rows = [image.tobytes() for image in images.numpy()]
        return {
            "images": len(rows),
            "distinct": len(set(rows)) / len(rows),
            "found_in_training": sum(row in known for row in rows) / len(rows),
            "white": float((images == WHITE).float().mean()),
            "white_in_training": float((self.split("train").solutions == WHITE).float().mean()),
        }

    def format(self, tokens: Sequence[int]) -> str:
        return "\n".join(" ".join(row) for row in rows_of(tokens, SYMBOLS, self.size))

    def compact(self, tokens: Sequence[int]) -> str:
        return "/".join(rows_of(tokens, SYMBOLS, self.size))

    def image(self, tokens: Tensor) -> Tensor:
        return (tokens == WHITE).float().unflatten(-1, (self.size, self.size))
