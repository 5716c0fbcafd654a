import os
import tempfile

import pytest
import torch

os.environ["GRAM_CACHE_DIR"] = tempfile.mkdtemp(prefix="gram-cache-")  # prepared data of these tests alone


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    torch.set_num_threads(1)
