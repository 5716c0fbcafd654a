"""What a text of N-Queens boards means to `gram solve`, written from its help alone; imports nothing of the package.

A text is a list of boards. Lines that start with # are comments. A line with / is a board, its rows joined; a line with
a comma is a board, the column of each row's queen from 1, `.` where open; other lines are the rows of a board that an
empty line ends. A row holds Q or q for a queen and . or _ for an empty cell; white space is nothing.
"""

from dataclasses import dataclass, field

from oracles.nqueens import Board, attack, queens


@dataclass
class Text:
    """The boards of a text up to the first bad one, and the lines of that one (None if there is no board at all)."""

    boards: list[Board] = field(default_factory=list)
    bad: bool = False
    lines: range | None = None


def read(text: str, size: int) -> Text:
    found = Text()
    rows: list[str] = []
    begun = 0
    for number, line in enumerate(map(str.strip, [*text.split("\n"), ""]), 1):
        if line[:1] == "#":
            continue
        alone = "/" in line or "," in line
        if line and not alone:
            begun = begun or number
            rows.append(line)
            continue
        if rows and alone:
            return Text(found.boards, True, range(number, number + 1))
        for start, lines in ((begun, rows), (number, [line] if alone else [])):
            if lines:
                board = one(lines, size)
                if board is None:
                    return Text(found.boards, True, range(start, number + 1))
                found.boards.append(board)
        rows, begun = [], 0
    return found if found.boards else Text(bad=True)


def one(lines: list[str], size: int) -> Board | None:
    if "," in lines[0]:
        cells = [column.strip() for column in lines[0].split(",")]
        numbers = [str(column) for column in range(1, size + 1)]
        if any(cell != "." and cell not in numbers for cell in cells):
            return None
        rows = [["Q" if cell == number else "." for number in numbers] for cell in cells]
    else:
        rows = [list("".join(row.split())) for row in (lines[0].split("/") if "/" in lines[0] else lines)]
    board = [[2 if cell in "Qq" else 1 for cell in row] for row in rows]
    square = len(board) == size and all(len(row) == size for row in board)
    known = all(cell in ("Q", "q", ".", "_") for row in rows for cell in row)
    if not square or not known or any(attack(a, b) for a in queens(board) for b in queens(board) if a != b):
        return None
    return board
