"""`search`: the k most similar pictures of each query, by cosine. Exact, in tiles; or by another library's approximate index when asked."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..base.errors import UserError
from ..base.settings import options_of
from ..sources.source import ImageSource
from . import sinks
from .config import SearchConfig
from .sinks import LANCE, Vectors
from .write import Embedder, vectors_of

QUERIES, ROWS = 512, 8192  # a tile of similarities


def definition(x: Tensor, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Cosines and numbers of the k rows of `x` most similar to each query, most similar first. Shapes (n, d), (q, d) → (q, k), (q, k)."""
    return (F.normalize(queries, dim=1) @ F.normalize(x, dim=1).T).topk(k, dim=1)


def top_k(unit: Tensor, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """As `definition`, for rows that are normalised already, a tile at a time: memory does not grow with n · q."""
    queries, n = F.normalize(queries, dim=1), len(unit)
    k = min(k, n)
    found = []
    for q in queries.split(QUERIES):
        best, at = torch.full((len(q), k), -torch.inf, device=unit.device), torch.zeros(len(q), k, dtype=torch.long, device=unit.device)
        for start in range(0, n, ROWS):
            values, columns = (q @ unit[start : start + ROWS].T).topk(min(k, n - start, ROWS), dim=1)
            together = torch.cat([best, values], 1).topk(k, dim=1)
            at = torch.cat([at, columns + start], 1).gather(1, together.indices)
            best = together.values
        found.append((best, at))
    return torch.cat([b for b, _ in found]), torch.cat([a for _, a in found])


@dataclasses.dataclass
class Found:
    """Neighbours: `queries` by name, cosines and rows (q, k) of `vectors`."""

    queries: list[str]
    scores: Tensor
    rows: Tensor
    vectors: Vectors
    about: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Every query with its neighbours, most similar first."""
        v = self.vectors
        lists = [
            [
                {"id": int(i), "path": v.paths[i], "split": v.splits[i], "label": v.labels[i], "similarity": round(float(s), 6)}
                for s, i in zip(scores, rows, strict=True)
            ]
            for scores, rows in zip(self.scores.tolist(), self.rows.tolist(), strict=True)
        ]
        return {**self.about, "queries": [{"query": q, "neighbours": found} for q, found in zip(self.queries, lists, strict=True)]}


def search(encoder: str | Path | nn.Module, images: str | Path | ImageSource, queries: Sequence[str | Path], **options: Any) -> Found:
    """The pictures of a SPEC (or of vectors that `embed` wrote) most similar to some picture files.

    `options` are fields of SearchConfig. Raises UserError for a query that is no picture, and for vectors of another encoder.
    """
    config = options_of(SearchConfig, options)
    if not queries:
        raise UserError("search needs at least one --query FILE")
    embedder = Embedder(encoder, config)
    asked = torch.stack([embedder.file(query) for query in queries])
    vectors = vectors_of(embedder, images)
    scores, rows = INDEXES[config.index](vectors, asked, config.k, str(images))
    about = {
        "encoder": embedder.subject.text,
        "layer": config.layer,
        "index": config.index,
        "searched": len(vectors),
        "images": vectors.about["images"],
    }
    return Found([str(query) for query in queries], scores, rows, vectors, about)


def exact(vectors: Vectors, queries: Tensor, k: int, spec: str) -> tuple[Tensor, Tensor]:
    return top_k(F.normalize(vectors.h, dim=1), queries, k)


def by_faiss(vectors: Vectors, queries: Tensor, k: int, spec: str) -> tuple[Tensor, Tensor]:
    """FAISS's graph index (HNSW) on cosine; built in memory for this call."""
    try:
        import faiss
    except ImportError as error:
        raise UserError("--index faiss needs FAISS: uv pip install 'twoviews[faiss]'") from error
    index: Any = faiss.IndexHNSWFlat(vectors.h.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efSearch = max(64, 2 * k)
    index.add(F.normalize(vectors.h, dim=1).numpy())
    scores, rows = index.search(F.normalize(queries, dim=1).numpy(), min(k, len(vectors)))
    return torch.from_numpy(scores), torch.from_numpy(np.asarray(rows))


def by_lance(vectors: Vectors, queries: Tensor, k: int, spec: str) -> tuple[Tensor, Tensor]:
    """LanceDB's search in the table of `lance:DIR`, through its vector index if one was made there."""
    if not spec.startswith(LANCE):
        raise UserError(
            f"--index lance searches a LanceDB table: twoviews embed … --out {LANCE}DIR, then give {LANCE}DIR instead of {spec}"
        )
    table = sinks.open_table(spec)
    found = [table.search(q.numpy()).distance_type("cosine").limit(k).to_arrow() for q in queries]
    rows = torch.tensor([part.column("id").to_pylist() for part in found])
    return 1 - torch.tensor([part.column("_distance").to_pylist() for part in found]), rows


INDEXES = {"exact": exact, "faiss": by_faiss, "lance": by_lance}
