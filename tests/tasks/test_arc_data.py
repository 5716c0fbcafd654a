"""Where ARC tasks come from: folders, combined files, releases; what is refused, and how."""

import hashlib
import io
import json
import tarfile
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import strategies as st

from fuzzing import fuzz
from gram_reasoning.errors import UserError
from gram_reasoning.tasks import arc_data
from gram_reasoning.tasks.arc import Arc
from gram_reasoning.tasks.arc_data import RELEASES, Release, read_set
from gram_reasoning.tasks.configs import ArcConfig
from helpers import read_or_refused
from oracles import arc as oracle

PAIR = {"input": [[1, 2]], "output": [[2], [1]]}
TASKS: dict[str, Any] = {
    "aa": {"train": [PAIR, {"input": [[3]], "output": [[4]]}], "test": [{"input": [[5]], "output": [[6]]}]},
    "bb": {"name": "bb", "train": [{"input": [[7]], "output": [[7]]}], "test": [
        {"input": [[8]], "output": [[9]]}, {"input": [[8, 8]], "output": [[9, 9]]}]},
}  # fmt: skip
OTHERS: dict[str, Any] = {
    "cc": {"train": [{"input": [[0]], "output": [[1]]}], "test": [{"input": [[1]], "output": [[0]]}]}
}


def write_folder(folder: Path, tasks: dict[str, Any]) -> str:
    folder.mkdir(exist_ok=True)
    for name, task in tasks.items():
        (folder / f"{name}.json").write_text(json.dumps(task))
    return str(folder)


def write_combined(folder: Path, tasks: dict[str, Any], name: str = "set_") -> Path:
    folder.mkdir(exist_ok=True)
    asked = {
        key: {"train": task["train"], "test": [{"input": pair["input"]} for pair in task["test"]]}
        for key, task in tasks.items()
    }
    solutions = {key: [pair["output"] for pair in task["test"]] for key, task in tasks.items()}
    (folder / f"{name}challenges.json").write_text(json.dumps(asked))
    (folder / f"{name}solutions.json").write_text(json.dumps(solutions))
    return folder / f"{name}challenges.json"


def arc(training: str, evaluation: str, **changes: Any) -> Arc:
    return Arc(ArcConfig(**{"training": training, "evaluation": evaluation, "concept": "none", "canvas": 4, **changes}))


def test_a_folder_and_a_combined_file_are_one_set(tmp_path: Path):
    folder = read_set("training", write_folder(tmp_path / "folder", TASKS), 1)
    assert folder == read_set("training", str(write_combined(tmp_path / "combined", TASKS)), 1)
    assert [r.name for r in folder] == ["aa", "bb"]
    assert folder[1].tests == (([[8]], [[9]]), ([[8, 8]], [[9, 9]]))


def test_test_outputs_are_never_learnt(tmp_path: Path):
    training, evaluation = write_folder(tmp_path / "a", TASKS), write_folder(tmp_path / "b", OTHERS)
    task = arc(training, evaluation)
    tokens = {name: {(tuple(x), tuple(y)) for x, y in zip(p.inputs.tolist(), p.solutions.tolist(), strict=True)}
              for name in ("train", "validation", "test") for p in [task.split(name)]}  # fmt: skip
    canvases = {
        part: {
            (tuple(oracle.write(pair["input"], 4)), tuple(oracle.write(pair["output"], 4)))
            for tasks in sets for own in tasks.values() for pair in own[part]
        }
        for part, sets in (("train", (TASKS, OTHERS)), ("test", (TASKS, OTHERS)))
    }  # fmt: skip
    assert tokens["train"] == canvases["train"]
    assert tokens["validation"] | tokens["test"] == canvases["test"]
    assert len(tokens["test"]) == 1
    assert task.owners == ("training/aa", "training/bb", "evaluation/cc")


def test_what_is_judged_is_not_learnt(tmp_path: Path):
    training = write_folder(tmp_path / "a", TASKS)
    with pytest.raises(UserError, match=r"--task.training: 2 tasks of the evaluation set are in it, such as aa"):
        arc(training, training).split("train")
    renamed = {"dd": {"train": TASKS["aa"]["test"], "test": OTHERS["cc"]["test"]}}
    with pytest.raises(UserError, match=r"--task.training: 1 tasks .* such as aa: .*--task.allow-leak"):
        arc(write_folder(tmp_path / "d", renamed), training).split("train")
    with pytest.raises(UserError, match=r"--task.concept: 1 tasks"):
        arc("none", training, concept=str(tmp_path / "d"), monitor="demonstrations").split("train")
    assert len(arc(training, training, allow_leak=True).owners) == 4


