"""Ctrl-C and SIGTERM as a wish to save and stop."""

import signal
from collections.abc import Callable
from typing import Any


class StopSignals:
    """While open, SIGTERM and Ctrl-C call `note`; a second Ctrl-C interrupts at once.

    Args:
        note: called with the number of the signal.
        patient: take no second Ctrl-C as one: a launcher repeats the first to each of its processes.
    """

    def __init__(self, note: Callable[[int], None], patient: bool = False) -> None:
        self.note, self.patient = note, patient
        self.asked = False
        self.before: dict[int, Any] = {}

    def __enter__(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            try:
                self.before[number] = signal.signal(number, self._catch)
            except ValueError:  # not in the main thread: whoever runs us there handles signals
                return

    def _catch(self, number: int, frame: object) -> None:
        if self.asked and number == signal.SIGINT and not self.patient:
            raise KeyboardInterrupt
        self.asked = True
        self.note(number)

    def __exit__(self, *exc: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
