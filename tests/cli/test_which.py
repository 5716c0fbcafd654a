"""Which task an input is told to be of: what one task reads, what several might, what is wrong where none does."""

import json

import pytest

from gram_reasoning.cli.which import task_of
from gram_reasoning.errors import UserError
from gram_reasoning.tasks.sudoku import Sudoku

EASY = "53..7....\n6..195...\n.98....6.\n8...6...3\n4..8.3..1\n7...2...6\n.6....28.\n...419..5\n....8..79\n"


def told(text: str) -> str:
    return task_of(iter(text.splitlines(keepends=True)), "file")[0]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("sudoku", EASY),
        ("maze", "S.#.\n    \n..#G\n....\n"),
        ("maze", "    \nS.#.\n..#G\n....\n"),
        ("coloring", "1: 2 3\n2: 1 3 4\n3: 1\n4: 2\n"),
        ("coloring", "1 2 3 4\n2 1 3 4\n3 1 2\n4 1 2\n"),
        ("coloring", "5 5\n2 3\n3 4\n4 5\n2 5\n3 5\n"),
        ("nqueens", "2,4,1,3\n"),
    ],
)
def test_what_one_task_reads(kind: str, text: str):
    assert told(text) == kind


LINE = EASY.replace("\n", "")
ROWS = EASY.splitlines()


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (json.dumps([[list(row) for row in ROWS]] * 3, indent=2), 3),
        ("[\n\n" + ",\n\n".join(json.dumps(row) for row in ROWS) + "\n]\n", 1),
        ("# a comment of words\n" * 300 + LINE + "\n", 1),
        (f"puzzle,solution\n\n{LINE},\n", 1),
    ],
)
def test_nothing_is_cut_off_too_soon(text: str, number: int):
    kind, lines = task_of(iter(text.splitlines(keepends=True)), "file")
    assert kind == "sudoku"
    assert len(list(Sudoku.entries(lines, "file"))) == number


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([LINE[:-1], LINE], r"^file, puzzle 1, line 1: 80 cells, .*81 in all \(read as sudoku"),
        ([LINE, {"puzzle": LINE}, 5], r"^file, puzzle 3, line 1: '5', expected a list of rows"),
        ([ROWS, None], r"^file, puzzle 2, line 1: 'None', expected a list of rows"),
        (
            {"quizzes": [LINE, LINE], "solutions": [LINE]},
            r"^file, line 1: 2 puzzles, expected a list of as many answers$",
        ),
        ({"foo": 1}, r"^file, line 1: \"{'foo': 1}\", expected a list of rows"),
    ],
)
def test_a_fault_of_a_value_is_told_where_it_stands(value: object, expected: str):
    with pytest.raises(UserError, match=expected):
        list(Sudoku.entries(task_of(iter([json.dumps(value)]), "file")[1], "file"))


@pytest.mark.parametrize(("second", "cells"), [("", 0), (LINE[:-1], 80)])
def test_no_puzzle_of_a_list_is_lost(second: str, cells: int):
    entries = Sudoku.entries([json.dumps([LINE, second])], "file")
    first, other = ((entry.question, entry.within("file")) for entry in entries)
    Sudoku.sized(*first).read_one(*first)
    with pytest.raises(UserError, match=rf"^file, puzzle 2, line 1: {cells} cells, expected"):
        Sudoku.sized(*other)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 2\n2 x\n", r"line 2: '2 x', expected an edge .* \(read as coloring"),
        ("1 2\n2 3\n3 3\n", r"line 3: vertex 3 joined to itself, .*\(read as coloring"),
        ("5 6\n6 7\n", r"line 1: vertices 5 to 7, expected one numbered 0 or 1.*\(read as coloring"),
        ("2: 3\n3: 2\n", r"line 1: vertices 2 to 3, expected one numbered 0 or 1.*\(read as coloring"),
        (EASY.replace("53..7....", "53..7..."), r"line 1: 8 cells, expected 4 or 9 \(read as sudoku"),
        (EASY.replace("....8..79\n", ""), r"line 1: a board of 8 rows, expected 9 .*\(read as sudoku"),
        ("id,puzzle\n1,53..7....\n", r"line 2: 9 cells, expected 81, .*\(read as sudoku"),
        ("Q..\n....\n....\n....\n", r"line 1: size: got 3, expected .* \(read as nqueens"),
        ("Q...\nQ...\n....\n....\n", r"attack each other, .*\(read as nqueens"),
        ("S..\n###\n..G\n", r"no way leads .*\(read as maze"),
        (
            "name,difficulty\na,b\n",
            r"line 1: a header \(name, difficulty\) without a column of puzzles, expected one .*input$",
        ),
        ("question\n", r"line 1: no puzzles, expected rows after the header$"),
        ("....\n" * 3, r"of nqueens \(line 1: a board of 3 rows, .*\) or of sudoku \(line 1: a board of 3 rows, "),
        ("hello world\n", r"'hello world': no task reads this"),
    ],
)
def test_what_is_wrong_is_said(text: str, expected: str):
    with pytest.raises(UserError, match=expected):
        told(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2 4 1 3\n", r"vertex 2 and its neighbours, several edges, or the columns of queens; expected `2: 4 1 3`"),
        ("7\n", r"'7' may be a vertex without edges, or their number"),
        (
            "1 2 3 4\n3 4 1 2\n2 1 4 3\n4 3 2 1\n",
            r"of coloring or of sudoku, expected --task coloring or --task sudoku",
        ),
        (
            "1 2 3 4\n3 4 1 2\n2 1 4 3\n4 3 2 2\n",
            r"an input of coloring or a wrong one of sudoku \(line 1: row 4, .* both hold 2,.*--task coloring or",
        ),
        ("....\n" * 4, r"of nqueens or of sudoku"),
    ],
)
def test_what_may_be_several_is_refused(text: str, expected: str):
    with pytest.raises(UserError, match=expected):
        told(text)
