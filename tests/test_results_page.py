"""docs/results.md is what its script writes, and every number in it comes from a file."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("results_page", ROOT / "benchmarks" / "results_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["results_page"] = module
    spec.loader.exec_module(module)
    return module


def test_the_page_is_written_by_its_script(script: ModuleType):
    written = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert written == script.page(), "run `python benchmarks/results_page.py`"


def test_a_number_comes_from_the_table_of_its_study(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    table = next(table for table in script.TABLES if table.study == "queens8")
    monkeypatch.setattr(script, "ROOT", tmp_path)
    [gram] = [line for line in script.written(table) if line.startswith("| GRAM | GRAM |")]
    assert gram == "| GRAM | GRAM | 99.7 | not run | not run | 90.3 | not run | not run |"
    (tmp_path / "results" / "queens8").mkdir(parents=True)
    row = {"system": "GRAM", "block": "relations", "measure": "samples.paper.coverage", "value": 0.875}
    (tmp_path / "results" / "queens8" / "table.json").write_text(json.dumps({"rows": [row]}))
    [gram] = [line for line in script.written(table) if line.startswith("| GRAM | GRAM |")]
    assert gram == "| GRAM | GRAM | 99.7 | not run | not run | 90.3 | 87.5 | not run |"


def test_every_system_of_a_study_that_the_page_names_is_one(script: ModuleType):
    from gram_reasoning.studies import STUDIES

    for table in script.TABLES:
        systems = {run.system for run in STUDIES[table.study].runs}
        named = {line.system for line in table.lines if line.system}
        assert named & systems, table.title
        judgements = {one.name for one in STUDIES[table.study].judgements}
        measures = {number.measure for number in table.numbers}
        measures |= {measure for line in table.lines for measure in line.measures}
        assert {measure.partition(".")[0] for measure in measures} <= judgements
