"""The Sudoku task: rules against the oracle, symmetries, sources of puzzles and their cache, text."""

import gzip
import json
import os
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from fuzzing import fuzz
from gram_reasoning import noise
from gram_reasoning.errors import UserError
from gram_reasoning.storage.cache import cache_folder
from gram_reasoning.tasks import sudoku_data, sudoku_solver
from gram_reasoning.tasks.base import SPLITS
from gram_reasoning.tasks.configs import SudokuConfig
from gram_reasoning.tasks.sudoku import Sudoku
from helpers import read_or_refused
from oracles import sudoku as oracle

MADE: dict[str, Any] = {"train": "generated", "test": "generated", "validation_puzzles": 10}
FOUR = {**MADE, "size": 4, "train_puzzles": 80, "test_puzzles": 30}
NINE = {**MADE, "train_puzzles": 40, "test_puzzles": 20, "max_blanks": 30}
DATA = Path(os.environ.get("GRAM_DATA_DIR", "/nowhere"))


@lru_cache
def task(size: int) -> Sudoku:
    return Sudoku(SudokuConfig(**(FOUR if size == 4 else NINE)))


def board(tokens: torch.Tensor) -> oracle.Board:
    """Tokens as the oracle's digits; pad is no board."""
    return [token - 1 if token else -1 for token in tokens.tolist()]


def boards(size: int, number: int) -> np.ndarray:
    ids = torch.arange(number)
    return sudoku_solver.random_boards(noise.keys(7, "test", ids).numpy().view(np.uint64), size)


# -- rules -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [4, 9])
def test_judges_agree_on_random_answers(size: int):
    rng = np.random.default_rng(size)
    full = np.tile(boards(size, 500), (20, 1))
    full = np.where(full > 0, rng.permuted(np.tile(np.arange(1, size + 1), (10_000, 1)), axis=1)[
        np.arange(10_000)[:, None], full - 1], 0)  # fmt: skip
    inputs = np.where(rng.random(full.shape) < 0.4, full, 0)
    answers = full.copy()
    for i in range(0, 10_000, 2):  # every other answer wrong: a cell changed, two swapped, a blank, or a pad
        a, b = rng.integers(0, size * size, 2)
        how = i % 8 // 2
        if how == 0:
            answers[i, a] = rng.integers(1, size + 1)
        elif how == 1:
            answers[i, [a, b]] = answers[i, [b, a]]
        else:
            answers[i, a] = 0 if how == 2 else -1
    tokens = [torch.from_numpy(x + 1) for x in (answers, inputs)]
    reward = task(size).reward(*tokens)
    assert ((reward >= 0) & (reward <= 1)).all()
    right = [oracle.is_solution(a, g) for a, g in zip(answers.tolist(), inputs.tolist(), strict=True)]
    assert (reward == 1).tolist() == right
    assert 4000 < sum(right) < 6500
    assert 0.3 < float(reward[~torch.tensor(right)].max()) <= 0.9


def test_a_valid_board_that_changes_a_clue_is_wrong():
    one, other = boards(4, 2) + 1
    assert (one != other).any()
    reward = task(4).reward(torch.from_numpy(np.stack([one, one])), torch.from_numpy(np.stack([one, other])))
    assert reward.tolist()[0] == 1
    assert reward.tolist()[1] < 1


@pytest.mark.parametrize("size", [4, 9])
def test_symmetries(size: int):
    puzzle = task(size)
    problems = puzzle.split("train")
    index = torch.arange(len(problems)).repeat(10)
    key = noise.keys(0, "test", torch.arange(len(index)))
    inputs = problems.inputs[index].long()
    solutions = problems.solution(index, torch.zeros_like(index))[:, None].expand(-1, 3, -1)
    moved, solved = puzzle.augment(inputs, solutions, key)
    assert torch.equal(solved[:, 0], solved[:, 2]), "each of a row's solutions moves alike"
    assert (puzzle.reward(solved[:, 0], moved) == 1).all(), "and stays a solution of the input beside it"
    assert torch.equal((moved == 1).sum(1), (inputs == 1).sum(1))
    assert (moved != inputs).any(1).float().mean() > 0.95
    # a key decides alone, and different keys reach every cell and every digit
    again, _ = puzzle.augment(inputs[:5], solutions[:5], key[:5])
    assert torch.equal(again, moved[:5])
    cells, digits = puzzle.symmetry(noise.keys(1, "test", torch.arange(4000)))
    assert torch.equal(cells.sort(1).values, torch.arange(size * size).expand_as(cells))
    assert torch.equal(digits.sort(1).values, torch.arange(size + 2).expand_as(digits))
    assert torch.equal(digits[:, :2], torch.tensor([0, 1]).expand(4000, 2))
    for seen, among in ((cells[:, 0], size * size), (digits[:, 2] - 2, size)):
        counts = torch.bincount(seen, minlength=among).double()
        chi_square = float(((counts - 4000 / among) ** 2 / (4000 / among)).sum())
        assert abs(chi_square - (among - 1)) < 5 * (2 * (among - 1)) ** 0.5
    plain = Sudoku(SudokuConfig(**{**FOUR, "augment": False}))
    assert plain.augment(inputs, solutions, key)[0] is inputs


