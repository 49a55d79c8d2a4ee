"""`duplicates`: groups of pictures that are nearly the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor, nn

from ..base.console import say
from ..base.settings import options_of
from ..sources.source import ImageSource
from .config import DuplicatesConfig
from .sinks import Vectors
from .write import fed, vectors_of

TILE = 2048
ROUNDING = 2e-6  # of the largest length: what float32 leaves uncertain
FEW = 3  # pictures below which the mean is made of what is compared with it


def centred(h: Tensor) -> Tensor:
    """Vectors minus their mean, l2-normalised: after a ReLU all vectors point the same way, and cosines say little before this. Shapes (n, d) → (n, d + 1).

    Vectors that are the mean, up to rounding, have no direction left. They are equal to each other and to nothing else: that is the last column.
    """
    exact = h.double()
    rest = exact - exact.mean(0)
    still = rest.norm(dim=1) <= ROUNDING * exact.norm(dim=1).amax()
    return torch.cat([F.normalize(rest, dim=1).masked_fill(still[:, None], 0), still[:, None]], 1).float()


def pairs(unit: Tensor, threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All i < j with cosine ≥ threshold, and the cosines; a tile of similarities at a time."""
    rows, columns, values = [], [], []
    for top in range(0, len(unit), TILE):
        for left in range(top, len(unit), TILE):
            similar = unit[top : top + TILE] @ unit[left : left + TILE].T
            i, j = (similar >= threshold - 1e-6).nonzero(as_tuple=True)
            keep = i + top < j + left
            i, j = i[keep], j[keep]
            values.append(similar[i, j].cpu().numpy())
            rows.append(i.cpu().numpy() + top)
            columns.append(j.cpu().numpy() + left)
    return np.concatenate(rows), np.concatenate(columns), np.concatenate(values).clip(max=1)


def groups_of(unit: Tensor, threshold: float) -> list[tuple[list[int], float]]:
    """Groups of rows that hang together by pairs above the threshold, largest first, each with its smallest such cosine."""
    i, j, values = pairs(unit, threshold)
    if not len(i):
        return []
    n = len(unit)
    _, group = connected_components(coo_array((np.ones(len(i)), (i, j)), shape=(n, n)), directed=False)
    members: dict[int, list[int]] = {}
    for row in np.unique(np.concatenate([i, j])):
        members.setdefault(int(group[row]), []).append(int(row))
    weakest = dict.fromkeys(members, 1.0)
    for row, value in zip(i, values, strict=True):
        weakest[int(group[row])] = min(weakest[int(group[row])], float(value))
    return sorted(((rows, weakest[g]) for g, rows in members.items()), key=lambda found: (-len(found[0]), found[0]))


def duplicates(encoder: str | Path | nn.Module, images: str | Path | ImageSource, **options: Any) -> tuple[list[dict[str, Any]], Vectors]:
    """Groups of near-duplicates among the pictures of a SPEC, as dictionaries, and the vectors they were found in.

    `options` are fields of DuplicatesConfig.
    """
    config = options_of(DuplicatesConfig, options)
    vectors = vectors_of(fed(encoder, images, config), images)
    if len(vectors) < FEW:
        say(f"{len(vectors)} pictures: equal ones are found; what is nearly equal shows only beside others")
    found = [
        {
            "similarity": round(weakest, 6),
            "pictures": [vectors.entry(row) for row in rows],
        }
        for rows, weakest in groups_of(centred(vectors.h), config.threshold)
    ]
    return found, vectors
