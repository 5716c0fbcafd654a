"""The sample of mutants: what is mutated and what is not, how the sample is drawn, and what counts."""

import ast
import runpy
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "mutants.py"
SOURCE = '''"""Prose of the module."""

import math


class Box:
    """Prose of the class."""

    kind: str = "flat"

    @property
    def wide(self) -> "bool":
        """Prose of the method."""
        return self.size > 10

    def check(self, depth: int = 3, more=math.inf) -> None:
        assert depth, "message"
        self.say("told", depth)
        if depth < 2:
            raise ValueError(f"deep {depth}", "argument")
        return self.call("key", "a whole sentence", depth)
'''


@pytest.fixture(scope="module")
def tool() -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(SCRIPT)))


@pytest.fixture
def mutants(tool: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    (tmp_path / "box.py").write_text(SOURCE)
    monkeypatch.setitem(tool.Mutations.__init__.__globals__, "ROOT", tmp_path)
    return tool.Mutations("box.py").found


def test_each_mutant_is_one_change_that_can_be_read_as_code(mutants: list[Any]):
    before = ast.dump(ast.parse(SOURCE))
    assert len({mutant.id for mutant in mutants}) == len(mutants)
    for mutant in mutants:
        assert ast.dump(ast.parse(mutant.code)) != before
        removed = [row for row in mutant.diff if row[0] == "-"]
        assert len(removed) == 1
        assert SOURCE.splitlines()[mutant.line - 1] == removed[0][1:]
        assert mutant.scope in ("Box", "Box.wide", "Box.check")


def test_what_is_mutated(mutants: list[Any]):
    """Keys, numbers, comparisons, arguments and simple defaults, also below a decorator; no prose, message or type."""
    changed = {line[1:].strip() for mutant in mutants for line in mutant.diff if line[0] == "+"}
    for line in (
        'kind: str = "XXflatXX"',
        "kind: str = None",
        "return self.size >= 10",
        "return self.size > 11",
        "def check(self, depth: int = 4, more=math.inf) -> None:",
        "if depth <= 2:",
        'return self.call("XXkeyXX", "a whole sentence", depth)',
        'return self.call("key", depth)',
        'return self.call("key", "a whole sentence", None)',
    ):
        assert line in changed
    untouched = ("Prose", "message", "told", "ValueError", "import")
    assert not [line for line in changed if any(word in line for word in untouched)]
    assert not [line for line in changed if "XX" in line and ("sentence" in line.split("XX")[1] or "bool" in line)]


def test_every_file_has_its_share(tool: SimpleNamespace):
    population = {"a": list(range(100)), "b": list(range(300)), "c": list(range(1)), "d": []}
    drawn = tool.sample(population, 40, seed=0)
    sizes = Counter("a" if n < 10 else "b" for n in range(len(drawn)))
    assert len(drawn) == 40
    assert sizes == {"a": 10, "b": 30}
    assert len(set(drawn[:10])) == 10
    assert set(drawn[10:]) <= set(range(300))
    assert drawn == tool.sample(population, 40, seed=0) != tool.sample(population, 40, seed=1)
    more = tool.sample({**population, "b": list(range(150)) * 2}, 40, seed=0)
    assert more[:10] == drawn[:10], "another file changes what is drawn from this one"


def test_the_score_leaves_out_argued_equivalents(tool: SimpleNamespace):
    fates = ["killed", "killed", "timeout", "survived", "survived"]
    entries = [{"id": str(n), "fate": fate} for n, fate in enumerate(fates)]
    assert tool.totals(entries, {})["score"] == 0.6
    told = tool.totals(entries, {"4": "it changes nothing", "9": "it is not in the sample"})
    assert (told["judged"], told["survived"], told["argued_equivalent"], told["score"]) == (5, 2, 1, 0.75)
    assert tool.totals(entries, {"0": "a mistake: a test killed it"})["score"] == 0.5


def test_a_fate_counts_for_the_code_it_was_found_on(tool: SimpleNamespace):
    before, killed, survived = {"src": "s", "tests": "t"}, {"by": "tests/a.py::one"}, {"by": None}
    tests = {"tests/a.py::one": 0.1}
    for entry, now, counts in [
        (killed, before, True),
        (survived, before, True),
        (killed, {"src": "s", "tests": "new"}, True),
        (survived, {"src": "s", "tests": "new"}, False),
        (killed, {"src": "new", "tests": "t"}, False),
    ]:
        assert tool.still_counts(entry, before, now, tests) is counts
    assert not tool.still_counts(killed, before, {"src": "s", "tests": "new"}, {}), "the test is gone"
