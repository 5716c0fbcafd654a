"""Whatever comes in, `gram` ends with the right exit code and, for bad input, with one line: fuzzed, judged apart.

The judges are oracles/boards.py (what a text means), oracles/nqueens.py (what a solution is) and the tables below
(which values an option takes); none of them looks at the package.
"""

import contextlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import assume
from hypothesis import strategies as st

from fuzzing import fuzz, refused, run
from gram_reasoning.storage.hub import BUNDLED
from oracles import boards as texts_oracle
from oracles.nqueens import Board, attack, completions, is_solution

SEVEN = BUNDLED / "nqueens7"
QUICK = ["--samples", "2", "--steps", "1"]
EASY = "Q....../..Q..../....Q../......Q/.Q...../...Q.../......."


def read_board(text: str) -> Board:
    return [[2 if cell == "Q" else 1 for cell in row] for row in text.split("/")]


def flat(board: Board) -> str:
    return "/".join("".join("?.Q"[cell] for cell in row) for row in board)


def judge_answers(lines: list[str], boards: list[Board]) -> bool:
    """Whether every board is solved; what is said of every answer is true."""
    items = [json.loads(line) for line in lines]
    assert [item["input"] for item in items] == [flat(board) for board in boards]
    solved = []
    for item, board in zip(items, boards, strict=True):
        right = [is_solution(read_board(a["answer"]), board) for a in item["answers"] if "?" not in a["answer"]]
        assert [a["verified"] for a in item["answers"] if "?" not in a["answer"]] == right
        assert not any(a["verified"] for a in item["answers"] if "?" in a["answer"])
        assert sum(a["votes"] for a in item["answers"]) == item["samples"]
        solved.append(any(right))
    return all(solved)


# -- texts -----------------------------------------------------------------------------------------------------------


@st.composite
def peaceful(draw: st.DrawFn) -> Board:
    """A 7x7 board of queens that do not attack each other; often the beginning of a solution."""
    board = [[1] * 7 for _ in range(7)]
    cells = draw(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12))
    placed: list[tuple[int, int]] = []
    for cell in cells:
        if not any(attack(cell, other) for other in placed):
            placed.append(cell)
            board[cell[0]][cell[1]] = 2
    if draw(st.booleans()) and (solutions := completions(board)):
        full = draw(st.sampled_from(solutions))
        kept = draw(st.sets(st.integers(0, 6), min_size=4))
        board = [row if r in kept else [1] * 7 for r, row in enumerate(full)]
    return board


@st.composite
def spelled(draw: st.DrawFn) -> str:
    """A board in one of its forms."""
    board = draw(peaceful())
    rows = ["".join(draw(st.sampled_from("Qq" if cell == 2 else "._")) for cell in row) for row in board]
    form = draw(st.integers(0, 3))
    if form == 0:
        return "/".join(rows)
    if form == 1:
        return ",".join(str(row.index(2) + 1) if 2 in row else "." for row in board)
    return "\n".join(" ".join(row) if form == 2 else row for row in rows) + "\n"


noise = st.text(alphabet="Qq._ /,\n\t#1234567890x-\r\x00é\u2028", max_size=30) | st.text(max_size=10)


@st.composite
def board_texts(draw: st.DrawFn) -> str:
    """Boards one after another, mostly right, with noise put in, characters left out, pieces doubled."""
    text = "\n".join(draw(st.lists(spelled() | st.just("# a comment") | st.just(""), max_size=4)))
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        at, length = draw(st.integers(0, len(text))), draw(st.integers(0, 5))
        text = text[:at] + draw(noise | st.just("") | st.just(text[at : at + 9])) + text[at + length :]
    assume(not any(0xD800 <= ord(c) < 0xE000 for c in text))
    return text


@fuzz(60, 5000, board_texts(), st.sampled_from(["file", "stdin", "argument"]))
def test_texts(text: str, way: str) -> None:
    arguments, stdin, where = ["-"], text.encode(), "standard input"
    with tempfile.TemporaryDirectory() as folder:
        if way == "file":
            file = Path(folder) / "boards"
            file.write_bytes(text.encode())
            arguments, stdin, where = [str(file)], None, str(file)
        elif way == "argument":
            assume(set("/,\n") & set(text) and "\x00" not in text and text.strip() and text[0] != "-")
            assume(not re.search(r"\.(txt|csv|col|json)$", text) and not os.path.exists(text))
            arguments, stdin, where = [text], None, "the argument"
        arguments = ["solve", *arguments, "--checkpoint", str(SEVEN), *QUICK, "--json", "-"]
        code, out, err = run(arguments, stdin)
    meant = texts_oracle.read(text.removeprefix("\ufeff") if way != "argument" else text, 7)
    solved = judge_answers(out.splitlines(), meant.boards)
    if meant.bad:
        assert code == 2
        refused(err)
        message = re.match(rf"gram: {re.escape(where)}(?:, line (\d+))?(?:, [a-z]+ \d+)*: ", err)
        assert message is not None, err
        assert meant.lines is None if message[1] is None else int(message[1]) in (meant.lines or ()), err
    else:
        assert err == ""
        assert code == (0 if solved else 1)


