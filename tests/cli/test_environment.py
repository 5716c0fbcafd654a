"""What the surroundings of a process may lack or bring along: `gram` in environments that users have."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import gram_reasoning
from gram_reasoning.errors import UserError
from gram_reasoning.storage.cache import cache_folder

SOURCES = Path(gram_reasoning.__file__).parents[1]
BOARD = "......./......./....Q../......./......./......./......."
QUICK = ["--samples", "2", "--steps", "1"]
GONE = "/dev/null"  # nobody, not even root, makes a folder below it
PNG = b"\x89PNG\r\n\x1a\n"


def gram(*arguments: str, sources: Path = SOURCES, before: str = "", **changes: str | None) -> Any:
    """`gram` in a process of its own, whose environment has these changes (None: without it); `before` runs first."""
    environment = {**os.environ, "PYTHONPATH": str(sources), "PYTHONWARNINGS": "", **changes}
    script = f"import sys\n{before}\nfrom gram_reasoning.cli import main\nsys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env={name: value for name, value in environment.items() if value is not None},
        capture_output=True,
        text=True,
        check=False,
    )


# -- what a first answer waits for ------------------------------------------------------------------------------


@pytest.mark.parametrize("puzzle", [BOARD, "1.../..3./.4../...2", "1 2/2 3/3 4/4 1", "S.#/..#/#.G/..#"])
def test_a_first_answer_waits_for_no_compiler(puzzle: str, tmp_path: Path):
    path = tmp_path / "input.txt"
    path.write_text(puzzle.replace("/", "\n"))
    told = "import atexit; atexit.register(lambda: print({'torch._dynamo', 'sympy', 'numba'} & set(sys.modules)))"
    done = gram("solve", str(path), "--samples", "4", before=told)
    assert done.stdout.splitlines()[-1] == "set()", done.stderr


# -- a notebook's backend for pictures ---------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "no such backend", "tkagg"])
def test_pictures_are_files_whatever_the_backend(backend: str, tmp_path: Path):
    solutions, paths = tmp_path / "solutions.png", tmp_path / "paths.png"
    pictures = ["--picture", str(solutions), "--trajectories", str(paths)]
    done = gram("solve", BOARD, *QUICK, *pictures, MPLBACKEND=backend)
    assert done.stderr == ""
    assert solutions.read_bytes().startswith(PNG)
    assert paths.read_bytes().startswith(PNG)


def test_pictures_leave_the_backend_of_a_notebook_alone(tmp_path: Path):
    before = "import matplotlib.pyplot as plt; plt.switch_backend('svg')"
    script = f"{before}\nimport gram_reasoning.analysis.runs, matplotlib\nprint(matplotlib.get_backend())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "svg\n"


# -- closed streams ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["solve", BOARD, "--samples", "20"], 0), (["solve", "Q"], 2), (["--help"], 0), (["recipes", "--help"], 0)],
    ids=["solve", "refuse", "help", "help of a command"],
)
def test_a_closed_stream_is_nothing_to_write_to(closed: str, arguments: list[str], code: int, tmp_path: Path):
    words = [sys.executable, "-m", "gram_reasoning", *arguments]
    json = ["--json", str(tmp_path / "out.json")] if code == 0 and "solve" in arguments else []
    done = subprocess.run(
        ["sh", "-c", f'"$@" {closed}', "sh", *words, *json], capture_output=True, text=True, check=False
    )
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    if json:
        assert len((tmp_path / "out.json").read_text().splitlines()) == 1


# -- folders that cannot be written ------------------------------------------------------------------------------------

HOMELESS: dict[str, Any] = {
    "HOME": GONE, "XDG_CACHE_HOME": None, "XDG_CONFIG_HOME": None, "MPLCONFIGDIR": None, "NUMBA_CACHE_DIR": None,
}  # fmt: skip
COUNT = """
import numpy, sys
from gram_reasoning.tasks import sudoku_solver
print(*sudoku_solver.solve(numpy.zeros((1, 16), numpy.uint8), 1000)[0])
sys.exit()
"""


@pytest.fixture
def fixed_package(tmp_path: Path) -> Path:
    """The sources where numba cannot put its files beside them: a folder that is a file stops root, too."""
    copy = tmp_path / "package"
    shutil.copytree(SOURCES / "gram_reasoning", copy / "gram_reasoning", ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "gram_reasoning/tasks/__pycache__").write_text("")
    return copy


def test_sudoku_without_a_folder_to_write_into(fixed_package: Path, tmp_path: Path):
    done = gram(sources=fixed_package, before=COUNT, **HOMELESS, GRAM_CACHE_DIR=None)
    assert (done.stdout, done.stderr) == ("288\n", "")
    cache = tmp_path / "cache"
    done = gram(sources=fixed_package, before=COUNT, **HOMELESS, GRAM_CACHE_DIR=str(cache))
    assert (done.stdout, done.stderr) == ("288\n", "")
    assert list(cache.rglob("*.nbi")), "the machine code is kept in GRAM_CACHE_DIR"


def test_pictures_without_a_home(tmp_path: Path):
    picture = tmp_path / "out.png"
    done = gram("solve", BOARD, *QUICK, "--picture", str(picture), **HOMELESS, GRAM_CACHE_DIR=str(tmp_path / "cache"))
    assert done.stderr == ""
    assert picture.read_bytes().startswith(PNG)


def test_data_without_a_folder_are_refused_before_the_work(tmp_path: Path):
    unwanted = "from gram_reasoning.tasks.sudoku_generation import SudokuGeneration as S\nS._make = None"
    done = gram("data", "sudoku4-boards-debug", before=unwanted, **HOMELESS, GRAM_CACHE_DIR=None)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"gram: {GONE}/.cache/gram-reasoning/")
    assert done.stderr.endswith(
        "cannot be written (Not a directory), expected a folder for data; GRAM_CACHE_DIR names another\n"
    )


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # no HOME, and no entry in the list of users
    assert cache_folder() == Path(os.environ["GRAM_CACHE_DIR"])
    monkeypatch.delenv("GRAM_CACHE_DIR")
    with pytest.raises(UserError, match="no home folder for data, expected GRAM_CACHE_DIR"):
        cache_folder()


# -- a system without the modules that only Unix has -------------------------------------------------------------------

WINDOWS = "sys.modules |= dict.fromkeys(('fcntl', 'resource', 'pwd', 'grp', 'termios'))"


def test_solve_and_train_import_nothing_that_only_unix_has(tmp_path: Path):
    done = gram("solve", BOARD, "--samples", "20", "--json", str(tmp_path / "out.json"), before=WINDOWS)
    assert (done.returncode, done.stderr) == (0, "")
    run = ["train", "nqueens7-pocket-debug", "--out", str(tmp_path / "run"), "--threads", "1"]
    done = gram(*run, before=WINDOWS)
    assert done.returncode == 0, done.stderr
    done = gram("bench", "nqueens7-pocket-debug", "--parts", "memory", "--repeats", "1", before=WINDOWS)
    assert done.returncode == 2
    assert "--parts memory" in done.stderr


# -- no compiler -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["train"], ["bench", "--parts", "step"]], ids=" ".join)
def test_a_missing_compiler_is_told_before_a_run_begins(command: list[str], tmp_path: Path):
    run, empty = tmp_path / "run", tmp_path / "empty"
    empty.mkdir()
    out = ["--out", str(run)] if command == ["train"] else []
    arguments = [command[0], "nqueens7-pocket-debug", *command[1:], *out, "--train.compile", "kernels"]
    done = gram(*arguments, PATH=str(empty), CXX=None, TORCHINDUCTOR_CACHE_DIR=str(tmp_path / "cache"))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("gram: --train.compile: got 'kernels', but PyTorch cannot compile here (")
    assert "C++ compiler" in done.stderr
    assert done.stderr.endswith("or the option left out\n")
    assert not run.exists()
