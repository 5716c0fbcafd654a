"""`gram solve` on ARC tasks: an unseen task is fitted, answered and submitted."""

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gram_reasoning import noise
from gram_reasoning.build import load_model
from gram_reasoning.cli import main
from gram_reasoning.evaluation.evaluator import identity_vectors
from gram_reasoning.tasks.arc import Arc
from gram_reasoning.tasks.demonstrations import augmented
from gram_reasoning.training.demonstrations import fit, swapped_identities
from gram_reasoning.types import Batch
from helpers import debug_recipe, make_trainer, same, weights_of
from oracles import arc as oracle

TASK: dict[str, Any] = {
    "train": [{"input": [[1, 2]], "output": [[2, 1]]}, {"input": [[3, 4]], "output": [[4, 3]]}],
    "test": [{"input": [[5, 6]]}, {"input": [[5, 7]], "output": [[7, 5]]}],
}
QUICK = ["--device", "cpu", "--samples", "1", "--steps", "1", "--views", "2", "--fit-steps", "2"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    run = tmp_path_factory.mktemp("arc") / "run"
    make_trainer(debug_recipe("arc-pocket-debug", train={"halt_target": "equal"}), run).fit()
    return str(run)


def solve(model: str, puzzle: str, *more: str) -> int:
    return main(["solve", puzzle, "--task", "arc", "--checkpoint", model, *QUICK, *more])


def test_tasks_are_answered_and_submitted(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    puzzle, out, submission = (tmp_path / name for name in ("mine.json", "out.jsonl", "submission.json"))
    puzzle.write_text(json.dumps(TASK, indent=1))
    assert solve(model, str(puzzle), "--json", str(out), "--submission", str(submission)) == 1
    text = capsys.readouterr().out
    assert "task mine, question 1: 0 of 2 demonstrations repeated\n" in text
    assert "task mine, question 2: 0 of 2 demonstrations repeated, not solved\n" in text
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(line["task"], line["question"], line["input"]) for line in lines] == [("mine", 1, "56"), ("mine", 2, "57")]
    assert {a["verified"] for a in lines[0]["answers"]} == {None}
    assert {a["verified"] for a in lines[1]["answers"]} == {False}
    for line in lines:
        assert sum(a["votes"] for a in line["answers"]) == line["samples"] == 2
    assert oracle.submission_faults(json.loads(submission.read_text()), {"mine": 2}) == []


def test_several_tasks_by_name_and_on_lines(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    submission = tmp_path / "submission.json"
    both = json.dumps({"one": TASK, "two": TASK})
    solve(model, both, "--submission", str(submission))
    assert oracle.submission_faults(json.loads(submission.read_text()), {"one": 2, "two": 2}) == []
    capsys.readouterr()
    line = json.dumps(TASK)
    solve(model, f"{line}\n{line}\n", "--json", "-")
    assert [json.loads(one)["task"] for one in capsys.readouterr().out.splitlines()] == ["line 1"] * 2 + ["line 2"] * 2
    assert solve(model, f"{both}\n{both}\n", "--submission", str(submission)) == 2
    assert "a second task one, expected different names in a submission" in capsys.readouterr().err


def test_an_answer_that_is_right_is_a_solved_task(model: str, capsys: pytest.CaptureFixture[str]):
    """What an untrained model answers depends on seed and task alone, so it can be asked for its own answer."""
    asked = {**TASK, "test": [{"input": [[5, 6]]}]}
    assert solve(model, json.dumps(asked), "--json", "-") == 0, "nothing decides it, but there is a grid"
    answers = json.loads(capsys.readouterr().out)["answers"]
    grid = [[int(cell) for cell in row] for row in answers[1]["answer"].split("/")]
    asked["test"][0]["output"] = grid
    assert solve(model, json.dumps(asked), "--json", "-") == 0
    message = json.loads(capsys.readouterr().out)["answers"]
    assert [a["verified"] for a in message[:2]] == [False, True]
    assert [a["answer"] for a in message] == [a["answer"] for a in answers]


def test_a_fit_moves_vectors_alone_and_towards_the_demonstrations(model: str):
    recipe, task, gram = load_model(model)
    assert isinstance(task, Arc)
    [episode] = task.read_episodes([(1, json.dumps(TASK))], "file")
    before, trained = weights_of(gram), gram.identities
    task = task.with_augmentations(2)
    config = replace(recipe.train, identity_lr=0.3)

    def cross_entropy(steps: int) -> float:
        table = fit(gram, task, episode.demonstrations, config, steps)
        with swapped_identities(gram, table):
            seen = augmented(task, episode.demonstrations, 2)
            numbers, vectors = seen.identity, identity_vectors(gram, seen)
            assert numbers is not None
            solutions = episode.demonstrations.solutions.long().repeat_interleave(2, 0)
            plain = episode.demonstrations.inputs.long().repeat_interleave(2, 0)
            inputs, targets = task.apply_augmentation(plain, solutions[:, None], numbers)
            none = torch.zeros(4, dtype=torch.bool)
            start = torch.zeros(4, dtype=torch.int64)
            batch = Batch(inputs, task.learnt(targets[:, 0]), none, none, start, vectors)
            draws = noise.normal(noise.keys(0, "test", torch.arange(4)), (2, *gram.noise_shape()))
            return -float(gram.diagnostics(batch, draws, {"kl": 1.0})["elbo_surrogate"].mean())

    assert cross_entropy(40) < cross_entropy(1) - 1
    assert gram.identities is trained
    assert same(weights_of(gram), before)


def test_an_odd_number_of_slots_fits_too(model: str):
    recipe, task, gram = load_model(model)
    assert isinstance(task, Arc)
    [episode] = task.read_episodes([(1, json.dumps(TASK))], "file")
    config = replace(recipe.train, batch_size=6, accumulation=2, trajectories_per_input=1)
    table = fit(gram, task.with_augmentations(2), episode.demonstrations, config, 1)
    assert table.vectors.isfinite().all()


def test_options_that_do_not_fit(model: str, capsys: pytest.CaptureFixture[str]):
    text = json.dumps(TASK)
    for more, message in (
        (["--views", "5"], "--views: got 5, expected 1 to 4"),
        (["--fit-steps", "0"], "--fit-steps: got 0"),
        (["--picture", "x.png"], "--picture: got"),
    ):
        assert main(["solve", text, "--checkpoint", model, *more]) == 2
        assert message in capsys.readouterr().err
    for option in ("--views", "--fit-steps"):
        assert main(["solve", "......./......./......./......./......./......./.......", option, "3"]) == 2
        assert f"{option}: got 3, expected nothing for nqueens" in capsys.readouterr().err
    assert main(["solve", text, "--task", "arc"]) == 2
    assert "no model for arc comes with the package" in capsys.readouterr().err


BAD = [
    ("{,", "a JSON value that does not end"),
    ("[3,4]", "a list, expected a task"),
    ('{"train": 1, "test": 2}', "train: a number, expected a list"),
    (json.dumps(TASK).replace("[[5, 6]]", "[[5, 10]]"), "test 1, input, row 1, cell 2: '10', expected a colour"),
    (json.dumps(TASK).replace("[[5, 6]]", str([[0] * 12])), "expected at most 10 x 10, the canvas"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_bad_tasks(model: str, text: str, message: str, capsys: pytest.CaptureFixture[str]):
    assert solve(model, text) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def mangle(value: Any, where: int, by: str) -> str:
    text = json.dumps(value)
    return text[: where % len(text)] + by + text[where % len(text) + len(by) :]


anything = st.one_of(
    st.text(max_size=30).map("{{{}".format),
    st.builds(
        mangle, st.just(TASK), st.integers(0, 300), st.sampled_from(["]", "[", "9", "1", ",", "-", '"', "{}", "0, 0"])
    ),
    st.just(json.dumps(TASK)),
)


def any_task(model: str, text: str) -> None:
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as error:
        code = solve(model, text)
    message = error.getvalue()
    assert code in (0, 1, 2)
    if code == 2:
        assert message.startswith("gram: ")
        assert message.count("\n") == 1
    else:
        assert "demonstrations repeated" in out.getvalue()


@settings(deadline=None, max_examples=15)
@given(text=anything)
def test_any_task(model: str, text: str):
    any_task(model, text)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@settings(deadline=None, max_examples=10_000)
@given(text=anything)
def test_any_task_at_length(model: str, text: str):
    any_task(model, text)
