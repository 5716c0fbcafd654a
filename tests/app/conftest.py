"""A page served by a process of its own, and a browser without a screen; skipped, with one reason, without them."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from app_helpers import Served

HERE = Path(__file__).parent
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
MISSING = [
    name
    for name, there in (
        ("gradio", find_spec("gradio") is not None),
        ("playwright", find_spec("playwright") is not None),
        ("chromium", Path(CHROMIUM).is_file()),
    )
    if not there
]
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
"""A browser of a superuser that calls nobody by itself."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if MISSING and "served" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.skip(reason=f"the page needs {', '.join(MISSING)}"))


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with tempfile.TemporaryDirectory(prefix="gram-app-") as name:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "GRADIO_TEMP_DIR": name, "HOME": name}
        command = [sys.executable, "-u", HERE / "served.py", name]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("http://127.0.0.1:"), line
        try:
            yield Served(line.split()[0].rstrip("/"), process.pid, Path(name))
        finally:
            process.terminate()
            process.wait()
            process.stdout.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()
