"""Digits: IDX files, what is learnt, and what is measured without a classifier."""

import gzip
import hashlib
import os
import struct
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from fuzzing import fuzz
from gram_reasoning.errors import UserError
from gram_reasoning.tasks import mnist_data
from gram_reasoning.tasks.base import SPLITS
from gram_reasoning.tasks.configs import MNISTConfig
from gram_reasoning.tasks.mnist import MNIST
from gram_reasoning.tasks.mnist_data import read_idx
from helpers import read_or_refused

DATA = Path(os.environ.get("GRAM_DATA_DIR", "/nowhere"))
TRAIN, TEST = 60, 20


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def digits(number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (number, 28, 28)), rng.integers(0, 10, number)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four files of noise in the shape of MNIST's, two of them gzipped."""
    for seed, (part, number) in enumerate((("train", TRAIN), ("t10k", TEST))):
        images, labels = digits(number, seed)
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels))
    return tmp_path


def task(folder: Path | str = "drawn", **changes: Any) -> MNIST:
    return MNIST(MNISTConfig(**{"source": str(folder), "validation_images": 10, **changes}))


def test_splits_are_the_files(folder: Path):
    own = task(folder)
    assert (own.length, own.vocab) == (784, 3)
    images, labels = digits(TRAIN, 0)
    expected = {"train": images[:50], "validation": images[50:], "test": digits(TEST, 1)[0]}
    for name in SPLITS:
        problems = own.split(name)
        assert torch.equal(problems.inputs[0].long(), own.blank())
        assert not problems.complete
        assert int(problems.count[0]) == len(expected[name])
        white = problems.solution_sets(0).view(-1, 28, 28).numpy() == 2
        assert (white == (expected[name] / 255 > 0.5)).all()
        assert (problems.solution_sets(0) != 0).all()
    assert (own.greyscale("train")[0] == images[:50]).all()
    assert (own.greyscale("validation")[1] == labels[50:]).all()
    assert own.reward(own.blank()[None], own.blank()[None]) is None


@pytest.mark.parametrize("inner", ["raw", "MNIST/raw"])
def test_a_folder_as_torchvision_lays_it_out(folder: Path, inner: str, tmp_path_factory: pytest.TempPathFactory):
    other = tmp_path_factory.mktemp("torchvision")
    (other / inner).parent.mkdir(parents=True, exist_ok=True)
    folder.rename(other / inner)
    assert len(task(other).greyscale("train")[0]) == TRAIN - 10


def test_small_images_are_averages_of_four(folder: Path):
    own = task(folder, size=14)
    images = digits(TEST, 1)[0]
    mean = (images[:, ::2, ::2] + images[:, 1::2, ::2] + images[:, ::2, 1::2] + images[:, 1::2, 1::2]) / 4
    assert (abs(own.greyscale("test")[0] - mean) <= 0.5).all()
    white = own.image(own.split("test").solutions).numpy()
    assert (white[abs(mean - 127.5) > 0.5] == (mean > 127.5)[abs(mean - 127.5) > 0.5]).all()


def test_measures_and_pictures(folder: Path):
    own = task(folder)
    train = own.split("train").solutions.long()
    answers = torch.cat([train[:3], train[:1], own.split("test").solutions[:4].long()])[None]
    measures = own.measures(answers, own.split("test"))
    assert (measures["images"], measures["distinct"], measures["found_in_training"]) == (8, 7 / 8, 4 / 8)
    assert measures["white"] == pytest.approx(float((answers == 2).float().mean()))
    image = own.image(answers)
    assert image.shape == (1, 8, 28, 28)
    assert torch.equal(image.flatten(2) == 1, answers == 2)
    text = own.compact(train[0].tolist()).split("/")
    assert [[c == "#" for c in row] for row in text] == (train[0].view(28, 28) == 2).tolist()
    spoilt = train[:1].clone()
    spoilt[0, :5] = 0
    assert torch.equal(own.canonical(spoilt, spoilt)[0, :5], torch.ones(5, dtype=torch.int64))
    with pytest.raises(UserError, match="unknown split 'exam'"):
        own.split("exam")


def test_drawn_figures():
    images, labels = mnist_data.drawn("train")
    assert images.shape == (1000, 28, 28)
    assert set(labels.tolist()) == {0, 1, 2}
    upright, level = images[labels == 1] > 0, images[labels == 2] > 0
    assert (upright.any(2).sum(1) > upright.any(1).sum(1)).all()
    assert (level.any(2).sum(1) < level.any(1).sum(1)).all()
    assert len({image.tobytes() for image in np.concatenate([images, mnist_data.drawn("t10k")[0]])}) > 1000
    own = task(size=14, validation_images=100)
    assert [int(own.split(name).count[0]) for name in SPLITS] == [900, 100, 200]


