"""A page served by a process of its own, and a browser without a screen; skipped, with one reason, without them."""

import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from app_helpers import Served, serving

from gram_reasoning.storage.hub import BUNDLED

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
        if MISSING and {"served", "narrow", "chromium"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.skip(reason=f"the page needs {', '.join(MISSING)}"))


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving() as one:
        yield one


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A page that answers one click at a time, lets one wait, takes long ones, and offers an own model, `seven`."""
    own = tmp_path_factory.mktemp("own") / "seven"
    shutil.copytree(BUNDLED / "nqueens7", own)
    with serving("--together", "1", "--queue", "1", "--samples", "8000", "--checkpoint", str(own)) as one:
        yield one


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()
