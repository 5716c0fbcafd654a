"""What the surroundings of a process may lack or bring along: `gram` in environments that users have."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import gram_reasoning

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
    done = subprocess.run(["sh", "-c", f'"$@" {closed}', "sh", *words, *json], capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    if json:
        assert len((tmp_path / "out.json").read_text().splitlines()) == 1
