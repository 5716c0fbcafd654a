"""A run that is stopped, killed or damaged: what it goes on with, and what it says."""

import errno
import json
import os
import pickle
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from gram_reasoning.build import load_model
from gram_reasoning.cli import main
from gram_reasoning.config import Recipe
from gram_reasoning.errors import UserError
from gram_reasoning.storage import checkpoint
from helpers import after_step, debug_recipe, make_trainer, metrics_of, same, weights_of

BUSY: dict[str, Any] = {"prior_share": 0.5, "guided_stay": "drawn", "halting": True, "prior_target": "nearest"}
UNGUIDED: dict[str, Any] = {"prior_share": 1.0, "halting": True, "prior_target": "drawn"}


def finish(recipe: Recipe, run: Path) -> dict[str, torch.Tensor]:
    """Run or resume to the end; the final weights, raw and averaged."""
    trainer = make_trainer(recipe, run)
    assert trainer.fit(resume=True) == "finished"
    return {**weights_of(trainer.model), **{f"ema.{name}": t for name, t in trainer.average.weights.items()}}


def stop_at(recipe: Recipe, run: Path, step: int) -> None:
    trainer = make_trainer(recipe, run)
    after_step(trainer, step, lambda: setattr(trainer, "stop_signal", signal.SIGTERM))
    assert trainer.fit(resume=True) == "stopped"
    assert trainer.step == step


