"""A file is written whole or not at all."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from gram_reasoning.errors import UserError
from gram_reasoning.storage.files import WholeFile, write_whole


def test_a_file_takes_its_name_at_the_end(tmp_path: Path):
    path = tmp_path / "file"
    path.write_text("old")
    file = WholeFile(path)
    file.write(b"new ")
    assert path.read_text() == "old"
    file.write(b"content")
    file.close()
    file.close()
    assert path.read_text() == "new content"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace"])
def test_a_full_disk_keeps_what_was_there(call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "file"
    path.write_text("old")

    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    plain = Path.open
    at = {"open": (Path, full), "write": (Path, lambda *_: plain(Path("/dev/full"), "wb"))}
    at |= {"fsync": (os, full), "replace": (Path, full)}
    with monkeypatch.context() as patch:
        patch.setattr(at[call][0], "open" if call == "write" else call, at[call][1])
        with pytest.raises(UserError, match=r"file: cannot be written \(No space left on device\)") as error:
            write_whole(path, "x" * 100)
    assert "\n" not in str(error.value)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_links_and_devices_stay_what_they_are(tmp_path: Path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    write_whole(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    write_whole(Path("/dev/null"), "nothing")
    assert Path("/dev/null").is_char_device()
    with pytest.raises(UserError, match="/dev/full: cannot be written"):
        write_whole(Path("/dev/full"), "nothing")
    assert Path("/dev/full").is_char_device()


def test_names_that_cannot_be(tmp_path: Path):
    for path in (tmp_path / "no" / "such", tmp_path, tmp_path / ("x" * 300)):
        with pytest.raises(UserError, match="cannot be written"):
            write_whole(path, "x")
    assert list(tmp_path.iterdir()) == []
