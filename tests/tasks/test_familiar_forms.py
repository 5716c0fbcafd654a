"""Puzzles in the forms that people keep them in: what is read is what was written, and a fault is never guessed over.

Every form is written here, from puzzles whose cells are known; the readers never see anything else.
"""

import json
from collections.abc import Callable

import pytest
from hypothesis import strategies as st

from fuzzing import examine, fuzz, sizes
from gram_reasoning.build import TASKS
from gram_reasoning.cli.which import task_of
from gram_reasoning.errors import UserError
from gram_reasoning.tasks.text import Puzzle, Text
from oracles import nqueens as queens_oracle

FEW, MANY = 25, 10_000


def read(kind: str, text: str) -> list[Puzzle]:
    """All inputs of a text, each by a task of its size."""
    task = TASKS[kind]
    assert issubclass(task, Text)
    lines = text.splitlines(keepends=True)
    entries = task.entries(lines, "file")
    found = [task.sized(e.question, "file").read_entry(e, "file", answers=True) for e in entries]
    assert kind in told(lines)
    return found


def told(lines: list[str]) -> str:
    """The task that an input is told to be of, or which ones it may be of."""
    try:
        name, all_lines = task_of(iter(lines), "file")
    except UserError as error:
        return str(error).partition("expected --task")[2]
    assert list(all_lines) == lines
    return name


def one_or_refused(kind: str, text: str) -> tuple[Puzzle | None, str]:
    """The one input of a text; or None, and why it is refused."""
    try:
        [puzzle] = read(kind, text)
    except UserError as error:
        return None, str(error)
    return puzzle, ""


def cut(cells: str, side: int = 9) -> list[str]:
    return [cells[i : i + side] for i in range(0, len(cells), side)]


# -- Sudoku ----------------------------------------------------------------------------------------------------