@pytest.mark.parametrize("size", [4, 9])
def test_revealed_blanks(size: int):
    """Up to so many blanks are filled in, with what the solution holds; every number of them comes."""
    most = 3
    puzzle = Sudoku(SudokuConfig(**({"size": size, **FOUR} | {"size": size, "augment": False, "reveal": most})))
    problems = puzzle.split("train")
    index = torch.arange(len(problems)).repeat(20)
    inputs = problems.inputs[index].long()
    solution = problems.solution(index, torch.zeros_like(index))
    seen, solved = puzzle.augment(inputs, solution[:, None], noise.keys(0, "test", torch.arange(len(index))))
    assert torch.equal(solved[:, 0], solution)
    changed = seen != inputs
    assert torch.equal(changed, changed & (inputs == 1))
    assert torch.equal(seen[changed], solution[changed])
    blanks, number = (inputs == 1).sum(1), changed.sum(1)
    for wanted in range(most + 1):
        share = float((number[blanks >= most] == wanted).float().mean())
        assert share == pytest.approx(1 / (most + 1), abs=0.05)
    assert bool((number <= blanks).all())


def test_number_of_solutions():
    for size in (4, 9):
        problems = task(size).split("test")
        assert all(task(size).count_solutions(tokens) == 1 for tokens in problems.inputs[:5].tolist())
    assert task(4).count_solutions([1] * 16) == 288
    assert task(9).count_solutions([1] * 81) == task(9).count_limit
    assert task(9).count_solutions([2, 2] + [1] * 79) == 0


# -- data ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [4, 9])
def test_generated_splits(size: int):
    puzzle, seen = task(size), set()
    for name, number in zip(SPLITS, (puzzle.config.train_puzzles, 10, puzzle.config.test_puzzles), strict=True):
        problems = puzzle.split(name)
        assert len(problems) == number
        assert problems.complete
        assert (problems.count == 1).all()
        inputs = {tuple(tokens) for tokens in problems.inputs.tolist()}
        assert len(inputs) == number
        assert not inputs & seen, "no puzzle in two splits"
        seen |= inputs
        blanks = (problems.inputs == 1).sum(1)
        assert blanks.min() >= 1
        assert blanks.max() <= puzzle.config.blanks[1]
        for i in range(number if size == 4 else 5):
            expected = [[digit + 1 for digit in b] for b in oracle.completions(board(problems.inputs[i]))]
            assert problems.solution_sets(i).tolist() == expected
    with pytest.raises(UserError, match="unknown split 'exam'"):
        puzzle.split("exam")


def test_difficulty():
    for difficulty, hard in (("easy", False), ("hard", True)):
        puzzles = sudoku_data.generated(20, 9, (45, 55), difficulty, seed=0)
        count, _, guesses = sudoku_solver.solve(puzzles)
        assert (count == 1).all()
        assert ((guesses > 0) == hard).all()
    with pytest.raises(UserError, match="only 0 distinct hard puzzles of 9x9 cells with 1 to 2 blanks in 1000 draws"):
        sudoku_data.generated(20, 9, (1, 2), "hard", seed=0)


