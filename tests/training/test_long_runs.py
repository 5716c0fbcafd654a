"""Runs that go on for longer: checkpoints by the clock, more steps, a warm start, a chosen precision."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from gram_reasoning.build import load_model
from gram_reasoning.cli import main
from gram_reasoning.errors import UserError
from gram_reasoning.nn import precision
from gram_reasoning.storage import checkpoint
from helpers import after_step, debug_recipe, make_trainer, metrics_of, same, weights_of

# -- checkpoints by the clock ------------------------------------------------------------------------------------


def test_a_checkpoint_comes_when_its_time_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Steps of 40 s: one checkpoint at each third step, whatever `checkpoint_every` says."""
    now = 0.0
    run = make_trainer(debug_recipe(train={"steps": 8, "checkpoint_every": 1000, "eval_every": 1000}), tmp_path)
    plain, saved = run.train_step, []

    def train_step() -> dict[str, torch.Tensor]:
        nonlocal now
        now += 40.0
        return plain()

    monkeypatch.setattr("gram_reasoning.training.trainer.time.monotonic", lambda: now)
    run.train_step = train_step
    run.save, save = lambda: (saved.append(run.step), save())[0], run.save
    assert run.config.checkpoint_seconds == 90
    assert run.fit() == "finished"
    assert saved == [4, 8]  # it is looked at before a step: 3 * 40 s are over after the third, and the fourth saves


def lost_seconds(run: Path) -> float:
    """Seconds of training that the log tells of and the newest checkpoint does not hold."""
    whole, _, _ = (run / "metrics.jsonl").read_text().rpartition("\n")
    last = max((json.loads(line).get("seconds", 0.0) for line in whole.splitlines()), default=0.0)
    folders = checkpoint.checkpoints(run)
    return last - (json.loads((folders[-1] / "progress.json").read_text())["seconds"] if folders else 0.0)


def test_kill_9_costs_no_more_than_the_clock_allows(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """With the clock at 0.4 s in place of 90 s; a second more for a slow machine's steps and files."""
    clock, draw, run = 0.4, random.Random(0), tmp_path / "run"
    command = ["train", "nqueens7-pocket-debug", "--train.steps", "100000", "--train.log-every", "1", "--threads", "1"]
    command += ["--train.eval-every", "100000", "--train.checkpoint-every", "100000", "--out", str(run), "--resume"]
    command += ["--train.checkpoint-seconds", str(clock)]
    lost = []
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-m", "gram_reasoning", *command],
            env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        before, deadline = len(checkpoint.checkpoints(run)), time.monotonic() + 60
        while len(checkpoint.checkpoints(run)) <= min(before, 1) and process.poll() is None:
            assert time.monotonic() < deadline, "no checkpoint comes"
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 1.0))
        process.kill()
        output, _ = process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL, output
        lost.append(lost_seconds(run))
        assert lost[-1] <= clock + 1.0
    with capsys.disabled():
        print(f"\nkill -9 cost {max(lost):.2f} s of training, checkpoints every {clock} s")


