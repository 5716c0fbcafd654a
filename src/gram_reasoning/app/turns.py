"""Runs that visitors asked for and that have not ended: what lets a click end one, also one that still waits."""

from dataclasses import dataclass
from secrets import token_hex

MOST = 10_000
"""Turns that are kept; a browser that is closed never ends its last one."""


@dataclass
class Turn:
    """A run from the click to its last word."""

    begun: bool = False
    stopped: bool = False
    """It is to end soon and to say what it found."""
    replaced: bool = False
    """It is to end soon and to say nothing: its puzzle is no longer there."""


class Turns:
    """The turns by their names, which only the browser that began one knows."""

    def __init__(self) -> None:
        self._open: dict[str, Turn] = {}

    def new(self) -> str:
        """A new turn's name."""
        while len(self._open) >= MOST:
            self.end(next(iter(self._open)))
        name = token_hex(8)
        self._open[name] = Turn()
        return name

    def of(self, name: str) -> Turn | None:
        """The turn of that name, while it is open."""
        return self._open.get(name)

    def end(self, name: str) -> None:
        """Forget it."""
        self._open.pop(name, None)
