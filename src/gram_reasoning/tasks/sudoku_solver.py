"""An exact Sudoku solver: counts solutions up to a limit, fills random boards, takes clues away. 4x4 and 9x9.

Compiled by numba. Candidates of a cell are bits; a placement is propagated through naked and hidden singles, and the
cell with fewest candidates is branched on. Boards are rows of digits, 0 for a blank.
"""

import os
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numba
import numpy as np


@lru_cache(maxsize=4)
def layout(size: int) -> tuple[np.ndarray, np.ndarray]:
    """The units (rows, columns, boxes) as cells (3 * size, size), and the peers of each cell (cells, number)."""
    box = round(size**0.5)
    cells = np.arange(size * size).reshape(size, size)
    boxes = cells.reshape(box, box, box, box).swapaxes(1, 2).reshape(size, size)
    units = np.concatenate([cells, cells.T, boxes]).astype(np.int64)
    peers = [sorted({int(p) for u in units if cell in u for p in u} - {cell}) for cell in range(size * size)]
    return units, np.array(peers)


def solve(puzzles: np.ndarray, limit: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Solve M puzzles (M, cells) exactly.

    Returns:
        The number of solutions of each, counted up to `limit` (M,); its first solution (M, cells), zeros where there
        is none; and the guesses that counting took (M,), a rough difficulty.
    """
    puzzles, units, peers = _prepare(puzzles)
    return _solve_many(puzzles, units, peers, limit)


def solutions(puzzle: np.ndarray, limit: int) -> np.ndarray:
    """The solutions of one puzzle (cells,), at most `limit` of them: (n, cells) uint8."""
    puzzles, units, peers = _prepare(puzzle[None])
    found = np.zeros((limit, puzzles.shape[1]), np.uint8)
    number, _ = _search(puzzles[0], units, peers, limit, found, np.uint64(0))
    return found[:number]


def random_boards(keys: np.ndarray, size: int) -> np.ndarray:
    """A full board for each key (M,) uint64: (M, cells) uint8. Every board can come, not all equally often."""
    return _fill_many(keys, *layout(size))


def dig(boards: np.ndarray, keys: np.ndarray, blanks: np.ndarray) -> np.ndarray:
    """Take clues away from full boards (M, cells), in an order drawn from each key, while the solution stays unique.

    Args:
        blanks: how many to take at most (M,); fewer where no further clue can go.
    """
    boards, units, peers = _prepare(boards)
    return _dig_many(boards, keys, blanks.astype(np.int64), units, peers)


def _prepare(puzzles: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.ascontiguousarray(puzzles, np.uint8), *layout(round(puzzles.shape[1] ** 0.5))


_BITS = np.array([bin(mask).count("1") for mask in range(1 << 9)])
"""How many bits a mask has."""


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function when it is first called, and keep the machine code for the next process.

    It is kept where numba keeps it (NUMBA_CACHE_DIR, beside the source, the user's cache); if none of these can be
    written in GRAM_CACHE_DIR; else nowhere, and every process compiles anew, for some seconds.
    """
    settings: Any = numba.config  # pyright: ignore[reportPrivateImportUsage] - named so in its documentation
    own = settings.CACHE_DIR
    for folder in (own, os.environ.get("GRAM_CACHE_DIR")):
        settings.CACHE_DIR = folder or own  # read while a function is wrapped
        try:
            return numba.njit(cache=True)(function)
        except RuntimeError as error:
            if "cannot cache" not in str(error):
                raise
        finally:
            settings.CACHE_DIR = own
    return numba.njit(function)


@compiled
def _next(state):
    """One step of splitmix64: the new state and 64 random bits."""
    state = state + np.uint64(0x9E3779B97F4A7C15)
    z = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state, z ^ (z >> np.uint64(31))


@compiled
def _follow(candidates, peers, queue, tail):
    """Take the digits of the `tail` fixed cells in the queue, and of all that this fixes, from their peers.

    Returns False on a contradiction.
    """
    head = 0
    while head < tail:
        cell = queue[head]
        fixed = candidates[cell]
        head += 1
        for k in range(peers.shape[1]):
            other = peers[cell, k]
            if candidates[other] & fixed:
                left = candidates[other] & ~fixed
                candidates[other] = left
                if left == 0:
                    return False
                if left & (left - 1) == 0:
                    queue[tail] = other
                    tail += 1
    return True


@compiled
def _propagate(candidates, units, peers, queue, tail):
    """Follow fixed cells, then fix digits that fit one cell of a unit only, until nothing changes.

    Returns False on a contradiction.
    """
    size = units.shape[1]
    if not _follow(candidates, peers, queue, tail):
        return False
    u, clean = 0, 0  # `clean` units in a row without a change: done when it is all of them
    while clean < units.shape[0]:
        once, twice = 0, 0
        for k in range(size):
            here = candidates[units[u, k]]
            twice |= once & here
            once |= here
        if once != (1 << size) - 1:
            return False
        single = once & ~twice
        clean += 1
        for k in range(size):
            cell = units[u, k]
            bit = candidates[cell] & single
            if bit and candidates[cell] != bit:
                if bit & (bit - 1):
                    return False
                candidates[cell] = bit
                queue[0] = cell
                if not _follow(candidates, peers, queue, 1):
                    return False
                clean = 0
        u = u + 1 if u + 1 < units.shape[0] else 0
    return True


@compiled
def _start(puzzle, candidates, units, peers, queue):
    """Candidates from the clues; False on a contradiction."""
    size = units.shape[1]
    tail = 0
    for cell in range(len(puzzle)):
        candidates[cell] = (1 << size) - 1
    for cell in range(len(puzzle)):
        if puzzle[cell]:
            candidates[cell] = 1 << (puzzle[cell] - 1)
            queue[tail] = cell
            tail += 1
    for i in range(tail):
        cell = queue[i]
        for k in range(peers.shape[1]):
            if puzzle[peers[cell, k]] == puzzle[cell]:
                return False
            if not puzzle[peers[cell, k]]:
                candidates[peers[cell, k]] &= ~candidates[cell]
    tail = 0
    for cell in range(len(puzzle)):
        left = candidates[cell]
        if left == 0:
            return False
        if not puzzle[cell] and left & (left - 1) == 0:
            queue[tail] = cell
            tail += 1
    return _propagate(candidates, units, peers, queue, tail)


@compiled
def _branch_cell(candidates, peers):
    """The open cell with fewest candidates, and among those with most open peers; -1 if none is open."""
    best, fewest, most = -1, 99, -1
    for cell in range(len(candidates)):
        number = _BITS[candidates[cell]]
        if number == 1 or number > fewest:
            continue
        touched = 0
        for k in range(peers.shape[1]):
            other = candidates[peers[cell, k]]
            if other & (other - 1) and other & candidates[cell]:
                touched += 4 if _BITS[other] == 2 else 1
        if number < fewest or touched > most:
            best, fewest, most = cell, number, touched
    return best


@compiled
def _search(puzzle, units, peers, limit, found, key):
    """Depth-first search: the number of solutions up to `limit`, and of guesses.

    Solutions are written into the rows of `found` as long as there are rows. Digits are tried in order, or in a
    random one that a key above 0 gives.
    """
    cells = len(puzzle)
    stack = np.empty((cells + 1, cells), np.int32)  # candidates at each depth
    cell_at = np.zeros(cells + 1, np.int64)  # the cell branched on at each depth
    untried = np.zeros(cells + 1, np.int64)
    queue = np.zeros(cells + 1, np.int64)
    number, guesses, depth = 0, 0, 0
    state = key
    consistent = _start(puzzle, stack[0], units, peers, queue)
    while True:
        if consistent:
            best = _branch_cell(stack[depth], peers)
            if best < 0:  # every cell is fixed
                if number < len(found):
                    for cell in range(cells):
                        found[number, cell] = _BITS[stack[depth, cell] - 1] + 1
                number += 1
                if number >= limit:
                    return number, guesses
            else:
                depth += 1
                cell_at[depth], untried[depth] = best, stack[depth - 1, best]
        # the next untried digit of the deepest open branch
        while depth > 0 and untried[depth] == 0:
            depth -= 1
        if depth == 0:
            return number, guesses
        choice = untried[depth]
        if key:
            state, bits = _next(state)
            for _ in range(bits % np.uint64(_BITS[choice])):
                choice &= choice - 1
        bit = choice & -choice
        untried[depth] &= ~bit
        guesses += 1
        for cell in range(cells):
            stack[depth, cell] = stack[depth - 1, cell]
        stack[depth, cell_at[depth]] = bit
        queue[0] = cell_at[depth]
        consistent = _propagate(stack[depth], units, peers, queue, 1)


@compiled
def _solve_many(puzzles, units, peers, limit):
    M, cells = puzzles.shape
    number, guesses = np.zeros(M, np.int64), np.zeros(M, np.int64)
    first = np.zeros((M, cells), np.uint8)
    for m in range(M):
        number[m], guesses[m] = _search(puzzles[m], units, peers, limit, first[m : m + 1], np.uint64(0))
    return number, first, guesses


@compiled
def _fill_many(keys, units, peers):
    boards = np.zeros((len(keys), units.shape[1] ** 2), np.uint8)
    blank = np.zeros(units.shape[1] ** 2, np.uint8)
    for m in range(len(keys)):
        _search(blank, units, peers, 1, boards[m : m + 1], keys[m] | np.uint64(1))
    return boards


@compiled
def _dig_many(boards, keys, blanks, units, peers):
    M, cells = boards.shape
    puzzles = boards.copy()
    none = np.zeros((0, cells), np.uint8)
    for m in range(M):
        state = keys[m]
        order = np.arange(cells)
        for i in range(cells - 1, 0, -1):  # Fisher-Yates
            state, bits = _next(state)
            j = np.int64(bits % np.uint64(i + 1))
            order[i], order[j] = order[j], order[i]
        taken = 0
        for cell in order:
            if taken == blanks[m]:
                break
            digit = puzzles[m, cell]
            puzzles[m, cell] = 0
            number, _ = _search(puzzles[m], units, peers, 2, none, np.uint64(0))
            if number == 1:
                taken += 1
            else:
                puzzles[m, cell] = digit
    return puzzles
