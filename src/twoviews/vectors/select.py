"""`select`: which pictures to label next, from their vectors alone."""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..base import draws as rng
from ..base.errors import UserError, unknown
from ..base.names import meant, path_of
from ..base.settings import of_type, options_of
from ..evaluate.labels import listed
from ..sources.parts import TEST, VAL
from ..sources.source import ImageSource
from .config import SelectConfig
from .duplicates import centred
from .sinks import Vectors
from .write import fed, vectors_of

MANY = 20_000  # rows from which on k-means works on small batches


def k_centre(unit: Tensor, n: int, given: NDArray[np.int64], seed: int = 0) -> NDArray[np.int64]:
    """Always the row farthest from all chosen and given ones (Gonzalez 1985; Sener & Savarese 2018). (rows, d) → (n,)."""
    chosen: list[int] = []
    if len(given):
        nearest = torch.cat([(part @ unit[torch.from_numpy(given)].T).amax(1) for part in unit.split(8192)])
    else:
        chosen.append(int(rng.permutation(len(unit), seed, "first centre")[0]))
        nearest = unit @ unit[chosen[0]]
    while len(chosen) < n:
        nearest[torch.from_numpy(given)] = torch.inf
        nearest[chosen] = torch.inf
        chosen.append(int(nearest.argmin()))
        nearest = torch.maximum(nearest, unit @ unit[chosen[-1]])
    return np.array(chosen[:n], np.int64)


def coverage(unit: Tensor, n: int, given: NDArray[np.int64], seed: int = 0) -> NDArray[np.int64]:
    """The row nearest to each of n k-means centres, the fullest first; clusters that hold a given row are covered already. (rows, d) → (n,).

    Typical pictures of all regions: what few labels need (Hacohen et al. 2022).
    """
    from sklearn.cluster import KMeans, MiniBatchKMeans

    wanted = min(n + len(given), len(unit))
    make: Any = partial(MiniBatchKMeans, batch_size=4096) if len(unit) >= MANY else KMeans
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer different vectors than centres: what is left is chosen below
        found = make(wanted, n_init=1, random_state=seed).fit(unit.numpy())
    taken = set(found.labels_[given].tolist())
    order = np.argsort(-np.bincount(found.labels_, minlength=wanted), kind="stable")
    distance = np.linalg.norm(unit.numpy() - found.cluster_centers_[found.labels_], axis=1)
    chosen = []
    for cluster in order:
        members = np.flatnonzero(found.labels_ == cluster)
        if cluster not in taken and len(members):
            chosen.append(members[distance[members].argmin()])
    chosen = np.array(chosen[:n], np.int64)
    if len(chosen) < n:  # several given rows in one cluster, or empty clusters
        chosen = np.concatenate([chosen, k_centre(unit, n - len(chosen), np.concatenate([given, chosen]), seed)])
    return chosen


def at_random(unit: Tensor, n: int, given: NDArray[np.int64], seed: int = 0) -> NDArray[np.int64]:
    """n rows by chance, what the others have to beat."""
    order = rng.permutation(len(unit), seed, "select")
    return order[~np.isin(order, given)][:n]


METHODS = {"coverage": coverage, "k-centre": k_centre, "random": at_random}


def choose(h: Tensor, n: int, method: str = "coverage", given: NDArray[np.int64] | None = None, seed: int = 0) -> NDArray[np.int64]:
    """Numbers of the n rows to label next, the first first. (rows, d) → (n,). Raises UserError when there are not so many."""
    given = np.empty(0, np.int64) if given is None else given
    if method not in METHODS:
        raise unknown("method", method, METHODS)
    if not 1 <= n <= len(h) - len(given):
        raise UserError(f"-n {n}: there are {len(h) - len(given)} pictures to choose from")
    return METHODS[method](centred(h), n, given, seed)


def select(
    encoder: str | Path | nn.Module, images: str | Path | ImageSource, n: int, **options: Any
) -> tuple[list[dict[str, Any]], Vectors]:
    """Which n pictures of a SPEC to label next, as dictionaries, and the vectors they were chosen by. Validation and test parts are left out.

    `options` are fields of SelectConfig. Raises UserError for names in `given` that match no picture.
    """
    config, n = options_of(SelectConfig, options), of_type("n", n, int)
    vectors = vectors_of(fed(encoder, images, config), images)
    pool = np.array([row for row, split in enumerate(vectors.splits) if split not in (VAL, TEST)], np.int64)
    given = None
    if config.given:
        names = [meant(vectors.paths[i]) for i in pool]
        titles = [f"{vectors.splits[i]}: {name}" for i, name in zip(pool, names, strict=True)]
        given = listed(Path(path_of(config.given)), names, titles)
    rows = pool[choose(vectors.h[torch.from_numpy(pool)], n, config.method, given, config.seed)]
    return [vectors.entry(int(row)) for row in rows], vectors
