"""What stands behind the page, without a browser: examples, votes, limits, messages, the command, the Space."""

import random
import re
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gradio", reason="the page needs gradio")

from app_helpers import oracle

from gram_reasoning import api
from gram_reasoning.app import bundled, shown, turns
from gram_reasoning.app.drawing import Drawer
from gram_reasoning.app.examples import example
from gram_reasoning.app.page import page
from gram_reasoning.app.run import Found, Limits, State, run
from gram_reasoning.app.visits import Visits
from gram_reasoning.cli import app, main
from gram_reasoning.errors import UserError
from gram_reasoning.inference.sampler import SamplerConfig
from gram_reasoning.storage import hub

ROOT = Path(__file__).parents[2]
BOARD = "......./......./....Q../......./......./......./......."
EVERY = {choice.name: choice for choice in bundled.choices()}
SOLVING = [(name, size) for name, choice in EVERY.items() if not choice.generates for size in choice.sizes or (None,)]


@pytest.fixture(scope="module")
def visits() -> Visits:
    return Visits(EVERY, Limits(64, 32))


@pytest.mark.parametrize(("name", "size"), SOLVING)
def test_an_example_is_a_puzzle_with_a_solution(name: str, size: int | None, visits: Visits):
    task = visits._of_size(name, size)
    assert task is not None
    draws = [example(task, random.Random(seed)) for seed in range(4)]
    assert len(set(draws)) > 1
    for text in draws:
        solver, puzzle = visits.read(name, text)
        known = solver.task.count_solutions(puzzle.tokens.tolist())
        assert known is not None
        assert known >= 1


@pytest.mark.parametrize("name", sorted({name for name, _ in SOLVING}))
def test_a_task_that_is_picked_twice_is_the_same(name: str, visits: Visits):
    assert visits.pick(name) == visits.pick(name)
    texts = {visits.example(name, visits.choices[name].sizes[0])[0] for _ in range(20)}
    assert len(texts) > 1


def test_the_votes_are_those_of_the_solver(visits: Visits):
    solver, puzzle = visits.read("nqueens7", BOARD)
    config = SamplerConfig(samples=40, steps=6, seed=3, halting=True, chunk=16)
    states = list(run(solver, puzzle.tokens, config, watch=6))
    solved = api.load("nqueens7").solve(BOARD, samples=40, steps=6, seed=3, halting=True)
    drawer = Drawer.of(puzzle.writer, puzzle.tokens)
    last = {drawer.text(one.tokens): (one.votes, one.verified) for one in states[-1].found}
    assert last == {answer.text: (answer.votes, answer.verified) for answer in solved.answers}
    assert all(verified == oracle("nqueens7")(BOARD, text) for text, (_, verified) in last.items())
    ended = [state.ended for state in states]
    assert ended == sorted(ended)
    assert ended[0] < ended[-1] == 40
    assert [len(path.decodes) for path in states[-1].watched] == [
        min(6, len(path.decodes)) for path in states[-1].watched
    ]
    assert len(states[-1].watched) == 6
    assert states[-1].spent < 40 * 6


def test_a_film_ends_where_its_trajectories_end(visits: Visits):
    solver, puzzle = visits.read("nqueens7", BOARD)
    *_, state = run(solver, puzzle.tokens, SamplerConfig(samples=4, steps=6, halting=True, chunk=16), watch=2)
    film = shown.Film.of(Drawer.of(puzzle.writer, puzzle.tokens), state)
    assert film.after(film.steps).count("ended at step") == 2
    assert film.after(10**6) == film.after(film.steps)
    assert film.after(1) == film.after(-5)


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ((65, 6, 0), "trajectories"),
        ((0, 6, 0), "trajectories"),
        ((64, 33, 0), "steps"),
        ((64, 2.5, 0), "steps"),
        ((64, 6, 2**31), "seed"),
        ((None, 6, 0), "trajectories"),
        ((float("nan"), 6, 0), "trajectories"),
        ((64, float("inf"), 0), "steps"),
    ],
)
def test_limits_are_said(asked: tuple[Any, ...], named: str, visits: Visits):
    [(message, standing, *_)] = list(visits.solve("nqueens7", BOARD, *asked))
    assert re.search(rf"{named}: got .*, expected a whole number from \d+ to \d+", message)
    assert standing == ""


@pytest.mark.parametrize("name", ["../../etc", "nothing", None, 3])
def test_no_other_folder_is_a_model(name: Any, visits: Visits):
    [(message, *_)] = list(visits.solve(name, BOARD, 1, 1, 0))
    assert "task: got" in message


@pytest.mark.parametrize("text", ["x" * 5001, None, 7])
def test_a_text_that_is_none_is_refused(text: Any, visits: Visits):
    [(message, *_)] = list(visits.solve("nqueens7", text, 1, 1, 0))
    assert "puzzle: got" in message


def test_what_a_visitor_typed_is_no_markup(visits: Visits):
    [(message, *_)] = list(visits.solve("nqueens7", "<script>/<script>", 1, 1, 0))
    assert "<script" not in message
    assert "&lt;" in shown.message(UserError("<b>"))