def write_csv(path: Path, rows: list[tuple[str, str]]) -> Path:
    text = "source,question,answer,rating\n" + "".join(f"mine,{q},{a},3\n" for q, a in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def text(digits: Any) -> str:
    return "".join(".123456789"[d] for d in digits)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """40 puzzles as CSV with answers, of which 10 are also a test file of plain lines."""
    full = boards(9, 40)
    ids = noise.keys(8, "test", torch.arange(40)).numpy().view(np.uint64)
    puzzles = sudoku_solver.dig(full, ids, np.full(40, 30))
    rows = [(text(p), text(f)) for p, f in zip(puzzles, full, strict=True)]
    test = tmp_path / "test.txt"
    test.write_text("# lines\n\n" + "".join(f"{q.replace('.', '0')}\n" for q, _ in rows[:10]))
    return {"train": write_csv(tmp_path / "train.csv.gz", [*rows, rows[20]]), "test": test}


def from_files(files: dict[str, Path], **changes: Any) -> Sudoku:
    sizes = {"train_puzzles": 20, "validation_puzzles": 5, **changes}
    return Sudoku(SudokuConfig(train=str(files["train"]), test=str(files["test"]), **sizes))


def test_files(files: dict[str, Path]):
    puzzle = from_files(files)
    parts = {name: {tuple(t) for t in puzzle.split(name).inputs.tolist()} for name in SPLITS}
    assert {name: len(part) for name, part in parts.items()} == {"train": 20, "validation": 5, "test": 10}
    assert not parts["train"] & parts["validation"]
    assert not (parts["train"] | parts["validation"]) & parts["test"], "test puzzles are left out of training"
    for name in SPLITS:
        problems = puzzle.split(name)
        assert (puzzle.reward(problems.solution_sets(0), problems.inputs[:1].long()) == 1).all()
    other = {tuple(t) for t in from_files(files, split_seed=1).split("train").inputs.tolist()}
    assert other != parts["train"], "the seed chooses"
    # the choice depends on the puzzles, not on where they stand
    lines = gzip.decompress(files["train"].read_bytes()).decode().splitlines()
    files["train"].write_bytes(gzip.compress("\n".join([lines[0], *lines[:0:-1]]).encode()))
    assert {tuple(t) for t in from_files(files).split("train").inputs.tolist()} == parts["train"]
    with pytest.raises(UserError, match=r"30 puzzles to choose from, expected 105"):
        from_files(files, train_puzzles=100).split("train")
    assert len(from_files(files, test_puzzles=4).split("test")) == 4


def test_validation_puzzles_of_their_own_file(files: dict[str, Path], tmp_path: Path):
    full = boards(9, 60)[40:]
    ids = noise.keys(9, "test", torch.arange(20)).numpy().view(np.uint64)
    rows = list(zip(map(text, sudoku_solver.dig(full, ids, np.full(20, 30))), map(text, full), strict=True))
    with gzip.open(files["train"], "rt") as lines:
        shared = [
            (fields[1], fields[2]) for fields in (line.split(",") for line in list(lines)[12:15])
        ]  # of the training file, not tests
    own = write_csv(tmp_path / "validation.csv", [*rows, *shared])
    puzzle = from_files(files, validation=str(own), validation_puzzles=23, train_puzzles=27)
    parts = {name: {tuple(t) for t in puzzle.split(name).inputs.tolist()} for name in SPLITS}
    assert {name: len(part) for name, part in parts.items()} == {"train": 27, "validation": 23, "test": 10}
    assert not parts["train"] & parts["validation"], "puzzles of both files are left out of training"
    with pytest.raises(UserError, match=r"validation none: no such file"):
        from_files(files, validation="none").split("validation")


def test_puzzles_with_several_solutions(files: dict[str, Path]):
    open_board = np.where(boards(9, 1)[0] <= 3, 0, boards(9, 1)[0])
    files["test"].write_text(text(open_board) + "\n" + "." * 81 + "\n")
    problems = from_files(files, test_puzzles=2).split("test")
    assert not problems.complete, "an empty board has more solutions than are kept"
    assert problems.count.max() == sudoku_data.MOST_SOLUTIONS
    files["test"].write_text(text(open_board) + "\n")
    problems = from_files(files).split("test")
    assert problems.complete
    expected = sorted(oracle.completions(open_board.tolist()))
    assert sorted(board(s) for s in problems.solution_sets(0)) == expected


BAD_FILES = [
    ("", "no puzzles"),
    ("# nothing\n", "no puzzles"),
    ("123\n", "line 1: 3 cells, expected 81"),
    ("." * 80 + "x\n", "line 1, cell 81: 'x'"),
    ("." * 80 + "é\n", "line 1, cell 81: 'é'"),
    ("11" + "." * 79 + "\n", "has no solution"),
    ("source,question,answer\n", "no puzzles, expected rows after the header"),
    ("source,question,answer\na,b\n", "line 2: 2 fields, expected 3"),
    ("question,answer\n" + "." * 81 + "," + "1" * 80 + "\n", "line 2: 80 cells, expected 81"),
    ("question,answer\n" + "2" + "." * 80 + "," + "1" * 81 + "\n", "line 2: the answer has blanks or changes a clue"),
    ('question\n"' + "." * 81 + "\n", "not a CSV file"),
]


@pytest.mark.parametrize(("content", "message"), BAD_FILES)
def test_bad_files(content: str, message: str, files: dict[str, Path]):
    files["test"].write_text(content)
    with pytest.raises(UserError) as error:
        from_files(files).split("test")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_wrong_answers_and_damaged_files(files: dict[str, Path]):
    one, other = boards(9, 2)
    puzzle = sudoku_solver.dig(one[None], np.ones(1, np.uint64), np.full(1, 60))[0]
    swapped = one.copy()
    blank = np.flatnonzero(puzzle == 0)[:2]
    swapped[blank] = other[blank] % 9 + 1
    write_csv(files["test"], [(text(puzzle), text(swapped))])
    with pytest.raises(UserError, match="is not its solution"):
        from_files(files).split("test")
    files["train"].write_bytes(files["train"].read_bytes()[:-20])
    with pytest.raises(UserError, match="cannot be read"):
        from_files(files).split("train")
    files["train"].write_bytes(b"\xff\xfe" * 50)
    with pytest.raises(UserError, match="not text"):
        from_files(files).split("train")
    files["train"].unlink()
    with pytest.raises(UserError, match="no such file, expected puzzles"):
        from_files(files).split("train")


def test_no_network_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=r"sapientinc/sudoku-extreme/train.csv: not in the cache.*expected") as error:
        Sudoku(SudokuConfig()).split("train")
    assert "\n" not in str(error.value)
    assert capfd.readouterr().err == ""


