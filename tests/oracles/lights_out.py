"""Lights Out by hand: boards are rows of 0 and 1. Knows nothing of the package."""

from itertools import product

Board = list[list[int]]


def after(lamps: Board, presses: Board) -> Board:
    """The lamps when every press of 1 has switched its lamp and those above, below, left and right of it."""
    board = [row[:] for row in lamps]
    for r, row in enumerate(presses):
        for c, pressed in enumerate(row):
            if not pressed:
                continue
            for y, x in ((r, c), (r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)):
                if 0 <= y < len(board) and 0 <= x < len(row):
                    board[y][x] ^= 1
    return board


def solutions(lamps: Board) -> list[Board]:
    """All presses that put the lamps out: guess the first row; each next row must press below what is still lit."""
    found: list[Board] = []
    for first in product((0, 1), repeat=len(lamps[0])):
        presses: Board = [list(first)]
        for r in range(1, len(lamps)):
            presses.append(after(lamps, [*presses, *[[0] * len(first)] * (len(lamps) - r)])[r - 1])
        if not any(map(any, after(lamps, presses))):
            found.append(presses)
    return found
