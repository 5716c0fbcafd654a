"""`gram solve` on the text of further tasks: right exit codes, one line for bad input, nothing false printed; fuzzed.

Texts are written here from puzzles that the oracles know, some with one fault, so what the answer must be is known.
"""

import json
from pathlib import Path

import pytest
from hypothesis import strategies as st

from fuzzing import fuzz, refused, run
from gram_reasoning.build import build_model, build_task
from gram_reasoning.config import to_json
from gram_reasoning.recipes import get_recipe
from gram_reasoning.storage import checkpoint
from oracles import coloring, sudoku

FEW, MANY = 20, 4000  # texts; each has up to four inputs
BASE = [[(3 * (r % 3) + r // 3 + c) % 9 for c in range(9)] for r in range(9)]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny model of fresh weights for each kind."""
    folder = tmp_path_factory.mktemp("models")
    for name in ("sudoku9-debug", "coloring6-debug"):
        recipe = get_recipe(name)
        model = build_model(recipe, build_task(recipe))
        config = {"format": checkpoint.FORMAT, "step": 0, "recipe": to_json(recipe)}
        checkpoint.save_folder(folder / recipe.task.kind, {"model": dict(model.state_dict())}, {"config": config})
    return folder


def solve(kind: str, text: str) -> tuple[int, list[dict], str]:
    """Exit code, answers and message of `gram solve` on standard input."""
    folder = str(FOLDER[0] / kind)
    code, out, err = run(["solve", "-", "--checkpoint", folder, "--samples", "2", "--json", "-"], text.encode())
    return code, [json.loads(line) for line in out.splitlines()], err


FOLDER: list[Path] = []


@pytest.fixture(autouse=True)
def known_folder(models: Path):
    """Hypothesis calls a test many times; the folder of the models is the same for all."""
    FOLDER[:] = [models]


def judge(answers: list[dict], right: list[list[bool]]) -> bool:
    """Whether every input is solved; `right` says so for each answer, by the oracle."""
    for item, own in zip(answers, right, strict=True):
        assert [a["verified"] for a in item["answers"]] == own
        assert sum(a["votes"] for a in item["answers"]) == item["samples"]
    return all(any(own) for own in right)


def ends_as_it_should(code: int, err: str, solved: bool, fault: bool) -> None:
    if fault:
        assert code == 2
        refused(err)
        assert "standard input, line" in err
        assert "expected" in err
    else:
        assert err == ""
        assert code == (0 if solved else 1)


# -- sudoku ----------------------------------------------------------------------------------------------------


@st.composite
def puzzles(draw: st.DrawFn) -> sudoku.Board:
    """A full board with some of its digits taken away."""
    digits = draw(st.permutations(range(1, 10)))
    rows = [3 * band + r for band in draw(st.permutations(range(3))) for r in draw(st.permutations(range(3)))]
    board = [digits[BASE[r][c]] for r in rows for c in range(9)]
    blank = draw(st.sets(st.integers(0, 80), max_size=40))
    return [0 if cell in blank else digit for cell, digit in enumerate(board)]


def spell(board: sudoku.Board, form: int, blank: str) -> str:
    cells = "".join(str(d) if d else blank for d in board)
    rows = [cells[i : i + 9] for i in range(0, 81, 9)]
    if form == 0:
        return cells
    if form == 1:
        return "/".join(rows)
    if form == 2:
        return f"  {cells} "  # a row of a table would need a header
    if form == 3:
        return "\n".join(" ".join(row) for row in rows) + "\n"
    boxed = [" | ".join((row[:3], row[3:6], row[6:])) for row in rows]
    return "\n".join([*boxed[:3], "---+---+---", *boxed[3:6], "---+---+---", *boxed[6:]]) + "\n"


def spoilt(board: sudoku.Board, fault: str, form: int) -> str:
    """A board that is none."""
    if fault == "contradiction":
        return spell([1, 1, *board[2:]], form, ".")
    if fault == "letter":
        return spell(board, form, ".").replace("." if 0 in board else str(board[0]), "x")
    text = spell(board, 1, ".")
    return text[:-1] if fault == "short" else f"{text}1" if fault == "long" else "/".join(text.split("/")[:-1])


@fuzz(
    FEW,
    MANY,
    st.lists(st.tuples(puzzles(), st.integers(0, 4), st.sampled_from(".0_*")), max_size=3),
    st.sampled_from([None, None, None, "contradiction", "letter", "short", "long", "rows"]),
    puzzles(),
    st.integers(0, 4),
)
def test_sudoku(good: list[tuple[sudoku.Board, int, str]], fault: str | None, last: sudoku.Board, form: int) -> None:
    texts = [spell(*one) for one in good]
    boards = [board for board, _, _ in good]
    if fault is None:
        texts, boards = [*texts, spell(last, form, ".")], [*boards, last]
    else:
        texts = [*texts, spoilt(last, fault, form)]
    code, answers, err = solve("sudoku", "\n".join(["# a comment", *texts]) + "\n")
    assert [item["input"] for item in answers] == [spell(board, 0, ".") for board in boards]
    right = [
        [sudoku.is_solution([int(c) if c.isdigit() else -1 for c in a["answer"]], board) for a in item["answers"]]
        for item, board in zip(answers, boards, strict=True)
    ]
    ends_as_it_should(code, err, judge(answers, right), fault is not None)


# -- graph colouring -------------------------------------------------------------------------------------------

PAIRS = [(a, b) for a in range(6) for b in range(a + 1, 6)]


def spell_graph(edges: coloring.Edges, form: int) -> str:
    if form == 0:
        return f"c a graph\np edge 6 {len(edges)}\n\n" + "".join(f"e {a + 1} {b + 1}\n" for a, b in sorted(edges))
    lines = [f"{a + form % 2} {b + form % 2}" for a, b in sorted(edges)]
    lines += [str(v + form % 2) for v in range(6)]  # naming a vertex that has edges does no harm
    return "/".join(lines) if form < 3 else "\n".join(lines) + "\n"


FAULTS = ["1 x/6", "1 2 3/6", "7/1 2", "1/2/3", "3 3/6", "1 -2/6", "/", "e 1 2", "p edge six 1", "p edge 6 1\ne 1 9"]


@fuzz(
    FEW,
    MANY,
    st.lists(st.tuples(st.sets(st.sampled_from(PAIRS)), st.integers(1, 4)), max_size=3),
    st.sampled_from([None, None, *FAULTS]),
    st.none() | st.sets(st.sampled_from(PAIRS)),
)
def test_graphs(good: list[tuple[coloring.Edges, int]], fault: str | None, dimacs: coloring.Edges | None) -> None:
    texts, graphs = [spell_graph(*one) for one in good], [edges for edges, _ in good]
    if fault is not None:
        texts = [*texts, fault]
    elif dimacs is not None or not good:
        texts, graphs = [*texts, spell_graph(dimacs or set(), 0)], [*graphs, dimacs or set()]
    code, answers, err = solve("coloring", "\n\n".join(texts) + "\n")
    bases = [*((1 if form == 0 else form % 2) for _, form in good), 1]  # answers are in the user's numbers
    printed = [
        {(int(a) - base, int(b) - base) for a, _, b in (part.partition(" ") for part in item["input"].split("/")) if b}
        for item, base in zip(answers, bases, strict=False)
    ]
    assert printed == graphs
    right = [
        [coloring.is_solution([ord(c) - ord("a") for c in a["answer"]], edges, 3) for a in item["answers"]]
        for item, edges in zip(answers, graphs, strict=True)
    ]
    ends_as_it_should(code, err, judge(answers, right), fault is not None)


# -- anything --------------------------------------------------------------------------------------------------


@fuzz(
    FEW,
    MANY,
    st.sampled_from(["sudoku", "coloring"]),
    st.text(alphabet="0123456789./,|-+ \n#pecdgx\x00é", max_size=200),
)
def test_anything(kind: str, text: str) -> None:
    code, _, err = solve(kind, text)
    if code == 2:
        refused(err)
    else:
        assert code in (0, 1)
        assert err == ""
