"""Random numbers as a pure function of a key: no generator, no order, no device.

A trajectory's noise must not depend on the chunk it runs in, on the process that runs it, or on what was drawn
before. So every draw is keyed by (seed, purpose, id, step) and computed by counter: an integer hash of (key,
position) gives uniform bits, Box-Muller makes them normal. All of it is elementwise tensor arithmetic, so it runs
on any device without a host sync and compiles into one kernel.
"""

import math
import zlib
from typing import Any

import torch
from torch import Tensor

_GOLDEN = -7046029254386353131  # 2^64 / golden ratio, as a signed 64-bit number


def _mix64(x: Tensor) -> Tensor:
    """splitmix64's finaliser (Steele, Lea, Flood 2014) on int64 with wrap-around."""
    x = (x ^ ((x >> 30) & 0x3FFFFFFFF)) * -4658895280553007687
    x = (x ^ ((x >> 27) & 0x1FFFFFFFFF)) * -7723592293110705685
    return x ^ ((x >> 31) & 0x1FFFFFFFF)


def _signed64(x: int) -> int:
    return (x + 2**63) % 2**64 - 2**63


def _mix64_int(x: int) -> int:
    """The same on a Python integer."""
    x = _signed64((x ^ ((x >> 30) & 0x3FFFFFFFF)) * -4658895280553007687)
    x = _signed64((x ^ ((x >> 27) & 0x1FFFFFFFFF)) * -7723592293110705685)
    return x ^ ((x >> 31) & 0x1FFFFFFFF)


def _mix32_(x: Tensor) -> Tensor:
    """A 32-bit finaliser (multiply-xorshift, "lowbias32" by Wellons) on int32, in place."""
    x ^= (x >> 16) & 0xFFFF
    x *= 0x7FEB352D
    x ^= (x >> 15) & 0x1FFFF
    x *= -2073254261
    x ^= (x >> 16) & 0xFFFF
    return x


def keys(seed: int, purpose: str, *ids: Tensor | int) -> Tensor:
    """One 64-bit key for each row of the (broadcast) integer `ids`.

    Args:
        seed: the run's seed; seeds that differ by a multiple of 2^32 give the same draws.
        purpose: what the draw is for; different purposes give unrelated draws.
        ids: what tells rows apart, such as slot and step; int64 tensors (B,) or plain integers.

    Returns:
        int64 tensor (B,), on the device of the ids.
    """
    wrapped = (seed + 2**31) % 2**32 - 2**31
    key: Any = _mix64_int(wrapped * 2**32 + zlib.crc32(purpose.encode()))
    for i in ids:
        key = key ^ i
        # Plain numbers are mixed on the host, so that no number has to travel to the device.
        key = _mix64(key + _GOLDEN) if isinstance(key, Tensor) else _mix64_int(_signed64(key + _GOLDEN))
    return key if isinstance(key, Tensor) else torch.tensor([key])


def _bits(keys_B: Tensor, count: int) -> Tensor:
    """`count` hashed 32-bit integers for each key: (B, count) int32."""
    counter = torch.arange(count, dtype=torch.int32, device=keys_B.device) * -1640531527
    low, high = (keys_B & 0xFFFFFFFF), (keys_B >> 32) & 0xFFFFFFFF
    # Two rounds, one half of the key before each: related keys meet unrelated counters.
    bits = _mix32_(counter ^ _as_int32(low)[:, None])
    bits += _as_int32(high)[:, None]
    return _mix32_(bits)


def _as_int32(x: Tensor) -> Tensor:
    return torch.where(x >= 2**31, x - 2**32, x).to(torch.int32)


def uniform(keys_B: Tensor) -> Tensor:
    """One uniform number in [0, 1) for each key: (B,) float32, 24 bits fine."""
    return (_bits(keys_B, 1)[:, 0] & 0xFFFFFF).float() * 2.0**-24


def choice(keys_B: Tensor, counts_B: Tensor | int) -> Tensor:
    """One integer in [0, count) for each key: (B,) int64. Counts up to 2^31; the bias is below count / 2^62."""
    return ((keys_B >> 1) & 0x3FFFFFFFFFFFFFFF) % counts_B


def permutation(keys_B: Tensor, size: int) -> Tensor:
    """One random order of 0..size-1 for each key: (B, size) int64."""
    return _bits(keys_B, size).argsort(dim=1, stable=True)


def normal(keys_B: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Standard normal numbers, float32 (B, *shape); row b depends on key b alone."""
    count = math.prod(shape)
    if keys_B.device.type == "cpu" and not torch.compiler.is_compiling():  # a piece at a time stays in the cache
        parts = [_normal(part, count) for part in keys_B.split(max(1, PIECE // max(1, count)))]
        return torch.cat(parts).reshape(len(keys_B), *shape)
    return _normal(keys_B, count).reshape(len(keys_B), *shape)


PIECE = 2**17
"""Numbers that are drawn at once on a CPU."""


def _normal(keys_B: Tensor, count: int) -> Tensor:
    half = (count + 1) // 2
    bits = _bits(keys_B, 2 * half)
    radius = ((bits[:, :half] >> 8) & 0xFFFFFF).float().add_(1.0).mul_(2.0**-24).log_().mul_(-2.0).sqrt_()
    angle = ((bits[:, half:] >> 8) & 0xFFFFFF).float().mul_(2.0**-24 * 2.0 * math.pi)
    pairs = torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1)
    return pairs[:, :count]