BASE = [[(3 * (r % 3) + r // 3 + c) % 9 for c in range(9)] for r in range(9)]


def framed(cells: str, rule: str, edge: str, bar: str) -> str:
    rows = [bar + bar.join(cut(row, 3)) + bar for row in cut(cells)]
    return "\n".join([edge, *rows[:3], rule, *rows[3:6], rule, *rows[6:], edge])


def parted(mark: str) -> Callable[[str, str], str]:
    return lambda cells, _: "\n".join(mark.join("" if cell == "." else cell for cell in row) for row in cut(cells))


SUDOKU: dict[str, Callable[[str, str], str]] = {
    "quizzes, solutions": lambda cells, full: f"quizzes,solutions\n{cells.replace('.', '0')},{full}\n",
    "question in the last column": lambda cells, full: f"rating,answer,question\r\n7,{full},{cells}\r\n",
    "an id as long as a board": lambda cells, full: f"id,question\n{'0' * 16},{cells}\n",
    "a quoted field": lambda cells, full: f'source,puzzle\n"a, b","{cells}"\n',
    "commas": parted(","),
    "semicolons": parted(";"),
    "tabs": parted("\t"),
    "question marks": lambda cells, _: cells.replace(".", "?"),
    "dashes": lambda cells, _: cells.replace(".", "-"),
    "stars around": lambda cells, _: framed(cells, "|---+---+---|", "*-----------*", "|"),
    "drawn lines": lambda cells, _: framed(cells, "├───┼───┼───┤", "┌───┬───┬───┐", "│"),
    "sections": lambda cells, full: "\n".join(["[Puzzle]", *cut(cells), "[State]", *cut(full)]),
    "a title": lambda cells, _: "\n".join(["Grid 01", *cut(cells)]),
    "a mark and returns": lambda cells, _: f"\ufeff{cells}\r\n",
    "a list of rows": lambda cells, _: json.dumps(cut(cells)),
    "a list of lists": lambda cells, _: json.dumps(
        [[int(c) if c.isdigit() else c.strip(".") or 0 for c in row] for row in cut(cells)]
    ),
    "an object": lambda cells, full: json.dumps({"puzzle": cut(cells), "solution": full}),
}


@st.composite
def sudokus(draw: st.DrawFn) -> tuple[str, str]:
    """A board with blanks, and full."""
    digits = draw(st.permutations("123456789"))
    rows = [3 * band + r for band in draw(st.permutations(range(3))) for r in draw(st.permutations(range(3)))]
    full = "".join(digits[BASE[r][c]] for r in rows for c in range(9))
    blank = draw(st.sets(st.integers(0, 80), max_size=64))
    return "".join("." if i in blank else c for i, c in enumerate(full)), full


def written(puzzle: Puzzle) -> str:
    return puzzle.writer.compact(puzzle.tokens.tolist())


@pytest.mark.parametrize("form", sorted(SUDOKU))
@sizes(FEW, MANY)
def test_sudoku(form: str, examples: int):
    spell = SUDOKU[form]

    def judge(board: tuple[str, str], at: int, fault: str) -> None:
        cells, full = board
        if fault == "none":
            [puzzle] = read("sudoku", spell(cells, full))
            assert written(puzzle) == cells
            if puzzle.answer is not None:
                assert puzzle.writer.compact(puzzle.answer.tolist()) == full
            return
        spoilt = {"letter": f"{cells[:at]}x{cells[at + 1 :]}", "short": cells[:72], "long": cells + cells[:9]}[fault]
        with pytest.raises(UserError, match="expected"):
            read("sudoku", spell(spoilt, full))

    faults = st.sampled_from(["none", "none", "letter", "short", "long"])
    examine(judge, examples, examples == FEW, sudokus(), st.integers(0, 80), faults)


@fuzz(FEW, MANY, st.lists(sudokus(), min_size=2, max_size=4), st.booleans())
def test_grids_without_a_gap(boards: list[tuple[str, str]], titled: bool) -> None:
    texts = [[f"Grid {i:02}", *cut(cells)] if titled else cut(cells) for i, (cells, _) in enumerate(boards, 1)]
    read_back = read("sudoku", "\n".join(line for text in texts for line in text))
    assert [written(puzzle) for puzzle in read_back] == [cells for cells, _ in boards]


# -- N-Queens --------------------------------------------------------------------------------------------------


def columns_of(rows: list[str]) -> list[int | None]:
    return [row.index("Q") + 1 if "Q" in row else None for row in rows]


QUEENS: dict[str, Callable[[list[str]], str]] = {
    "a list of rows": json.dumps,
    "a list of columns": lambda rows: json.dumps(columns_of(rows)),
    "a list of Python": lambda rows: str(columns_of(rows)),
    "a matrix": lambda rows: json.dumps([[int(cell == "Q") for cell in row] for row in rows]),
    "lines of 0 and 1": lambda rows: "\n".join(",".join(str(int(cell == "Q")) for cell in row) for row in rows),
    "chess pieces": lambda rows: "\n".join(rows).replace("Q", "♛"),
}


@st.composite
def queens(draw: st.DrawFn) -> list[str]:
    """Rows of a board whose queens do not attack each other."""
    size = draw(st.integers(4, 12))
    placed: list[tuple[int, int]] = []
    for cell in draw(st.lists(st.tuples(st.integers(0, size - 1), st.integers(0, size - 1)), max_size=2 * size)):
        if not any(queens_oracle.attack(cell, other) for other in placed):
            placed.append(cell)
    return ["".join("Q" if (r, c) in placed else "." for c in range(size)) for r in range(size)]


@pytest.mark.parametrize("form", sorted(QUEENS))
@sizes(FEW, MANY)
def test_queens(form: str, examples: int):
    def judge(rows: list[str], twice: bool) -> None:
        if twice and any("Q" in row for row in rows):  # one queen more, below one that is there
            r = next(r for r, row in enumerate(rows) if "Q" in row)
            other = (r + 1) % len(rows)
            rows = [rows[r] if i == other else row for i, row in enumerate(rows)]
            with pytest.raises(UserError, match="attack each other"):
                read("nqueens", QUEENS[form](rows))
            return
        [puzzle] = read("nqueens", QUEENS[form](rows))
        assert written(puzzle) == "/".join(rows)

    examine(judge, examples, examples == FEW, queens(), st.booleans())


# -- graphs ----------------------------------------------------------------------------------------------------

Edges = list[tuple[int, int]]


def dimacs(edges: Edges, size: int, problem: str, tail: str) -> str:
    lines = [f"e {a + 1} {b + 1}{tail}" for a, b in edges]
    return "\n".join(["C one", f"{problem} {size} {len(edges)}", "n 1 2", *lines])


GRAPHS: dict[str, tuple[int, Callable[[Edges, int], str]]] = {  # the first vertex's number, and the text
    "edges from 1": (1, lambda edges, _: "\n".join(f"{a + 1} {b + 1}" for a, b in edges)),
    "edges of networkx": (0, lambda edges, _: "\n".join(f"{a} {b} {{}}" for a, b in edges)),
    "edges of Python": (0, lambda edges, _: str(edges)),
    "neighbours": (
        0,
        lambda edges, n: "\n".join(f"{v}: " + " ".join(str(b) for a, b in edges if a == v) for v in range(n)),
    ),
    "an object": (0, lambda edges, n: json.dumps({str(v): [b for a, b in edges if a == v] for v in range(n)})),
    "a matrix": (
        1,
        lambda edges, n: json.dumps([[int((min(a, b), max(a, b)) in edges) for b in range(n)] for a in range(n)]),
    ),
    "DIMACS, p without edge": (1, lambda edges, n: dimacs(edges, n, "p", "")),
    "DIMACS with weights": (1, lambda edges, n: dimacs(edges, n, "p edge", " 7")),
    "a header": (1, lambda edges, n: "\n".join([f"{n} {len(edges)}", *(f"{a + 1} {b + 1}" for a, b in edges)])),
}


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Edges, int]:
    """Edges of 3 to 8 vertices, and their number; every vertex has an edge."""
    size = draw(st.integers(3, 8))
    pairs = [(a, b) for a in range(size) for b in range(a + 1, size)]
    edges = draw(st.sets(st.sampled_from(pairs)))
    alone = set(range(size)) - {v for edge in edges for v in edge}
    return draw(
        st.permutations(sorted(edges | {(min(v, (v + 1) % size), max(v, (v + 1) % size)) for v in alone}))
    ), size


@pytest.mark.parametrize("form", sorted(GRAPHS))
@sizes(FEW, MANY)
def test_graphs(form: str, examples: int):
    """Answers are in the author's numbers. Two readings are refused with both, never guessed."""
    first, spell = GRAPHS[form]

    def judge(graph: tuple[Edges, int]) -> None:
        edges, size = graph
        puzzle, refused = one_or_refused("coloring", spell(edges, size))
        if puzzle is None:
            assert form in ("a header", "edges from 1")
            assert "may be a header" in refused
            return
        parts = [tuple(map(int, part.split())) for part in written(puzzle).split("/")]
        assert sorted(part for part in parts if len(part) == 2) == sorted((a + first, b + first) for a, b in edges)
        assert {v for part in parts for v in part} == set(range(first, size + first))

    examine(judge, examples, examples == FEW, graphs())


# -- mazes -----------------------------------------------------------------------------------------------------

MAZES: dict[str, Callable[[list[str]], str]] = {
    "E for the goal": lambda rows: "\n".join(rows).replace("G", "E"),
    "small letters": lambda rows: "\n".join(rows).lower(),
    "a list of rows": json.dumps,
}


@st.composite
def mazes(draw: st.DrawFn) -> list[str]:
    size = draw(st.integers(5, 10))
    cells = draw(st.lists(st.sampled_from("..#"), min_size=size**2, max_size=size**2))
    start, goal = draw(st.permutations(range(size**2)))[:2]
    cells[start], cells[goal] = "S", "G"
    return cut("".join(cells), size)


@pytest.mark.parametrize("form", sorted(MAZES))
@sizes(FEW, MANY)
def test_mazes(form: str, examples: int):
    def judge(rows: list[str]) -> None:
        puzzle, refused = one_or_refused("maze", MAZES[form](rows))
        if puzzle is None:
            assert "no way leads" in refused
            return
        assert written(puzzle).replace(" ", ".").replace("_", ".") == "/".join(rows)

    examine(judge, examples, examples == FEW, mazes())


# -- several in one value --------------------------------------------------------------------------------------

SEVERAL: dict[str, Callable[[list[str], list[str]], str]] = {
    "a list of boards": lambda cells, _: json.dumps([cut(one) for one in cells]),
    "a list of texts": lambda cells, _: json.dumps(cells),
    "a list of lists of cells": lambda cells, _: json.dumps([[int(c.replace(".", "0")) for c in one] for one in cells]),
    "a list of matrices": lambda cells, _: json.dumps([[list(row) for row in cut(one)] for one in cells]),
    "a list of objects": lambda cells, full: json.dumps(
        [{"puzzle": a, "solution": b} for a, b in zip(cells, full, strict=True)]
    ),
    "an object of lists": lambda cells, full: json.dumps({"quizzes": cells, "solutions": full}, indent=1),
}


@pytest.mark.parametrize("form", sorted(SEVERAL))
@sizes(FEW, MANY)
def test_several_sudokus_in_one_value(form: str, examples: int):
    def judge(boards: list[tuple[str, str]]) -> None:
        cells, full = ([board[i] for board in boards] for i in range(2))
        puzzles = read("sudoku", SEVERAL[form](cells, full))
        assert [written(puzzle) for puzzle in puzzles] == cells
        answers = [puzzle.writer.compact(puzzle.answer.tolist()) for puzzle in puzzles if puzzle.answer is not None]
        assert answers == (full if "object" in form else [])

    examine(judge, examples, examples == FEW, st.lists(sudokus(), min_size=1, max_size=3))


@fuzz(FEW, MANY, st.lists(graphs(), min_size=2, max_size=3), st.sampled_from(["edges", "lines", "neighbours"]))
def test_several_graphs_in_one_value(several: list[tuple[Edges, int]], form: str) -> None:
    spelled = {
        "edges": [[[a, b] for a, b in edges] for edges, _ in several],
        "lines": [[f"{a} {b}" for a, b in edges] for edges, _ in several],
        "neighbours": [{str(v): [b for a, b in edges if a == v] for v in range(size)} for edges, size in several],
    }[form]
    try:
        puzzles = read("coloring", json.dumps(spelled))
    except UserError as error:
        assert form == "lines"
        assert "may be a header" in str(error)  # noqa: PT017 - most are read
        return
    for puzzle, (edges, _) in zip(puzzles, several, strict=True):
        assert set(written(puzzle).split("/")) == {f"{a} {b}" for a, b in edges}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"puzzles": [".Q../..../..../....", ".Q../Q.../..../...."]}, "file, puzzle 2, line 1: the queens in row 1,"),
        ([["....", "...", "....", "...."], ["...."] * 4], "file, puzzle 1, line 1: 3 cells, expected 4"),
        (
            {"boards": [["...."] * 4] * 2, "solutions": [".Q../...Q/Q.../..Q."]},
            "line 1: 2 puzzles, expected a list of as",
        ),
    ],
)
def test_a_fault_in_one_of_several_is_told_apart(value: object, expected: str):
    with pytest.raises(UserError, match=expected):
        read("nqueens", json.dumps(value))


def test_a_solved_maze_keeps_its_walls():
    [puzzle] = read("maze", "maze,solution\nS.#/#../..G,So#/#o./.oG\n")
    assert puzzle.answer is not None
    assert puzzle.writer.format(puzzle.answer.tolist()) == "So#\n#o \n oG"


# -- what it looks like ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (".Q../...Q", r"the argument, line 1: size: got 2, expected a board side from 4 to 12 \(read as nqueens"),
        ("S.#/#..", r"line 1: size: got 2, expected 3 to 64 \(read as maze"),
        ("hello/world", r"'hello/world', 2 rows: no task reads this"),
        ("1" * 81, r"both hold 1.*read as sudoku"),
    ],
)
def test_what_no_task_reads_is_described(text: str, expected: str):
    with pytest.raises(UserError, match=expected) as error:
        task_of(iter([text]), "the argument")
    assert "model" not in str(error.value)
