"""Crop, flip and resize as one separable linear map: every output row and column is a weighted sum of input rows and columns.

Weights are made per picture, so a batch of pictures with boxes of their own is resized by two batched matrix products; the blur of
blur.py is the same kind of map. Bicubic, either antialiased or as the official code has it (docs/fidelity.md).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..base.device import to_device


def keys_cubic(distance: Tensor, a: float = -0.5) -> Tensor:
    """Keys' cubic kernel at these distances (any sign); 0 from 2 on."""
    x = distance.abs()
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return torch.where(x < 1, near, torch.where(x < 2, far, 0.0))


def resize_weights(
    start: Tensor, length: Tensor, size_in: int, size_out: int, filter: str = "antialias", flip: Tensor | None = None
) -> Tensor:
    """Weights that cut `length` pixels from `start` on and resize them to `size_out`. Shapes (m,), (m,) → (m, size_out, size_in).

    `filter` is `antialias`; `official` (no antialiasing, positions rounded to 1/1024, weights outside the crop dropped and the others
    scaled to sum 1); or `official-v1`, with which the published checkpoints were trained (a = -0.75, no half-pixel shift, edges
    repeated). `flip` (m,) reverses the output.
    """
    start, length = start.float()[:, None, None], length.float()[:, None, None]
    out = torch.arange(size_out, device=start.device, dtype=torch.float32)[None, :, None]
    pixel = torch.arange(size_in, device=start.device, dtype=torch.float32)[None, None, :] - start  # in the crop
    scale = length / size_out
    position = out * scale if filter == "official-v1" else (out + 0.5) * scale - 0.5
    whole = position.floor()
    rounded = whole + torch.round((position - whole) * 1024) / 1024
    if filter == "official-v1":
        weight = torch.zeros(len(start), size_out, size_in, device=start.device)
        for tap in (-1, 0, 1, 2):
            at = torch.minimum((whole + tap).clamp(min=0), length - 1)
            weight += torch.where(pixel == at, keys_cubic(whole + tap - rounded, -0.75), 0.0)
    else:
        weight = keys_cubic(pixel - rounded) if filter == "official" else keys_cubic((pixel - position) / scale.clamp(min=1))
        weight = torch.where((pixel >= 0) & (pixel < length), weight, 0.0)
        weight = weight / weight.sum(2, keepdim=True)
    return weight if flip is None else torch.where(flip[:, None, None], weight.flip(1), weight)


def separable(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """rows · x · columnsᵀ for every picture and channel. Shapes (m, C, H, W), (m, S, H), (m, T, W) → (m, C, S, T)."""
    m, channels, height, width = x.shape
    x = torch.bmm(x.reshape(m, channels * height, width), columns.transpose(1, 2))  # (m, C·H, T)
    return torch.matmul(rows[:, None], x.view(m, channels, height, -1))  # (m, C, S, T)


def crop_resize(x: Tensor, box: np.ndarray, size: int, filter: str = "antialias", flip: np.ndarray | None = None) -> Tensor:
    """Crop each picture at its own box, resize to size × size, flip where asked. Not clipped: cubics overshoot.

    Shapes: x (m, C, H, W) float, box (m, 4) top, left, height, width, flip (m,) → (m, C, size, size).
    """
    top, left, height, width = to_device(box, x.device).unbind(1)
    mirrored = None if flip is None else to_device(flip, x.device)
    rows = resize_weights(top, height, x.shape[2], size, filter)
    columns = resize_weights(left, width, x.shape[3], size, filter, mirrored)
    return separable(x, rows.to(x.dtype), columns.to(x.dtype))


CENTRAL = 0.875  # share of the shorter side in the official evaluation crop


def central_box(height: int, width: int, share: float = CENTRAL) -> tuple[int, int, int, int]:
    """The official evaluation crop: top, left, height, width of the central square part (docs/fidelity.md)."""
    side = share * min(height, width)  # the shorter side decides, since the output is square
    side = int(np.rint(side))
    return (height - side + 1) // 2, (width - side + 1) // 2, side, side
