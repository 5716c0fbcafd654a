"""docs/field-tests.md: every row names a test that exists, or says that it is open."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROWS = [
    re.split(r" \| ", line.strip("| "))
    for line in (ROOT / "docs" / "field-tests.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and " | test |" not in line
]


def names_in(file: Path) -> set[str]:
    return {
        node.name for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.FunctionDef)
    }


def test_every_named_test_exists():
    for row in ROWS:
        if (found := re.fullmatch(r"`(tests/[\w/]+\.py)::(test_\w+)`", row[-1])) is None:
            assert row[-1] == "none", row
            assert row[-2].startswith("open: "), row
        else:
            assert found[2] in names_in(ROOT / found[1]), row


def test_all_faults_are_there():
    assert [row[0] for row in ROWS if row[0].isdigit()] == [str(n) for n in range(1, 14)]
    assert len(ROWS) > 50
