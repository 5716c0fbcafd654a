"""The package from Python, and the way a model takes to the Hub and back."""

import http.server
import inspect
import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from hashlib import sha1
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
from huggingface_hub import constants

import gram_reasoning
from gram_reasoning import UserError, api
from gram_reasoning.cli import main
from gram_reasoning.inference.sampler import SamplerConfig
from gram_reasoning.storage import hub
from oracles.nqueens import is_solution

ROOT = Path(__file__).parents[1]
BOARD = "......./......./....Q../......./......./......./......."


def board(text: str) -> list[list[int]]:
    return [[1 + (cell == "Q") for cell in row] for row in text.split("/")]


@pytest.fixture(scope="module")
def solver() -> gram_reasoning.Solver:
    return gram_reasoning.load("nqueens7", device="cpu")


def test_the_package_itself_imports_no_torch():
    script = "import sys, gram_reasoning; assert 'torch' not in sys.modules; gram_reasoning.load; sys.modules['torch']"
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)
    assert not hasattr(gram_reasoning, "fly")


def test_the_lines_of_the_readme(capsys: pytest.CaptureFixture[str]):
    [lines] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(lines.splitlines()) <= 10
    exec(lines, {})
    first, *answers, one, two = capsys.readouterr().out.splitlines()
    found, known = map(int, re.findall(r"\d+", first))
    assert known == 6
    assert len(answers) == found > 1
    assert all(is_solution(board(line.split()[0]), board(BOARD)) for line in answers)
    assert one.split()[0].startswith("...Q.../")
    assert two.split()[0].startswith("......./.....Q./")


def test_python_and_the_command_agree(
    solver: gram_reasoning.Solver, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    boards = [BOARD, "4,.,.,.,.,.,.", BOARD.replace("/", "\n")]
    file = tmp_path / "boards.txt"
    file.write_text("\n".join(boards))
    options: dict[str, Any] = {"samples": 10, "steps": 4, "select": "lprm", "seed": 3}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    main(["solve", str(file), "--json", "-", *words])
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    solved = list(solver.solve_many(iter(boards), **options))
    assert [item.to_json() for item in solved] == printed
    alone = solver.solve(BOARD, **options)  # in another batch: the last bits of a score may differ
    assert {(a.text, a.votes) for a in alone.answers} == {(a.text, a.votes) for a in solved[0].answers}
    assert is_dataclass(solved[0])
    assert is_dataclass(solved[0].answers[0])


@pytest.mark.parametrize(
    ("puzzle", "options", "message"),
    [
        ("", {}, "input 1: no input found"),
        ("Q", {}, "input 1, line 1: a board of 1 rows"),
        (f"{BOARD}\n{BOARD}", {}, "input 1: 2 inputs in one text"),
        (BOARD, {"samples": 0}, "samples: got 0, expected 1 to 100000"),
    ],
)
def test_mistakes(solver: gram_reasoning.Solver, puzzle: str, options: dict[str, Any], message: str):
    with pytest.raises(UserError) as error:
        solver.solve(puzzle, **options)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"select": "best"}, "select: got 'best', expected one of majority, lprm, first, halt"),
        ({"precision": "fp64"}, "precision: got 'fp64', expected one of fp32, bf16"),
        ({"halting": True, "halt_by": "hope"}, "halt_by: got 'hope', expected one of confidence, head"),
        ({"halting": True, "halt_at": 1.5}, "halt_at: got 1.5, expected a probability from 0 to 1"),
        ({"decode": "best"}, "decode: got 'best', expected one of ancestral, greedy, beam"),
        ({"decode": "beam"}, "decode: got 'beam', expected nothing for Gram"),
        ({"samples": "many"}, "samples: got 'many', expected a whole number"),
        ({"samples": True}, "samples: got True, expected a whole number"),
        ({"steps": 2.5}, "steps: got 2.5, expected a whole number"),
        ({"halting": "yes"}, "halting: got 'yes', expected True or False"),
        ({"latent_noise": "loud"}, "latent_noise: got 'loud', expected a number"),
        ({"latent_noise": -1}, "latent_noise: got -1, expected a number from 0 on"),
        ({"select": None}, "select: got None, expected one of majority, lprm"),
        ({"halt_at": 0.5}, "halt_at: got 0.5, expected halting=True beside it"),
        ({"halt_by": "head"}, "halt_by: got 'head', expected halting=True beside it"),
    ],
)
def test_mistaken_options(solver: gram_reasoning.Solver, options: dict[str, Any], told: str):
    with pytest.raises(UserError) as error:
        solver.solve(BOARD, **options)
    assert str(error.value).startswith(told)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"answers": 1.5}, "answers: got 1.5, expected a whole number"),
        ({"choose": "rules"}, "choose: got 'rules', expected one of model, verified"),
        ({"until": "all"}, "until: got 'all', expected a number"),
        ({"budget": 0}, "budget: got 0, expected "),
    ],
)
def test_mistaken_options_of_sets(solver: gram_reasoning.Solver, options: dict[str, Any], told: str):
    with pytest.raises(UserError) as error:
        list(solver.answer_sets([BOARD], **options))
    assert str(error.value).startswith(told)


