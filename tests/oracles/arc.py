"""ARC from its description alone, sharing nothing with the package: grids as lists of rows, canvases cell by cell.

A canvas is a flat list of side * side tokens: 0 pad, 1 end, 2 to 11 the colours 0 to 9.
"""

from typing import Any

Grid = list[list[int]]


def write(grid: Grid, side: int, down: int = 0, right: int = 0) -> list[int]:
    """A grid at a place of the canvas, ends below and beside it where there is room."""
    height, width = len(grid), len(grid[0])
    tokens = {}
    for r in range(height):
        for c in range(width):
            tokens[r + down, c + right] = grid[r][c] + 2
        tokens[r + down, width + right] = 1
    for c in range(width):
        tokens[height + down, c + right] = 1
    return [tokens.get((r, c), 0) for r in range(side) for c in range(side)]


def read(canvas: list[int]) -> Grid:
    """The largest rectangle of colours that starts in the corner, of equal ones the least high; or no rows."""
    side = round(len(canvas) ** 0.5)
    best: tuple[int, int] = (0, 0)
    for height in range(1, side + 1):
        for width in range(1, side + 1):
            cells = [canvas[r * side + c] for r in range(height) for c in range(width)]
            if all(2 <= token <= 11 for token in cells) and height * width > best[0] * best[1]:
                best = (height, width)
    return [[canvas[r * side + c] - 2 for c in range(best[1])] for r in range(best[0])]


def turn(grid: Grid, number: int) -> Grid:
    """Bit 0 turns the rows upside down, bit 1 mirrors left and right, bit 2 transposes afterwards."""
    if number & 1:
        grid = grid[::-1]
    if number & 2:
        grid = [row[::-1] for row in grid]
    return [list(column) for column in zip(*grid, strict=True)] if number & 4 else [list(row) for row in grid]


def recolor(grid: Grid, colors: list[int]) -> Grid:
    return [[colors[cell] for cell in row] for row in grid]


def is_grid(value: Any) -> bool:
    """1 to 30 rows of equal length 1 to 30, cells 0 to 9."""
    return (
        isinstance(value, list)
        and 1 <= len(value) <= 30
        and all(isinstance(row, list) and 1 <= len(row) <= 30 and len(row) == len(value[0]) for row in value)
        and all(type(cell) is int and 0 <= cell <= 9 for row in value for cell in row)
    )


def submission_faults(submission: Any, tests: dict[str, int]) -> list[str]:
    """What is wrong with a submission for tasks with so many test inputs each, by the official format."""
    faults = []
    if not isinstance(submission, dict) or submission.keys() != tests.keys():
        return ["not an object with every task"]
    for name, attempts in submission.items():
        if not isinstance(attempts, list) or len(attempts) != tests[name]:
            faults.append(f"{name}: not a list with an entry for each test input")
            continue
        for entry in attempts:
            if not isinstance(entry, dict) or entry.keys() != {"attempt_1", "attempt_2"}:
                faults.append(f"{name}: not two attempts")
            elif not all(is_grid(grid) for grid in entry.values()):
                faults.append(f"{name}: no grid")
    return faults


def score(submission: dict[str, Any], solutions: dict[str, list[Grid]], attempts: int) -> float:
    """The mean over tasks of the share of test inputs that one of the first attempts solves."""
    shares = []
    for name, outputs in solutions.items():
        names = [f"attempt_{k}" for k in range(1, attempts + 1)]
        solved = [any(entry[n] == out for n in names) for entry, out in zip(submission[name], outputs, strict=True)]
        shares.append(sum(solved) / len(solved))
    return sum(shares) / len(shares)
