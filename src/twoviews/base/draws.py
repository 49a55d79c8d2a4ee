"""Random numbers without state: every number is a pure function of a key and a position (splitmix64, a counter-based generator).

A key is mixed from whatever names the draw, such as (seed, epoch, image id, view). Nothing depends on what was drawn before, on
worker, process, batch or device, so a run can continue anywhere. Everything here is NumPy on the host: draws are a few dozen numbers
an image, and the host must know some of them (which images get which operation) without waiting for the device.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import ArrayLike, NDArray

Keys = NDArray[np.uint64]
_STEP = np.uint64(0x9E3779B97F4A7C15)


def mix(x: Keys) -> Keys:
    """The finaliser of splitmix64: a bijection of 64-bit integers whose output looks random for any input."""
    with np.errstate(over="ignore"):
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def key(*parts: ArrayLike | str) -> Keys:
    """One key for each element of the broadcast parts; integers (any sign) and names. Order matters.

    Shape: that of the parts broadcast together, at least (1,).
    """
    out = np.zeros(1, np.uint64)
    with np.errstate(over="ignore"):
        for part in parts:
            number = np.uint64(zlib.crc32(part.encode())) if isinstance(part, str) else np.asarray(part).astype(np.int64).astype(np.uint64)
            out = mix((out ^ mix(np.atleast_1d(number) + _STEP)) + _STEP)
    return out


def extend(keys: Keys, *parts: ArrayLike | str) -> Keys:
    """New keys from existing ones and further parts; `extend(k, "crop")` is a stream of its own for crops."""
    return key(keys.view(np.int64), *parts)


def uniform(keys: Keys, count: int, start: int = 0) -> NDArray[np.float64]:
    """`count` float64 in [0, 1) for each key, from position `start` of its sequence. Shape (n,) → (n, count)."""
    positions = np.arange(start + 1, start + count + 1, dtype=np.uint64)
    with np.errstate(over="ignore"):
        x = mix(keys[:, None] + positions * _STEP)
    return (x >> np.uint64(11)).astype(np.float64) * 2.0**-53


def normal(keys: Keys, count: int) -> NDArray[np.float64]:
    """`count` standard normal float64 for each key (Box-Muller). Shape (n,) → (n, count)."""
    half = (count + 1) // 2
    u = uniform(keys, 2 * half)
    radius, angle = np.sqrt(-2.0 * np.log1p(-u[:, :half])), 2.0 * np.pi * u[:, half:]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)[:, :count]


def permutation(n: int, *parts: ArrayLike | str) -> NDArray[np.int64]:
    """A permutation of 0 … n-1 that is a pure function of the parts. Stable, so ties (one in 2**11 for n = 2**26) are harmless."""
    return np.argsort(key(*parts, np.arange(n)), kind="stable")


def subset(n: int, count: int, *parts: ArrayLike | str) -> NDArray[np.int64]:
    """`count` (at most n) of 0 … n-1, ascending, keyed by the parts."""
    return np.sort(permutation(n, *parts)[:count])
