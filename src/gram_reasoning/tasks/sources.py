"""Puzzles from a public set on the Hub, from files, or from a generator: read, split without overlap, prepared once."""

import csv
import gzip
import io
import zlib
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from gram_reasoning.errors import UserError
from gram_reasoning.tasks.base import Problems, Task
from gram_reasoning.tasks.prepared import file_sha256, prepared
from gram_reasoning.tasks.splits import hashed, row_codes


class SourcedTask(Task):
    """A task with a `configs.SourceConfig`. Here puzzles are rows of cells (M, cells) uint8, as `read_file` says.

    Training puzzles come in an order that a hash of the puzzle gives: first those of the validation split, then those
    of the training split; what is in the test source is left out of both.
    """

    hub: str
    """The public set on the Hub: a file train.csv and a file test.csv."""

    @abstractmethod
    def read_file(self, path: Path) -> tuple[np.ndarray, np.ndarray | None]:
        """The puzzles of a file, and their answers if it has them.

        Raises:
            UserError: what is wrong, with file, line and cell.
        """

    @abstractmethod
    def generate(self, number: int) -> np.ndarray:
        """So many distinct puzzles: the first ones of a sequence that the seed gives."""

    @abstractmethod
    def solved(self, questions: np.ndarray, answers: np.ndarray | None, source: str) -> Problems:
        """The puzzles with their solutions; given answers are checked."""

    def make_split(self, name: str) -> Problems:
        files = {part: self._file(part) for part in ("train", "test")}
        sums = {part: file_sha256(path) for part, path in files.items() if path is not None}
        settings = {"task": self.name, "split": name, **asdict(self.config), "sha256": sums, "augment": None}
        return prepared(f"{self.name}-{name}", settings, lambda: self._make(name, files))

    def _file(self, part: str) -> Path | None:
        """The file of a part's puzzles; None if they are generated."""
        source = getattr(self.config, part)
        if source == "generated":
            return None
        path = download(self.hub, f"{part}.csv") if source == "hub" else Path(source)
        if not path.is_file():
            raise UserError(f"--task.{part} {source}: no such file, expected puzzles, or `hub`, or `generated`")
        return path

    def _make(self, name: str, files: dict[str, Path | None]) -> Problems:
        """The puzzles of a split."""
        c = self.config
        number = {"train": c.train_puzzles, "validation": c.validation_puzzles, "test": c.test_puzzles}
        test, test_answers = self._distinct(files["test"], number["test"] or 0)
        if name == "test":
            if number["test"] is not None:
                test, test_answers = self._take(test, test_answers, 0, number["test"], c.test)
            return self.solved(test, test_answers, c.test)
        needed = number["train"] + number["validation"]
        pool, answers = self._distinct(files["train"], needed + (len(test) if files["test"] is None else 0))
        held_out = {row.tobytes() for row in test}
        free = np.array([row.tobytes() not in held_out for row in pool])
        pool, answers = pool[free], None if answers is None else answers[free]
        start = 0 if name == "validation" else number["validation"]
        pool, answers = self._take(pool, answers, start, start + number[name], c.train)
        return self.solved(pool, answers, c.train)

    def _distinct(self, path: Path | None, number: int) -> tuple[np.ndarray, np.ndarray | None]:
        """The distinct puzzles of a file, or so many generated ones."""
        if path is None:
            return self.generate(number), None
        questions, answers = self.read_file(path)
        kept = np.sort(np.unique(questions, axis=0, return_index=True)[1])
        return questions[kept], None if answers is None else answers[kept]

    def _take(
        self, questions: np.ndarray, answers: np.ndarray | None, start: int, stop: int, source: str
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Puzzles number `start` to `stop` in the order of the seed."""
        if len(questions) < stop:
            raise UserError(
                f"{source}: {len(questions)} puzzles to choose from, expected {stop}; ask for fewer with "
                "--task.train-puzzles and --task.validation-puzzles, or --task.test-puzzles"
            )
        index = order(questions, self.config.split_seed)[start:stop]
        return questions[index], None if answers is None else answers[index]


def order(questions: np.ndarray, seed: int) -> np.ndarray:
    """A fixed pseudo-random order of puzzles that depends on the puzzles alone, not on where they stand."""
    return np.argsort(hashed(row_codes(questions), seed), kind="stable")


def download(hub: str, file: str) -> Path:
    """A file of a data set on the Hub, or from the Hub's cache.

    Raises:
        UserError: it is not cached and cannot be had.
    """
    import huggingface_hub
    from huggingface_hub.errors import HTTPError, LocalEntryNotFoundError  # pyright: ignore[reportPrivateImportUsage]
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()  # it warns at each of its attempts; one line at the end says it all
    try:
        return Path(huggingface_hub.hf_hub_download(hub, file, repo_type="dataset"))
    except (LocalEntryNotFoundError, HTTPError, OSError) as error:
        raise UserError(
            f"{hub}/{file}: not in the cache, and the Hub cannot be reached ({type(error).__name__}); expected a "
            "network, or other puzzles: --task.train FILE --task.test FILE, or `generated` for both"
        ) from error


def read_text(path: Path) -> str:
    """The text of a file that may be gzipped."""
    try:
        raw = path.read_bytes()
        return (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode()
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not text (byte {error.start} is not UTF-8), expected puzzles") from error
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: cannot be read ({error}), expected a file of puzzles") from error


def csv_columns(text: str, path: Path) -> tuple[list[int], Sequence[str], Sequence[str] | None] | None:
    """Line numbers, questions and answers (if there are any) of a CSV file; None if the text is none."""
    first = text[: text.find("\n") + 1 or None].strip()
    if "question" not in first.split(","):
        return None
    try:
        rows = list(csv.reader(io.StringIO(text), strict=True))
    except csv.Error as error:
        raise UserError(f"{path}: not a CSV file ({error}), expected rows of {', '.join(text.split()[:1])}") from error
    header, rows = rows[0], rows[1:]
    numbers = [number for number, row in enumerate(rows, 2) if row]
    rows = [row for row in rows if row]
    if not rows:
        raise UserError(f"{path}: no puzzles, expected rows after the header")
    for number, row in zip(numbers, rows, strict=True):
        if len(row) != len(header):
            raise UserError(f"{path}, line {number}: {len(row)} fields, expected {len(header)} as in the header")
    columns = list(zip(*rows, strict=True))
    answers = columns[header.index("answer")] if "answer" in header else None
    return numbers, columns[header.index("question")], answers


def as_cells(
    texts: Sequence[str], numbers: list[int], path: Path, code: dict[str, int], cells: int, what: str, expected: str
) -> np.ndarray:
    """Strings of so many ASCII cells as their codes (M, cells); `what` they are and what is `expected` of a cell."""
    for number, text in zip(numbers, texts, strict=True):
        if len(text) != cells:
            raise UserError(f"{path}, line {number}: a {what} of {len(text)} cells, expected {cells}")
    table = np.full(128, 255, np.uint8)
    table[[ord(c) for c in code]] = list(code.values())
    points = np.frombuffer("".join(texts).encode("utf-32-le"), np.uint32).reshape(-1, cells)
    values = table[np.minimum(points, 127)]
    if (bad := values == 255).any():
        m, cell = np.argwhere(bad)[0]
        raise UserError(f"{path}, line {numbers[m]}, cell {cell + 1}: {texts[m][cell]!r}, expected {expected}")
    return values
