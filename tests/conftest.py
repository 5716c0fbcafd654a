import os
import tempfile
from typing import Any

import pytest
import torch
from hypothesis import settings

settings.register_profile("gram", deadline=None)  # a busy machine is no fault
settings.load_profile("gram")

os.environ["GRAM_CACHE_DIR"] = tempfile.mkdtemp(prefix="gram-cache-")  # prepared data of these tests alone


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
