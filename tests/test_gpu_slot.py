"""The command for a GPU slot, rehearsed on CPU at debug size: it trains, goes on, judges and packs."""

import json
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

from gram_reasoning.build import load_model

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu_slot.py"


@pytest.mark.slow
def test_a_slot_in_two_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    main: Callable[[list[str]], None] = runpy.run_path(str(SCRIPT))["main"]
    monkeypatch.chdir(tmp_path)
    options = ["--device", "cpu", "--steps", "1", "3", "--train.batch-size", "16", "--train.steps", "8"]
    main(["nqueens7-pocket-debug", "out", "--minutes", "5", "--judge", "no", *options])
    assert not Path("out").exists()
    main(["nqueens7-pocket-debug", "out", "--minutes", "0", *options])
    results = json.loads(Path("out/results.json").read_text())
    assert [e["steps"] for e in results["evaluations"]] == [1, 3, 2]
    assert [e["halting"] for e in results["evaluations"]] == [False, False, True]
    for evaluation in results["evaluations"]:
        assert {"macro", "paper", "by_solutions"} <= evaluation.keys()
        assert list(evaluation["coverage_by_samples"]) == [str(k) for k in range(1, 21)]
    assert results["bench"]["step"]["batch_size"] == 16
    assert results["recipe"]["train"]["steps"] == 8
    assert all(seconds > 0 for seconds in results["seconds"].values())
    assert load_model(Path("out/model"))[0].train.steps == 8
    assert all(file.stat().st_size <= 15e6 for file in Path("out/model").iterdir())
    assert Path("out/metrics.jsonl").exists()
