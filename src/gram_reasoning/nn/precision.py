"""The precision of matrix products."""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

Precision = Literal["fp32", "bf16"]


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Inside, matrix products run in that precision; for fp32, as they would outside."""
    return nullcontext() if precision == "fp32" else torch.autocast(device.type, torch.bfloat16)
