"""The command line: what it prints, what it writes, and how it ends."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gram_reasoning.analysis import figures
from gram_reasoning.cli import HELP, main
from gram_reasoning.config import to_json
from gram_reasoning.recipes import RECIPES
from gram_reasoning.tasks.text import Text
from gram_reasoning.training.trainer import Trainer
from oracles import nqueens as oracle

COMMANDS = re.findall(r"^  (\w+) .*", HELP.partition("commands:")[2].partition("options:")[0], re.MULTILINE)
HELPS = [["--help"], ["-h"], *([command, "--help"] for command in COMMANDS), ["train", "nqueens7-pocket", "--help"]]
EMPTY, ONE, CORNER = "..../..../..../....", ".Q../..../..../....", "Q.../..../..../...."  # 2, 1 and no solutions
HOPELESS = "......Q/....Q../......./......./......./.....Q./......."


def board(text: str) -> oracle.Board:
    return [["?.Q".index(cell) for cell in row] for row in text.split("/")]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run on 4x4 boards, long enough to solve some and miss some."""
    run = tmp_path_factory.mktemp("runs") / "four"
    options = {
        "task.size": 4, "task.max-removed": 4, "train.steps": 120, "train.eval-every": 120, "train.lr": 0.005,
        "train.batch-size": 32, "train.prior-share": 0.25, "train.precision": "fp32", "threads": 1,
    }  # fmt: skip
    arguments = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    assert main(["train", "nqueens7-pocket-debug", "--out", str(run), *arguments]) == 0
    return str(run)


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a bad command line gets."""
    capsys.readouterr()
    assert main(list(arguments)) == 2
    message = capsys.readouterr()
    assert message.err.startswith("gram: ")
    assert message.err.endswith("\n")
    assert message.err.count("\n") == 1
    return message.err


def solve_json(capsys: pytest.CaptureFixture[str], model: str, *arguments: str) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert main(["solve", *arguments, "--checkpoint", model, "--json", "-"]) in (0, 1)
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


# -- help and mistakes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", HELPS, ids=" ".join)
def test_help_has_an_example(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    try:
        code = main(arguments)
    except SystemExit as end:
        code = end.code
    assert code in (0, None)
    message = capsys.readouterr()
    assert "gram " in message.out[message.out.lower().index("example") :]
    assert message.err == ""


def test_help_and_listing_import_no_torch():
    script = f"""
