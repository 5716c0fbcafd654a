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
