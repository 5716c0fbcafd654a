"""Weights in several files are the weights in one."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gram_reasoning.api import load
from gram_reasoning.build import load_model
from gram_reasoning.cli import main
from gram_reasoning.errors import UserError
from gram_reasoning.storage.checkpoint import HEADER, split
from helpers import same, weights_of

BUNDLED = Path(__file__).parents[2] / "src/gram_reasoning/pretrained/nqueens7"


@settings(deadline=None)
@given(sizes=st.lists(st.integers(1, 50), max_size=12), room=st.integers(50, 120))
def test_split_keeps_order_and_size(sizes: list[int], room: int):
    tensors = {f"t{i}": torch.zeros(size, dtype=torch.uint8) for i, size in enumerate(sizes)}
    pieces = split(tensors, HEADER + room)
    assert [name for piece in pieces for name in piece] == list(tensors)
    assert all(sum(t.nbytes for t in piece.values()) <= room for piece in pieces)
    for piece, following in pairwise(pieces):
        first = next(iter(following.values()))
        assert sum(t.nbytes for t in piece.values()) + first.nbytes > room, "a piece was ended too early"


def test_a_tensor_that_fits_nowhere():
    with pytest.raises(UserError, match=r"tensor 'wide' has 0\.1 MB, expected files of at least"):
        split({"wide": torch.zeros(100_000, dtype=torch.uint8)}, HEADER + 10)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export") / "shards"
    assert main(["export", str(BUNDLED), "--out", str(out), "--max-mb", "0.25"]) == 0
    return out


def loaded(folder: Path) -> dict[str, Tensor]:
    return weights_of(load_model(folder)[2])


def test_the_files_are_small_and_give_the_model(shards: Path):
    files = list(shards.glob("*.safetensors"))
    assert len(files) > 2
    assert all(file.stat().st_size <= 250_000 for file in files)
    assert same(loaded(shards), loaded(BUNDLED))


def test_one_file_without_a_limit(tmp_path: Path):
    assert main(["export", str(BUNDLED), "--out", str(tmp_path / "one")]) == 0
    files = ["README.md", "config.json", "model.safetensors"]
    assert sorted(file.name for file in (tmp_path / "one").iterdir()) == files
    assert same(loaded(tmp_path / "one"), loaded(BUNDLED))


def test_a_card_is_kept_and_a_run_gets_one(shards: Path, tmp_path: Path):
    assert (shards / "README.md").read_text() == (BUNDLED / "README.md").read_text()
    run = tmp_path / "run"
    assert main(["train", "nqueens7-pocket-debug", "--out", str(run), "--threads", "1"]) == 0
    for name in ("first", "second"):  # the second from the first: what was exported is a model with a card
        assert main(["export", str(run if name == "first" else tmp_path / "first"), "--out", str(tmp_path / name)]) == 0
        card = (tmp_path / name / "README.md").read_text()
        assert "# nqueens7-pocket-debug" in card
        assert "gram train nqueens7-pocket-debug" in card


def test_a_model_in_several_files_is_saved_over_itself(shards: Path, tmp_path: Path):
    folder = tmp_path / "model"
    solver = load(shards, "cpu")
    for _ in range(2):
        solver.save_pretrained(folder, max_mb=0.25)
    assert sorted(file.name for file in folder.iterdir()) == sorted(file.name for file in shards.iterdir())


@pytest.mark.parametrize("damage", ["missing", "foreign"])
def test_damaged_shards(shards: Path, tmp_path: Path, damage: str):
    for file in shards.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    first, second = sorted(tmp_path.glob("*.safetensors"))[:2]
    if damage == "missing":
        first.unlink()
    else:
        first.write_bytes(second.read_bytes())
    with pytest.raises(UserError, match=first.name):
        load_model(tmp_path)


@pytest.mark.parametrize("options", [["--max-mb", "0"], ["--max-mb", "0.0001"], []])
def test_bad_options(tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]):
    out = tmp_path if not options else tmp_path / "new"
    assert main(["export", str(BUNDLED), "--out", str(out), *options]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "new").exists()
