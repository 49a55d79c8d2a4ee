"""Images in memory: what Python callers bring."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..base.errors import UserError
from .config import Reading
from .decode import as_channels, from_array, from_pil, read_file
from .errors import Unreadable
from .sets import fingerprint
from .source import ImageSource, Small


@dataclasses.dataclass
class Arrays:
    """Pictures of several sizes in memory."""

    images: list[Tensor]
    labels: NDArray[np.int64] | None = None
    classes: Sequence[str] = ()

    @property
    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for image in self.images:
            digest.update(str(tuple(image.shape)).encode() + image.contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        return str(index)

    def read(self, index: int) -> Tensor:
        return self.images[index]


def from_python(pictures: Any, channels: int | None = None) -> ImageSource:
    """A source from what Python code has: an array (n, H, W) or (n, H, W, C), or a sequence of arrays, PIL images or paths, of any sizes.

    `channels` None: gray stays gray, up to 16 channels stay those of arrays, the rest is RGB. Raises UserError for what is no picture.
    """
    if isinstance(pictures, ImageSource):
        return pictures
    if len(pictures) == 0:
        raise UserError("there are no pictures")
    images = [_one(picture, number, channels) for number, picture in enumerate(pictures)]
    most = channels or max(len(image) for image in images)
    try:
        images = [as_channels(image, most) for image in images]
    except Unreadable as error:
        raise UserError(f"the pictures have different channels: {error}") from error
    if len({image.shape for image in images}) == 1:
        stacked = torch.stack(images)
        return Small(stacked, None, [], fingerprint(stacked, None))
    return Arrays(images)


def _one(picture: Any, number: int, channels: int | None) -> Tensor:
    try:
        if isinstance(picture, (str, Path)):
            return read_file(Path(picture), Reading(channels or 3))
        if isinstance(picture, Tensor):
            picture = picture.numpy()
        if isinstance(picture, np.ndarray):
            if picture.ndim not in (2, 3) or min(picture.shape[:2]) < 1:
                raise UserError(f"picture {number} has the shape {picture.shape}; a picture is (H, W) or (H, W, C)")
            return from_array(picture, Reading(channels or (1 if picture.ndim == 2 else picture.shape[2])))
        return from_pil(picture, Reading(channels or (1 if picture.mode in ("L", "1", "I;16") else 3)))
    except (Unreadable, OSError, AttributeError) as error:
        raise UserError(f"picture {number} is no picture: {error}") from error
