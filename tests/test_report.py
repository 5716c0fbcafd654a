"""`gram report` on stored logs: the table says what the log says, and the picture shows every run."""

import json
from pathlib import Path
from typing import Any

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


def test_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    good = write_run(tmp_path / "good", [0.1, 0.85, 0.9])
    bad = write_run(tmp_path / "bad", [0.0], several=None, leak=True)
    assert main(["report", str(good), str(bad / "metrics.jsonl")]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if "good" in line or "bad" in line]
    numbers = {Path(row[0]).parts[-2 if row[0].endswith("l") else -1]: row[1:] for row in rows}
    assert numbers["good"] == ["30", "3", "90.0", "90.0", "45.0", "25.0", "25.0", "25.0", "no", "20"]
    assert numbers["bad"] == ["10", "1", "0.0", "0.0", "0.0", "-", "-", "-", "ALARM", "never"]


def test_every_panel_shows_every_run(tmp_path: Path, capsys: pytest.CaptureFixture[str], figures: list[Any]):
    """Its numbers over its steps, a run in one colour throughout; where it has none, no line."""
    runs = [write_run(tmp_path / "good", [0.1, 0.85, 0.9]), write_run(tmp_path / "bad", [0.0], several=None)]
    picture = tmp_path / "curves.png"
    assert main(["report", *map(str, runs), "--picture", str(picture)]) == 0
    capsys.readouterr()
    (figure,) = figures
    panels = {axes.get_title(): axes for axes in figure.axes}
    expected = {
        "accuracy under the prior": [[(10, 0.1), (20, 0.85), (30, 0.9)], [(10, 0.0)]],
        "coverage, inputs with 2+ solutions": [[(10, 0.25), (20, 0.25), (30, 0.25)], []],
        "accuracy of posterior slots (diagnostic)": [[], []],
        "KL in nats an example (log)": [[(10, 0.5), (20, 0.25), (30, 0.5 / 3)], [(10, 0.5)]],
        "surrogate bound, nats": [[(10, -1.0), (20, -0.5), (30, -1 / 3)], [(10, -1.0)]],
        "full ELBO, nats": [[(10, -2.0), (20, -1.0), (30, -2 / 3)], [(10, -2.0)]],
    }
    assert panels.keys() == expected.keys()
    colours = set()
    for title, axes in panels.items():
        assert axes.get_xlabel() == "optimizer step"
        lines = {line.get_label(): line for line in axes.get_lines()}
        for run, points in zip(runs, expected[title], strict=True):
            line = lines[str(run)]
            assert [pytest.approx(point, abs=1e-6) for point in points] == list(zip(*line.get_data(), strict=True)), (
                title
            )
            colours.add((str(run), line.get_color()))
            low, high = axes.get_ylim()
            assert all(low <= y <= high for _, y in points), title
    assert len(colours) == len({colour for _, colour in colours}) == len(runs)
    assert panels["KL in nats an example (log)"].get_yscale() == "log"
    (legend,) = [axes.get_legend() for axes in figure.axes if axes.get_legend()]
    assert [text.get_text() for text in legend.get_texts()] == [str(run) for run in runs]
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "no such file"),
        ("{}\n", "not the metrics.jsonl"),
        ("x\n", "not the metrics.jsonl"),
        ("", "no evaluation"),
    ],
)
def test_foreign_files(content: str | None, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "log.jsonl"
    if content is not None:
        path.write_text(content)
    assert main(["report", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert str(path) in error
    assert told in error


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