@pytest.mark.parametrize("end", ["stop", "begin", "replace"])
def test_a_run_ends_at_the_step_after_it_is_told_to(end: str, visits: Visits):
    turn = visits.begin("")
    said = visits.solve("nqueens7", BOARD, 64, 6, 0, turn)
    next(said)
    next(said)  # the first step of four times sixteen
    getattr(visits, end)(turn)
    [(message, standing, *_)] = list(said)
    assert message == ""
    assert ("stopped after" in standing) == (end == "stop")
    assert (standing == "") == (end != "stop")
    assert visits.turns.of(turn) is None


def test_a_run_that_is_stopped_while_it_waits_never_begins(visits: Visits):
    turn = visits.begin("")
    assert 'data-done="true"' in visits.stop(turn)
    assert list(visits.solve("nqueens7", BOARD, 64, 6, 0, turn)) == []
    assert "data-done" not in str(visits.stop(turn))


def test_turns_that_never_end_are_forgotten(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(turns, "MOST", 3)
    kept = turns.Turns()
    names = [kept.new() for _ in range(5)]
    assert [kept.of(name) is not None for name in names] == [False, False, True, True, True]


@pytest.mark.parametrize(
    ("known", "complete", "says"),
    [
        (3, 1.0, "1 of 3 solutions found.*the model alone would hardly give more: by estimate this is 100% of what it"),
        (3, 0.4, "1 of 3 solutions found.*by estimate 40% of what the model has to give"),
        (1, 1.0, "1 of 1 solutions found.*by estimate 100% of what the model has to give"),
        (None, 1.0, "1 solution found.*by estimate 100% of what the model has to give"),
    ],
)
def test_what_the_model_misses_is_no_contradiction(known: int | None, complete: float, says: str):
    state = State((Found((1,), 5, verified=True),), 5, 5, 9, complete, ())
    assert re.search(says, shown.standing(state, known, 100, done=True))


@pytest.fixture
def seven(tmp_path: Path) -> Path:
    return Path(shutil.copytree(hub.BUNDLED / "nqueens7", tmp_path / "runs" / "seven"))


def test_own_models_are_offered_by_their_folders(seven: Path, tmp_path: Path):
    run = tmp_path / "nqueens8"  # as a run has it: its model inside
    shutil.copytree(hub.BUNDLED / "nqueens8", run / "model")
    one, two = bundled.own([str(seven), str(run)])
    assert (one.name, one.label) == ("seven", "N-Queens, 7x7 (seven)")
    assert two.name == str(run)  # nqueens8 is there already
    *_, (message, standing, answers, *_, film) = Visits({"seven": one}, Limits(4, 6)).solve("seven", BOARD, 4, 6, 0)
    assert message == ""
    assert "card" in answers
    assert "card" in film
    assert "solution" in standing


def test_an_own_model_that_cannot_be_offered_is_said(seven: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "empty").mkdir()
    for wrong in (str(tmp_path / "none"), str(tmp_path / "empty")):
        assert main(["solve", "--checkpoint", wrong, BOARD]) == 2
        assert str(refusal(wrong)) in capsys.readouterr().err
    assert str(refusal("nqueens7")) == "--checkpoint nqueens7: offered already, expected another folder"
    assert "offered already" in refusal(str(seven), str(seven))
    damaged = Path(shutil.copytree(seven, tmp_path / "damaged"))
    (damaged / "model.safetensors").write_bytes(b"x")
    assert str(damaged / "model.safetensors") in refusal(str(damaged))
    assert "no such folder" in told(capsys, "--checkpoint", str(tmp_path / "none"), "--port", "7999")


def refusal(*checkpoints: str) -> str:
    with pytest.raises(UserError) as refused:
        bundled.own(checkpoints)
    return str(refused.value)


def test_without_models_there_is_no_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(hub, "BUNDLED", tmp_path)
    with pytest.raises(UserError, match="no model comes with this package"):
        page(Limits(1, 1), 1, 1)


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["app", *arguments]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


def test_a_port_that_is_taken_is_said_in_one_line(capsys: pytest.CaptureFixture[str]):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert f"--port {port}: cannot be served at 127.0.0.1" in told(capsys, "--port", port)


def test_without_gradio_the_extra_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(app, "find_spec", lambda name: None)
    assert "pip install gram-reasoning[app]" in told(capsys)


@pytest.mark.parametrize("wrong", [("--port", "0"), ("--port", "70000"), ("--samples", "0"), ("--queue", "0")])
def test_bad_options_are_said(wrong: tuple[str, str], capsys: pytest.CaptureFixture[str]):
    assert f"{wrong[0]}: got {wrong[1]}, expected" in told(capsys, *wrong)


def test_the_space_is_whole():
    folder = ROOT / "space"
    front = (folder / "README.md").read_text()
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split())
    assert f"sdk_version: {pins['gradio']}\n" in front
    assert "app_file: app.py\n" in front
    assert "https://arxiv.org/abs/2605.19376" in front
    assert "gram-reasoning[app]" in (folder / "requirements.txt").read_text()
    given = re.findall(r'"(--\w+)", "([\w.]+)"', (folder / "app.py").read_text())
    assert ("--host", "0.0.0.0") in given
    app.parse(app.AppOptions, [word for pair in given for word in pair], "gram app", "")