def test_what_is_begun_again_says_so_and_keeps_the_old_log(tmp_path: Path):
    recipe = debug_recipe(train={"log_every": 1, "checkpoint_every": 1000, "eval_every": 1000})
    run, said = tmp_path / "run", []
    dying = make_trainer(recipe, run)
    after_step(dying, 3, lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        dying.fit()
    before = (run / "metrics.jsonl").read_text()
    assert before.count("\n") == 3  # the start and two steps
    again = make_trainer(recipe, run, say=said.append)
    assert again.fit(resume=True) == "finished"
    assert said[0] == f"{run}: no checkpoint to resume from, begins again at step 0"
    assert (run / "metrics-lost.jsonl").read_text() == before
    fresh = make_trainer(recipe, tmp_path / "fresh", say=said.append)
    said.clear()
    assert fresh.fit(resume=True) == "finished"
    assert said[0] == f"{tmp_path / 'fresh'}: no run yet, begins at step 0"
    assert metrics_of(run) == metrics_of(tmp_path / "fresh")


# -- the end -----------------------------------------------------------------------------------------------------


def test_a_run_out_of_time_is_judged_once(tmp_path: Path):
    run = make_trainer(debug_recipe(train={"steps": 50, "eval_every": 1000}), tmp_path)
    assert run.fit(max_minutes=1e-9) == "out of time"
    assert [line["kind"] for line in metrics_of(tmp_path)] == ["start"]  # nothing done, nothing to judge
    again = make_trainer(debug_recipe(train={"steps": 50, "eval_every": 1000}), tmp_path)
    after_step(again, 2, lambda: setattr(again, "_agree_to_stop", lambda out_of_time: True))
    assert again.fit(resume=True) == "out of time"
    evaluations = [line for line in metrics_of(tmp_path) if line["kind"] == "eval"]
    assert [line["step"] for line in evaluations] == [2]
    assert evaluations[0]["prior"]["inputs"] == 4


def test_one_at_an_evaluation_is_not_judged_twice(tmp_path: Path):
    run = make_trainer(debug_recipe(train={"steps": 50, "eval_every": 2}), tmp_path)
    after_step(run, 4, lambda: setattr(run, "_agree_to_stop", lambda out_of_time: True))
    assert run.fit() == "out of time"
    assert [line["step"] for line in metrics_of(tmp_path) if line["kind"] == "eval"] == [2, 4]


# -- more steps --------------------------------------------------------------------------------------------------


def test_more_steps_are_the_longer_run(tmp_path: Path):
    """At a constant rate a run of six steps that goes on to nine is one of nine."""
    constant: dict[str, Any] = {"lr_schedule": "constant", "eval_every": 1000}
    recipes = {steps: debug_recipe(train={**constant, "steps": steps}) for steps in (6, 9)}
    whole = make_trainer(recipes[9], tmp_path / "whole")
    assert whole.fit() == "finished"
    assert make_trainer(recipes[6], tmp_path / "run").fit() == "finished"
    longer = make_trainer(recipes[9], tmp_path / "run")
    assert longer.fit(resume=True) == "finished"
    assert longer.step == 9
    assert same(weights_of(longer.model), weights_of(whole.model))
    assert json.loads((tmp_path / "run/config.json").read_text())["train"]["steps"] == 9
    with pytest.raises(UserError, match=r"train\.steps: got 6, expected at least 9"):
        make_trainer(recipes[6], tmp_path / "run").fit(resume=True)


@pytest.mark.parametrize(
    ("field", "value"), [("log_every", 3), ("eval_every", 2), ("eval_samples", 3), ("checkpoint_seconds", 5.0)]
)
def test_what_is_watched_may_change(tmp_path: Path, field: str, value: Any):
    stopped = make_trainer(debug_recipe(), tmp_path)
    after_step(stopped, 2, lambda: setattr(stopped, "stop_signal", signal.SIGTERM))
    assert stopped.fit() == "stopped"
    assert make_trainer(debug_recipe(train={field: value}), tmp_path).fit(resume=True) == "finished"
    assert json.loads((tmp_path / "config.json").read_text())["train"][field] == value


@pytest.mark.parametrize(
    ("part", "field", "value"), [("train", "seed", 4), ("model", "beta", 0.5), ("task", "size", 6)]
)
def test_what_is_learnt_may_not_change(tmp_path: Path, part: str, field: str, value: Any):
    make_trainer(debug_recipe(), tmp_path).fit()
    with pytest.raises(UserError, match=rf"the run has {part}\.{field}"):
        make_trainer(debug_recipe(**{part: {field: value}}), tmp_path).fit(resume=True)


# -- a warm start ------------------------------------------------------------------------------------------------


def test_a_warm_start_begins_with_the_averaged_weights_of_another_run(tmp_path: Path, capsys):
    first, second = tmp_path / "first", tmp_path / "second"
    command = ["train", "nqueens7-pocket-debug", "--threads", "1", "--train.ema", "0.5"]
    assert main([*command, "--out", str(first)]) == 0
    assert main([*command, "--seed", "3", "--train.steps", "0", "--init", str(first), "--out", str(second)]) == 0
    _, _, one = load_model(first)
    _, _, other = load_model(second)
    assert same(weights_of(one), weights_of(other))
    again = [*command, "--seed", "3", "--train.steps", "4", "--out", str(second), "--resume"]
    assert main(again) == 0  # what it began from need not be named again
    assert main([*again, "--init", str(first)]) == 0
    capsys.readouterr()
    assert main([*again, "--init", str(second)]) == 2
    assert "the run began from other weights" in capsys.readouterr().err


def test_a_warm_start_of_other_shapes_is_refused(tmp_path: Path, capsys):
    command = ["train", "nqueens7-pocket-debug", "--threads", "1", "--init", "nqueens8", "--out", str(tmp_path / "run")]
    assert main(command) == 2
    assert "pretrained/nqueens8/model.safetensors" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_warm_start_without_a_checkpoint_wants_its_weights_again(tmp_path: Path):
    run = make_trainer(debug_recipe(), tmp_path)
    run.start = "0" * 16
    after_step(run, 1, lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run.fit()
    with pytest.raises(UserError, match="has no checkpoint yet, expected the --init"):
        make_trainer(debug_recipe(), tmp_path).fit(resume=True)


# -- precision ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fp32", "bf16", "expected"), [(1.0, 0.4, "bf16"), (1.0, 5.0, "fp32")])
def test_auto_takes_what_the_processor_is_faster_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fp32: float, bf16: float, expected: str
):
    times = {torch.float32: fp32, torch.bfloat16: bf16}
    monkeypatch.setattr(precision, "_product_time", lambda dtype: times[dtype])
    precision.faster.cache_clear()
    recipe = debug_recipe(train={"precision": "auto"})
    run = make_trainer(recipe, tmp_path)
    assert run.config.precision == expected
    run.fit()
    assert metrics_of(tmp_path)[0]["precision"] == expected
    assert json.loads((tmp_path / "config.json").read_text())["train"]["precision"] == expected
    times |= {torch.float32: bf16, torch.bfloat16: fp32}  # another processor
    precision.faster.cache_clear()
    longer = replace(recipe, train=replace(recipe.train, steps=8))
    assert make_trainer(longer, tmp_path).config.precision == expected  # what it began with
    assert make_trainer(longer, tmp_path).fit(resume=True) == "finished"
    precision.faster.cache_clear()


@pytest.mark.slow
def test_auto_is_as_fast_as_fp32_without_bfloat16_products(tmp_path: Path):
    """On a processor limited to AVX2, in processes of its own: median times of a step, in turns."""
    limited = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "OMP_NUM_THREADS": "1"}

    def seconds(chosen: str) -> float:
        file = tmp_path / "times.json"
        command = ["bench", "sudoku4", "--parts", "step", "--threads", "1", "--json", str(file), "--repeats", "10"]
        command += ["--train.precision", chosen]
        subprocess.run([sys.executable, "-m", "gram_reasoning", *command], env=limited, capture_output=True, check=True)
        return json.loads(file.read_text())["step"]["seconds"]["median"]

    times = {name: sorted(seconds(name) for _ in range(3))[1] for name in ("auto", "fp32", "bf16")}
    assert times["auto"] < 1.25 * times["fp32"] < times["bf16"]
