"""Logs and tables in results/ are those whose sums stand in SHA256SUMS; `make sums` writes it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from sums import RESULTS, SUMS, sums


def parted(folder: Path) -> list[str]:
    """The files whose sum is another, is missing, or is of a file that is not there."""
    stated, now = (set(text.splitlines()) for text in ((folder / SUMS).read_text(), sums(folder)))
    return sorted({line.split("  ", 1)[1] for line in stated ^ now})


def test_every_file_has_its_sum():
    assert parted(RESULTS) == [], "run `make sums` after a change of results/"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    for name in ("own_task.json", "rivals/ar.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(RESULTS / name, tmp_path / name)
    (tmp_path / SUMS).write_text(sums(tmp_path))
    return tmp_path


def test_a_file_and_its_sum_part(small: Path):
    assert parted(small) == []
    log = small / "rivals" / "ar.jsonl"
    log.write_text(log.read_text().replace("1", "2", 1))
    (small / "own_task.json").unlink()
    (small / "new.json").write_text("{}")
    (small / "picture.png").write_bytes(b"")
    assert parted(small) == ["new.json", "own_task.json", "rivals/ar.jsonl"]


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum here")
def test_the_form_is_that_of_sha256sum(small: Path):
    subprocess.run(["sha256sum", "--check", "--strict", SUMS], cwd=small, check=True, capture_output=True)
