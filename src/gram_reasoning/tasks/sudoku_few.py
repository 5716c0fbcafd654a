"""Counting the solutions of a few Sudokus in plain Python: nothing is compiled first, which takes seconds.

Depth-first, the cell with the fewest digits first. sudoku_solver is a thousand times faster once it is compiled.
"""

from collections.abc import Sequence


class Enough(Exception):
    """The search took more guesses than it may."""


class FewSolutions:
    """Counts solutions for as long as guesses are left; all puzzles share them.

    Args:
        size: side of the boards.
        guesses: how many may be made; half a million take about a second.
    """

    def __init__(self, size: int, guesses: int) -> None:
        self.size, self.left = size, guesses
        box = round(size**0.5)
        cells = [divmod(cell, size) for cell in range(size * size)]
        self.units = [(r, size + c, 2 * size + r // box * box + c // box) for r, c in cells]  # of each cell

    def count(self, puzzle: Sequence[int], limit: int) -> int | None:
        """The solutions of a board of digits, 0 for a blank, up to `limit`; None if the guesses do not reach."""
        free = [(1 << self.size) - 1] * (3 * self.size)  # the digits that each unit still lacks, as bits
        for units, digit in zip(self.units, puzzle, strict=True):
            for unit in units if digit else ():
                if not free[unit] >> (digit - 1) & 1:
                    return 0
                free[unit] ^= 1 << (digit - 1)
        blanks = [units for units, digit in zip(self.units, puzzle, strict=True) if not digit]
        try:
            return self._search(blanks, free, limit)
        except Enough:
            return None

    def _search(self, blanks: list[tuple[int, int, int]], free: list[int], limit: int) -> int:
        if not blanks:
            return 1
        fewest, digits, at = self.size + 1, 0, 0
        for number, (row, column, box) in enumerate(blanks):
            here = free[row] & free[column] & free[box]
            if here.bit_count() < fewest:
                fewest, digits, at = here.bit_count(), here, number
                if fewest <= 1:
                    break
        cell, others = blanks[at], blanks[:at] + blanks[at + 1 :]
        found = 0
        while digits and found < limit:
            bit = digits & -digits
            digits ^= bit
            self.left -= 1
            if self.left < 0:
                raise Enough
            for unit in cell:
                free[unit] ^= bit
            found += self._search(others, free, limit - found)
            for unit in cell:
                free[unit] ^= bit
        return found
