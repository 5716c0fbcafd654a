"""Text line by line, from files, streams and archives: gzip and byte order marks are looked through.

Nothing is read before it is wanted.
"""

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from gram_reasoning.errors import UserError

LONGEST_LINE = 2**23
"""Bytes of a line: more is no puzzle, but a file of another kind."""


def lines_of(opens: Callable[[str], Any], where: str) -> Iterator[str]:
    """The lines of what `opens` opens in a mode, while they come in.

    Raises:
        UserError: it cannot be read, or is no text; with the line.
    """
    number = 0
    try:
        with opens("rb") as file:
            buffered = file if hasattr(file, "peek") else io.BufferedReader(file)
            zipped = buffered.peek(2)[:2] == b"\x1f\x8b"
            source: Any = gzip.GzipFile(fileobj=buffered) if zipped else buffered
            while raw := source.readline(LONGEST_LINE + 1):
                number += 1
                if len(raw) > LONGEST_LINE:
                    problem = f"longer than {LONGEST_LINE} bytes, expected puzzles as text"
                    raise UserError(f"{where}, line {number}: {problem}")
                yield raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        problem = f"not text (byte {error.start + 1} is not UTF-8), expected puzzles"
        raise UserError(f"{where}, line {number}: {problem}") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{where}: cannot be read ({error}), expected text or a whole gzip file") from error
    except OSError as error:
        raise UserError(f"{where}: cannot be read ({error.strerror or error})") from error
