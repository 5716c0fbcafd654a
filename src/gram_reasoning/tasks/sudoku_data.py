"""Where Sudoku puzzles come from: the Hub, files, or our own generator. Puzzles are digits, 0 for a blank, uint8."""

import csv
import gzip
import io
import zlib
from pathlib import Path

import numpy as np
import torch

from gram_reasoning import noise
from gram_reasoning.errors import UserError
from gram_reasoning.tasks import sudoku_solver
from gram_reasoning.tasks.base import Problems
from gram_reasoning.tasks.prepared import with_all_solutions
from gram_reasoning.tasks.splits import hashed

HUB = "sapientinc/sudoku-extreme"
MOST_SOLUTIONS = 2000
"""Solutions of a puzzle that are kept; a split with a puzzle that has more is not complete."""


def download(file: str) -> Path:
    """A file of the Sudoku-Extreme data set from the Hub, or from the Hub's cache.

    Raises:
        UserError: it is not cached and cannot be had.
    """
    import huggingface_hub
    from huggingface_hub.errors import HTTPError, LocalEntryNotFoundError  # pyright: ignore[reportPrivateImportUsage]
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()  # it warns at each of its attempts; one line at the end says it all
    try:
        return Path(huggingface_hub.hf_hub_download(HUB, file, repo_type="dataset"))
    except (LocalEntryNotFoundError, HTTPError, OSError) as error:
        raise UserError(
            f"{HUB}/{file}: not in the cache, and the Hub cannot be reached ({type(error).__name__}); expected a "
            "network, or other puzzles: --task.train FILE --task.test FILE, or `generated` for both"
        ) from error


def read_file(path: Path, size: int) -> tuple[np.ndarray, np.ndarray | None]:
    """The puzzles of a file, and their answers if it has them: both (M, cells).

    A CSV file has a header with `question` and perhaps `answer`; any other has a puzzle a line, `#` begins a comment.
    Blanks are `.`, `0`, `_` or `*`. Both may be gzipped.
    """
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode()
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not text (byte {error.start} is not UTF-8), expected puzzles") from error
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: cannot be read ({error}), expected a file of puzzles") from error
    first = text[: text.find("\n") + 1 or None].strip()
    if "question" in first.split(","):
        return _read_csv(text, path, size)
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    lines = [(number, line) for number, line in lines if line and not line.startswith("#")]
    if not lines:
        raise UserError(f"{path}: no puzzles, expected one a line")
    numbers = [number for number, _ in lines]
    return _digits([line for _, line in lines], numbers, path, size, "puzzle"), None


def _read_csv(text: str, path: Path, size: int) -> tuple[np.ndarray, np.ndarray | None]:
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
    questions = _digits(columns[header.index("question")], numbers, path, size, "question")
    if "answer" not in header:
        return questions, None
    answers = _digits(columns[header.index("answer")], numbers, path, size, "answer")
    wrong = (answers == 0).any(1) | ((questions != 0) & (questions != answers)).any(1)
    if wrong.any():
        raise UserError(f"{path}, line {numbers[wrong.argmax()]}: the answer has blanks or changes a clue, expected "
                        "a completion of the question")  # fmt: skip
    return questions, answers


def _digits(texts, numbers: list[int], path: Path, size: int, what: str) -> np.ndarray:
    """Strings of size * size cells as digits (M, cells)."""
    cells = size * size
    for number, text in zip(numbers, texts, strict=True):
        if len(text) != cells:
            raise UserError(f"{path}, line {number}: a {what} of {len(text)} cells, expected {cells}")
    code = np.full(128, 255, np.uint8)
    code[[ord(c) for c in ".0_*"]] = 0
    code[[ord(str(d)) for d in range(1, size + 1)]] = range(1, size + 1)
    points = np.frombuffer("".join(texts).encode("utf-32-le"), np.uint32).reshape(-1, cells)
    digits = code[np.minimum(points, 127)]
    if (bad := digits == 255).any():
        m, cell = np.argwhere(bad)[0]
        raise UserError(
            f"{path}, line {numbers[m]}, cell {cell + 1}: {texts[m][cell]!r}, expected a digit from 1 to {size} or . "
        )
    return digits


