"""The study `smoke` from nothing to its table, as anyone runs it: stopped in the middle, in parts, on a cluster."""

import csv
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from scipy import stats

from gram_reasoning.build import load_model
from gram_reasoning.cli import main
from gram_reasoning.studies import get_study
from gram_reasoning.studies.engine import plan, scheduler, table

pytestmark = pytest.mark.timeout(900)
SMOKE = get_study("smoke")
NAMES = {run.name for run in SMOKE.runs}
TIMES = {"cpu_seconds", "sampling_cpu_seconds", "commit"}


def study(folder: Path, *options: str) -> list[str]:
    return ["study", "smoke", "--runs", str(folder), "--out", str(folder / "out"), "--jobs", "2", *options]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the study, run to its end; once for all processes of the tests."""
    alone = "PYTEST_XDIST_WORKER" not in os.environ
    base = tmp_path_factory.getbasetemp()
    folder = (base if alone else base.parent) / "study"
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "out" / "table.json").exists():
            assert main(study(folder)) in (0, 1)  # 1 where two runs of seconds cost more than twice each other
    return folder


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "out" / "table.json").read_text())["rows"]


def lasting(folder: Path) -> list[dict[str, Any]]:
    """The rows without what differs from run to run."""
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows_of(folder)]


def test_every_run_is_in_the_table_with_where_it_comes_from(whole: Path):
    rows = rows_of(whole)
    assert {(row["system"], row["seed"]) for row in rows} == {(run.system, run.seed) for run in SMOKE.runs}
    for row in rows:
        folder = whole / f"{row['system'].lower()}-relations" / f"s{row['seed']}"
        weights = (folder / "model" / "model.safetensors").read_bytes()
        assert row["weights_sha256"] == hashlib.sha256(weights).hexdigest()
        log = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        assert (row["parameters"], row["cpu_seconds"]) == (log[0]["parameters"], log[-1]["cpu_seconds"])
        assert row["sampling_steps"] == 6 * (8 if row["system"] == "GRAM" else 1)
        assert row["sampling_cpu_seconds"] > 0
        assert (row["task"], row["block"], row["mixer"]) == ("nqueens7-pocket", "relations", "units")
    judged = json.loads((whole / "gram-relations" / "s1-samples.json").read_text())
    [value] = [
        row["value"]
        for row in rows
        if (row["system"], row["seed"], row["measure"]) == ("GRAM", 1, "samples.paper.coverage")
    ]
    assert value == pytest.approx(judged["paper"]["coverage"], abs=1e-6)
    assert not [row for row in rows if row["system"] == "TRM" and "ceiling" in row["measure"]], "it has one answer"


def test_the_markdown_tells_mean_and_interval_over_seeds(whole: Path):
    lines = (whole / "out" / "table.md").read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| system"))
    [_, gram, trm] = csv.DictReader([line.strip("| ") for line in lines[start : start + 4]], delimiter="|")
    for cells, system in ((gram, "GRAM"), (trm, "TRM")):
        cells = {name.strip(): text.strip() for name, text in cells.items()}
        assert (cells["system"], cells["seeds"]) == (system, "2 of 2")
        for column in SMOKE.columns:
            values = [
                100 * row["value"]
                for row in rows_of(whole)
                if (row["system"], row["measure"]) == (system, column.measure)
            ]
            if not values:
                assert cells[column.heading] == table.NO_NUMBER
                continue
            mean, _, half = cells[column.heading].partition(" ± ")
            scale = stats.sem(values)
            low, high = stats.t.interval(0.95, 1, loc=np.mean(values), scale=scale) if scale else (values[0],) * 2
            assert (float(mean), float(half)) == pytest.approx((np.mean(values), (high - low) / 2), abs=0.06)


def test_steps_fill_the_budget_and_rates_are_chosen_on_validation(whole: Path):
    found = json.loads((whole / "out" / "table.json").read_text())
    for row in found["plan"]:
        seconds = json.loads((whole / row["group"] / "timing.json").read_text())["seconds_a_step"]
        assert row["steps"] == round(60 * SMOKE.core_minutes / seconds)
        assert [one["rate"] for one in row["screen"]] == list(SMOKE.rates)
        values = [one["value"] for one in row["screen"]]
        assert row["rate"] == SMOKE.rates[values.index(max(values))]
        for number, one in enumerate(row["screen"]):
            judged = json.loads((whole / row["group"] / f"screen-{number}.json").read_text())
            assert (judged["split"], judged["macro"]["single_sample_accuracy"]) == ("validation", one["value"])
        for seed in (0, 1):
            config = json.loads((whole / row["group"] / f"s{seed}" / "config.json").read_text())
            assert config["train"]["lr"] == row["rate"]
            assert (config["train"]["steps"], config["train"]["seed"]) == (row["steps"], seed)
            assert config["task"]["size"] == 5


def test_weights_of_the_first_seed_are_kept_and_logs_of_all(whole: Path):
    out = whole / "out"
    assert [path.name for path in (out / "weights").iterdir()] == ["gram-relations-s0"]
    load_model(out / "weights" / "gram-relations-s0")
    assert {path.stem for path in (out / "logs").iterdir()} == NAMES
    assert (out / "figure.png").stat().st_size > 5000


def test_weights_above_the_limit_are_not_kept(copy: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(table, "KEEP_BYTES", 10)
    shutil.rmtree(copy / "out")
    main(study(copy))
    assert not (copy / "out" / "weights").exists()
    assert "not kept" in (copy / "out" / "table.md").read_text()


def forget(folder: Path, *names: str) -> None:
    """Undo runs of the study."""
    for name in names:
        group, _, seed = name.rpartition("-")
        shutil.rmtree(folder / group / seed)
        (folder / group / f"{seed}-samples.json").unlink()


@pytest.mark.slow
def test_a_study_that_was_killed_goes_on_to_the_same_table(whole: Path, copy: Path):
    forget(copy, *NAMES)
    command = [sys.executable, "-m", "gram_reasoning", *study(copy)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 200
    while not any(copy.glob("*/s?/checkpoints/step-*")):  # a run is under way
        assert time.monotonic() < deadline, "no run began"
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not all((copy / run.group / f"s{run.seed}-samples.json").exists() for run in SMOKE.runs)
    main(study(copy))
    assert lasting(copy) == lasting(whole)


def test_a_study_that_is_asked_to_end_ends_its_runs(copy: Path):
    forget(copy, *NAMES)
    command = [sys.executable, "-m", "gram_reasoning", *study(copy)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while not any(copy.glob("*/s?/metrics.jsonl")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.terminate()
    assert process.wait(60) == 128 + signal.SIGTERM
    mine = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout.splitlines()
    assert not [line for line in mine if "--job" in line and str(copy) in line]


def test_what_is_done_is_not_done_again(copy: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(scheduler, "here", lambda *words: pytest.fail("there was nothing to do"))
    before = lasting(copy)
    main(study(copy))
    assert lasting(copy) == before


def test_only_some_runs(whole: Path, copy: Path, capsys: pytest.CaptureFixture[str]):
    forget(copy, "trm-relations-s0", "trm-relations-s1")
    shutil.rmtree(copy / "out")
    main(study(copy, "--only", "trm", "s1"))
    assert (copy / "trm-relations" / "s1-samples.json").exists()
    assert not (copy / "trm-relations" / "s0").exists()
    assert lasting(copy) == [row for row in lasting(whole) if (row["system"], row["seed"]) != ("TRM", 0)]
    assert "| TRM | 1 of 2 |" in capsys.readouterr().out


def test_runs_made_elsewhere_stay_in_the_table(whole: Path, copy: Path, capsys: pytest.CaptureFixture[str]):
    forget(copy, "trm-relations-s0")
    shutil.rmtree(copy / "gram-relations")
    main(study(copy, "--only", "trm", "s1"))  # nothing to do but to write the table
    assert sorted(lasting(copy), key=repr) == sorted(lasting(whole), key=repr)
    found = json.loads((copy / "out" / "table.json").read_text())
    assert "kept from an earlier table: gram-relations-s0, gram-relations-s1, trm-relations-s0" in found["notes"]
    assert {row["group"] for row in found["plan"]} == {"gram-relations", "trm-relations"}
    assert found["core_minutes_spent"].keys() == NAMES
    assert "| TRM | 2 of 2 |" in capsys.readouterr().out
    assert (copy / "out" / "logs" / "trm-relations-s0.jsonl").exists()
    found["core_minutes_spent"]["gram-relations-s0"] *= 9  # what was made elsewhere keeps the rules too
    for row in found["rows"]:
        if row["system"] == "TRM":
            row["declared"] = "other settings"
    (copy / "out" / "table.json").write_text(json.dumps(found))
    assert main(study(copy, "--only", "trm", "s1")) == 1
    assert {(row["system"], row["seed"]) for row in rows_of(copy)} == {("TRM", 1), ("GRAM", 0), ("GRAM", 1)}
    notes = json.loads((copy / "out" / "table.json").read_text())["notes"]
    assert "left out of an earlier table, made with other settings: trm-relations-s0" in notes
    assert any(note.startswith("spent core-minutes: gram-relations-s0") for note in notes)


@pytest.mark.slow
def test_the_cluster_of_this_machine(whole: Path, copy: Path, capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("submitit")
    forget(copy, "trm-relations-s1")
    main(study(copy, "--cluster", "local", "--cluster-parameters", "mem_gb=2"))
    assert lasting(copy) == lasting(whole)
    forget(copy, "trm-relations-s1")
    (copy / "trm-relations" / "rate.json").write_text("{}")
    assert main(study(copy, "--cluster", "local")) == 1
    assert "trm-relations-s1: failed on the cluster" in capsys.readouterr().out
    assert main(study(copy, "--cluster", "local", "--cluster-parameters", "gb=1")) == 2
    assert "--cluster-parameters" in capsys.readouterr().err


def test_without_submitit_one_line_says_so(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setitem(sys.modules, "submitit", None)
    forget(copy, "trm-relations-s1")
    assert main(study(copy, "--cluster", "local")) == 2
    assert "pip install 'gram-reasoning[cluster]'" in capsys.readouterr().err


def test_runs_that_cost_more_than_others_are_told(copy: Path, capsys: pytest.CaptureFixture[str]):
    log = copy / "trm-relations" / "s0" / "metrics.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    for line in lines:
        if "cpu_seconds" in line:
            line["cpu_seconds"] *= 9
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert main(study(copy)) == 1
    told = capsys.readouterr().out
    assert "gram: spent core-minutes: trm-relations-s0" in told
    assert "expected within 100%" in (copy / "out" / "table.md").read_text()


def test_a_dry_run_says_what_is_left(copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Without timing anything again: its trainer is gone."""
    monkeypatch.setattr("gram_reasoning.training.trainer.Trainer", None)
    forget(copy, "trm-relations-s1")
    before = sorted(copy.rglob("*"))
    assert main(study(copy, "--dry-run")) == 0
    assert sorted(copy.rglob("*")) == before
    told = capsys.readouterr().out
    assert "Protocol:" in told
    assert "gram-relations: 2 runs, 0 to do" in told
    assert "trm-relations: 2 runs, 1 to do" in told


