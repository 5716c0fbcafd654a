"""Sudoku from the rules alone, sharing nothing with the package: sets of digits, plain backtracking.

Boards are lists of cells, row by row; 0 is blank, 1..n a digit, and anything else is no board.
"""

from collections.abc import Iterator
from functools import lru_cache

Board = list[int]


def side(board: Board) -> int:
    return round(len(board) ** 0.5)


@lru_cache
def units(n: int) -> list[list[int]]:
    """The cells of every row, column and box."""
    b = round(n**0.5)
    rows = [[n * r + c for c in range(n)] for r in range(n)]
    columns = [[n * r + c for r in range(n)] for c in range(n)]
    boxes = [
        [n * r + c for r in range(n) for c in range(n) if r // b == top and c // b == left]
        for top in range(b)
        for left in range(b)
    ]
    return rows + columns + boxes


def is_solution(board: Board, given: Board) -> bool:
    """Every row, column and box holds every digit, and every clue is kept."""
    n = side(board)
    digits = set(range(1, n + 1))
    kept = all(clue in (0, cell) for clue, cell in zip(given, board, strict=True))
    return kept and all({board[cell] for cell in unit} == digits for unit in units(n))


def contradictions(board: Board) -> set[tuple[int, int]]:
    """Pairs of cells of one unit that hold the same digit."""
    return {(a, b) for unit in units(side(board)) for a in unit for b in unit if a < b and board[a] == board[b] != 0}


def completions(given: Board) -> Iterator[Board]:
    """Every solution that keeps the clues."""
    n = side(given)
    if contradictions(given):
        return
    peers = [{c for unit in units(n) if cell in unit for c in unit} - {cell} for cell in range(n * n)]

    def fill(board: Board) -> Iterator[Board]:
        blanks = [cell for cell, digit in enumerate(board) if digit == 0]
        if not blanks:
            yield board
            return
        fitting = {cell: set(range(1, n + 1)) - {board[p] for p in peers[cell]} for cell in blanks}
        cell = min(blanks, key=lambda c: len(fitting[c]))
        for digit in fitting[cell]:
            yield from fill([*board[:cell], digit, *board[cell + 1 :]])

    yield from fill(list(given))