def solved(questions: np.ndarray, answers: np.ndarray | None, source: str) -> Problems:
    """Puzzles with all their solutions, found by the exact solver; given answers must be among them."""
    count, first, _ = sudoku_solver.solve(questions)
    if (count == 0).any():
        puzzle = _text(questions[count.argmin()])
        raise UserError(f"{source}: the puzzle {puzzle} has no solution, expected one at least")
    if answers is not None and (wrong := (count == 1) & (first != answers).any(1)).any():
        puzzle = _text(questions[wrong.argmax()])
        raise UserError(f"{source}: the answer of the puzzle {puzzle} is not its solution")
    found = [row[None] for row in first]
    complete = True
    for m in np.flatnonzero(count > 1):
        every = sudoku_solver.solutions(questions[m], MOST_SOLUTIONS + 1)
        found[m], complete = every[:MOST_SOLUTIONS], complete and len(every) <= MOST_SOLUTIONS
        if answers is not None and len(every) <= MOST_SOLUTIONS and not (every == answers[m]).all(1).any():
            raise UserError(f"{source}: the answer of the puzzle {_text(questions[m])} is not one of its solutions")
    tokens = torch.from_numpy(np.where(questions, questions + 1, 1).astype(np.uint8))
    return with_all_solutions(tokens, [torch.from_numpy(f + np.uint8(1)) for f in found], complete)


def order(questions: np.ndarray, seed: int) -> np.ndarray:
    """A fixed pseudo-random order of puzzles that depends on the puzzles alone, not on where they stand."""
    base = np.uint64(0x9E3779B97F4A7C15)
    code = np.zeros(len(questions), np.uint64)
    for column in questions.T:
        code = hashed(code * base + column)
    return np.argsort(hashed(code, seed), kind="stable")


def generated(number: int, size: int, blanks: tuple[int, int], difficulty: str, seed: int) -> np.ndarray:
    """Distinct puzzles with one solution each, from random boards: (number, cells).

    Args:
        blanks: fewest and most blanks, drawn uniformly; a puzzle that cannot lose as many clues is dropped.
        difficulty: "easy" puzzles are solved by naked and hidden singles alone, "hard" ones take guesses, or "any".
    """
    found = np.zeros((0, size * size), np.uint8)
    part, drawn, new = max(1000, number // 4), 0, number
    while len(found) < number:
        if new < part / 1000:
            raise UserError(
                f"task: only {len(found)} distinct {difficulty} puzzles of {size}x{size} cells with {blanks[0]} to "
                f"{blanks[1]} blanks in {drawn} draws, expected {number}; ask for fewer or for other blanks"
            )
        ids = torch.arange(drawn, drawn + part)
        drawn += part
        board_keys, dig_keys, blank_keys = (
            noise.keys(seed, f"sudoku {what}", ids) for what in ("board", "dig", "blanks")
        )
        wanted = blanks[0] + noise.choice(blank_keys, blanks[1] - blanks[0] + 1).numpy()
        boards = sudoku_solver.random_boards(board_keys.numpy().view(np.uint64), size)
        puzzles = sudoku_solver.dig(boards, dig_keys.numpy().view(np.uint64), wanted)
        kept = (puzzles == 0).sum(1) == wanted
        if difficulty != "any":
            guesses = sudoku_solver.solve(puzzles)[2]
            kept &= (guesses == 0) if difficulty == "easy" else (guesses > 0)
        both = np.concatenate([found, puzzles[kept]])
        distinct = both[np.sort(np.unique(both, axis=0, return_index=True)[1])]
        found, new = distinct, len(distinct) - len(found)
    return found[:number]


def _text(puzzle: np.ndarray) -> str:
    return "".join(str(d) if d else "." for d in puzzle)
