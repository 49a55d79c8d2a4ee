"""The colour operations in each picture's own order, on just the pictures that get them."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ..base.device import to_device
from .color import gray
from .draw import OPERATIONS


def jitter(x: Tensor, on: np.ndarray, order: np.ndarray, factors: np.ndarray, operations: dict) -> Tensor:
    """Apply the four operations in each picture's own order, clipping to [0, 1] after each, to pictures where `on` (m,) is true.

    The host knows the orders, so each operation runs on just its pictures, without a mask and without waiting for the device.
    """
    values = to_device(factors, x.device, x.dtype)

    def operate(x: Tensor, name: str, number: int, where: np.ndarray) -> Tensor:
        factor = values[to_device(where, x.device), number]
        return apply_at(x, where, lambda part: operations[name](part, factor).clamp_(0, 1))

    for place in range(order.shape[1]):
        for number, name in enumerate(OPERATIONS):
            if name in operations:
                x = operate(x, name, number, np.flatnonzero(on & (order[:, place] == number)))
    return x


def apply_at(x: Tensor, where: np.ndarray, function) -> Tensor:
    """`function` on the pictures numbered `where`; the others stay."""
    if not len(where):
        return x
    index = to_device(where, x.device)
    return x.index_copy(0, index, function(x.index_select(0, index)))


def to_gray(x: Tensor, on: np.ndarray) -> Tensor:
    """Gray where `on` (m,) is true."""
    return apply_at(x, np.flatnonzero(on), lambda part: gray(part).expand_as(part))