@pytest.mark.parametrize("puzzles", [[BOARD, BOARD], [BOARD, "zzz"], {"puzzles": [BOARD, BOARD]}])
def test_several_inputs_are_not_one(solver: gram_reasoning.Solver, puzzles: Any):
    with pytest.raises(UserError, match=r"^input 1: 2 inputs in one value, expected one$"):
        solver.solve(puzzles)


def test_other_arguments_of_wrong_types(solver: gram_reasoning.Solver, tmp_path: Path):
    wrong: dict[str, Any] = {"name": None, "board": BOARD, "size": "x"}
    for call, told in (
        (lambda: gram_reasoning.load("nqueens7", device=wrong["name"]), "device: got None, expected a word"),
        (lambda: list(solver.solve_many(wrong["name"])), "puzzles: got None, expected a list of inputs"),
        (lambda: list(solver.solve_many(wrong["board"])), f"puzzles: got '{BOARD}', expected a list of inputs"),
        (lambda: solver.save_pretrained(tmp_path / "new", max_mb=wrong["size"]), "max_mb: got 'x', expected a number"),
    ):
        with pytest.raises(UserError) as error:
            call()
        assert str(error.value) == told


def test_a_result_is_written_short(solver: gram_reasoning.Solver):
    solved = solver.solve(BOARD, samples=20, steps=6)
    found = f"{len(solved.answers)} answers, {len(solved.solutions)} of 6 solutions"
    assert repr(solved) == f"Solved('{BOARD[:39]}…': {found})"


def test_numbers_of_numpy_are_numbers(solver: gram_reasoning.Solver):
    options: dict[str, Any] = {"samples": np.uint8(2), "steps": np.int32(1), "latent_noise": np.float32(0.5)}
    solved = solver.solve(BOARD, seed=np.int64(3), **options)  # type: ignore[arg-type]
    assert json.loads(json.dumps(solved.to_json()))["samples"] == 2
    assert (solved.samples, solved.steps) == (2, 1)


def test_a_device_that_is_not_there():
    with pytest.raises(UserError, match=r"^device: got 'abacus'"):
        gram_reasoning.load("nqueens7", "abacus")


def test_options_reach_the_sampler(solver: gram_reasoning.Solver, monkeypatch: pytest.MonkeyPatch):
    """Each option that Python takes is a field of the sampler's configuration or the rule; both methods take all."""
    told: list[SamplerConfig] = []

    def noted(model: Any, task: Any, inputs: Any, config: SamplerConfig, rule: str, first_input: int) -> Iterator[Any]:
        told.append(config)
        return iter([rule] * len(inputs))

    monkeypatch.setattr(api, "solve", noted)
    options: dict[str, Any] = {
        "samples": 3, "steps": 5, "halting": True, "halt_by": "head", "halt_at": 0.25, "random_start": True,
        "latent_noise": 0.5, "draw_tokens": True, "temperature": 0.5, "decode": "beam", "flow": "sde",
        "precision": "bf16", "chunk": 7, "seed": 11,
    }  # fmt: skip
    assert solver.solve(BOARD, **options, select="lprm") == "lprm"
    assert list(solver.solve_many([BOARD], **options, select="first")) == ["first"]
    assert told == [SamplerConfig(**options)] * 2
    assert {*options, "select"} == {field.name for field in fields(SamplerConfig)} | {"select"}
    one, many = (set(inspect.signature(f).parameters) for f in (solver.solve, solver.solve_many))
    assert one - {"puzzle"} == many - {"puzzles"} == {*options, "select"}


def test_a_solver_is_shown_in_a_line(solver: gram_reasoning.Solver):
    assert re.fullmatch(r"Solver\(nqueens7-pocket: nqueens, [\d,]+ parameters, on cpu\)", repr(solver))


# -- sharing -------------------------------------------------------------------------------------------------------


