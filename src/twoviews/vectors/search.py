"""`search`: the k most similar pictures of each query, by cosine. Exact, in tiles; or by another library's approximate index when asked."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..base.errors import UserError
from ..base.names import path_of, spelled
from ..base.settings import options_of, several
from ..sources.source import ImageSource
from . import sinks
from .config import SearchConfig
from .sinks import LANCE, Vectors
from .write import fed, vectors_of

QUERIES, ROWS = 512, 8192  # a tile of similarities
EQUAL = 1e6  # similarities that agree to six digits are equal
MORE = 16  # neighbours that an approximate index is asked for beyond k, so that the best are among them


def definition(x: Tensor, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Cosines and numbers of the k rows of `x` most similar to each query, most similar first. Shapes (n, d), (q, d) → (q, k), (q, k)."""
    return (F.normalize(queries, dim=1) @ F.normalize(x, dim=1).T).topk(k, dim=1)


def top_k(unit: Tensor, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """As `definition`, for rows that are normalised already, a tile at a time: memory does not grow with n · q."""
    queries, n = F.normalize(queries, dim=1), len(unit)
    found = []
    for q in queries.split(QUERIES):
        best, at = q.new_empty(len(q), 0), torch.empty(len(q), 0, dtype=torch.long, device=unit.device)
        for start in range(0, n, ROWS):
            similar = q @ unit[start : start + ROWS].T
            rows = torch.arange(start, start + similar.shape[1], device=unit.device).expand(len(q), -1)
            values, rows = ranked(similar, rows, min(k, n))
            best, at = ranked(torch.cat([best, values], 1), torch.cat([at, rows], 1), min(k, n))
        found.append((best, at))
    return torch.cat([b for b, _ in found]), torch.cat([a for _, a in found])


def ranked(similar: Tensor, rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k most similar of each line (all, where there are fewer) and their rows, most similar first; of equals (to 1e-6, what is told of them) the
    smaller row, so that every index gives the same. Shapes (q, n), (q, n) → (q, k), (q, k)."""
    keys = (similar.double() * EQUAL).round().long() * 2**32 - rows
    at = keys.topk(min(k, similar.shape[1]), dim=1).indices
    return similar.gather(1, at), rows.gather(1, at)


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
        lists = [
            [{**self.vectors.entry(row), "similarity": round(score, 6)} for score, row in zip(scores, rows, strict=True)]
            for scores, rows in zip(self.scores.tolist(), self.rows.tolist(), strict=True)
        ]
        return {**self.about, "queries": [{"query": spelled(q), "neighbours": found} for q, found in zip(self.queries, lists, strict=True)]}


def search(encoder: str | Path | nn.Module, images: str | Path | ImageSource, queries: Sequence[str | Path], **options: Any) -> Found:
    """The pictures of a SPEC (or of vectors that `embed` wrote) most similar to some picture files.

    `options` are fields of SearchConfig. Raises UserError for a query that is no picture, and for vectors of another encoder. Queries
    are fed as stored vectors were, where `options` do not say otherwise.
    """
    config = options_of(SearchConfig, options)
    queries = several("queries", queries)
    if not queries:
        raise UserError("search needs at least one --query FILE")
    files = [path_of(str(query)) for query in queries]
    embedder = fed(encoder, images, config)
    asked = torch.stack([embedder.file(file) for file in files])
    vectors = vectors_of(embedder, images)
    scores, rows = INDEXES[config.index](vectors, asked, config.k, str(images))
    about = {
        "encoder": embedder.subject.text,
        "layer": config.layer,
        "index": config.index,
        "searched": len(vectors),
        "images": vectors.about["images"],
    }
    return Found(files, scores, rows, vectors, about)


def exact(vectors: Vectors, queries: Tensor, k: int, spec: str) -> tuple[Tensor, Tensor]:
    """By comparing with all."""
    return top_k(F.normalize(vectors.h, dim=1), queries, k)


def among(vectors: Vectors, queries: Tensor, candidates: list[list[int]], k: int) -> tuple[Tensor, Tensor]:
    """The k best of each query's candidate rows, by their exact cosines. Where an index found fewer than it was asked for (a vector of zeros has no
    cosine for some), or equals of the last may lie beyond what it found, all vectors are compared."""
    wanted, k = min(k + MORE, len(vectors)), min(k, len(vectors))
    found = []
    for query, rows in zip(queries, candidates, strict=True):
        at = torch.tensor(sorted(set(rows)), dtype=torch.long)
        similar = F.normalize(query[None], dim=1) @ F.normalize(vectors.h[at], dim=1).T
        best, own = ranked(similar, at[None], k)
        whole = len(at) == len(vectors) or (len(at) >= wanted and best[0, -1] > similar.min() + 2 / EQUAL)
        found.append((best, own) if whole else exact(vectors, query[None], k, ""))
    return torch.cat([scores for scores, _ in found]), torch.cat([rows for _, rows in found])


def by_faiss(vectors: Vectors, queries: Tensor, k: int, spec: str) -> tuple[Tensor, Tensor]:
    """FAISS's graph index (HNSW) on cosine; built in memory for this call."""
    try:
        import faiss
    except ImportError as error:
        raise UserError("--index faiss needs FAISS: uv pip install 'twoviews[faiss]'") from error
    index: Any = faiss.IndexHNSWFlat(vectors.h.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efSearch = max(64, 2 * (k + MORE))
    index.add(F.normalize(vectors.h, dim=1).numpy())
    _, rows = index.search(F.normalize(queries, dim=1).numpy(), min(k + MORE, len(vectors)))
    return among(vectors, queries, [[row for row in own if row >= 0] for own in rows.tolist()], k)  # -1: fewer were found


def by_lance(vectors: Vectors, queries: Tensor, k: int, spec: str) -> tuple[Tensor, Tensor]:
    """LanceDB's search in the table of `lance:DIR`, through its vector index if one was made there."""
    if not spec.startswith(LANCE):
        raise UserError(
            f"--index lance searches a LanceDB table: twoviews embed … --out {LANCE}DIR, then give {LANCE}DIR instead of {spec}"
        )
    table = sinks.open_table(spec)
    found = [table.search(q.numpy()).distance_type("cosine").limit(k + MORE).select(["id", "_distance"]).to_arrow() for q in queries]
    return among(vectors, queries, [vectors.rows(part.column("id").to_pylist()).tolist() for part in found], k)


INDEXES = {"exact": exact, "faiss": by_faiss, "lance": by_lance}
