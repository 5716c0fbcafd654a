"""`gram report` on stored logs: the table says what the log says, and the picture shows every run."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gram_reasoning.cli import main
from gram_reasoning.training.runlog import RunLog, read_lines


def prior(accuracy: float, several: float | None) -> dict[str, float | None]:
    brief = {"inputs": 10, "accuracy": accuracy, "best": accuracy, "coverage": accuracy / 2}
    return {**brief, "several_accuracy": several, "several_coverage": several, "several_ceiling": several}


def write_run(folder: Path, accuracies: list[float], several: float | None = 0.25, leak: bool = False) -> Path:
    folder.mkdir()
    with RunLog(folder, 0) as log:
        for i, accuracy in enumerate(accuracies, 1):
            log.write("train", 10 * i, kl_nats=2.0 / i, posterior_accuracy=None, seconds=1.0 * i)
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


def test_numbers_of_runs_end_below_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    runs = [write_run(tmp_path / name, [share]) for name, share in (("good", 1.0), ("bad", 0.0))]
    assert main(["report", *map(str, runs)]) == 0
    head, *rows = [line for line in capsys.readouterr().out.splitlines() if re.search("accuracy|good|bad", line)]
    ends = [[word.end() for word in re.finditer(r"\S+(?: \S+)*", line)] for line in (head, *rows)]
    assert len({tuple(end[-9:]) for end in ends}) == 1


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
        "KL in nats an example": [[(10, 2.0), (20, 1.0), (30, 2 / 3)], [(10, 2.0)]],
        "nats lost by the surrogate bound": [[(10, 1.0), (20, 0.5), (30, 1 / 3)], [(10, 1.0)]],
        "nats lost by the full ELBO": [[(10, 2.0), (20, 1.0), (30, 2 / 3)], [(10, 2.0)]],
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
    assert panels["KL in nats an example"].get_yscale() == "linear", "a narrow span needs no logarithm"
    (legend,) = [axes.get_legend() for axes in figure.axes if axes.get_legend()]
    assert [text.get_text() for text in legend.get_texts()] == [str(run) for run in runs]
    assert picture.read_bytes().startswith(b"\x89PNG")


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


# -- evaluations and seeds ---------------------------------------------------------------------------------------------


def write_evaluation(path: Path, accuracy: float, **changes: Any) -> Path:
    macro = {"single_sample_accuracy": accuracy, "selected_accuracy": 1.0, "coverage": accuracy / 2}
    head = {"checkpoint": path.stem, "split": "test", "inputs": 7, "samples": 20, "steps": 6, "seed": 0}
    path.write_text(json.dumps({**head, "macro": macro, **changes}, indent=1))
    return path


def rows_of(told: str) -> list[list[str]]:
    """The rows of a table by their columns, which two spaces or more keep apart."""
    return [re.split(r" {2,}", line.strip()) for line in told.splitlines()]


def test_evaluations_side_by_side_with_an_interval_over_seeds(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    paths = [
        write_evaluation(tmp_path / f"s{seed}.json", accuracy, made_from="one", train_seed=seed)
        for seed, accuracy in enumerate((0.90, 0.95, 1.00))
    ]
    paths += [
        write_evaluation(tmp_path / "again.json", 0.5, made_from="one", train_seed=2),  # no further seed
        write_evaluation(tmp_path / "other.json", 0.1, made_from="another", train_seed=3),
        write_evaluation(tmp_path / "old.json", 0.2),  # says nothing of its seed
        write_evaluation(tmp_path / "old2.json", 0.3),
    ]
    assert main(["report", *map(str, paths)]) == 0
    head, *rows, last, _, old = rows_of(capsys.readouterr().out)
    assert old == [f"in no interval: {paths[5]}, {paths[6]} (older files, which do not tell recipe and seed)"]
    assert head == ["evaluation", "inputs", "samples", "steps", "accuracy", "choice", "coverage"]
    assert rows[1] == [str(paths[1]), "7 test", "20", "6", "95.0", "100.0", "47.5"]
    assert [row[0] for row in rows] == [str(path) for path in paths]
    assert last == [f"mean of 3 seeds, as {paths[0]}", "95.0 ± 12.4", "100.0 ± 0.0", "47.5 ± 6.2"]


def test_a_set_tells_its_budget(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["report", str(write_evaluation(tmp_path / "set.json", 0.9, budget=320))]) == 0
    _, row = rows_of(capsys.readouterr().out)[:2]
    assert row[:4] == [str(tmp_path / "set.json"), "7 test", "20", "320 in all"]


def test_runs_that_differ_in_the_seed_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    runs = []
    for name, seed, rate, accuracies in [
        ("a", 0, 1, [0.9]),
        ("b", 1, 1, [1.0]),
        ("c", 2, 2, [0.5]),
        ("d", 3, 1, [0, 0]),
    ]:
        runs.append(write_run(tmp_path / name, accuracies))
        (runs[-1] / "config.json").write_text(json.dumps({"train": {"seed": seed, "lr": rate}}))
    runs.append(write_run(tmp_path / "alone", [0.3]))
    assert main(["report", *map(str, runs)]) == 0
    last = rows_of(capsys.readouterr().out)[-1]
    assert last[:2] == [f"mean of 2 seeds, as {runs[0]}", "95.0 ± 63.5"]  # 12.706 * 7.071 / sqrt(2)
    assert main(["report", *map(str, runs[2:])]) == 0
    assert "mean of" not in capsys.readouterr().out


def test_what_eval_writes_tells_seeds_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Two seeds of one run make a mean; a third with a shorter training does not join them."""
    files = []
    for seed, steps in ((0, 2), (1, 2), (2, 1)):
        run, file = str(tmp_path / f"run{seed}"), str(tmp_path / f"{seed}.json")
        options = ["--seed", str(seed), "--train.steps", str(steps), "--threads", "1"]
        assert main(["train", "nqueens7-pocket-debug", "--out", run, *options]) == 0
        assert main(["eval", run, "--limit", "3", "--samples", "2", "--json", file]) == 0
        files.append(file)
    capsys.readouterr()
    assert main(["report", *files]) == 0
    assert capsys.readouterr().out.count("mean of 2 seeds, as") == 1
    other = ["--limit", "3", "--samples", "2", "--seed", "1"]
    assert main(["eval", str(tmp_path / "run1"), *other, "--json", files[1]]) == 0
    capsys.readouterr()
    assert main(["report", *files]) == 0
    assert "mean of" not in capsys.readouterr().out, "other noise at the evaluation is no seed of the training"