def test_another_table_of_the_study(copy: Path, capsys: pytest.CaptureFixture[str]):
    stated = copy / "stated.json"
    shutil.copy(copy / "out" / "table.json", stated)
    main(study(copy, "--against", str(stated)))
    assert "OUTSIDE" not in capsys.readouterr().out
    found = json.loads(stated.read_text())
    for row in found["rows"]:
        row["value"] = 0.5 + row["seed"] / 1000
    stated.write_text(json.dumps(found))
    assert main(study(copy, "--against", str(stated))) == 1
    assert "OUTSIDE" in capsys.readouterr().out
    stated.write_text("[]")
    assert main(study(copy, "--against", str(stated))) == 2


def test_a_job_that_fails_is_named_with_its_last_words(copy: Path, capsys: pytest.CaptureFixture[str]):
    forget(copy, "trm-relations-s1")
    recipe = copy / "trm-relations" / "s1"
    recipe.mkdir()
    (recipe / "something").write_text("")
    assert main(study(copy)) == 1
    told = capsys.readouterr().out
    assert "trm-relations-s1: ended with 2" in told
    assert "is no run of gram" in told


def test_a_timing_is_of_one_recipe_on_one_machine(copy: Path, monkeypatch: pytest.MonkeyPatch):
    run = SMOKE.runs[0]
    assert plan.timing_of(SMOKE, run, copy) is not None
    monkeypatch.setattr(plan, "processor", lambda: "another")
    assert plan.timing_of(SMOKE, run, copy) is None


@pytest.mark.parametrize(
    "words", [["--job", "gram"], ["--job", "prepare:nobody"], ["--only", "nobody"], ["--jobs", "0"]]
)
def test_words_that_name_nothing(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["study", "smoke", "--runs", str(tmp_path), "--out", str(tmp_path / "out"), *words]) == 2
    assert words[0] in capsys.readouterr().err
