"""`gram report` on stored logs: the table says what the log says, and the picture shows every run."""

import json
from pathlib import Path

import pytest

from gram_reasoning.cli import main
from gram_reasoning.training.runlog import RunLog, read_lines


def prior(accuracy: float, several: float | None) -> dict[str, float | None]:
    brief = {"inputs": 10, "accuracy": accuracy, "best": accuracy, "coverage": accuracy / 2}
    return {**brief, "several_accuracy": several, "several_coverage": several, "several_ceiling": several}


def write_run(folder: Path, accuracies: list[float], several: float | None = 0.25, leak: bool = False) -> Path:
    folder.mkdir()
    with RunLog(folder, 0) as log:
        for i, accuracy in enumerate(accuracies, 1):
            log.write("train", 10 * i, kl_nats=0.5 / i, posterior_accuracy=None, seconds=1.0 * i)
            bounds = {"elbo_full": -2.0 / i, "elbo_surrogate": -1.0 / i}
            log.write("eval", 10 * i, seconds=1.0 * i, prior=prior(accuracy, several), leak_alarm=leak, **bounds)
    return folder


def test_table_and_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    good = write_run(tmp_path / "good", [0.1, 0.85, 0.9])
    bad = write_run(tmp_path / "bad", [0.0], several=None, leak=True)
    picture = tmp_path / "curves.png"
    assert main(["report", str(good), str(bad / "metrics.jsonl"), "--picture", str(picture)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if "good" in line or "bad" in line]
    numbers = {Path(row[0]).parts[-2 if row[0].endswith("l") else -1]: row[1:] for row in rows}
    assert numbers["good"] == ["30", "3", "90.0", "90.0", "45.0", "25.0", "25.0", "25.0", "no", "20"]
    assert numbers["bad"] == ["10", "1", "0.0", "0.0", "0.0", "-", "-", "-", "ALARM", "never"]
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        ("{}\n", "not the metrics.jsonl"),
        ("x\n", "not the metrics.jsonl"),
        ("", "no evaluation"),
    ],
)
def test_foreign_files(content: str | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "log.jsonl"
    if content is not None:
        path.write_text(content)
    assert main(["report", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert str(path) in error
    assert message in error


def test_no_runs(capsys: pytest.CaptureFixture[str]):
    assert main(["report"]) == 2
    assert capsys.readouterr().err.startswith("gram")


def test_a_line_that_was_cut_short_is_left_out(tmp_path: Path):
    run = write_run(tmp_path / "run", [0.1, 0.2])
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "tra')
    assert [line["step"] for line in read_lines(run / "metrics.jsonl")] == [10, 10, 20, 20]
    with RunLog(run, 10) as log:
        log.write("train", 20, kl_nats=float("nan"))
    assert [json.dumps(line) for line in read_lines(run / "metrics.jsonl")][2:] == [
        '{"kind": "train", "step": 20, "kl_nats": null}'
    ]
