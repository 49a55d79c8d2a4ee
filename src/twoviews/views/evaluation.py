"""How a picture is fed to a trained encoder: the official evaluation crop, no randomness."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .crop import central_box, crop_resize

SMALL = 32


def evaluation_view(images: Tensor, size: int, resize: str = "antialias") -> Tensor:
    """Central crop of 0.875 for sides above 32 px, then resize; clipped. Shapes (n, C, H, W) uint8 or float → (n, C, S, S) float32.

    Up to 32 px the whole picture is used, and resized only if its size is another (official code: no crop, no resize).
    """
    x = images.float() / 255 if images.dtype == torch.uint8 else images
    height, width = x.shape[2:]
    if size <= SMALL and (height, width) == (size, size):
        return x
    box = (0, 0, height, width) if size <= SMALL else central_box(height, width)
    if resize != "antialias":
        return crop_resize(x, np.tile(np.array(box), (len(x), 1)), size, resize).clamp(0, 1)
    top, left, h, w = box
    x = x[..., top : top + h, left : left + w]
    if (h, w) != (size, size):
        # what torchvision's resize does to floats; importing torchvision would double the start of every command
        x = F.interpolate(x, (size, size), mode="bicubic", align_corners=False, antialias=True)
    return x.clamp(0, 1)
