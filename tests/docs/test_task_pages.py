"""docs/tasks.md: every form that it shows is read, and all forms of a task say one puzzle."""

import re
from pathlib import Path

import pytest

from gram_reasoning.build import TASKS
from gram_reasoning.tasks.text import Text

PAGE = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text()
FORMS = {
    kind: blocks
    for kind, section in re.findall(r"^## [^\n]*\(`([\w-]+)`\)\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    if (blocks := re.findall(r"```text\n(.*?)```", section, re.DOTALL))
}


def test_every_task_has_a_section():
    named = re.findall(r"^## .*\(`([\w-]+)`\)$", PAGE, re.MULTILINE)
    assert sorted(named) == sorted(TASKS)
    assert {kind: len(forms) for kind, forms in FORMS.items()} == {"nqueens": 6, "sudoku": 7, "coloring": 6, "maze": 3}


@pytest.mark.parametrize("kind", sorted(FORMS))
def test_all_forms_say_the_same_puzzle(kind: str):
    task = TASKS[kind]
    assert issubclass(task, Text)
    read = []
    for form in FORMS[kind]:
        lines = form.splitlines(keepends=True)
        [entry] = task.entries(lines, "the page")
        puzzle = task.sized(entry.question, "the page").read_entry(entry, "the page", answers=True)
        assert (puzzle.answer is not None) == ("solution" in form)
        read.append(puzzle.tokens.tolist())
    assert all(tokens == read[0] for tokens in read)
    assert len(set(read[0])) > 1
