"""What the tests of the page share: the server, what a visitor does, judges that import nothing of the package."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gram_reasoning.app.bundled import choices
from oracles import coloring, maze, nqueens, sudoku

PATIENCE = 200_000
"""Milliseconds that the browser waits on a busy machine."""


@dataclass(frozen=True)
class Served:
    """The process with the page."""

    address: str
    pid: int
    folder: Path
    """Where it notes whom it called."""

    def called(self) -> list[str]:
        """Hosts other than this machine that it looked up or connected to."""
        noted = self.folder / "called.txt"
        return noted.read_text().splitlines() if noted.exists() else []


@contextmanager
def serving(*options: str) -> Iterator[Served]:
    """`gram app` with these options, in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="gram-app-") as name:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "GRADIO_TEMP_DIR": name, "HOME": name}
        command = [sys.executable, "-u", Path(__file__).with_name("served.py"), name, *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("http://127.0.0.1:"), line
        try:
            yield Served(line.split()[0].rstrip("/"), process.pid, Path(name))
        finally:
            process.terminate()
            process.wait()
            process.stdout.close()


def label_of(name: str) -> str:
    """What the page calls a model of the package."""
    return next(choice.label for choice in choices() if choice.name == name)


def visit(page: Any, served: Served) -> None:
    """Open the page and wait until it listens: what is done before that is lost."""
    from playwright.sync_api import TimeoutError as NotYet

    page.goto(served.address)
    page.wait_for_selector("#board [data-i]")
    text = page.input_value("#text textarea")
    for _ in range(20):
        page.click("#example")
        with suppress(NotYet):
            page.wait_for_function(
                "old => document.querySelector('#text textarea').value !== old", arg=text, timeout=PATIENCE / 20
            )
            return
    raise AssertionError("the page does not listen")


def choose(page: Any, name: str) -> None:
    """Choose a model of the package, if it is another one."""
    if page.input_value("#task input") != label_of(name):
        choose_labelled(page, label_of(name))


def choose_labelled(page: Any, label: str) -> None:
    """Choose another model and wait until its example stands there: a text written before that is replaced by it."""
    before = page.input_value("#text textarea")
    page.click("#task input")
    page.get_by_role("option", name=label, exact=True).click()
    page.wait_for_function(
        "before => document.querySelector('#text textarea').value !== before", arg=before, timeout=PATIENCE
    )


def press(page: Any, button: str) -> None:
    """Press a button and wait for the last word of that run, not of the one before."""
    page.evaluate("() => document.querySelectorAll('[data-done], .error').forEach((p) => { p.dataset.old = '' })")
    page.click(button)
    page.wait_for_selector('[data-done="true"]:not([data-old]), .error:not([data-old])')


def write(page: Any, text: str) -> None:
    """Write a text, again if what the server still had to say replaces it (a busy machine says it late)."""
    still = 0
    while still < 4:
        still = still + 1 if page.input_value("#text textarea") == text else 0
        if still == 0:
            page.fill("#text textarea", text)
        page.wait_for_timeout(50)


def oracle(name: str) -> Callable[[str, str], bool]:
    """Whether a text is an answer to a text, by the task's rules alone."""
    kinds = {"nqueens": _queens, "coloring": _colours, "maze": _path, "sudoku": _sudoku}
    return next(judge for kind, judge in kinds.items() if name.startswith(kind))


def _queens(puzzle: str, answer: str) -> bool:
    board, given = ([[1 + (cell == "Q") for cell in row] for row in text.split("/")] for text in (answer, puzzle))
    return nqueens.is_solution(board, given)


def _colours(puzzle: str, answer: str) -> bool:
    edges = {(int(a) - 1, int(b) - 1) for a, b in (line.split() for line in puzzle.split("\n"))}
    return coloring.is_solution(["abc".find(colour) for colour in answer], edges, 3)


def _path(puzzle: str, answer: str) -> bool:
    return maze.is_shortest_path(answer.replace(".", " ").split("/"), puzzle.replace(".", " ").split("/"))


def _sudoku(puzzle: str, answer: str) -> bool:
    board, given = ([int(cell) if cell.isdigit() else 0 for cell in text.replace("/", "")] for text in (answer, puzzle))
    return sudoku.is_solution(board, given)
