import os
import tempfile
from typing import Any

import pytest
import torch
from hypothesis import settings

settings.register_profile("gram", deadline=None)  # a busy machine is no fault
settings.load_profile("gram")

if "PYTEST_XDIST_WORKER" not in os.environ:  # those of xdist inherit it
    os.environ["GRAM_CACHE_DIR"] = tempfile.mkdtemp(prefix="gram-cache-")  # prepared data of these tests alone
LONGEST = "tests/studies/test_engine.py"
"""What takes long goes first, so that nobody waits for it at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The matplotlib figures that a test saves, to look at what is drawn in them."""
    from matplotlib.figure import Figure

    saved: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, *args: Any, **options: Any) -> None:
        saved.append(figure)
        save(figure, *args, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return saved


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    torch.set_num_threads(1)
