"""Which device, which precision, and how tensors get there."""

from __future__ import annotations

import contextlib
import ctypes
import os
from typing import Any

import numpy as np
import torch

from .errors import UserError


def pick(name: str = "auto") -> torch.device:
    """The torch device for `auto`, `cpu`, `cuda`, `cuda:1`, `mps`. Raises UserError when it is not there."""
    if name in ("auto", "cuda") and torch.cuda.is_available() and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        name = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"  # torchrun's processes have one each
        torch.cuda.set_device(name)
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device {name!r} cannot be used: {str(error).splitlines()[0]} Try --device auto or cpu.") from error
    return device


def precision(name: str, device: torch.device) -> str:
    """`bf16` or `fp32` for `auto`: bf16 on GPUs that compute in it; fp32 on CPUs, where it was measured to be faster."""
    if name != "auto":
        return name
    return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[Any]:
    """The block in which networks compute in bf16, or nothing for fp32."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()


def to_device(array: np.ndarray, device: torch.device, dtype: torch.dtype | None = None) -> torch.Tensor:
    """A NumPy array on the device, from pinned memory and without waiting where that is possible."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if dtype is not None:
        tensor = tensor.to(dtype)
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def describe(device: torch.device) -> str:
    """The device in words, for the log."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"{device} ({torch.get_num_threads()} threads)"


def reuse_memory() -> None:
    """Let what this process frees stay with it, until it ends.

    glibc gives large blocks back to the kernel at once and gets them again as zeroed pages, at each step: a quarter of a training step on
    CPUs (docs/scaling.md). Other C libraries are left as they are.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(-4, 0)  # M_MMAP_MAX: no blocks of their own
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: keep what is free
