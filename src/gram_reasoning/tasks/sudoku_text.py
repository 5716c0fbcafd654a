"""Sudoku boards from text, in the forms that people keep them in.

A board is n lines of n cells, or one line: all cells, or its rows joined by `/`. A blank is one of `. 0 _ * ? -`, or
nothing between two commas, semicolons or tabs. Bars, frames and rules such as `---+---+---` are looked over, and so
are titles such as `Grid 01` and what follows `[State]`. Lines of n dashes alone are rules or rows of blanks: whichever
makes n rows.
"""

import re
from collections.abc import Iterable, Iterator

from gram_reasoning.errors import UserError
from gram_reasoning.tasks.forms import Block

BLANKS = ".0_*?-"
BARS = "|│┃║¦"
FRAME = "-=+*.:'`" + BARS + "─━═┄┅┈┉┌┐└┘├┤┬┴┼┏┓┗┛┣┫┳┻╋╔╗╚╝╠╣╦╩╬╟╢╤╧╪╫╞╡╥╨╓╖╙╜╒╕╘╛╭╮╰╯┠┨┯┷┿╂"
SIZES = {16: 4, 81: 9}
"""The side of a board by its cells."""
Row = tuple[str, str]
"""Where a row stands, and its cells."""


def without_titles(lines: Iterable[str]) -> Iterator[str]:
    """The same lines, with titles as ends of boards, and what is no puzzle in a file with sections as comments."""
    skipped = False
    for line in lines:
        text = line.strip().lower()
        if section := re.fullmatch(r"\[([a-z][a-z ]*)\]", text):
            skipped = section[1] != "puzzle"
            yield ""
        elif re.fullmatch(r"(grid|puzzle|sudoku|board|nr|no)\b[\s.#]*\d*\s*:?", text):
            yield ""
        else:
            skipped = skipped and text != ""
            yield "#" if skipped else line


def is_rule(line: str) -> bool:
    """Whether a line is part of a frame: no row of cells can look like it."""
    marks = set(re.sub(r"\s", "", line))
    if not marks or not marks <= set(FRAME):
        return False
    dashes = marks & set("-=─━═┄┅┈┉")
    others = marks - set(BARS)
    return not others or bool(dashes - {"-"}) or (bool(dashes) and len(others) > 1)


def is_dashes(line: str) -> bool:
    """Whether a line is a rule or a row of blanks: it has dashes alone."""
    return re.fullmatch(rf"[-\s{BARS}]*-[-\s{BARS}]*", line) is not None


def cells_of(line: str, sides: tuple[int, ...] = (4, 9, 16, 81)) -> str:
    """The cells of a row, or of a whole board on one line, a character each; other lines without their spaces."""
    for mark in ",;\t":
        if mark in line:
            fields = [field.strip(f" {BARS}") for field in line.strip(" ").split(mark)]
            if len(fields) - 1 in sides and fields[-1] == "":
                fields.pop()
            if len(fields) in sides and all(len(field) <= 1 for field in fields):
                return "".join(field or "." for field in fields)
    return re.sub(rf"[\s{BARS}]", "", line)


def stands_alone(line: str) -> bool:
    return "/" in line or (len(cells_of(line)) in SIZES and not is_rule(line) and not is_dashes(line))


def rows_of(lines: Block, where: str, n: int | None = None) -> list[Row]:
    """The rows of a board of side `n`, or of the side that its first row has, each with its place."""
    number, first = lines[0]
    if len(lines) == 1 and "/" in first:
        return [(f"{where}, line {number}, row {r}", cells_of(row)) for r, row in enumerate(first.split("/"), 1)]
    if (
        len(lines) == 1
        and not is_dashes(first)
        and (side := SIZES.get(len(cells := cells_of(first))))
        and n in (None, side)
    ):
        rows = [cells[i : i + side] for i in range(0, len(cells), side)]
        return [(f"{where}, line {number}, row {r}", row) for r, row in enumerate(rows, 1)]
    sure = [(number, cells_of(line)) for number, line in lines if not is_rule(line) and not is_dashes(line)]
    n = n or (len(sure[0][1]) if sure else 9)
    if len(sure) < n:
        rows = [(number, cells_of(line)) for number, line in lines if not is_rule(line)]
        fit = [(number, row) for number, row in rows if set(row) != {"-"} or len(row) == n]
        sure = fit if len(fit) == n else sure
    return [(f"{where}, line {number}", row) for number, row in sure]


def is_whole(lines: Block) -> bool:
    """Whether the lines are n rows of n cells already, and none of them may be a rule or a row."""
    if any(is_dashes(line) and len(cells_of(line)) in (4, 9) for _, line in lines):
        return False
    rows = [cells_of(line) for _, line in lines if not is_rule(line) and not is_dashes(line)]
    return len(rows) in (4, 9) and all(len(row) == len(rows) for row in rows)


def is_frame(lines: Block) -> bool:
    """Whether the lines are the end of a frame around a board that was whole before."""
    return all(is_rule(line) or (is_dashes(line) and len(cells_of(line)) not in (4, 9)) for _, line in lines)


def side_of(lines: Block, where: str) -> int:
    """The side of the board: that of its first row."""
    rows = rows_of(lines, where)
    if not rows:
        raise UserError(f"{where}, line {lines[0][0]}: a frame without rows, expected a board")
    place, row = rows[0]
    if len(row) not in SIZES.values():
        whole = " in a row, or 16 or 81 in all" if len(lines) == 1 and "/" not in lines[0][1] else ""
        raise UserError(f"{place}: {len(row)} cells, expected 4 or 9{whole}")
    return len(row)
