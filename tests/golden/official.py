"""Official variables onto our modules: the K-th convolution there is the K-th here, and so on (names_*.txt; OFFICIAL_DETAILS §10)."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch
from torch import nn

from twoviews.formats.official import KINDS, LEAVES, ours_of


def variables(path: Path) -> list[tuple[int, str, tuple[int, ...], bool]]:
    """Rows of a names_*.txt: number, name, shape, trainable."""
    rows = []
    for line in path.read_text().splitlines():
        cells = line.split("\t")
        rows.append((int(cells[0]), cells[-3], tuple(int(s) for s in cells[-2].split(",")), cells[-1] == "1"))
    return rows


def targets(model: nn.Module, rows) -> dict[int, torch.Tensor]:
    """For each variable's number, our tensor (parameter or buffer) that holds it."""
    ours = {kind: [m for m in model.modules() if isinstance(m, cls)] for kind, cls in KINDS.items()}
    out = {}
    for number, name, _, _ in rows:
        layer, leaf = name.split(":")[0].split("/")[-2:]
        kind, which = re.fullmatch(r"(?:sync_)?(conv2d|batch_normalization|dense)(?:_(\d+))?", layer).groups()
        out[number] = getattr(ours[kind][int(which or 0)], LEAVES[leaf])
    return out


def to_official(tensor: torch.Tensor) -> np.ndarray:
    """Ours → the official layout."""
    axes = {4: (2, 3, 1, 0), 2: (1, 0)}.get(tensor.ndim, tuple(range(tensor.ndim)))
    return tensor.detach().numpy().transpose(axes)


def fill(model: nn.Module, rows, make) -> dict[int, torch.Tensor]:
    """Give every variable its formula's value, with Keras' float32 step for moving statistics. Returns targets(...)."""
    found = targets(model, rows)
    wanted = {id(t) for t in found.values()}
    held = [t for n, t in [*model.named_parameters(), *model.named_buffers()] if "num_batches" not in n]
    assert {id(t) for t in held} == wanted, "every tensor of ours must be an official variable, and the other way round"
    with torch.no_grad():
        for number, name, shape, _ in rows:
            found[number].copy_(ours_of(make(number, name, shape)))
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = float(np.float32(1 - 0.9))
    return found


def close(ours, official, relative: float) -> None:
    """Equal within `relative` of the largest entry."""
    ours = ours.detach().numpy() if isinstance(ours, torch.Tensor) else np.asarray(ours)
    worst, largest = np.abs(ours - official).max(), np.abs(official).max()
    assert worst <= relative * largest, f"{worst:.2e} > {relative:.0e} · {largest:.2e}"
