"""The manual builds without a warning, and shows what it must."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(900)  # of a busy machine; by itself a build takes ten seconds

ROOT = Path(__file__).parents[2]


def build(source: Path, out: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-E", "-b", "html", source, out]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    done = build(ROOT / "docs", out)
    assert (done.returncode, done.stderr) == (0, "")
    return out


def test_every_page_is_built(site: Path):
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert pages <= {path.stem for path in site.glob("*.html")}


def test_pages_from_elsewhere_are_whole(site: Path):
    assert "Honest limits" in (site / "readme.html").read_text()
    assert "pocket-s0-eval.json" in (site / "files.html").read_text()
    assert 'href="readme.html' in (site / "measured.html").read_text()
    assert (site / "_images" / "curves.png").is_file()


def test_no_page_fetches_anything_from_elsewhere(site: Path):
    fetched = re.compile(r"<(?:script|img|link|iframe)\b[^>]*\b(?:src|href)=.https?:")
    assert [path.name for path in site.glob("*.html") if fetched.search(path.read_text())] == []


def test_the_reference_comes_from_the_sources(site: Path):
    commands, python = ((site / f"{page}.html").read_text() for page in ("commands", "python"))
    assert commands.count("usage: gram") == 15
    assert "--model.kl-budget-first" in commands
    assert "--trajectories" in commands
    assert 'id="gram_reasoning.Solver.answer_sets"' in python
    assert "Most nats that a posterior may spend" in python  # what stands below a field
    assert 'id="gram_reasoning.tasks.base.Task.reward"' in python


def test_a_link_to_nothing_stops_the_build(tmp_path: Path):
    (tmp_path / "conf.py").write_text((ROOT / "docs" / "conf.py").read_text().replace(', "commands"', ""))
    (tmp_path / "index.md").write_text("# Title\n\n[gone](nowhere.md), [too](../nothing.py)\n")
    done = build(tmp_path, tmp_path / "out")
    assert done.returncode != 0
    assert "nowhere" in done.stderr
    assert "nothing.py" in done.stderr