# -- pictures ----------------------------------------------------------------------------------------------------------


def drawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *runs: Path) -> dict[str, Axes]:
    """The panels of `gram report --picture` by their titles."""
    kept: list[Figure] = []
    monkeypatch.setattr("gram_reasoning.analysis.runs.save", lambda figure, path: kept.append(figure))
    assert main(["report", *map(str, runs), "--picture", str(tmp_path / "curves.png")]) == 0
    kept[0].canvas.draw()
    return {axes.get_title(): axes for axes in kept[0].axes}


def test_panels_show_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    panels = drawn(monkeypatch, tmp_path, write_run(tmp_path / "run", [0.1, 0.85, 0.9]))
    assert "accuracy of posterior slots (diagnostic)" not in panels, "the log has none"
    assert len(panels) == 5
    for title, points in {
        "accuracy under the prior": [(10, 0.1), (20, 0.85), (30, 0.9)],
        "coverage, inputs with 2+ solutions": [(10, 0.25), (20, 0.25), (30, 0.25)],
        "nats lost by the full ELBO": [(10, 2.0), (20, 1.0), (30, 0.6667)],
        "nats lost by the surrogate bound": [(10, 1.0), (20, 0.5), (30, 0.3333)],
    }.items():
        [line] = panels[title].lines
        assert np.asarray(line.get_xydata()) == pytest.approx(np.array(points), abs=1e-3)


@pytest.mark.parametrize("span", [1, 3, 30, 3000])
def test_ticks_of_bounds_are_plain_numbers(span: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run = tmp_path / "run"
    run.mkdir()
    with RunLog(run, 0) as log:
        for step, nats in ((1, 0.7 * span), (2, 0.7)):
            bounds = {"elbo_full": -nats, "elbo_surrogate": -nats}
            log.write("eval", step, seconds=1.0, prior=prior(0.5, None), leak_alarm=False, **bounds)
    panels = drawn(monkeypatch, tmp_path, run)
    assert panels.keys() == {
        "accuracy under the prior",
        "nats lost by the surrogate bound",
        "nats lost by the full ELBO",
    }
    axes = panels["nats lost by the full ELBO"]
    low, high = axes.get_ylim()
    labels = zip(axes.get_yticks(), axes.get_yticklabels(), strict=True)
    shown = [(place, label.get_text()) for place, label in labels if low <= place <= high]
    assert len(shown) >= 2
    assert all(float(text) == pytest.approx(place) for place, text in shown), "each is a number as people write it"


def test_evaluations_have_no_curves(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = write_evaluation(tmp_path / "one.json", 0.5)
    assert main(["report", str(path), "--picture", str(tmp_path / "curves.png")]) == 2
    assert "--picture: evaluations have no curves, expected runs" in capsys.readouterr().err