@fuzz(30, 1500, st.binary(max_size=200) | st.binary(max_size=40).map(lambda b: f"{EASY}\n".encode() + b), st.booleans())
def test_binary(content: bytes, as_file: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "boards"
        file.write_bytes(content)
        arguments = ["solve", str(file) if as_file else "-", "--checkpoint", str(SEVEN), *QUICK, "--json", "-"]
        code, out, err = run(arguments, content)
    try:
        meant = texts_oracle.read(content.decode("utf-8-sig"), 7)
    except UnicodeDecodeError:
        meant = None
    if meant is None or meant.bad:
        assert code == 2
        refused(err)
    else:
        assert code == (0 if judge_answers(out.splitlines(), meant.boards) else 1)


# -- options ---------------------------------------------------------------------------------------------------------


def whole(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def within(low: int | None, high: int | None, optional: bool = False) -> Callable[[str], bool]:
    """The values of an option that takes a whole number."""

    def takes(text: str) -> bool:
        number = whole(text)
        if number is None:
            return optional and text == "None"
        return (low is None or number >= low) and (high is None or number <= high)

    return takes


def writable(text: str, *ends: str) -> bool:
    """A new file in the folder of the test, or nothing."""
    if text in ("None", "-"):
        return not ends or text == "None"
    return "/" not in text and 0 < len(text) < 200 and "\x00" not in text and (not ends or text.endswith(ends))


TAKES: dict[str, Callable[[str], bool]] = {
    "--samples": within(1, 100_000, optional=True),
    "--steps": within(1, 100_000, optional=True),
    "--chunk": within(1, 1_000_000),
    "--seed": within(None, None),
    "--threads": within(1, 1024, optional=True),
    "--select": lambda text: text in ("majority", "lprm", "first"),
    "--task": lambda text: text in ("None", "nqueens"),
    "--device": lambda text: text in ("auto", "cpu"),
    "--json": writable,
    "--picture": lambda text: writable(text, ".png", ".pdf", ".svg", ".jpg"),
    "--nonsense": lambda text: False,
    "--checkpoint": lambda text: text in ("None", str(SEVEN), "nqueens7"),
}
POOL = [
    "0", "1", "2", "-1", "x", "1.5", "", " ", "1e3", "nan", "None", "99999999999999999999", "-5", "majority", "first",
    "best", "cpu", "auto", "tpu", "cpu:3", "cuda:999", "cuda:-1", "meta", "nqueens", "chess", "coloring", "out.json",
    "out.png", "no/such/out.png", "/", "/dev/full", "x.xyz", "[red]x[/red]", "│", "a\nb", "é", "\x1b[31m", "%s{}",
    "nqueens7", str(SEVEN), "owner name", "-", "--samples", "x" * 300,
]  # fmt: skip


@fuzz(50, 1500, st.dictionaries(st.sampled_from(list(TAKES)), st.sampled_from(POOL), max_size=3), st.booleans())
def test_options(chosen: dict[str, str], joined: bool) -> None:
    assume(joined or not any(value.startswith("-") for value in chosen.values()))  # an option would follow, not a value
    words = [w for name, value in chosen.items() for w in ([f"{name}={value}"] if joined else [name, value])]
    quick = [w for name in ("--samples", "--steps") if name not in chosen for w in (name, "1")]
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        code, _, err = run(["solve", EASY, *quick, *words])
    right = all(TAKES[name](value) for name, value in chosen.items())
    assert code in ((0, 1) if right else (2,)), (chosen, err)
    if not right:
        refused(err)


# -- command lines ---------------------------------------------------------------------------------------------------

COMMANDS = ["fly", "eval", "data", "report", "recipes", "train", "", "--version", "Solve"]
WORDS = [
    "nqueens7-pocket",
    "nqueens99",
    "-h",
    "--split",
    "test",
    "exam",
    "--limit",
    "0",
    "x",
    "",
    "--json",
    "/",
    "--out",
    "\n",
    "é",
]


@fuzz(40, 1000, st.sampled_from(COMMANDS), st.lists(st.sampled_from(WORDS), max_size=3))
def test_command_lines(command: str, words: list[str]) -> None:
    assume("--help" not in words and "-h" not in words)
    assume(not (command == "train" and words[:1] == ["nqueens7-pocket"]))  # it might train
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        code, _, err = run([command, *words])
    if command == "--version":
        right = True
    elif command == "data":
        files = ("x", "é", "exam", "test", "0", "\n", "nqueens7-pocket", "nqueens99")
        rest = words[1:]
        to_file = len(rest) == 2 and rest[0] == "--out" and rest[1] in files
        right = words[:1] == ["nqueens7-pocket"] and (rest in ([], ["--split", "test"]) or to_file)
    else:
        right = command == "recipes" and set(words) <= {"--json"}  # said twice is said
    assert code == (0 if right else 2), (words, err)
    if not right:
        refused(err)


# -- checkpoints -----------------------------------------------------------------------------------------------------

CONFIG, WEIGHTS = (SEVEN / "config.json").read_bytes(), (SEVEN / "model.safetensors").read_bytes()
HEADER = 8 + int.from_bytes(WEIGHTS[:8], "little")
FIELDS = re.findall(rb'"(\w+)": [^{\[]', CONFIG)
VALUES = [b"null", b"-1", b"0", b"3", b"1e999", b"NaN", b"true", b'"x"', b"[]", b"{}", b"1000000000", b'"nqueens"']


@st.composite
def damaged_weights(draw: st.DrawFn) -> bytes:
    kind = draw(st.sampled_from(["cut", "header", "foreign", "longer"]))
    if kind == "cut":
        return WEIGHTS[: draw(st.integers(0, len(WEIGHTS) - 1))]
    if kind == "longer":
        return WEIGHTS + draw(st.binary(min_size=1, max_size=9))
    if kind == "foreign":
        return draw(st.binary(max_size=100) | st.just(b"\x80\x04\x95pickle.") | st.just(b"PK\x03\x04"))
    at = draw(st.integers(0, 7))  # the length of the header
    return WEIGHTS[:at] + bytes([WEIGHTS[at] ^ draw(st.integers(1, 255))]) + WEIGHTS[at + 1 :]


@st.composite
def other_config(draw: st.DrawFn) -> bytes:
    if draw(st.booleans()):
        return CONFIG[: draw(st.integers(0, len(CONFIG) - 3))]
    field = draw(st.sampled_from(FIELDS))
    return re.sub(rb'("%s": )[^,\n]+' % field, lambda m: m[1] + draw(st.sampled_from(VALUES)), CONFIG, count=1)


@fuzz(40, 1000, st.none() | damaged_weights(), st.none() | other_config())
def test_checkpoints(weights: bytes | None, config: bytes | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_bytes(CONFIG if config is None else config)
        (Path(folder) / "model.safetensors").write_bytes(WEIGHTS if weights is None else weights)
        code, out, err = run(["solve", EASY, *QUICK, "--checkpoint", folder, "--json", "-"])
    if weights is not None:
        assert code == 2
    if config is not None and not config.rstrip().endswith(b"}\n}"):
        assert code == 2
    if code == 2:
        refused(err)
        assert folder in err or re.match(r"gram: (task|model|train|evaluation|samples|steps|not enough memory)", err), (
            err
        )
    else:
        assert code == (0 if judge_answers(out.splitlines(), [read_board(EASY)]) else 1)


# -- sabotage --------------------------------------------------------------------------------------------------------


def shown_boards(text: str) -> list[tuple[Board, list[tuple[Board, bool]]]]:
    """Every input that the text output shows, with the answers beside it and whether each is shown as a solution."""
    found = []
    for part in re.split(r"^.*, line \d+: .*$", text, flags=re.MULTILINE)[1:]:
        columns: list[list[str]] = []
        for stripe in part.strip("\n").split("\n\n"):
            rows = [re.split(r" {4,}", line) for line in stripe.splitlines()]
            columns += [list(column) for column in zip(*rows, strict=True)]
        boards = [[[2 if cell == "Q" else 1 for cell in row.split()] for row in column[:7]] for column in columns]
        claims = ["NOT a solution" not in column[7] for column in columns]
        found.append((boards[0], list(zip(boards[1:], claims[1:], strict=True))))
    return found


@pytest.mark.parametrize("kind", ["random", "shaken"])
@pytest.mark.parametrize("count", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_sabotaged_model_shows_no_wrong_board(kind: str, count: int, tmp_path: Path):
    shutil.copytree(SEVEN, tmp_path / "model")
    draw = torch.Generator().manual_seed(0)
    weights = safetensors.torch.load_file(SEVEN / "model.safetensors")
    for name, tensor in weights.items():
        scale = 1.0 if kind == "random" else 0.25 * float(tensor.abs().mean())
        fresh = scale * torch.randn(tensor.shape, generator=draw)
        weights[name] = fresh if kind == "random" else tensor + fresh
    safetensors.torch.save_file(weights, tmp_path / "model" / "model.safetensors")
    _, listed, _ = run(["data", "nqueens7-pocket", "--split", "train"])
    boards = listed.split()[:count]
    assert len(boards) == count
    arguments = ["solve", "-", "--checkpoint", str(tmp_path / "model"), "--samples", "4", "--steps", "4", "--all"]
    numbers = tmp_path / "numbers.jsonl"
    code, out, err = run([*arguments, "--json", str(numbers)], "\n".join(boards).encode())
    assert code in ((1,) if kind == "random" else (0, 1))
    assert err == ""
    shown = shown_boards(out)
    assert [flat(board) for board, _ in shown] == boards
    assert all(is_solution(answer, board) is claimed for board, answers in shown for answer, claimed in answers)
    items = [json.loads(line) for line in numbers.read_text().splitlines()]
    judge_answers(numbers.read_text().splitlines(), [read_board(text) for text in boards])
    wrong = sum(not a["verified"] for item in items for a in item["answers"])
    right = sum(a["verified"] for item in items for a in item["answers"])
    assert right == sum(claimed for _, answers in shown for _, claimed in answers)
    assert wrong >= (count if kind == "random" else count // 10)
    assert right > 0 or kind == "random"
