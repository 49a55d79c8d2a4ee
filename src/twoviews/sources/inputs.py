"""Pictures that Python code hands over, in whatever form it has them: paths, PIL images, arrays, tensors, and lists of these."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..base.errors import UserError, WrongType
from .config import Reading
from .decode import as_channels, from_array, from_pil, read_file
from .errors import Unreadable
from .values import GRAY, MODES

TAKEN = "a path, a PIL image, an array (H, W) or (H, W, C), or a tensor (C, H, W)"
COLOURS = {2: "LA", 3: "RGB", 4: "RGBA"}
USUAL = (1, *COLOURS)  # channels of gray, RGB, and these with alpha


def several(pictures: Any) -> Sequence[Any] | None:
    """The pictures of a list, a batch (N, H, W, C) or (N, C, H, W), one by one; None where it is one picture.

    Raises WrongType for an array of another number of axes.
    """
    if isinstance(pictures, list | tuple):
        return pictures
    if isinstance(pictures, np.ndarray | Tensor):
        if pictures.ndim == 4:
            return pictures  # type: ignore[return-value]
        if pictures.ndim not in (2, 3):
            axes = "(N, H, W, C)" if isinstance(pictures, np.ndarray) else "(N, C, H, W)"
            raise WrongType(f"the shape {tuple(pictures.shape)} is none of pictures: one is {_axes(pictures)}, several are {axes}")
        return None
    if hasattr(pictures, "__next__"):  # a generator
        return list(pictures)
    return None


def picture(given: Any, how: Reading) -> Tensor:
    """One picture → (C, H, W) in the channels of `how`: uint8, or for a tensor of floats float32 in [0, 1].

    Raises WrongType for what is no picture, UserError for one that cannot be read or has values that need a range.
    """
    try:
        if isinstance(given, str | os.PathLike):
            return _file(Path(given), how)
        if isinstance(given, Image.Image):
            if 0 in given.size:
                raise UserError(f"a picture of {given.width} × {given.height} has no pixels")
            if given.mode == "La":  # Pillow converts it to LA alone
                given = given.convert("LA")
            return from_pil(given, how)
        if isinstance(given, np.ma.MaskedArray) and np.ma.is_masked(given):
            raise WrongType("a masked array is no picture, as nothing says what lies below its mask: give array.filled(VALUE)")
        if isinstance(given, Tensor):
            if given.layout != torch.strided or given.is_meta:
                kind = "without values (meta)" if given.is_meta else "of a sparse layout"
                raise WrongType(f"a tensor {kind} is no picture: give {'one with values' if given.is_meta else 'x.to_dense()'}")
            return _tensor(given.detach().cpu(), how)
        if isinstance(given, np.ndarray):
            return _array(given, how)
    except Unreadable as error:
        raise UserError(f"the picture cannot be read: {error}") from error
    raise WrongType(f"{_named(given)} is no picture: give {TAKEN}")


def _file(path: Path, how: Reading) -> Tensor:
    try:
        return read_file(path, how)
    except Unreadable as error:
        raise UserError(f"{path} cannot be read as a picture: {error}") from error


def _tensor(x: Tensor, how: Reading) -> Tensor:
    if x.is_complex() or x.is_quantized:
        raise WrongType(f"a tensor of {str(x.dtype).removeprefix('torch.')} is no picture: give uint8, or floats in [0, 1]")
    x = _shaped(x[None] if x.ndim == 2 else x, 0, how)
    if not x.is_floating_point():
        return _channels(x, how) if x.dtype == torch.uint8 else _array(x.permute(1, 2, 0).numpy(), how)
    x = x.float()
    if how.range != "auto":
        return _array(x.permute(1, 2, 0).numpy(), how)
    low, high = x.min().item(), x.max().item()
    if not (low >= 0 and high <= 1):
        raise UserError(f"a tensor of floats from {low:g} to {high:g}: floats lie in [0, 1]; give uint8 for 0 to 255")
    return _channels(x, how)


def _array(array: np.ndarray, how: Reading) -> Tensor:
    if array.dtype.kind not in "buif":
        raise WrongType(f"an array of {array.dtype} is no picture: give uint8, or floats in [0, 1]")
    array = _shaped(array[..., None] if array.ndim == 2 else array, -1, how)
    return _channels(from_array(array, Reading(array.shape[2], how.range)), how)


def _shaped(x: Any, axis: int, how: Reading) -> Any:
    """`x` of three axes, if its channels lie on `axis` and it has pixels."""
    if x.ndim != 3:
        raise WrongType(f"the shape {tuple(x.shape)} is none of a picture: one is {_axes(x)}")
    if 0 in x.shape:
        raise UserError(f"a picture of the shape {tuple(x.shape)} has no pixels")
    other = -1 if axis == 0 else 0
    if x.shape[axis] not in (*USUAL, how.channels) and x.shape[other] in (*USUAL, how.channels):
        kind, turned = ("tensor", "x.permute(2, 0, 1)") if axis == 0 else ("array", "x.transpose(1, 2, 0)")
        raise UserError(f"the {kind} has the shape {tuple(x.shape)}, where {_axes(x)} is expected: give {turned}")
    return x


def _channels(x: Tensor, how: Reading) -> Tensor:
    """(C, H, W) → the channels of `how`; alpha is laid on white, as that of files is."""
    if len(x) == how.channels:
        return x
    if len(x) in COLOURS and how.channels in MODES:
        if x.dtype == torch.uint8:  # as a file of these pixels is read
            return from_pil(Image.frombytes(COLOURS[len(x)], (x.shape[2], x.shape[1]), x.permute(1, 2, 0).numpy().tobytes()), how)
        x = x[:-1] * x[-1:] + (1 - x[-1:]) if len(x) != 3 else x
    if x.dtype == torch.uint8:
        return as_channels(x, how.channels)
    if len(x) == 1 and how.channels == 3:
        return x.expand(3, -1, -1)
    if len(x) == 3 and how.channels == 1:
        return (x * torch.tensor(GRAY)[:, None, None]).sum(0, keepdim=True)
    if len(x) == how.channels:
        return x
    raise UserError(f"a picture of {len(x)} channels cannot be made one of {how.channels}, which the encoder takes")


def _axes(x: Any) -> str:
    return "(C, H, W)" if isinstance(x, Tensor) else "(H, W) or (H, W, C)"


def _named(given: Any) -> str:
    return "None" if given is None else f"an object of type {type(given).__name__}"
