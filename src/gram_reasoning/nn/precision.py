"""The precision of matrix products."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Literal, TypeVar

import torch

Precision = Literal["fp32", "bf16"]
Item = TypeVar("Item")


@contextmanager
def default_float32() -> Iterator[None]:
    """Inside, new tensors are float32, as the models are, whatever the caller's default."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def in_float32(items: Iterator[Item]) -> Iterator[Item]:
    """Each item is made under `default_float32`, and handed over outside."""
    while True:
        with default_float32():
            try:
                item = next(items)
            except StopIteration:
                return
        yield item


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Inside, matrix products run in that precision, "fp32" or "bf16"; for fp32, as they would outside."""
    assert precision in ("fp32", "bf16"), f"precision {precision!r}, expected it to be chosen by now"
    return nullcontext() if precision == "fp32" else torch.autocast(device.type, torch.bfloat16)


def chosen(precision: str, device: torch.device) -> Precision:
    """The same, with "auto" made the faster one."""
    return faster(device)[0] if precision == "auto" else precision  # type: ignore[return-value]


@cache
def faster(device: torch.device) -> tuple[Precision, str]:
    """The precision whose products are faster on a device, and why, in words.

    A processor without bfloat16 products takes several times as long for them, and no flag tells what a library was
    told to use of it: so there it is measured, in hundredths of a second.
    """
    if device.type != "cpu":
        return "bf16", f"products on {device.type}"
    with torch.no_grad():
        took = {dtype: _product_time(dtype) for dtype in (torch.float32, torch.bfloat16)}
    fp32, bf16 = took[torch.float32], took[torch.bfloat16]
    return ("bf16" if bf16 < fp32 else "fp32"), f"products on this processor take {bf16 / fp32:.2g} of the time in bf16"


def _product_time(dtype: torch.dtype, size: int = 256, times: int = 30) -> float:
    """Seconds of the quickest of several products."""
    x = torch.ones(size, size, dtype=dtype)
    found = []
    for _ in range(times):
        start = time.perf_counter()
        torch.mm(x, x)
        found.append(time.perf_counter() - start)
    return min(found)
