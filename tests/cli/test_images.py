"""From a classifier and a model of digits to pictures and a table, on drawn figures."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

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


def test_pictures(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
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
    for picture in pictures:
        with Image.open(picture) as image:
            assert image.size[0] > 50


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
