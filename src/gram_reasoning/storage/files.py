"""Files that are written whole or not at all: what stood there before stays until the new content is on disk."""

import contextlib
import os
import stat
from pathlib import Path
from typing import BinaryIO

from gram_reasoning.errors import UserError


class WholeFile:
    """A file that takes its name when it is closed; an error while it is written leaves what was there before.

    Devices and pipes, as /dev/stdout, are written directly.

    Raises:
        UserError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._final = Path(os.path.realpath(path))
        try:
            direct = self._final.exists() and not stat.S_ISREG(self._final.stat().st_mode)
            self._temporary = self._final if direct else self._final.with_name(f".{self._final.name}.{os.getpid()}")
            self._file: BinaryIO = self._temporary.open("wb")
        except OSError as error:
            raise self._cannot(error) from error

    def write(self, content: bytes) -> None:
        try:
            self._file.write(content)
            self._file.flush()
        except OSError as error:
            self._drop()
            raise self._cannot(error) from error

    def close(self) -> None:
        """Give it its name, once; nothing after a failed `write`."""
        if self._file.closed:
            return
        try:
            if self._temporary != self._final:
                os.fsync(self._file.fileno())
            self._file.close()
            self._temporary.replace(self._final)
            if self._temporary != self._final:
                sync_folder(self._final.parent)
        except OSError as error:
            self._drop()
            raise self._cannot(error) from error

    def _drop(self) -> None:
        with contextlib.suppress(OSError):  # what was still buffered cannot be written either
            self._file.close()
        if self._temporary != self._final:
            self._temporary.unlink(missing_ok=True)

    def _cannot(self, error: OSError) -> UserError:
        return UserError(f"{self.path}: cannot be written ({error.strerror or error})")


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file whole or not at all."""
    file = WholeFile(path)
    file.write(content.encode() if isinstance(content, str) else content)
    file.close()


def sync_folder(folder: Path) -> None:
    """Flush a folder to disk, so that a rename in it lasts."""
    if os.name == "nt":  # opens no folder
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
