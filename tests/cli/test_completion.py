"""`gram --print-completion`: a shell that reads the script offers what the commands take."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from gram_reasoning.cli import HELP, completion, main
from gram_reasoning.recipes import RECIPES

COMMANDS = re.findall(r"^  (\w+) .*", HELP.partition("commands:")[2].partition("options:")[0], re.MULTILINE)
ASK = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
_tyro_gram
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module", params=["bash", "zsh"])
def script(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    command = [sys.executable, "-m", "gram_reasoning", "--print-completion", request.param]
    path = tmp_path_factory.mktemp("completion") / request.param
    path.write_text(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return path


def offered(script: Path, *words: str) -> list[str]:
    """What is offered for the last word: bash itself is asked; for zsh, the program inside its script."""
    if script.name == "bash":
        command, text = ["bash", "-c", ASK, "bash", str(script), "gram", *words], None
    else:
        text = re.search(r"<< 'PYTHON_EOF'.*?\n(.*?)\nPYTHON_EOF", script.read_text(), re.DOTALL)
        assert text is not None
        command, text = [sys.executable, "-", "gram", *words, str(len(words))], text[1]
    told = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    assert told.stderr == ""
    return [line.partition("\t")[0] for line in told.stdout.splitlines() if line]


def test_commands_recipes_options_and_values(script: Path):
    assert set(offered(script, "")) == {*COMMANDS, "-h", "--help"}
    assert offered(script, "so") == ["solve"]
    assert set(offered(script, "solve", "--select", "")) == {"majority", "lprm", "first", "halt", "margin"}
    for command in ("train", "bench", "data"):
        assert set(offered(script, command, "nq")) == {name for name in RECIPES if name.startswith("nq")}
    assert offered(script, "train", "maze10", "--train.prior-t") == ["--train.prior-target"]
    assert set(offered(script, "train", "maze10", "--train.prior-target", "n")) == {"none", "nearest"}
    assert {"sudoku", "coloring"} <= set(offered(script, "solve", "--task", ""))
    assert offered(script, "solve", "--checkpoint", "sudoku") == ["sudoku4", "sudoku9"]
    assert {"nqueens7", "maze"} <= set(offered(script, "eval", ""))
    assert offered(script, "eval", "maze", "--pl") == ["--plugin"]
    options = offered(script, "train", "nqueens7-pocket", "--")
    assert len(options) > 50
    assert all(re.fullmatch(r"--[a-z][\w.-]*", option) for option in options), "no piece of a description"


def test_every_command_is_known():
    assert list(completion.COMMANDS) == COMMANDS


@pytest.mark.parametrize("shell", [[], ["tcsh"], ["--help"]])
def test_other_shells(shell: list[str], capsys: pytest.CaptureFixture[str]):
    assert main(["--print-completion", *shell]) == 2
    assert capsys.readouterr().err.endswith("expected one of bash, zsh\n")
