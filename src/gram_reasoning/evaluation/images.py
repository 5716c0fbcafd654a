"""Inception score and Frechet distance of images, by the features of a classifier.

Both depend on the classifier, so a number is worth something beside numbers by the same one only: every table names it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gram_reasoning import noise
from gram_reasoning.errors import UserError

CHUNK = 500
"""Images that pass a classifier at once."""


def frechet_distance(one: np.ndarray, other: np.ndarray) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) of the normal distributions fitted to features (N, F) of each."""
    means = one.mean(0), other.mean(0)
    first, second = (np.cov(x.astype(np.float64), rowvar=False) for x in (one, other))
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    shared = np.sqrt(np.linalg.eigvalsh(root @ second @ root).clip(0)).sum()
    return float(((means[0] - means[1]) ** 2).sum() + np.trace(first) + np.trace(second) - 2 * shared)


def inception_score(probabilities: np.ndarray) -> float:
    """Exp of the mean relative entropy of p(class | image) to p(class), of probabilities (N, classes)."""
    p = probabilities.astype(np.float64).clip(1e-12)
    return float(np.exp((p * (np.log(p) - np.log(p.mean(0)))).sum(1).mean()))


class Features(ABC):
    """A classifier as a yardstick."""

    name: str
    """What a table calls it."""

    @abstractmethod
    def __call__(self, images: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Features (N, F) and class probabilities (N, classes) of images (N, H, W), brightness from 0 to 1."""

    def _in_chunks(self, images: Tensor, look: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Any:
        with torch.no_grad():
            pairs = [look(part) for part in images.split(CHUNK)]
        return tuple(torch.cat(tensors).cpu().numpy() for tensors in zip(*pairs, strict=True))


class Inception(Features):
    """Inception v3 with the weights that FID is defined by, from torch-fidelity (as torchmetrics uses it)."""

    name = "Inception v3"

    def __init__(self, device: torch.device) -> None:
        self.device = device
        try:
            module = import_module("torch_fidelity.feature_extractor_inceptionv3")
        except ImportError as error:
            raise UserError(
                "--inception: the package torch-fidelity is missing, expected `pip install gram-reasoning[inception]`, "
                "or --classifier"
            ) from error
        try:
            network = module.FeatureExtractorInceptionV3("inception-v3-compat", ["2048", "logits_unbiased"])
        except OSError as error:
            raise UserError(
                f"--inception: its weights are not here and cannot be fetched ({error}), expected a network, or "
                "--classifier"
            ) from error
        self.network = network.to(device).eval()

    def __call__(self, images: Tensor) -> tuple[np.ndarray, np.ndarray]:
        def look(part: Tensor) -> tuple[Tensor, Tensor]:
            pixels = (255 * part).round().to(torch.uint8)[:, None].expand(-1, 3, -1, -1)
            features, logits = self.network(pixels.to(self.device))
            return features, logits.softmax(1)

        return self._in_chunks(images, look)


class DigitNetwork(nn.Module):
    """A small convolutional classifier of digits: features (B, 64) and logits (B, 10) of images (B, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.AdaptiveMaxPool2d(7)),
            *(nn.Flatten(), nn.Linear(32 * 49, 64), nn.ReLU()),
        )
        self.head = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(2 * images[:, None] - 1)
        return features, self.head(features)


class Classifier(Features):
    """The features of a DigitNetwork."""

    def __init__(self, network: DigitNetwork, name: str) -> None:
        self.network, self.name = network.eval(), name

    def __call__(self, images: Tensor) -> tuple[np.ndarray, np.ndarray]:
        device = self.network.head.weight.device

        def look(part: Tensor) -> tuple[Tensor, Tensor]:
            features, logits = self.network(part.to(device))
            return features, logits.softmax(1)

        return self._in_chunks(images, look)

    def accuracy(self, images: Tensor, labels: Tensor) -> float:
        return float((self(images)[1].argmax(1) == labels.numpy()).mean())


def train_digits(images: Tensor, labels: Tensor, epochs: int, seed: int, device: torch.device) -> DigitNetwork:
    """A DigitNetwork trained on images (N, H, W) and labels (N,)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = DigitNetwork().to(device)
    images, labels = images.to(device), labels.long().to(device)
    batch = min(200, len(images))
    steps = epochs * (len(images) // batch)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, max(1, steps))
    for epoch in range(epochs):
        key = noise.keys(seed, "classifier", torch.tensor([epoch], device=device))
        order = noise.permutation(key, len(images))[0]
        for rows in order.split(batch)[: len(images) // batch]:
            optimizer.zero_grad()
            F.cross_entropy(network(images[rows])[1], labels[rows]).backward()
            optimizer.step()
            schedule.step()
    return network.eval()


def compared(samples: dict[str, Tensor], reference: Tensor, features: Features) -> dict[str, dict[str, float]]:
    """IS of each set of images (N, H, W), and its FID to the reference images."""
    known = features(reference)[0]
    result = {}
    for name, images in samples.items():
        found, probabilities = features(images)
        result[name] = {
            "images": len(images),
            "inception_score": inception_score(probabilities),
            "frechet_distance": frechet_distance(found, known),
        }
    return result


def independent_pixels(images: Tensor, number: int, seed: int) -> Tensor:
    """Images (number, H, W) whose every pixel is white as often as in `images`, independent of the others."""
    keys = noise.keys(seed, "independent pixels", torch.arange(number * images[0].numel()))
    return (noise.uniform(keys).view(number, *images.shape[1:]) < images.mean(0)).float()
