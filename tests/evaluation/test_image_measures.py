"""IS and FID against their definitions, and the classifier that they are taken by."""

import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from gram_reasoning.errors import UserError
from gram_reasoning.evaluation.images import (
    Classifier,
    Features,
    Inception,
    compared,
    frechet_distance,
    inception_score,
    independent_pixels,
    train_digits,
)
from gram_reasoning.tasks.mnist_data import drawn


def square_root(matrix: np.ndarray) -> np.ndarray:
    """Denman-Beavers iteration: of any matrix without eigenvalues at or below 0."""
    y, z = matrix, np.eye(len(matrix))
    for _ in range(60):
        y, z = (y + np.linalg.inv(z)) / 2, (z + np.linalg.inv(y)) / 2
    return y


def test_frechet_distance():
    rng = np.random.default_rng(0)
    one = rng.normal(size=(400, 5)) @ rng.normal(size=(5, 5)) + 1
    other = rng.normal(size=(300, 5)) @ rng.normal(size=(5, 5))
    first, second = np.cov(one.T), np.cov(other.T)
    expected = ((one.mean(0) - other.mean(0)) ** 2).sum()
    expected += np.trace(first + second - 2 * square_root(first @ second))
    assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(one, one + 2) == pytest.approx(5 * 4)
    flat = np.concatenate([one, np.zeros((400, 3))], 1)  # features that never differ
    assert frechet_distance(flat, 3 * flat) == pytest.approx(frechet_distance(one, 3 * one))


def test_inception_score():
    certain = np.eye(4)[[0, 1, 2, 3] * 5]
    assert inception_score(certain) == pytest.approx(4)
    assert inception_score(np.full((10, 4), 0.25)) == pytest.approx(1)
    p = np.array([[0.7, 0.3], [0.2, 0.8]])
    marginal = [0.45, 0.55]
    kl = [sum(x * math.log(x / m) for x, m in zip(row, marginal, strict=True)) for row in p.tolist()]
    assert inception_score(p) == pytest.approx(math.exp(sum(kl) / 2))


def test_a_classifier_learns_and_tells_noise_from_figures():
    images, labels = (torch.from_numpy(array.copy()) for array in drawn("train"))
    images = (images > 127).float()
    network = train_digits(images, labels, epochs=2, seed=0, device=torch.device("cpu"))
    again = train_digits(images, labels, epochs=2, seed=0, device=torch.device("cpu"))
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))
    features = Classifier(network, "small")
    fresh = torch.from_numpy(drawn("t10k")[0] > 127).float()
    assert features.accuracy(fresh, torch.from_numpy(drawn("t10k")[1])) > 0.9
    noise = independent_pixels(images, 200, seed=0)
    result = compared({"noise": noise, "figures": fresh}, images, features)
    assert result["figures"]["frechet_distance"] < result["noise"]["frechet_distance"] / 3
    assert 1 <= result["noise"]["inception_score"] < result["figures"]["inception_score"] <= 3.1


def test_independent_pixels_have_the_means_and_no_more():
    images = (torch.from_numpy(drawn("train")[0]) > 127).float()
    made = independent_pixels(images, 4000, seed=1)
    assert float((made.mean(0) - images.mean(0)).abs().max()) < 5 * 0.5 / 4000**0.5
    pair = made[:, 14, 13:15]
    assert abs(float(torch.corrcoef(pair.T)[0, 1])) < 0.08
    assert float(torch.corrcoef(images[:, 14, 13:15].T)[0, 1]) > 0.3


def test_inception_is_refused_in_one_line_where_it_cannot_be_had(monkeypatch: pytest.MonkeyPatch):
    name = "torch_fidelity.feature_extractor_inceptionv3"
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        UserError, match=r"torch-fidelity is missing, expected `pip install gram-reasoning\[inception\]"
    ):
        Inception(torch.device("cpu"))

    def unreachable(*_: object):
        raise OSError("no route")

    monkeypatch.setitem(sys.modules, "torch_fidelity", SimpleNamespace())
    monkeypatch.setitem(sys.modules, name, SimpleNamespace(FeatureExtractorInceptionV3=unreachable))
    with pytest.raises(UserError, match=r"weights are not here and cannot be fetched \(no route\)") as error:
        Inception(torch.device("cpu"))
    assert "\n" not in str(error.value)


def test_inception_sees_bytes_in_three_channels(monkeypatch: pytest.MonkeyPatch):
    seen: list[torch.Tensor] = []

    class Network(torch.nn.Module):
        def __init__(self, name: str, wanted: list[str]) -> None:
            super().__init__()
            assert wanted == ["2048", "logits_unbiased"]

        def forward(self, pixels: torch.Tensor):
            seen.append(pixels)
            return pixels.flatten(1)[:, :2].float(), torch.zeros(len(pixels), 4)

    monkeypatch.setitem(sys.modules, "torch_fidelity", SimpleNamespace())
    fake = SimpleNamespace(FeatureExtractorInceptionV3=Network)
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", fake)
    features: Features = Inception(torch.device("cpu"))
    found, probabilities = features(torch.linspace(0, 1, 3 * 28 * 28).view(3, 28, 28))
    assert seen[0].shape == (3, 3, 28, 28)
    assert seen[0].dtype == torch.uint8
    assert (int(seen[0].min()), int(seen[0].max())) == (0, 255)
    assert found.shape == (3, 2)
    assert probabilities == pytest.approx(np.full((3, 4), 0.25))