import sys
from gram_reasoning.cli import main
for arguments in {[*HELPS, ["recipes"]]}:
    try:
        main(arguments)
    except SystemExit as end:
        assert not end.code
    assert "torch" not in sys.modules and "numpy" not in sys.modules, arguments
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_module_is_the_command():
    done = subprocess.run([sys.executable, "-m", "gram_reasoning", "fly"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == f"gram: unknown command 'fly', expected one of {', '.join(COMMANDS)}\n"


def test_commands_are_known():
    assert {"solve", "train", "eval", "data", "recipes"} <= set(COMMANDS)


def test_version(capsys: pytest.CaptureFixture[str]):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("gram ")


def test_no_command(capsys: pytest.CaptureFixture[str]):
    assert main([]) == 2
    assert "usage: gram COMMAND" in capsys.readouterr().out


BAD_LINES = [
    (["fly"], "unknown command 'fly'"),
    (["train"], "expected the name of a recipe, or --config FILE, first"),
    (["train", "--out", "runs"], "expected the name of a recipe, or --config FILE, first"),
    (["train", "nqueens9"], "unknown recipe 'nqueens9'"),
    (["data", "nqueens9"], "unknown recipe 'nqueens9'"),
    (["eval"], "expected the folder of a run"),
    (["eval", "nowhere"], "nowhere: no such folder"),
    (["train", "nqueens7-pocket-debug", "--train.epochs", "3"], "--train.epochs"),
    (["train", "nqueens7-pocket-debug", "--train.steps", "many"], "many"),
    (["train", "nqueens7-pocket-debug", "--train.steps"], "--train.steps"),
    (["train", "nqueens7-pocket-debug", "--model.core", "round"], "round"),
    (["train", "nqueens7-pocket-debug", "--train.lr", "-1"], "train.lr"),
    (["train", "nqueens7-pocket-debug", "--model.num-heads", "5"], "model.num_heads"),
    (["train", "nqueens7-pocket-debug", "--max-minutes", "0"], "--max-minutes"),
    (["train", "nqueens7-pocket-debug", "--max-minutes", "nan"], "--max-minutes"),
    (["train", "nqueens7-pocket-debug", "--threads", "0"], "--threads"),
    (["train", "nqueens7-pocket-debug", "--device", "abacus"], "--device: got 'abacus', expected auto, cpu, cuda"),
    (["data", "nqueens7-pocket-debug", "--split", "exam"], "exam"),
    (["recipes", "--yaml"], "--yaml"),
    (["solve", "no-such-file"], "'no-such-file': no such file"),
    (["solve", "no/such.txt"], "no/such.txt"),
    (["solve", EMPTY, "--checkpoint", "nowhere"], "nowhere: no such folder"),
    (["solve", EMPTY, "--task", "chess"], "chess"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_LINES, ids=[" ".join(arguments) for arguments, _ in BAD_LINES])
def test_mistakes_get_one_line(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
):
    monkeypatch.chdir(tmp_path)
    assert message in fails(capsys, *arguments)
    assert list(tmp_path.iterdir()) == []


BAD_VALUES = [
    (["--samples", "0"], "samples: got 0, expected 1 to 100000"),
    (["--steps", "0"], "steps: got 0"),
    (["--chunk", "0"], "chunk: got 0"),
    (["--select", "best"], "best"),
    (["--device", "abacus"], "--device: got 'abacus', expected auto, cpu, cuda"),
]


@pytest.mark.parametrize(("options", "message"), BAD_VALUES, ids=[" ".join(options) for options, _ in BAD_VALUES])
@pytest.mark.parametrize("command", ["solve", "eval"])
def test_bad_values(command: str, options: list[str], message: str, model: str, capsys: pytest.CaptureFixture[str]):
    arguments = [command, EMPTY, "--checkpoint", model] if command == "solve" else [command, model]
    assert message in fails(capsys, *arguments, *options)


BAD_BOARDS = [
    ("Q..", "no such file, and no puzzle"),
    ("Q.../..../....", "a board of 3 rows, expected 4 rows"),
    ("Q.../..../..../...", "row 4: 3 cells, expected 4"),
    ("Q.../..X./..../....", "row 2, cell 3: 'X', expected Q"),
    ("Q.../Q.../..../....", "row 1, column 1 and row 2, column 1 attack each other"),
    ("......./......./......./......./......./......./.......", "a board of 7 rows, expected 4"),
]


@pytest.mark.parametrize(("text", "message"), BAD_BOARDS)
def test_bad_boards(text: str, message: str, model: str, capsys: pytest.CaptureFixture[str]):
    assert message in fails(capsys, "solve", text, "--checkpoint", model)


def test_a_bad_board_in_a_file_is_named_by_file_and_line(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    file = tmp_path / "boards.txt"
    file.write_text(f"# two boards\n{EMPTY}\n\nQ...\n..Z.\n....\n....\n")
    assert f"{file}, line 5, cell 3: 'Z'" in fails(capsys, "solve", str(file), "--checkpoint", model)
    file.write_bytes(b"\xff\xfeQ")
    assert "not text" in fails(capsys, "solve", str(file), "--checkpoint", model)
    for text in ("", "\n# only a comment\n"):
        file.write_text(text)
        for options in ([], ["--checkpoint", model]):
            assert f"{file}: no input found" in fails(capsys, "solve", str(file), *options)
    assert "cannot be read" in fails(capsys, "solve", str(tmp_path), "--checkpoint", model)


# -- solve ---------------------------------------------------------------------------------------------------------


def test_json_contract(model: str, capsys: pytest.CaptureFixture[str]):
    (item,) = solve_json(capsys, model, EMPTY, "--samples", "40", "--steps", "3")
    assert list(item) == ["input", "answers", "samples", "steps", "known_solutions"]
    assert (item["input"], item["samples"], item["steps"], item["known_solutions"]) == (EMPTY, 40, 3, 2)
    verified = []
    for text in (EMPTY, ONE, CORNER):
        (item,) = solve_json(capsys, model, text, "--samples", "200")
        answers = item["answers"]
        assert all(list(answer) == ["answer", "verified", "votes", "score"] for answer in answers)
        assert sum(answer["votes"] for answer in answers) == 200
        assert len({answer["answer"] for answer in answers}) == len(answers)
        assert all(0 <= answer["score"] <= 1 for answer in answers)
        assert [answer["votes"] for answer in answers] == sorted((a["votes"] for a in answers), reverse=True)
        for answer in answers:
            assert answer["verified"] is oracle.is_solution(board(answer["answer"]), board(text))
            verified.append(answer["verified"])
        assert item["known_solutions"] == len(oracle.completions(board(text)))
    assert set(verified) == {True, False}, "the model of this test must solve some and miss some"


def test_a_stream_is_answered_as_it_comes(model: str, tmp_path: Path):
    """The pipe stays open; the second board is written when the first is answered, and the last one is bad."""
    file = tmp_path / "answers.jsonl"
    arguments = ["solve", "-", "--checkpoint", model, "--samples", "40", "--json"]
    command = [sys.executable, "-m", "gram_reasoning", *arguments]
    for target in ("-", str(file)):
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen([*command, target], text=True, **pipes)
        assert process.stdin is not None
        assert process.stdout is not None
        printed = ""
        for text in (EMPTY, ONE.replace("/", "\n") + "\n"):
            process.stdin.write(f"{text}\n")
            process.stdin.flush()
            printed += process.stdout.readline()
        process.stdin.write(f"{EMPTY}\nQ.Q./..../..../....\n{EMPTY}\n")
        rest, error = process.communicate(timeout=60)
        assert process.returncode == 2
        assert error == (
            "gram: standard input, line 8: the queens in row 1, column 1 and row 1, column 3 attack each other, "
            "expected queens that do not\n"
        )
        lines = (printed + rest if target == "-" else file.read_text()).splitlines()
        assert [json.loads(line)["input"] for line in lines] == [EMPTY, ONE, EMPTY]


def test_orders_of_answers(model: str, capsys: pytest.CaptureFixture[str]):
    orders = {}
    for rule in ("majority", "lprm", "first"):
        (item,) = solve_json(capsys, model, EMPTY, "--samples", "40", "--select", rule)
        orders[rule] = item["answers"]
    scores = [answer["score"] for answer in orders["lprm"]]
    assert scores == sorted(scores, reverse=True)
    (one,) = solve_json(capsys, model, EMPTY, "--samples", "1")
    assert orders["first"][0]["answer"] == one["answers"][0]["answer"]
    sets = [{(a["answer"], a["votes"]) for a in order} for order in orders.values()]
    assert sets[0] == sets[1] == sets[2]


def test_text_file_and_standard_input_are_one(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "boards"
    file.write_text(EMPTY.replace("/", "\n") + "\n\n" + CORNER + "\n")
    from_file = solve_json(capsys, model, str(file))
    assert [item["input"] for item in from_file] == [EMPTY, CORNER]
    for arguments in ([], ["-"]):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(file.read_bytes())))
        assert solve_json(capsys, model, *arguments) == from_file
    assert solve_json(capsys, model, EMPTY) == from_file[:1]
    assert solve_json(capsys, model, EMPTY, "--chunk", "1") == from_file[:1]
    assert solve_json(capsys, model, EMPTY, "--seed", "1") != from_file[:1]


def test_printed_boards_are_verified_ones(model: str, capsys: pytest.CaptureFixture[str]):
    (item,) = solve_json(capsys, model, EMPTY, "--samples", "200")
    right = [answer for answer in item["answers"] if answer["verified"]]
    assert right
    for options, answers in ((["--all"], right), ([], right[:1])):
        assert main(["solve", EMPTY, "--checkpoint", model, "--samples", "200", *options]) == 0
        printed = capsys.readouterr().out
        assert f"{len(right)} of 2 solutions found, {sum(a['votes'] for a in right)} of 200 samples valid" in printed
        assert printed.count("Q") == 4 * len(answers)
        assert all(f"{answer['votes']} votes" in printed for answer in answers)


def test_no_solution_is_exit_1(model: str, capsys: pytest.CaptureFixture[str]):
    assert main(["solve", CORNER, "--checkpoint", model]) == 1
    assert "no solution exists" in capsys.readouterr().out
    assert main(["solve", ONE, "--checkpoint", model, "--samples", "40"]) == 0


def test_json_file_and_picture(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file, picture = tmp_path / "out.json", tmp_path / "out.png"
    options = ["--samples", "40", "--json", str(file), "--picture", str(picture)]
    assert main(["solve", ONE, "--checkpoint", model, *options]) == 0
    assert "1 of 1 solutions found" in capsys.readouterr().out
    items = [json.loads(line) for line in file.read_text().splitlines()]
    assert items == solve_json(capsys, model, ONE, "--samples", "40")
    assert picture.read_bytes().startswith(b"\x89PNG")  # tests/cli/test_pictures.py looks at it
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.json", "out.png"]


def test_an_unsolved_board_shows_what_the_model_answered(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """An untrained model is right about nothing; what it answers is shown, and marked."""
    drawn: list[str] = []
    monkeypatch.setattr(figures, "save", lambda figure, path: drawn.extend(a.get_title() for a in figure.axes))
    run = str(tmp_path / "run")
    assert main(["train", "coloring6-debug", "--out", run, "--threads", "1", "--train.steps", "1"]) == 0
    capsys.readouterr()
    triangle = "1 2/2 3/1 3/4 5/5 6/4 6"
    arguments = ["solve", triangle, "--checkpoint", run, "--samples", "1", "--steps", "1"]
    assert main([*arguments, "--json", "-"]) == 1
    [answer] = json.loads(capsys.readouterr().out)["answers"]
    assert main([*arguments, "--picture", str(tmp_path / "out.png")]) == 1
    told = capsys.readouterr().out
    assert "not solved: none of 1 samples is a solution" in told
    [violated] = re.findall(r"1 votes, NOT a solution, violated: (\d+)$", told, re.MULTILINE)
    assert int(violated) == violations(triangle, answer["answer"])
    assert drawn == ["0 of 6 found", "not a solution"]


def violations(graph: str, answer: str) -> int:
    """Edges within one colour, and vertices without one, `?`; the answer has a letter for each vertex."""
    ends = [(answer[int(a) - 1], answer[int(b) - 1]) for a, b in (edge.split() for edge in graph.split("/"))]
    return sum(a == b != "?" for a, b in ends) + answer.count("?")


@pytest.mark.parametrize("option", ["--json", "--picture"])
def test_solve_cannot_write(option: str, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = tmp_path / "folder.png"
    folder.mkdir()
    for path in (tmp_path / "no" / "such.png", folder):
        assert str(path) in fails(capsys, "solve", EMPTY, "--checkpoint", model, option, str(path))
    assert list(tmp_path.rglob("*")) == [folder]


@pytest.mark.parametrize(
    "arguments", [["solve", EMPTY, "--trajectories"], ["generate", "--forming"]], ids=["trajectories", "forming"]
)
def test_halting_and_a_picture_of_every_step_are_refused_before_the_work(
    arguments: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    """The model is not even looked for."""
    picture = tmp_path / "out.png"
    told = fails(capsys, *arguments, str(picture), "--halting", "--checkpoint", "nowhere")
    assert f"{arguments[-1]}: rollouts that halt have no common length, expected no --halting" in told
    assert not picture.exists()


def test_a_picture_of_no_known_kind(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "out.sketch"
    assert "sketch" in fails(capsys, "solve", EMPTY, "--checkpoint", model, "--picture", str(path))


# -- eval, data, recipes, train ------------------------------------------------------------------------------------


def test_eval_writes_its_numbers(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "eval.json"
    for split, inputs in (("test", 4), ("train", 24)):
        assert main(["eval", model, "--split", split, "--samples", "3", "--json", str(file)]) == 0
        assert f"on {inputs} {split} inputs: 3 samples each" in " ".join(capsys.readouterr().out.split())
        result = json.loads(file.read_text())
        assert (result["inputs"], result["samples"], result["split"]) == (inputs, 3, split)
        assert 0 <= result["macro"]["single_sample_accuracy"] <= 1
        assert result["command"] == f"gram eval {model} --split {split} --samples 3 --json {file}"
        assert result["seconds"] > 0
        assert re.fullmatch(r"[0-9a-f]{40}( with changes)?", result["commit"])
    assert main(["eval", model, "--split", "train", "--limit", "2", "--halting", "--json", str(file)]) == 0
    assert json.loads(file.read_text())["inputs"] == 2
    for path in (tmp_path / "no" / "such.json", tmp_path):
        assert str(path) in fails(capsys, "eval", model, "--json", str(path))
    assert "--limit" in fails(capsys, "eval", model, "--limit", "0")


def test_data_is_read_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    from gram_reasoning.build import build_task

    task = build_task(RECIPES["nqueens7-pocket-debug"])
    assert isinstance(task, Text)
    file = tmp_path / "test.txt"
    for split in ("test", "validation", "train"):
        assert main(["data", "nqueens7-pocket-debug", "--split", split]) == 0
        printed = capsys.readouterr().out
        assert main(["data", "nqueens7-pocket-debug", "--split", split, "--out", str(file)]) == 0
        assert capsys.readouterr().out.endswith(f"inputs written to {file}\n")
        assert file.read_text() == printed
        parsed = [tokens.tolist() for _, tokens in task.parse(printed, "data")]
        assert parsed == task.split(split).inputs.tolist()
    missing = tmp_path / "no" / "such.txt"
    assert str(missing) in fails(capsys, "data", "nqueens7-pocket-debug", "--out", str(missing))


def test_a_reader_that_leaves_is_no_error():
    script = "import sys; from gram_reasoning.cli import main; sys.exit(main(['data', 'nqueens8', '--split', 'train']))"
    command = f'{sys.executable} -W error -c "{script}" | head -1'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, env=dict(os.environ))
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""


def test_a_run_that_is_removed_while_it_trains(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    run = tmp_path / "run"
    plain = Trainer.train_step

    def train_step(self: Trainer) -> Any:
        if self.step == 2:
            shutil.rmtree(run)
        return plain(self)

    monkeypatch.setattr(Trainer, "train_step", train_step)
    assert main(["train", "nqueens7-pocket-debug", "--out", str(run), "--threads", "1"]) == 1
    told = capsys.readouterr()
    assert told.err.startswith(f"gram: {run}: was removed while it trained; the model of step ")
    assert told.err.count("\n") == 1
    assert "--resume" not in told.out
    assert main(["eval", str(run / "model"), "--limit", "1", "--samples", "1"]) == 0


def test_recipes_are_listed(capsys: pytest.CaptureFixture[str]):
    assert main(["recipes"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in RECIPES if not name.endswith("-debug"))
    assert main(["recipes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {name: to_json(recipe) for name, recipe in RECIPES.items()}


def test_train_solve_and_resume(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = tmp_path / "seven"
    command = ["train", "nqueens7-pocket-debug", "--out", str(run), "--threads", "1"]
    assert main(command) == 0
    assert "finished at step 6 of 6" in capsys.readouterr().out
    assert "add --resume" in fails(capsys, *command)
    assert main([*command, "--resume"]) == 0
    assert "the run has train.clip 1.0, the options give 9.0" in fails(
        capsys, *command, "--resume", "--train.clip", "9"
    )
    assert len(oracle.completions(board(HOPELESS))) == 0
    assert main(["solve", HOPELESS, "--checkpoint", str(run)]) == 1
    assert "no solution exists" in capsys.readouterr().out
    (item,) = solve_json(capsys, str(run / "model"), HOPELESS)
    assert (item["known_solutions"], item["samples"]) == (0, 2)


@pytest.mark.parametrize("seed", [-1, 2**31, 2**40 + 1])
def test_any_seed_works(seed: int, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    options = ["--train.steps", "1", "--out", str(tmp_path / "run"), "--threads", "1"]
    seeds = ["--seed", str(seed), "--task.split-seed", str(seed)]
    assert main(["train", "nqueens7-pocket-debug", *options, *seeds]) == 0
    assert solve_json(capsys, model, EMPTY, "--seed", str(seed)) != solve_json(capsys, model, EMPTY)
    assert main(["eval", model, "--seed", str(seed), "--samples", "1"]) == 0


def test_train_cannot_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        assert str(path) in fails(capsys, "train", "nqueens7-pocket-debug", "--out", str(path))


def test_train_into_the_folder_where_it_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "nqueens7-pocket-debug", "--train.steps", "1", "--out", "."]) == 0
    assert (tmp_path / "config.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([""], "the argument: empty"),
        (
            ["......./..."],
            "of nqueens (line 1: size: got 2, expected a board side from 4 to 12) or of sudoku (line 1, row 1: 7",
        ),
        (["......../......../......../......../......../......../......../......"], "row 8: 6 cells, expected 8"),
        (
            ["........./........./........./........./........./........./........./........./........."],
            "nqueens or of sudoku",
        ),
        ([EMPTY, "--json", "/nowhere/x.jsonl"], "/nowhere"),
        ([EMPTY, "--picture", "x.xyz"], "no picture format"),
        ([EMPTY, "--threads", "0"], "--threads"),
    ],
)
def test_solve_with_the_bundled_models(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    assert message in fails(capsys, "solve", *arguments)


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")]
)
def test_too_little_memory(error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def build(*arguments: Any) -> None:
        raise error

    monkeypatch.setattr("gram_reasoning.build.build_task", build)
    assert "not enough memory" in fails(capsys, "data", "nqueens7-pocket-debug")


@pytest.mark.parametrize(
    ("redirect", "message"), [("> /dev/full", "standard output"), ("<&-", "standard input: closed")]
)
def test_closed_streams(redirect: str, message: str):
    command = f"{sys.executable} -m gram_reasoning {'recipes' if '>' in redirect else 'solve -'} {redirect}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert message in done.stderr
