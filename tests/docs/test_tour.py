"""examples/tour.ipynb, as a reader would run it."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(600)  # of a busy machine; by itself it takes ten seconds
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the kernel's client
def test_the_tour_runs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("MPLBACKEND", raising=False)
    tour = nbformat.read(ROOT / "examples" / "tour.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in tour.cells)  # what it shows is made by whoever runs it
    NotebookClient(tour, timeout=500, resources={"metadata": {"path": str(ROOT / "examples")}}).execute()
    outputs = [output for cell in tour.cells for output in cell.get("outputs", [])]
    printed = "".join(output["text"] for output in outputs if output.output_type == "stream")
    [found] = re.findall(r"^(\d) of 6 solutions found", printed, re.MULTILINE)
    assert int(found) >= 4
    right = [int(number) for number in re.findall(r"after step \d: (\d+) of 50", printed)]
    assert len(right) == 6
    assert right[0] < right[-1] >= 45
    sets = re.findall(r"^(\d+) of (\d+), by estimate (\d+)% of all", printed, re.MULTILINE)
    assert len(sets) == 3
    assert all(found == exist for found, exist, _ in sets)
    assert "exit code 0" in printed
    assert any("image/png" in output.get("data", {}) for output in outputs)
