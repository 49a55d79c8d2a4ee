"""Weighted k-nearest-neighbour classification by cosine similarity (Wu et al. 2018)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def knn_votes(x: Tensor, y: Tensor, queries: Tensor, classes: int, k: int = 20, temperature: float = 0.07, chunk: int = 1024) -> Tensor:
    """Votes exp(similarity / temperature) of the k nearest of `x` for each class. Shapes (n, d), (n,), (q, d) → (q, classes).

    Features are l2-normalised here; k is at most n. Queries go in chunks, so memory is n · chunk.
    """
    x, k = F.normalize(x.float(), dim=1), min(k, len(x))
    votes = []
    for part in F.normalize(queries.float(), dim=1).split(chunk):
        similarity, nearest = (part @ x.T).topk(k, dim=1)  # (c, k)
        weight = ((similarity - similarity[:, :1]) / temperature).exp()  # the nearest has weight 1: no overflow at small temperatures
        votes.append(torch.zeros(len(part), classes, device=x.device).scatter_add_(1, y[nearest], weight))
    return torch.cat(votes)
