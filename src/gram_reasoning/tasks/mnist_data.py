"""MNIST from its four IDX files, downloaded or in a folder; and drawn figures, to try things out without them."""

import gzip
import hashlib
import http.client
import urllib.request
import zlib
from pathlib import Path

import numpy as np
import torch

from gram_reasoning import noise
from gram_reasoning.errors import UserError
from gram_reasoning.storage.cache import cache_folder, made
from gram_reasoning.storage.files import write_whole
from gram_reasoning.tasks.configs import MNISTConfig

MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist/"
MD5 = {  # as published beside the files
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}
INNER = ("", "raw", "MNIST/raw")
"""Where a folder may hold the files: itself, or as torchvision lays them out."""
SIDE = 28
DRAWN = {"train": 1000, "t10k": 200}
"""Figures of the source `drawn`."""


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """An IDX file of bytes with so many dimensions; it may be gzipped.

    Raises:
        UserError: it is truncated, damaged, or another file.
    """
    try:
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: cannot be read ({error}), expected an IDX file") from error
    start = 4 + 4 * dimensions
    if len(raw) < start or raw[:4] != bytes((0, 0, 8, dimensions)):
        raise UserError(f"{path}: begins with {raw[:4].hex() or 'nothing'}, expected 0000080{dimensions}, an IDX file")
    shape = tuple(int(n) for n in np.frombuffer(raw, ">u4", dimensions, 4))
    held, promised = len(raw) - start, int(np.prod(shape, dtype=object))
    if held != promised:
        size = " x ".join(map(str, shape))
        raise UserError(f"{path}: truncated or damaged: {held} bytes of data, expected {size}")
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)


def downloaded(name: str) -> Path:
    """Where a file of the mirror lies once it was downloaded."""
    return cache_folder() / "mnist" / name


def find(config: MNISTConfig, name: str) -> Path:
    """The file of that name (without .gz) of a source: in its folder, or downloaded once and checked."""
    if config.source != "mirror":
        folder = Path(config.source)
        names = (f"{name}.gz", name, name.replace("-idx", ".idx"))
        for file in (folder / inner / one for inner in INNER for one in names):
            if file.is_file():
                return file
        raise UserError(f"--task.source {folder}: no {name} or {name}.gz there, expected the four files of MNIST")
    path = downloaded(f"{name}.gz")
    if not path.is_file():
        made(path.parent)
        try:
            with urllib.request.urlopen(f"{MIRROR}{name}.gz", timeout=60) as answer:
                content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise UserError(
                f"{MIRROR}{name}.gz: not in the cache, and cannot be had ({error}); expected a network, or the folder "
                "of MNIST's four files as --task.source FOLDER"
            ) from error
        write_whole(path, content)
    if (found := hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()) != MD5[path.name]:
        raise UserError(f"{path}: damaged (MD5 {found}, expected {MD5[path.name]}); remove it to have it fetched again")
    return path


def read_part(config: MNISTConfig, part: str) -> tuple[np.ndarray, np.ndarray]:
    """The images (M, size, size) uint8 of "train" or "t10k" with their labels (M,); smaller ones by averages."""
    if config.source == "drawn":
        images, labels = drawn(part)
    else:
        images = read_idx(find(config, f"{part}-images-idx3-ubyte"), 3)
        labels = read_idx(find(config, f"{part}-labels-idx1-ubyte"), 1)
        if images.shape[1:] != (SIDE, SIDE) or len(images) != len(labels) or (labels > 9).any():
            size = f"{len(images)} images of {images.shape[1]} x {images.shape[2]}"
            found = f"{size} and {len(labels)} labels, expected images of 28 x 28 with a label from 0 to 9 each"
            raise UserError(f"{config.source}, {part}: {found}")
    step = SIDE // config.size
    pooled = images.reshape(-1, config.size, step, config.size, step).mean((2, 4))
    return np.round(pooled).astype(np.uint8), labels


def drawn(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Rings, upright bars and level bars (labels 0, 1, 2), each somewhere near the middle."""
    ids = torch.arange(DRAWN[part]) + (0 if part == "train" else DRAWN["train"])
    kind = noise.choice(noise.keys(0, "drawn kind", ids), 3).numpy()
    row, column, size = (
        (low + noise.uniform(noise.keys(0, f"drawn {what}", ids)) * wide).numpy()[:, None, None]
        for what, low, wide in (("row", 10, 8), ("column", 10, 8), ("size", 6, 3))
    )
    y, x = (np.indices((SIDE, SIDE))[axis] - place for axis, place in ((0, row), (1, column)))
    figures = (
        abs(np.hypot(x, y) - size) < 1.6,
        (abs(x) < 1.6) & (abs(y) < size),
        (abs(y) < 1.6) & (abs(x) < size),
    )
    images = np.select([kind[:, None, None] == k for k in range(3)], figures)
    return (images * 255).astype(np.uint8), kind.astype(np.uint8)
