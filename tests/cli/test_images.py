"""From a classifier and a model of digits to pictures and a table, on drawn figures."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gram_reasoning.build import load_model
from gram_reasoning.cli import main
from gram_reasoning.tasks.mnist import MNIST

DRAWN = ["--task.source", "drawn", "--task.validation-images", "100", "--task.size", "14"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model and a classifier of drawn figures."""
    folder = tmp_path_factory.mktemp("digits")
    options = ["--threads", "1", "--train.precision", "fp32"]
    assert main(["train", "mnist-pocket-debug", "--out", str(folder / "model"), *options]) == 0
    assert main(["classifier", "--out", str(folder / "by"), "--epochs", "2", "--threads", "1", *DRAWN]) == 0
    return folder


def grid_of(figure: Any) -> dict[tuple[int, int], Any]:
    """The axes of a figure by row and column."""
    places = {axes: axes.get_subplotspec() for axes in figure.axes}
    return {(place.rowspan.start, place.colspan.start): axes for axes, place in places.items()}


def pixels_of(text: str) -> np.ndarray:
    return np.array([[cell == "#" for cell in row] for row in text.split("/")], dtype=float)


def test_pictures(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], figures: list[Any]):
    """A square of answers, white where they are; how each forms, a row an answer, its last state the answer."""
    pictures = [tmp_path / "digits.png", tmp_path / "forming.png"]
    drawn = ["--picture", str(pictures[0]), "--forming", str(pictures[1])]
    file = tmp_path / "digits.jsonl"
    options = ["--checkpoint", str(folder / "model"), "--count", "5", "--compact", "--json", str(file), *drawn]
    assert main(["generate", *options]) == 0
    printed = capsys.readouterr().out.splitlines()
    *items, last = [json.loads(line) for line in file.read_text().splitlines()]
    assert [item["answer"] for item in items] == printed[:5]
    assert all(item["valid"] is None and len(item["answer"].split("/")) == 14 for item in items)
    assert last["measures"]["images"] == 5
    images = [pixels_of(item["answer"]) for item in items]
    steps = load_model(folder / "model")[0].evaluation.steps
    assert steps is not None
    square, forming = (grid_of(figure) for figure in figures)
    assert square.keys() == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert forming.keys() == {(row, step) for row in range(5) for step in range(steps + 1)}
    for axes in (*square.values(), *forming.values()):
        (image,) = axes.get_images()
        assert (image.get_cmap().name, image.get_clim()) == ("gray", (0, 1))
    for n, answer in enumerate(images):
        if n < 4:
            assert (square[divmod(n, 2)].get_images()[0].get_array() == answer).all()
        assert (forming[n, steps].get_images()[0].get_array() == answer).all()
    for picture, figure in zip(pictures, figures, strict=True):
        assert_drawn(picture, figure, grid_of(figure))


def assert_drawn(picture: Path, figure: Any, grid: dict[tuple[int, int], Any]) -> None:
    """In the file, the middle of every pixel of every image has its brightness."""
    from matplotlib.image import imread

    seen = imread(picture)
    scale = seen.shape[0] / figure.bbox.height
    for axes in grid.values():
        (image,) = axes.get_images()
        brightness = np.asarray(image.get_array())
        rows, columns = np.indices(brightness.shape).reshape(2, -1)
        x, y = (axes.transData.transform(np.stack([columns, rows], 1)) * scale).astype(int).T
        assert (abs(seen[seen.shape[0] - 1 - y, x, 0] - brightness[rows, columns]) < 0.02).all()


def test_what_forms_ends_in_the_answer(folder: Path):
    from gram_reasoning.analysis.trajectories import record
    from gram_reasoning.inference.sampler import SamplerConfig, sample

    _, task, model = load_model(folder / "model")
    assert isinstance(task, MNIST)
    blank = task.blank()
    config = SamplerConfig(samples=3, steps=2, seed=4)
    ends = record(model, blank, config)[:, -1].argmax(-1)
    assert torch.equal(ends, sample(model, blank[None], config).answers[0])


def test_table(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "fid.json"
    options = ["--checkpoint", str(folder / "model"), "--classifier", str(folder / "by"), "--count", "150"]
    capsys.readouterr()
    for reference in ("greyscale", "binarised"):
        assert main(["fid", *options, "--reference", reference, "--json", str(file)]) == 0
        assert f"900 {reference} training digits, 14 x 14" in capsys.readouterr().out
    result = json.loads(file.read_text())
    assert "the classifier" in result["features"]
    noise, real = result["sets"]["independent pixels"], result["sets"]["test digits"]
    assert noise["images"] == real["images"] == 150
    assert real["frechet_distance"] < noise["frechet_distance"]


MISTAKES: list[tuple[list[str], str]] = [
    ([], "expected either --classifier FOLDER or --inception"),
    (["--classifier", "x", "--inception"], "expected either --classifier FOLDER or --inception"),
    (["--classifier", "MODEL"], "not a classifier, expected a folder that `gram classifier` wrote"),
    (["--classifier", "BY", "--count", "1"], "--count: got 1, expected 2 to 100000"),
    (["--classifier", "LARGE"], "size: got 28, expected 14"),
    (["--classifier", "EMPTY"], "damaged"),
]


@pytest.mark.parametrize(("options", "message"), MISTAKES)
def test_mistakes(options: list[str], message: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    config = json.loads((folder / "by" / "config.json").read_text())
    for name, task in (("large", {**config["task"], "size": 28}), ("empty", {})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps({**config, "task": task}))
    places = {"MODEL": folder / "model" / "model", "BY": folder / "by", "LARGE": tmp_path / "large"}
    places["EMPTY"] = tmp_path / "empty"
    given = [str(places.get(option, option)) for option in options]
    capsys.readouterr()
    assert main(["fid", "--checkpoint", str(folder / "model"), *given]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_others_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]):
    capsys.readouterr()
    assert main(["fid", "--checkpoint", "nqueens7", "--classifier", str(folder / "by")]) == 2
    assert "expected one that generates digits" in capsys.readouterr().err
    assert main(["classifier", "--out", str(folder / "by")]) == 2
    assert "exists already" in capsys.readouterr().err