def same_weights(one: gram_reasoning.Solver, other: gram_reasoning.Solver) -> bool:
    left, right = one.model.state_dict(), other.model.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_saved_and_loaded_again(solver: gram_reasoning.Solver, tmp_path: Path):
    folder = tmp_path / "model"
    for _ in range(2):  # the second time over the first
        solver.save_pretrained(folder)
        assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    back = gram_reasoning.Solver.from_pretrained(folder, device="cpu")
    assert same_weights(solver, back)
    assert (back.recipe, back.config, back.card) == (solver.recipe, solver.config, (folder / "README.md").read_text())
    assert back.solve(BOARD) == solver.solve(BOARD)
    assert list(tmp_path.iterdir()) == [folder]


def test_saving_harms_no_other_folder(solver: gram_reasoning.Solver, tmp_path: Path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match=r"holds thesis\.tex"):
        solver.save_pretrained(tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"
    with pytest.raises(UserError, match="cannot be written"):
        solver.save_pretrained(tmp_path / "thesis.tex")


class FakeHub(http.server.BaseHTTPRequestHandler):
    """As much of the Hub's protocol as fetching takes: the list of a repository's files, and the files."""

    folder: Path
    asked: list[str]
    commit = "0123456789" * 4

    def do_GET(self) -> None:
        self.asked.append(f"{self.command} {self.path}")
        path = self.path.partition("?")[0]
        if path.startswith("/api/models/owner/seven/revision/"):
            files = [{"rfilename": path.name} for path in self.folder.iterdir()]
            return self.answer(json.dumps({"id": "owner/seven", "sha": self.commit, "siblings": files}).encode())
        if path.startswith("/api/models/owner/seven/tree/"):
            files = [self.entry(path) for path in self.folder.iterdir()]
            return self.answer(json.dumps(files).encode())
        if path.startswith("/owner/seven/resolve/"):
            return self.answer((self.folder / path.rpartition("/")[2]).read_bytes())
        self.send_response(404)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", "0")
        return self.end_headers()

    do_HEAD = do_GET  # noqa: N815 - the name is http.server's

    @staticmethod
    def entry(path: Path) -> dict[str, Any]:
        content = path.read_bytes()
        return {"type": "file", "path": path.name, "size": len(content), "oid": sha1(content).hexdigest()}

    def answer(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("X-Repo-Commit", self.commit)
        self.send_header("ETag", f'"{sha1(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def fake_hub(solver: gram_reasoning.Solver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FakeHub]]:
    FakeHub.folder, FakeHub.asked = tmp_path / "seven", []
    solver.save_pretrained(FakeHub.folder)
    (FakeHub.folder / "pytorch_model.bin").write_bytes(b"a pickle that nobody asked for")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), FakeHub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name, value in hub_at(f"http://127.0.0.1:{server.server_port}", tmp_path / "cache").items():
            monkeypatch.setattr(constants, name, value)
        yield FakeHub
        server.shutdown()


def hub_at(address: str, cache: Path) -> dict[str, Any]:
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    return {
        "ENDPOINT": address, "HUGGINGFACE_CO_URL_TEMPLATE": template, "HF_HUB_CACHE": str(cache),
        "HF_HUB_DISABLE_PROGRESS_BARS": True, "HF_HUB_DISABLE_XET": True,
    }  # fmt: skip


def test_a_model_is_fetched(fake_hub: type[FakeHub], solver: gram_reasoning.Solver):
    back = gram_reasoning.load("owner/seven", device="cpu")
    assert same_weights(solver, back)
    assert not any("pytorch_model.bin" in line for line in fake_hub.asked if "resolve" in line)
    with pytest.raises(
        UserError, match=r"owner/eight: no such folder, and the Hugging Face Hub does not give it"
    ) as error:
        gram_reasoning.load("owner/eight")
    assert "\n" not in str(error.value)


def test_a_foreign_model_is_refused(fake_hub: type[FakeHub]):
    (fake_hub.folder / "config.json").write_text('{"architectures": ["BertModel"]}')
    with pytest.raises(UserError, match="not the config of a gram model"):
        gram_reasoning.load("owner/seven")


def test_only_three_files_are_sent(solver: gram_reasoning.Solver, monkeypatch: pytest.MonkeyPatch):
    calls: list[tuple[str, dict[str, Any]]] = []

    class Api:
        def create_repo(self, name: str, **options: Any) -> str:
            calls.append((name, options))
            return f"https://hub/{name}"

        def upload_folder(self, repo_id: str, folder_path: Path, **options: Any) -> None:
            assert sorted(path.name for path in folder_path.iterdir()) == sorted(hub.SENT)
            assert same_weights(solver, gram_reasoning.load(folder_path))
            calls.append((repo_id, options))

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    assert solver.push_to_hub("owner/seven", private=True) == "https://hub/owner/seven"
    assert [name for name, _ in calls] == ["owner/seven"] * 2
    assert calls[0][1] == {"private": True, "exist_ok": True}
    assert calls[1][1]["allow_patterns"] == ["config.json", "model.safetensors", "README.md"]


def test_without_network(
    solver: gram_reasoning.Solver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Connections are refused: one line, exit code 2."""
    for name, value in hub_at("http://127.0.0.1:9", tmp_path).items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: real(endpoint="http://127.0.0.1:9", token="hf_x"))
    real = huggingface_hub.hf_api.HfApi
    for arguments in (["solve", BOARD, "--checkpoint", "owner/seven"], ["eval", "owner/seven"]):
        assert main(arguments) == 2
        message = capsys.readouterr().err
        assert message.startswith("gram: owner/seven: no such folder, and the Hugging Face Hub does not give it (")
        assert message.count("\n") == 1
    with pytest.raises(UserError, match="owner/seven: not sent to the Hugging Face Hub") as error:
        solver.push_to_hub("owner/seven")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["nowhere", "a/b/c", "../seven", "owner/", "", "nqueens99", "two words/x"])
def test_names_of_nothing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"no such folder|expected the folder|no such file"):
        gram_reasoning.load(name)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_the_default_dtype_is_the_callers_business(dtype: torch.dtype):
    board = "4,.,.,.,.,.,."
    plain = gram_reasoning.load("nqueens7", device="cpu")
    expected = plain.solve(board, samples=8), next(plain.answer_sets([board], answers=4, budget=64))
    torch.set_default_dtype(dtype)
    try:
        solver = gram_reasoning.load("nqueens7", device="cpu")
        found = solver.solve(board, samples=8), next(solver.answer_sets([board], answers=4, budget=64))
        assert torch.get_default_dtype() == dtype
    finally:
        torch.set_default_dtype(torch.float32)
    assert found == expected


# -- cards ---------------------------------------------------------------------------------------------------------


def bundled_numbers(name: str) -> list[dict[str, Any]]:
    """What is stored under results/ of a model in the package on all its test inputs, fewest steps first.

    What was measured of its images comes last.
    """
    stored = [json.loads(path.read_text()) for path in (ROOT / "results").rglob("*.json")]
    own = (name, f"src/gram_reasoning/pretrained/{name}")
    stored = [v for v in stored if isinstance(v, dict) and v.get("checkpoint") in own]
    images = [v for v in stored if "sets" in v]
    numbers = [v for v in stored if v.get("split") in ("test", "own")]
    recipe = json.loads((hub.BUNDLED / name / "config.json").read_text())["recipe"]["name"]
    # A run's folder may have had the name of a model.
    numbers = [v for v in numbers if v["checkpoint"] != name or v.get("recipe") == recipe]
    whole: dict[int, int] = {}
    for value in numbers:
        size = value.get("size", 0)
        whole[size] = max(whole.get(size, 0), value["inputs"])
    numbers = [value for value in numbers if value["inputs"] == whole[value.get("size", 0)]]
    order = ("steps", "samples", "select", "seed")
    return [*sorted(numbers, key=lambda value: (value.get("size", 0), *(value[name] for name in order))), *images]


@pytest.mark.parametrize("name", sorted(path.name for path in hub.BUNDLED.iterdir()))
def test_cards_of_the_package_say_what_the_results_say(name: str, tmp_path: Path):
    """Make them anew with `make cards`."""
    numbers = bundled_numbers(name)
    assert numbers, f"no results of {name}"
    folder = tmp_path / name
    replace(gram_reasoning.load(name, device="cpu"), card=None).save_pretrained(folder, numbers)
    assert (folder / "README.md").read_text() == (hub.BUNDLED / name / "README.md").read_text()


def test_the_hub_reads_the_card(solver: gram_reasoning.Solver):
    card: Any = huggingface_hub.ModelCard(solver.card or "")
    assert card.data.license == "apache-2.0"
    assert card.data.library_name == "gram-reasoning"
    [numbers, *_] = bundled_numbers("nqueens7")
    values = {(result.metric_name, result.metric_value) for result in card.data.eval_results or []}
    accuracy = round(100 * numbers["macro"]["single_sample_accuracy"], 2)
    assert (f"accuracy of a sample, unique inputs (macro), {numbers['steps']} steps", accuracy) in values
    assert "https://arxiv.org/abs/2605.19376" in card.text
    assert f"| {100 * numbers['paper']['coverage']:.1f} |" in card.text


def test_a_card_without_numbers(solver: gram_reasoning.Solver, tmp_path: Path):
    shutil.rmtree(tmp_path)
    replace(solver, card=None).save_pretrained(tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert "None have been stored" in text
    card: Any = huggingface_hub.ModelCard(text)
    assert card.data.eval_results is None