@pytest.fixture(scope="module")
def half_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of six steps, stopped after three."""
    run = tmp_path_factory.mktemp("half") / "run"
    stop_at(debug_recipe(), run, 3)
    return run


@pytest.fixture
def half(half_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(half_run, tmp_path / "run"))


# -- resuming ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "train",
    [{}, {"precision": "bf16"}, BUSY, {"optimizer": "muon"}, {**BUSY, "accumulation": 2, "trajectories_per_input": 2}],
    ids=["fp32", "bf16", "busy", "muon", "groups"],
)
def test_a_run_resumed_at_every_boundary_is_the_undisturbed_run(tmp_path: Path, train: dict[str, Any]):
    check_resumed(
        debug_recipe(model={"supervision_steps": 3}, train={**train, "log_every": 1, "eval_every": 4}), tmp_path
    )


@pytest.mark.parametrize(
    "name", ["looped", "trm", *(pytest.param(name, marks=pytest.mark.slow) for name in ("direct", "hrm", "trm-start"))]
)
def test_a_rival_resumed_at_every_boundary_is_the_undisturbed_run(tmp_path: Path, name: str):
    """One of each kind of carry: nothing, and a state without registers."""
    drawn = name == "trm-start"
    changes = {"start": "drawn"} if drawn else {}
    base = f"nqueens7-{'trm' if drawn else name}-pocket-debug"
    check_resumed(debug_recipe(base, model=changes, train={**UNGUIDED, "log_every": 1, "eval_every": 4}), tmp_path)


def check_resumed(recipe: Recipe, tmp_path: Path) -> None:
    undisturbed = finish(recipe, tmp_path / "whole")
    for step in range(1, 6):
        stop_at(recipe, tmp_path / "chain", step)
    stop_at(recipe, tmp_path / "once", 3)
    for run in ("chain", "once"):
        assert same(finish(recipe, tmp_path / run), undisturbed)
        assert metrics_of(tmp_path / run) == metrics_of(tmp_path / "whole")
    last = [safetensors.torch.load_file(tmp_path / run / "model/model.safetensors") for run in ("whole", "chain")]
    assert same(*last)


def test_lines_of_steps_that_are_lost_are_written_once(tmp_path: Path):
    """Killed after step 5 with the last checkpoint at 3: the lines of 4 and 5 go, a torn line too."""
    recipe = debug_recipe(train={"log_every": 1})
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    finish(recipe, whole)
    finish(recipe, torn)
    shutil.rmtree(torn / "checkpoints/step-00000006")
    with (torn / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "train", "st')
    finish(recipe, torn)
    assert metrics_of(torn) == metrics_of(whole)


def test_a_run_of_the_first_release_goes_on(tmp_path: Path):
    """Its config names no kind of model and keeps some settings elsewhere; its progress has one number of the log."""
    recipe = debug_recipe(train=BUSY)
    undisturbed = finish(recipe, tmp_path / "whole")
    old = tmp_path / "old"
    stop_at(recipe, old, 4)
    config = json.loads((old / "config.json").read_text())
    del config["model"]["kind"]
    config["train"]["posterior_stay"] = config["train"].pop("guided_stay")
    config["train"] |= {name: config["model"].pop(name) for name in ("beta_final", "beta_hold")}
    (old / "config.json").write_text(json.dumps(config))
    for progress in (old / "checkpoints").glob("*/progress.json"):
        values = json.loads(progress.read_text())
        values["posterior_accuracy"] = values.pop("means").get("posterior_accuracy")
        progress.write_text(json.dumps(values))
    assert same(finish(recipe, old), undisturbed)
    assert metrics_of(old) == metrics_of(tmp_path / "whole")


def test_an_absent_run_is_started_by_resume(tmp_path: Path):
    assert make_trainer(debug_recipe(), tmp_path / "new").fit(resume=True) == "finished"
    assert same(finish(debug_recipe(), tmp_path / "new"), finish(debug_recipe(), tmp_path / "other"))


def test_a_finished_run_is_left_as_it_is(tmp_path: Path):
    recipe = debug_recipe()
    weights = finish(recipe, tmp_path)
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    trainer = make_trainer(recipe, tmp_path)
    after_step(trainer, 1, lambda: pytest.fail("no step is left to do"))
    assert trainer.fit(resume=True) == "finished"
    assert same(weights_of(trainer.model), {name: weights[name] for name in weights_of(trainer.model)})
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files


def test_an_existing_run_is_not_overwritten(half: Path):
    before = (half / "metrics.jsonl").read_text()
    with pytest.raises(UserError, match="holds a run already; add --resume"):
        make_trainer(debug_recipe(), half).fit()
    assert (half / "metrics.jsonl").read_text() == before


def test_other_options_do_not_resume(half: Path):
    with pytest.raises(UserError, match=r"the run has train\.lr 0.001, the options give 0.5"):
        make_trainer(debug_recipe(train={"lr": 0.5}), half).fit(resume=True)


@pytest.mark.parametrize("resume", [True, False])
def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, resume: bool):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(UserError, match="is no run of gram"):
        make_trainer(debug_recipe(), tmp_path).fit(resume)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(UserError, match="is no run of gram"):
        make_trainer(debug_recipe(), tmp_path / "thesis.tex").fit(resume)


def test_the_newest_two_checkpoints_are_kept(tmp_path: Path):
    finish(debug_recipe(train={"checkpoint_every": 1}), tmp_path)
    assert [folder.name for folder in checkpoint.checkpoints(tmp_path)] == ["step-00000005", "step-00000006"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".lock",
        "checkpoints",
        "config.json",
        "metrics.jsonl",
        "model",
    ]


# -- damage ------------------------------------------------------------------------------------------------------


def pickled(path: Path) -> None:
    torch.save({"weight": torch.zeros(2)}, path)


def other_names(path: Path) -> None:
    tensors = safetensors.torch.load_file(path)
    safetensors.torch.save_file({f"other.{name}": tensor for name, tensor in tensors.items()}, path)


def other_shapes(path: Path) -> None:
    tensors = safetensors.torch.load_file(path)
    safetensors.torch.save_file({name: tensor.new_zeros(3) for name, tensor in tensors.items()}, path)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "header": lambda path: path.write_bytes(path.read_bytes()[:50]),
    "text": lambda path: path.write_text("weights"),
    "torch": pickled,
    "pickle": lambda path: path.write_bytes(pickle.dumps({"weight": [1.0]})),
    "other names": other_names,
    "other shapes": other_shapes,
}
FILES = ["model", "ema", "optimizer", "slots"]


def check_message(error: pytest.ExceptionInfo[UserError], path: Path) -> None:
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("file", FILES)
def test_a_damaged_checkpoint_is_refused(half: Path, damage: str, file: str):
    path = half / f"checkpoints/step-00000003/{file}.safetensors"
    DAMAGE[damage](path)
    with pytest.raises(UserError) as error:
        make_trainer(debug_recipe(), half).fit(resume=True)
    check_message(error, path)


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_model_is_refused(half: Path, damage: str):
    path = half / "model/model.safetensors"
    DAMAGE[damage](path)
    with pytest.raises(UserError) as error:
        load_model(half)
    check_message(error, path)


NOT_JSON = [b"", b"{", b"\xff\xfe", b"[1, 2]", b'"text"', b"{}", b'{"format": 99, "step": 3}']


@pytest.mark.parametrize("content", NOT_JSON)
def test_a_damaged_json_is_refused(half: Path, content: bytes):
    progress, config = half / "checkpoints/step-00000003/progress.json", half / "model/config.json"
    progress.write_bytes(content)
    config.write_bytes(content)
    with pytest.raises(UserError) as error:
        make_trainer(debug_recipe(), half).fit(resume=True)
    check_message(error, progress)
    with pytest.raises(UserError) as error:
        load_model(half)
    check_message(error, config)


@pytest.mark.parametrize("content", NOT_JSON)
def test_a_damaged_config_of_a_run_is_refused(half: Path, content: bytes):
    (half / "config.json").write_bytes(content)
    with pytest.raises(UserError) as error:
        make_trainer(debug_recipe(), half).fit(resume=True)
    check_message(error, half / "config.json")


def test_a_model_of_another_shape_is_refused(half: Path):
    config = half / "model/config.json"
    value = json.loads(config.read_text())
    value["recipe"]["model"]["hidden_size"] = 64
    config.write_text(json.dumps(value))
    with pytest.raises(UserError, match=r"tensor .* is .*, expected "):
        load_model(half)
    with pytest.raises(UserError, match="no such folder"):
        load_model(half / "nowhere")


@pytest.mark.parametrize("change", [{"hidden_size": 2**15}, {"hidden_size": 2**20}, {"num_layers": 10_000}])
def test_a_config_of_a_huge_model_takes_no_memory(change: dict[str, int], half: Path):
    config = half / "model/config.json"
    value = json.loads(config.read_text())
    value["recipe"]["model"] |= change
    config.write_text(json.dumps(value))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match=r"holds [\d,]+ numbers, expected those of a far larger model") as error:
        load_model(half)
    check_message(error, half / "model/model.safetensors")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kilobytes


# -- a full disk, and a death in the middle ------------------------------------------------------------------------


class Disk:
    """Fails from the n-th flush on."""

    def __init__(self, flushes: int) -> None:
        self.left = flushes

    def __call__(self, handle: int) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("flushes", range(8))
def test_a_full_disk_leaves_the_last_checkpoint(half: Path, monkeypatch: pytest.MonkeyPatch, flushes: int):
    trainer = make_trainer(debug_recipe(train={"steps": 6}), half)
    with monkeypatch.context() as patch:
        after_step(trainer, 6, lambda: patch.setattr(os, "fsync", Disk(flushes)))
        with pytest.raises(UserError, match="No space left on device"):
            trainer.fit(resume=True)
    for folder in checkpoint.checkpoints(half):
        checkpoint.load_checkpoint(folder, "cpu")
    load_model(half)
    left_over = [path for path in half.rglob(".*") if path.name.endswith(str(os.getpid()))]
    assert left_over == []
    assert same(finish(debug_recipe(), half), finish(debug_recipe(), half.parent / "whole"))


class Killed(BaseException):
    """Stands for a kill -9 inside a call."""


def test_a_death_while_an_old_checkpoint_is_removed_leaves_no_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Every step-* folder is whole at any moment."""
    remove = shutil.rmtree

    def dies(path: Path, *args: Any, **kwargs: Any) -> None:
        if Path(path).is_dir() and "step-" in Path(path).name:
            next(iter(sorted(Path(path).iterdir()))).unlink()
            raise Killed
        remove(path, *args, **kwargs)

    trainer = make_trainer(debug_recipe(train={"checkpoint_every": 1}), tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", dies)
        with pytest.raises(Killed):
            trainer.fit()
    for folder in checkpoint.checkpoints(tmp_path):
        checkpoint.load_checkpoint(folder, "cpu")


@pytest.mark.parametrize("call", range(3))
def test_a_death_between_renames_loses_no_more_than_the_step(half: Path, monkeypatch: pytest.MonkeyPatch, call: int):
    """The last save of a run renames the checkpoint into place, then the old model away and the new one to it."""
    rename, calls = Path.rename, iter(range(100))

    def dies(path: Path, target: Path) -> Path:
        if next(calls) == call:
            raise Killed
        return rename(path, target)

    trainer = make_trainer(debug_recipe(), half)
    with monkeypatch.context() as patch:
        after_step(trainer, 6, lambda: patch.setattr(Path, "rename", dies))
        with pytest.raises(Killed):
            trainer.fit(resume=True)
    assert same(finish(debug_recipe(), half), finish(debug_recipe(), half.parent / "whole"))
    load_model(half)


# -- signals to a real process -------------------------------------------------------------------------------------

STEPS = 30
COMMAND = [
    "train", "nqueens7-pocket-debug", "--train.steps", str(STEPS), "--train.log-every", "1",
    "--train.eval-every", "1000", "--train.prior-share", "0.5", "--train.guided-stay", "drawn", "--threads", "1",
]  # fmt: skip


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Undisturbed runs of the command, by how often they save."""
    runs = {every: tmp_path_factory.mktemp("whole") / every for every in ("1", "1000")}
    for every, run in runs.items():
        assert main([*COMMAND, "--train.checkpoint-every", every, "--out", str(run)]) == 0
    return runs


def launch(run: Path, every: str) -> subprocess.Popen[str]:
    arguments = [*COMMAND, "--train.checkpoint-every", every, "--out", str(run), "--resume"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "gram_reasoning", *arguments],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def lines_in(run: Path) -> int:
    path = run / "metrics.jsonl"
    return path.read_text().count("\n") if path.exists() else 0


def wait_for(process: subprocess.Popen[str], holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds() and process.poll() is None:
        assert time.monotonic() < deadline, "the run does not move"
        time.sleep(0.005)


def assert_same_end(run: Path, whole: Path) -> None:
    folders = [checkpoint.checkpoints(r)[-1] for r in (run, whole)]
    (ours, _), (theirs, _) = (checkpoint.load_checkpoint(folder, "cpu") for folder in folders)
    assert [folder.name for folder in folders] == [f"step-{STEPS:08d}"] * 2
    assert all(same(ours[name], theirs[name]) for name in FILES)
    assert metrics_of(run) == metrics_of(whole)
    load_model(run)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_stops(tmp_path: Path, whole_run: dict[str, Path], number: int, code: int):
    run = tmp_path / "run"
    process = launch(run, "1000")
    wait_for(process, lambda: lines_in(run) > 3)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == code, output
    assert "stopped at step" in output
    assert "Traceback" not in output
    assert len(checkpoint.checkpoints(run)) == 1
    assert main([*COMMAND, "--train.checkpoint-every", "1000", "--out", str(run), "--resume"]) == 0
    assert_same_end(run, whole_run["1000"])


def kill_often(run: Path, kills: int, seed: int) -> None:
    """Start or resume the run and kill it at a random moment, so many times."""
    draw = random.Random(seed)
    for _ in range(kills):
        process = launch(run, "1")
        start = lines_in(run)
        wait_for(process, lambda start=start: (run / "config.json").exists() and lines_in(run) != start)
        time.sleep(draw.uniform(0, 0.15))
        process.kill()
        output, _ = process.communicate(timeout=60)
        assert process.returncode in (-signal.SIGKILL, 0), output
        if folders := checkpoint.checkpoints(run):
            checkpoint.load_checkpoint(folders[-1], "cpu")


def check_kills(run: Path, whole: Path, kills: int, seed: int) -> None:
    kill_often(run, kills, seed)
    assert main([*COMMAND, "--train.checkpoint-every", "1", "--out", str(run), "--resume"]) == 0
    assert_same_end(run, whole)


@pytest.mark.slow
def test_five_kills(tmp_path: Path, whole_run: dict[str, Path]):
    check_kills(tmp_path / "run", whole_run["1"], 5, seed=0)


@pytest.mark.slow
def test_twenty_kills(tmp_path: Path, whole_run: dict[str, Path]):
    check_kills(tmp_path / "run", whole_run["1"], 20, seed=1)