def test_prepared_data(files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRAM_CACHE_DIR", str(tmp_path / "cache"))
    first = from_files(files).split("test")
    [folder] = cache_folder().iterdir()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["settings"]["sha256"].keys() == {"train", "test"}
    assert (manifest["settings"]["split_seed"], manifest["inputs"]) == (0, 10)

    def unwanted(*_: Any) -> None:
        raise AssertionError("made again")

    with monkeypatch.context() as patched:
        patched.setattr(Sudoku, "_make", unwanted)
        second = from_files(files).split("test")
    assert torch.equal(first.inputs, second.inputs)
    assert torch.equal(first.solutions, second.solutions)
    data = folder / "data.safetensors"
    whole = data.read_bytes()
    for damage in (whole[:-1], whole[:-1] + b"\x07", b""):
        data.write_bytes(damage)
        with pytest.raises(UserError, match="damaged prepared data, expected data with the SHA-256"):
            from_files(files).split("test")
    data.unlink()
    with pytest.raises(UserError, match="damaged prepared data"):
        from_files(files).split("test")
    (folder / "manifest.json").write_text("{")
    with pytest.raises(UserError, match="damaged prepared data"):
        from_files(files).split("test")
    (folder / "manifest.json").unlink()  # as after a kill: made again
    assert torch.equal(from_files(files).split("test").inputs, first.inputs)
    monkeypatch.setenv("GRAM_CACHE_DIR", str(files["test"]))
    with pytest.raises(UserError, match="cannot be written"):
        from_files(files).split("test")


BAD_CONFIGS: list[tuple[dict[str, Any], str]] = [
    ({"size": 6}, r"task\.size: got 6, expected 4 or 9"),
    ({"size": 4}, r"task\.train: got 'hub'"),
    ({**FOUR, "max_blanks": 13}, r"task\.max_blanks"),
    ({**FOUR, "test_puzzles": None}, r"task\.test_puzzles"),
    ({"test": "generated", "test_puzzles": 4}, r"task\.test: got 'generated'"),
    ({"max_blanks": 20}, r"task\.max_blanks: got 20, expected nothing, unless"),
    ({"difficulty": "easy"}, r"task\.difficulty"),
    ({"train_puzzles": 0}, r"task\.train_puzzles"),
    ({"reveal": -1}, r"task\.reveal"),
]


@pytest.mark.parametrize(("changes", "message"), BAD_CONFIGS)
def test_bad_configs(changes: dict[str, Any], message: str):
    with pytest.raises(UserError, match=message):
        SudokuConfig(**changes)


# -- text ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [4, 9])
def test_text_forms(size: int):
    puzzle = task(size)
    for tokens in puzzle.split("test").inputs[:10].long():
        line = puzzle.compact(tokens.tolist())
        rows = [line[i : i + size] for i in range(0, size * size, size)]
        forms = [
            line,
            line.replace(".", "0"),
            line.replace(".", "*"),
            "/".join(rows).replace(".", "_"),
            "\n".join(rows),
            "\n".join(" ".join(row) for row in rows),
            puzzle.format(tokens.tolist()),
            "+--+--+\n" + "\n".join(f"| {row} |" for row in rows) + "\n+==+==+",
            f"source,question,answer,rating\nmine,{line},{'1' * size**2},0",
        ]
        for form in forms:
            [(place, read)] = puzzle.parse(form, "file")
            assert torch.equal(read, tokens), form
            assert place.startswith("file, line ")
            block = next(Sudoku.blocks(form.splitlines(), "file"))
            assert Sudoku.model_name(block, "file") == f"sudoku{size}"
        assert puzzle.cells(tokens.tolist()) == [[c.replace(".", "") for c in row] for row in rows]


BAD_BOARDS = [
    ("", "no input found"),
    ("." * 16, "16 cells, expected 81"),
    ("." * 79, "expected 81, or 9 lines of 9"),
    ("/".join(["." * 9] * 8), "a board of 8 rows, expected 9"),
    ("/".join(["." * 9] * 8 + ["." * 8]), "row 9: 8 cells, expected 9"),
    ("\n".join(["." * 9] * 8 + ["....x...."]), "line 9, cell 5: 'x', expected a digit"),
    ("5" + "." * 7 + "5" + "." * 72, "row 1, column 1 and row 1, column 9 both hold 5"),
    ("5" + "." * 35 + "5" + "." * 44, "row 1, column 1 and row 5, column 1 both hold 5"),
    ("5" + "." * 19 + "5" + "." * 60, "row 1, column 1 and row 3, column 3 both hold 5"),
    ("." * 80 + "²", "'²', expected a digit"),
    ("---\n---", "no input found"),
    ("a,b,c", "expected 81"),
]


@pytest.mark.parametrize(("given_text", "message"), BAD_BOARDS)
def test_bad_boards(given_text: str, message: str):
    with pytest.raises(UserError) as error:
        task(9).parse(given_text, "file")
    assert message in str(error.value)


def model_names(given_text: str, where: str) -> list[str]:
    return [Sudoku.model_name(block, where) for block in Sudoku.blocks(given_text.splitlines(), where)]


cells = st.text(alphabet=st.sampled_from(".0_*1234567895"), min_size=78, max_size=84)
texts = (
    st.text(alphabet=st.sampled_from(".0_*123456789 |/,-+\n#x"), max_size=120)
    | st.text(max_size=20)
    | cells
    | st.lists(st.text(alphabet=".12345", min_size=8, max_size=10), min_size=8, max_size=10).map("\n".join)
)


@fuzz(150, 10_000, texts)
def test_any_text(given_text: str) -> None:
    for size in (4, 9):
        read_or_refused(task(size).parse, given_text)
    read_or_refused(model_names, given_text)


contents = st.binary(max_size=60) | texts.map(str.encode) | texts.map(lambda t: f"question,answer\n{t}".encode())


@fuzz(100, 10_000, contents)
def test_any_file(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "any"
        path.write_bytes(content)
        read_or_refused(lambda _, where: task(9).read_file(path), "")


# -- the real lists --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_genuine_rows_go_through():
    folder = DATA / "sudoku-extreme"
    if not folder.is_dir():
        pytest.skip("GRAM_DATA_DIR does not point to the lists")
    train, dev, test = (
        str(folder / name) for name in ("train_1k.csv.gz", "dev_from_hf_train.csv.gz", "test_genuine.csv.gz")
    )
    puzzle = Sudoku(SudokuConfig(train=train, test=test, train_puzzles=900, validation_puzzles=100))
    assert [len(puzzle.split(name)) for name in SPLITS] == [900, 100, 480]
    puzzle = Sudoku(SudokuConfig(train=dev, test=test, train_puzzles=3000, validation_puzzles=360))
    assert [len(puzzle.split(name)) for name in SPLITS] == [3000, 360, 480]
    several = str(DATA / "sudoku-pool/multi_solution_serg.csv.gz")
    problems = Sudoku(SudokuConfig(train=train, test=several)).split("test")
    assert len(problems) == 9994
    assert problems.complete
    assert problems.count.min() == 2
    assert problems.count.max() == 1555