# -- files that are wrong --------------------------------------------------------------------------------------

IMAGES = idx(np.zeros((3, 28, 28)))
DAMAGED: list[tuple[bytes, str]] = [
    (b"", "begins with nothing, expected 00000803"),
    (IMAGES[:3], "begins with 000008"),
    (IMAGES[:10], "begins with 00000803"),
    (IMAGES[:-1], "truncated or damaged: 2351 bytes of data, expected 3 x 28 x 28"),
    (IMAGES + b"x", "truncated or damaged: 2353 bytes of data"),
    (idx(np.zeros(3)), "begins with 00000801, expected 00000803"),
    (b"\x00\x00\x08\x03" + b"\xff" * 12, "truncated or damaged: 0 bytes of data, expected 4294967295"),
    (gzip.compress(IMAGES, mtime=0)[:-5], "cannot be read"),
    (gzip.compress(IMAGES, mtime=0)[:20], "cannot be read"),
    (b"\x1f\x8b" + b"\x00" * 30, "cannot be read"),
    (gzip.compress(IMAGES, mtime=0)[:-8] + b"\x00" * 8, "cannot be read"),
]


@pytest.mark.parametrize(("content", "message"), DAMAGED)
def test_damaged_files_are_refused_in_one_line(content: bytes, message: str, folder: Path):
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(content)
    with pytest.raises(UserError) as error:
        task(folder).split("test")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("images-idx3", np.zeros((TEST, 32, 32)), "20 images of 32 x 32 and 20 labels, expected images of 28 x 28"),
        ("labels-idx1", np.zeros(TEST - 1), "20 images of 28 x 28 and 19 labels"),
        ("labels-idx1", np.full(TEST, 10), "with a label from 0 to 9"),
    ],
)
def test_files_that_do_not_fit(name: str, array: np.ndarray, message: str, folder: Path):
    suffix = ".gz" if name.startswith("images") else ""
    (folder / f"t10k-{name}-ubyte{suffix}").write_bytes(idx(array))
    with pytest.raises(UserError, match=message):
        task(folder).split("test")


def test_missing_files_and_bad_configs(folder: Path):
    (folder / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(UserError, match=r"no train-labels-idx1-ubyte or train-labels-idx1-ubyte\.gz there, expected"):
        task(folder).split("train")
    with pytest.raises(UserError, match="got 1000, expected fewer than the 1000 images"):
        task(validation_images=1000).split("train")
    with pytest.raises(UserError, match="expected 14 or 28"):
        MNISTConfig(size=20)
    with pytest.raises(UserError, match="at least 1"):
        MNISTConfig(validation_images=0)


def test_the_mirror_is_asked_once_and_checked(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []

    def serve(url: str, timeout: float):
        asked.append(url)
        return (folder / "t10k-images-idx3-ubyte.gz").open("rb")

    monkeypatch.setenv("GRAM_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("urllib.request.urlopen", serve)
    name, config = "t10k-images-idx3-ubyte", MNISTConfig()
    with pytest.raises(UserError, match=r"damaged \(MD5 .*, expected 9fb629c4189551a2d022fa330f9573f3\)"):
        mnist_data.find(config, name)
    served = hashlib.md5((folder / f"{name}.gz").read_bytes()).hexdigest()
    monkeypatch.setitem(mnist_data.MD5, f"{name}.gz", served)
    assert mnist_data.find(config, name) == tmp_path / "cache" / "mnist" / f"{name}.gz"
    assert asked == [f"{mnist_data.MIRROR}{name}.gz"]

    def unreachable(url: str, timeout: float):
        raise OSError("no route")

    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    with pytest.raises(
        UserError, match=r"not in the cache, and cannot be had \(no route\); expected a network"
    ) as error:
        mnist_data.find(config, "train-images-idx3-ubyte")
    assert "\n" not in str(error.value)


contents = (
    st.binary(max_size=40)
    | st.binary(max_size=40).map(lambda rest: b"\x00\x00\x08\x03" + rest)
    | st.tuples(st.integers(0, len(IMAGES)), st.binary(max_size=3)).map(lambda t: IMAGES[: t[0]] + t[1])
    | st.integers(0, 60).map(lambda n: gzip.compress(IMAGES, mtime=0)[:n])
)


@fuzz(100, 10_000, contents)
def test_any_file(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "any"
        path.write_bytes(content)
        read_or_refused(lambda _, where: read_idx(path, 3), "")