def change(tasks: dict[str, Any], *path: Any, value: Any) -> dict[str, Any]:
    tasks = json.loads(json.dumps(tasks))
    inner = tasks
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return tasks


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        (change(TASKS, "aa", "train", 0, "input", value=[[1], [2, 3]]), "task aa, train 1, input, row 2: 2 cells"),
        (change(TASKS, "aa", "train", 1, "output", value=[[10]]), "task aa, train 2, output, row 1, cell 1: '10'"),
        (change(TASKS, "bb", "test", 1, "input", value=[[0] * 31]), "task bb, test 2, input, row 1: 31 cells"),
        (
            change(TASKS, "bb", "test", 1, "input", value=[[0] * 5]),
            "task bb: a grid of 1 x 5 cells, expected at most 4",
        ),
        (change(TASKS, "bb", "test", 0, value={"input": [[1]]}), "task bb: a test pair without output"),
        (change(TASKS, "bb", value=[]), "task bb: nothing, expected a task"),
    ],
)
def test_bad_folders(tasks: dict[str, Any], message: str, tmp_path: Path):
    with pytest.raises(UserError) as error:
        arc(write_folder(tmp_path / "a", tasks), write_folder(tmp_path / "b", OTHERS)).split("train")
    assert message in str(error.value)


def test_bad_sources(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    for source, message in {
        str(tmp_path / "nowhere"): "no such file or folder",
        str(tmp_path / "empty"): "no JSON files in this folder",
        write_folder(tmp_path / "a", TASKS) + "/aa.json": "expected a folder of tasks, or a combined file named",
    }.items():
        with pytest.raises(UserError) as error:
            read_set("training", source, 1)
        assert message in str(error.value)
    (tmp_path / "a/aa.json").write_bytes(b"\xff\x00")
    with pytest.raises(UserError, match=r"aa\.json: cannot be read as JSON"):
        read_set("training", str(tmp_path / "a"), 1)


@pytest.mark.parametrize(
    ("solutions", "message"),
    [
        (None, "set_solutions.json: no such file, expected the solutions of set_challenges.json"),
        ("{", "set_solutions.json: cannot be read as JSON"),
        ([], "set_solutions.json: nothing, expected an object"),
        ({"aa": [[[6]]]}, "set_solutions.json: no task bb, which set_challenges.json has"),
        ({"aa": [[[6]]], "bb": [], "cc": []}, "set_challenges.json: no task cc, which set_solutions.json has"),
        ({"aa": [[[6]]], "bb": [[[9]]]}, "task bb: 1 outputs, expected 2"),
        ({"aa": 7, "bb": []}, "task aa: a number, expected 1"),
        ({"aa": [[[60]]], "bb": [[[9]], [[9]]]}, "task aa, test 1, row 1, cell 1: '60'"),
    ],
)
def test_bad_solutions(solutions: Any, message: str, tmp_path: Path):
    path = write_combined(tmp_path / "a", TASKS)
    other = path.with_name("set_solutions.json")
    other.unlink()
    if solutions is not None:
        other.write_text(solutions if isinstance(solutions, str) else json.dumps(solutions))
    with pytest.raises(UserError) as error:
        read_set("training", str(path), 1)
    assert message in str(error.value)


# -- releases ------------------------------------------------------------------------------------------------------


def archive(tasks: dict[str, Any]) -> bytes:
    """What a server gives for a release: a folder named after it around everything."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as files:
        others = {"data/evaluation/x.json": b"{}", "README.md": b"read"}
        for name, raw in {
            **{f"data/training/{n}.json": json.dumps(t).encode() for n, t in tasks.items()},
            **others,
        }.items():
            member = tarfile.TarInfo(f"some-repository-1234/{name}")
            member.size = len(raw)
            files.addfile(member, io.BytesIO(raw))
    return content.getvalue()


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[bytes]:
    """A release of two tasks, a cache of its own, and what the server will say, once each."""
    packed = json.dumps(TASKS, sort_keys=True, separators=(",", ":")).encode()
    made = Release("some/repository", "1234567890", {"training": hashlib.sha256(packed).hexdigest()})
    answers: list[bytes] = []

    def server(address: str, timeout: float) -> io.BytesIO:
        assert address == "https://codeload.github.com/some/repository/tar.gz/1234567890"
        if not answers:
            raise urllib.error.URLError("no route to host")
        return io.BytesIO(answers.pop())

    monkeypatch.setattr(urllib.request, "urlopen", server)
    monkeypatch.setitem(RELEASES, "arc1", made)
    monkeypatch.setenv("GRAM_CACHE_DIR", str(tmp_path / "cache"))
    return answers


def test_a_release_is_fetched_once_and_checked(release: list[bytes], tmp_path: Path):
    with pytest.raises(UserError, match="not in the cache, and cannot be fetched") as error:
        read_set("training", "official", 1)
    assert "\n" not in str(error.value)
    assert "expected a network, or the files" in str(error.value)
    for answer, message in (
        (b"<html>", "cannot be fetched"),
        (archive(TASKS)[:-30], "cannot be fetched"),
        (archive(OTHERS), "1 tasks that are not those of the release"),
    ):
        release.append(answer)
        with pytest.raises(UserError, match=message):
            read_set("training", "official", 1)
    assert list((tmp_path / "cache").iterdir()) == []
    release.append(archive(TASKS))
    assert [r.name for r in read_set("training", "official", 1)] == ["aa", "bb"]
    assert [r.name for r in read_set("training", "official", 1)] == ["aa", "bb"], "from the cache"
    [file] = (tmp_path / "cache").iterdir()
    file.write_text(json.dumps(OTHERS))
    with pytest.raises(UserError, match=r"not the training set of some/repository; remove it to have it fetched again"):
        read_set("training", "official", 1)


# -- anything ------------------------------------------------------------------------------------------------------

contents = st.binary(max_size=40) | st.recursive(
    st.integers(-1, 11) | st.none() | st.text(max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["train", "test", "input", "output", "aa"]), inner, max_size=3)
    ),
    max_leaves=10,
).map(lambda value: json.dumps(value).encode())


@fuzz(100, 10_000, contents, contents)
def test_any_files(one: bytes, other: bytes) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "set"
        folder.mkdir(exist_ok=True)
        (folder / "aa.json").write_bytes(one)
        read_or_refused(lambda _, where: read_set("training", str(folder), 1), "")
        combined = folder.parent / "x_challenges.json"
        combined.write_bytes(one)
        combined.with_name("x_solutions.json").write_bytes(other)
        read_or_refused(lambda _, where: read_set("training", str(combined), 1), "")


# -- the real files ------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_genuine_files_go_through(arc_folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    concept = str(arc_folders["concept"])
    cases: list[tuple[Literal[1, 2], int, int, int]] = [(1, 960, 3092, 419), (2, 1280, 4018, 167)]
    for version, owners, pairs, tests in cases:
        sets: dict[str, Any] = {part: str(arc_folders[f"{part}{version}"]) for part in ("training", "evaluation")}
        task = Arc(ArcConfig(version=version, **sets, concept=concept))
        assert (len(task.owners), len(task.split("train")), len(task.split("test"))) == (owners, pairs, tests)
        for part in ("training", "evaluation"):  # these files are the releases
            files = {f.stem: json.loads(f.read_bytes()) for f in arc_folders[f"{part}{version}"].glob("*.json")}
            packed = hashlib.sha256(arc_data._packed(files)).hexdigest()
            assert packed == RELEASES[f"arc{version}"].sha256[part]
    leaky = ArcConfig(
        training=str(arc_folders["training2"]), evaluation=str(arc_folders["evaluation1"]), concept="none"
    )
    with pytest.raises(UserError, match=r"--task.training: 376 tasks of the evaluation set are in it"):
        Arc(leaky).split("train")
    names = ("training", "evaluation", "concept")
    combined: dict[str, Any] = {n: str(arc_folders["combined"] / f"arc-agi_{n}_challenges.json") for n in names}
    assert len(Arc(ArcConfig(**combined)).split("test")) == 419
