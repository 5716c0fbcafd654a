import os
import tempfile

import pytest
import torch
from hypothesis import settings

settings.register_profile("gram", deadline=None)  # a busy machine is no fault
settings.load_profile("gram")

os.environ["GRAM_CACHE_DIR"] = tempfile.mkdtemp(prefix="gram-cache-")  # prepared data of these tests alone


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    torch.set_num_threads(1)
