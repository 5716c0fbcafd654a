"""Every command in README and docs, against the real parsers; those that are done in seconds run."""

import importlib
import io
import pkgutil
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

import gram_reasoning.cli
from gram_reasoning.build import MODELS, TASKS
from gram_reasoning.cli import border, main
from gram_reasoning.cli.main import HELP
from gram_reasoning.models.configs import MODEL_KINDS
from gram_reasoning.recipes import RECIPES
from gram_reasoning.tasks.configs import KINDS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = set(re.findall(r"^  (\w+) ", HELP.partition("commands:\n")[2].partition("options:")[0], re.MULTILINE))


def arguments_of(line: str) -> list[str] | None:
    """What `gram` would get from a line of a shell; None if the line starts something else."""
    words = shlex.split(line.split(" | ")[-1], comments=True)
    if "|" in words or "&" in words:
        words = words[: words.index("|" if "|" in words else "&")]
    if "gram_reasoning" in words[:-1]:
        return words[words.index("gram_reasoning") + 1 :]
    if words[:1] == ["gram"]:
        return words[1:]
    if words[:1] == ["python"] and words[1].startswith("examples/"):
        return [words[2], *words[3:], "--plugin", str(ROOT / words[1])]
    return None


def lines_of(text: str) -> Iterator[str]:
    """The commands in the blocks of a page that name no language or a shell's."""
    for language, block in re.findall(r"^```(.*?)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        if language in ("", "bash"):
            yield from block.replace("\\\n", " ").splitlines()


BLOCKS = {
    f"{page.name}: {line.partition(' #')[0].strip()}": found
    for page in PAGES
    for line in lines_of(page.read_text())
    if re.match(r"(gram |python examples/|torchrun |cat .* \| gram )", line) and (found := arguments_of(line))
}
INLINE = sorted({" ".join(span.split()) for page in PAGES for span in re.findall(r"`(gram [^`]+)`", page.read_text())})


class Parsed(Exception):
    """The parser took a command; nothing need run."""


@pytest.fixture
def registries() -> Iterator[None]:
    """Plugins register for one test alone."""
    tables: Any = (KINDS, TASKS, RECIPES, MODEL_KINDS, MODELS)
    before = [dict(table) for table in tables]
    yield
    for table, old in zip(tables, before, strict=True):
        table.clear()
        table.update(old)


@pytest.fixture
def stops(monkeypatch: pytest.MonkeyPatch, registries: None) -> None:
    """Commands stop when their options are parsed."""

    def parse(*arguments: Any) -> NoReturn:
        border.parse(*arguments)
        raise Parsed

    for module in pkgutil.iter_modules(gram_reasoning.cli.__path__, "gram_reasoning.cli."):
        loaded = importlib.import_module(module.name)
        if loaded is not border and hasattr(loaded, "parse"):
            monkeypatch.setattr(loaded, "parse", parse)


def test_there_are_commands_in_every_part():
    assert {"solve", "train", "eval", "generate", "report", "check"} <= COMMANDS
    assert {name.partition(":")[0] for name in BLOCKS} >= {"README.md", "own-task.md", "first-steps.md"}
    assert {arguments[0] for arguments in BLOCKS.values()} >= COMMANDS
    assert arguments_of("cat a.txt | gram solve - --all # why") == ["solve", "-", "--all"]
    assert arguments_of("make demo") is None


@pytest.mark.parametrize("line", sorted(BLOCKS))
@pytest.mark.usefixtures("stops")
def test_a_command_parses(line: str, capsys: pytest.CaptureFixture[str]):
    arguments = [re.sub(r"\$\w+", "1", word) for word in BLOCKS[line]]  # variables of a shell are numbers here
    if arguments[0].startswith("--") or arguments == ["study"]:  # what prints a list
        assert main(arguments) == 0
        return
    with pytest.raises(Parsed):
        pytest.fail(f"code {main(arguments)}: {capsys.readouterr().err}")


@pytest.mark.usefixtures("stops")
def test_a_command_that_is_wrong_does_not(capsys: pytest.CaptureFixture[str]):
    for wrong in (
        ["solve", "--sample", "3"],
        ["train", "nqueens77"],
        ["train", "nqueens7-pocket", "--train.step", "1"],
    ):
        assert main(wrong) == 2
    assert capsys.readouterr().err.count("\n") == 3


@pytest.mark.parametrize("span", INLINE)
def test_what_stands_in_a_sentence_exists(span: str, capsys: pytest.CaptureFixture[str]):
    """Its command and its options: the rest of it may be left out or be a word such as RECIPE."""
    words = span.split()[1:]
    if words[0].startswith("-"):
        assert words[0] in HELP
        return
    assert words[0] in COMMANDS
    recipe = ["nqueens7-pocket"] if words[0] in ("train", "bench") else []
    with pytest.raises(SystemExit):
        main([words[0], *recipe, "--help"])
    known = set(re.findall(r"--[\w.-]+", capsys.readouterr().out)) | {"--plugin"}
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known


def quick(arguments: list[str]) -> bool:
    """Whether a command is done in seconds with what the sources hold."""
    own = "--checkpoint" in arguments
    board = arguments[0] == "solve" and not own and re.match(r"[\w.,/-]+$", arguments[1]) is not None
    made_up = arguments[1:] and re.search(r"\b(boards|graph|maze|puzzles)\.\w+$", arguments[1])
    return (board and not made_up) or arguments[0] in ("recipes", "data", "--version")


PYTHON = {
    page.name: found
    for page in PAGES
    if (found := re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL))
    and page.name not in ("README.md", "own-task.md")  # tests/test_api.py and tests/test_own_task.py run them
}


@pytest.mark.parametrize("name", sorted(PYTHON.keys() - {"app.md"}))  # which wants a page that is open
def test_the_python_of_a_page_runs(name: str, capsys: pytest.CaptureFixture[str]):
    names: dict[str, Any] = {}
    for block in PYTHON[name]:
        exec(compile(block, name, "exec"), names)
    if "print" in PYTHON[name][0]:
        assert capsys.readouterr().out.strip()


QUICK = {" ".join(arguments): arguments for arguments in BLOCKS.values() if quick(arguments)}


@pytest.mark.parametrize("line", sorted(QUICK))
def test_a_quick_command_runs(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "examples").mkdir()
    boards = shutil.copy(ROOT / "examples" / "boards7.txt", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(Path(boards).read_bytes())))
    assert main(QUICK[line]) == 0
    for option, suffix in (("--picture", ".png"), ("--trajectories", ".png"), ("--json", ".jsonl")):
        if option in QUICK[line]:
            [written] = [word for word in QUICK[line] if word.endswith(suffix) and word.islower()][:1]
            assert (tmp_path / written).stat().st_size > 0
