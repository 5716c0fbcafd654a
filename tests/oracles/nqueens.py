"""N-Queens from the rules alone, sharing nothing with the package: queens as sets of cells, search by permutations.

Boards are lists of rows; a cell is 1 (empty) or 2 (queen), and anything else is no board.
"""

from itertools import combinations, permutations

Board = list[list[int]]
Cell = tuple[int, int]


def queens(board: Board) -> set[Cell]:
    return {(r, c) for r, row in enumerate(board) for c, cell in enumerate(row) if cell == 2}


def attack(a: Cell, b: Cell) -> bool:
    return a[0] == b[0] or a[1] == b[1] or a[0] + a[1] == b[0] + b[1] or a[0] - a[1] == b[0] - b[1]


def is_solution(board: Board, given: Board) -> bool:
    """As many peaceful queens as rows, the given ones among them, and every other cell empty."""
    placed = queens(board)
    return (
        all(cell in (1, 2) for row in board for cell in row)
        and len(placed) == len(board)
        and queens(given) <= placed
        and not any(attack(a, b) for a, b in combinations(placed, 2))
    )


def completions(given: Board) -> list[Board]:
    """Every solution that keeps the given queens."""
    size, fixed = len(given), queens(given)
    rows = sorted(set(range(size)) - {r for r, _ in fixed})
    columns = sorted(set(range(size)) - {c for _, c in fixed})
    if not len(rows) == len(columns) == size - len(fixed):
        return []
    found = []
    for order in permutations(columns):
        placed = fixed | set(zip(rows, order, strict=True))
        if len({r + c for r, c in placed}) == len({r - c for r, c in placed}) == size:
            found.append([[2 if (r, c) in placed else 1 for c in range(size)] for r in range(size)])
    return found
