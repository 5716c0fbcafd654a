"""Puzzles from a public set on the Hub, from files, or from a generator: read, split without overlap, prepared once."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gram_reasoning.errors import UserError
from gram_reasoning.storage.lines import lines_of
from gram_reasoning.tasks.base import Problems
from gram_reasoning.tasks.forms import Block
from gram_reasoning.tasks.prepared import file_sha256, prepared
from gram_reasoning.tasks.splits import hashed, row_codes
from gram_reasoning.tasks.text import Puzzle, Text


class SourcedTask(Text):
    """A task with a `configs.SourceConfig`. Here puzzles are rows of cells (M, cells) uint8, as `read_file` says.

    Training puzzles come in an order that a hash of the puzzle gives: first those of the validation split, then those
    of the training split; what is in the test source is left out of both.
    """

    hub: str
    """The public set on the Hub: a file train.csv and a file test.csv."""

    def read_file(self, path: Path) -> tuple[np.ndarray, np.ndarray | None]:
        """The puzzles of a file as `gram solve` reads them, and their answers if it has them.

        Raises:
            UserError: what is wrong, with file, line and cell.
        """
        entries = list(self.entries(lines_of(path.open, str(path)), str(path)))
        if not entries:
            raise UserError(f"{path}: no puzzles, expected at least one")
        numbers = [entry.question[0][0] for entry in entries]
        questions = self._read_all([entry.question for entry in entries], path, "question")
        self.check_questions(questions, numbers, path)
        if not any(entry.answer for entry in entries):
            return questions, None
        if lacking := next((number for number, e in zip(numbers, entries, strict=True) if e.answer is None), None):
            raise UserError(f"{path}, line {lacking}: no answer, expected one as other rows have it")
        answers = self._read_all([entry.answer for entry in entries if entry.answer], path, "answer")
        self.check_answers(questions, answers, numbers, path)
        return questions, answers

    def problems_of(self, puzzles: Sequence[Puzzle], where: str) -> Problems:
        answers = [puzzle.answer for puzzle in puzzles if puzzle.answer is not None]
        given = self.as_rows(torch.stack(answers)) if len(answers) == len(puzzles) else None
        return self.solved(self.as_rows(torch.stack([puzzle.tokens for puzzle in puzzles])), given, where)

    def _read_all(self, blocks: list[Block], path: Path, what: str) -> np.ndarray:
        """Many boards at once, where each is a line of all cells; else one after the other."""
        if all(len(block) == 1 and len(block[0][1]) == self.length for block in blocks):
            return self.read_lines([block[0][1] for block in blocks], [block[0][0] for block in blocks], path, what)
        read = self.read_one if what == "question" else self.read_answer
        return self.as_rows(torch.stack([read(block, str(path)) for block in blocks]))

    def as_rows(self, tokens: Tensor) -> np.ndarray:
        """Boards of tokens (M, L) as rows of cells (M, cells) uint8."""
        return tokens.to(torch.uint8).cpu().numpy()

    @abstractmethod
    def read_lines(self, texts: Sequence[str], numbers: list[int], path: Path, what: str) -> np.ndarray:
        """Lines of all cells as rows of cells (M, cells) uint8; `what` they are: "question" or "answer"."""

    @abstractmethod
    def check_questions(self, questions: np.ndarray, numbers: list[int], path: Path) -> None:
        """UserError with the line of a puzzle (M, L) that is none."""

    @abstractmethod
    def check_answers(self, questions: np.ndarray, answers: np.ndarray, numbers: list[int], path: Path) -> None:
        """UserError with the line of an answer that does not fit its puzzle, as far as one can see at once."""

    @abstractmethod
    def generate(self, number: int) -> np.ndarray:
        """So many distinct puzzles: the first ones of a sequence that the seed gives."""

    @abstractmethod
    def solved(self, questions: np.ndarray, answers: np.ndarray | None, source: str) -> Problems:
        """The puzzles with their solutions; given answers are checked."""

    def make_split(self, name: str) -> Problems:
        files = {part: self._file(part) for part in ("train", "test", "validation")}
        sums = {part: file_sha256(path) for part, path in files.items() if path is not None}
        settings = {"task": self.name, "split": name, **asdict(self.config), "sha256": sums, "augment": None}
        settings.pop("reveal", None)  # of training alone, as augment
        return prepared(f"{self.name}-{name}", settings, lambda: self._make(name, files))

    def _file(self, part: str) -> Path | None:
        """The file of a part's puzzles; None if they are generated."""
        source = getattr(self.config, part)
        if source is None or source == "generated":
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
        held_out = {row.tobytes() for row in test}
        if files["validation"] is not None:
            pool, answers = self._distinct(files["validation"], 0)
            if name == "validation":
                pool, answers = _without(pool, answers, held_out)
                source = str(c.validation)
                return self.solved(*self._take(pool, answers, 0, number["validation"], source), source)
            held_out |= {row.tobytes() for row in pool}
            number["validation"] = 0
        needed = number["train"] + number["validation"]
        pool, answers = self._distinct(files["train"], needed + (len(test) if files["test"] is None else 0))
        pool, answers = _without(pool, answers, held_out)
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


def _without(
    questions: np.ndarray, answers: np.ndarray | None, held_out: set[bytes]
) -> tuple[np.ndarray, np.ndarray | None]:
    """The puzzles that are not held out."""
    free = np.array([row.tobytes() not in held_out for row in questions], bool)
    return questions[free], None if answers is None else answers[free]


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
