"""The pictures of a RUN as its encoder sees them: a map of h, neighbours, hard pairs, likely duplicates, what is taken for what."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import io
import warnings

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ..base import draws as rng
from ..base.console import say, track
from ..base.errors import UserError
from ..base.files import finite
from ..base.names import one_line
from ..evaluate.subjects import workers_for
from ..losses.nt_xent import partners, similarities
from ..nets.names import HEAD
from ..probes.features import evaluation_batches
from ..probes.knn import knn_votes
from ..probes.wilson import wilson
from ..sources.loader import Loader
from ..sources.order import some
from ..sources.source import ImageSource, labels_at
from ..sources.spec import Pictures, open_pictures
from ..training.config import TrainConfig
from ..training.run import Run
from ..training.sheet import examples, to_pil
from ..vectors.config import EmbedConfig
from ..vectors.search import top_k
from ..vectors.write import Embedder
from ..views.pipeline import Views, as_float
from .config import ReportConfig

TILE, SHEET = 48, 40  # pixels of a picture on the map; of these a sheet has SHEET × SHEET
NEIGHBOURS = 8
PAIRS = 256  # of which each picture's loss is taken
SHOWN = 12  # hard pairs, likely duplicates
ROWS = 6  # neighbourhoods, examples of views
FOLDS = 5


@dataclasses.dataclass
class Confusion:
    """Who is taken for whom: counts (classes, classes), rows are the truth; top-1 with its 95 % interval."""

    counts: list[list[int]]
    top1: float
    low: float
    high: float
    tested: int


@dataclasses.dataclass
class Looked:
    """`count` pictures. `place` (n, 2) on the map; `loss` of each one's pair of views; pictures are data: URLs."""

    spec: str
    names: list[str]
    labels: list[int] | None
    classes: list[str]
    place: list[list[float]]
    how: str
    cluster: list[int]
    loss: list[float] | None
    near: list[list[int]]
    sheets: list[str]
    neighbourhoods: list[list[tuple[str, str, float]]]  # picture, name, similarity; the first is the one asked for
    hard: list[tuple[str, str, str, float]]  # two views, name, similarity of their z
    alike: list[tuple[str, str, str, str, float]]  # two pictures, their names, similarity
    views: list[tuple[str, str, str, str, list[str], list[str]]]  # picture, its views, name, their draws in words
    confusion: Confusion | None
    lost: int


def look(run: Run, config: ReportConfig) -> Looked:
    """Look at the pictures of a run. Raises UserError where they are no longer there."""
    trained, embedder = run.config, Embedder(run.path, EmbedConfig(device=config.device))
    spec = config.images or str(run.info["source"]["spec"])
    source = training_pictures(spec, trained, config).training
    workers = workers_for(config.workers, source)
    ids = np.sort(some(source, config.points, config.seed, "report"))
    h, tiles, lost = [], [], []
    for x in evaluation_batches(source, embedder.spec.size, embedder.spec.resize, workers, ids, "looking at pictures", "blank", lost):
        h.append(embedder(x))
        tiles.append(tile(x))
    kept = np.flatnonzero(~np.isin(ids, [one.id for one in lost]))
    ids, h, tiles = ids[kept], torch.cat(h)[kept], torch.cat(tiles)[kept]
    if len(ids) < 3:
        raise UserError(f"only {len(ids)} pictures of {spec} can be read: too few for a map. --points 0 makes a page without pictures")
    unit = F.normalize(h - h.mean(0), dim=1)
    similar, near = top_k(unit, unit, NEIGHBOURS + 1)
    similar, near = without_itself(similar, near)
    labels = labels_at(source, ids) if len(source.classes) > 1 else None
    hard, loss = pairs(run, trained, config, source, ids, workers)
    return Looked(
        spec,
        [title(source, int(i)) for i in ids],
        None if labels is None else labels.tolist(),
        [one_line(str(name)) for name in source.classes] if labels is not None else [],
        *place(unit, config),
        clusters(unit, len(source.classes) if labels is not None else 10, config.seed),
        loss,
        near.tolist(),
        sheets(tiles),
        neighbourhoods(source, ids, near, similar, config.seed),
        hard,
        alike(source, ids, near, similar),
        [
            (picture(as_float(one.image)), picture(one.views[0]), picture(one.views[1]), one_line(one.name), one.texts[0], one.texts[1])
            for one in examples(source, trained, ROWS)
        ],
        confusion(h, labels, len(source.classes)),
        len(lost),
    )


def title(source: ImageSource, index: int) -> str:
    """What the page calls a picture."""
    return one_line(source.name(index))


def training_pictures(spec: str, trained: TrainConfig, config: ReportConfig) -> Pictures:
    """The pictures of a SPEC as the run read them; options of reading that were given count."""
    asked = {name for name in config.free() if name in ("root", "download", "check")}
    own = dataclasses.replace(trained, **{name: getattr(config, name) for name in asked}) if not config.images else config
    return open_pictures(spec, trained.channels, own, range=trained.range)


def without_itself(similar: Tensor, near: Tensor) -> tuple[Tensor, Tensor]:
    """Neighbours of each row without the row, which need not come first among equals. Shapes (n, k + 1) → (n, k)."""
    own = torch.arange(len(near))[:, None]
    same = near == own
    same[:, -1] |= ~same.any(1)  # a row with more than k equals may not be among its own neighbours
    return similar[~same].view(len(near), -1), near[~same].view(len(near), -1)


def tile(x: Tensor) -> Tensor:
    """(n, C, S, S) in [0, 1] → (n, TILE, TILE, 3) uint8."""
    x = x[:, :1].expand(-1, 3, -1, -1) if x.shape[1] < 3 else x[:, :3]
    small = F.interpolate(x, (TILE, TILE), mode="area") if x.shape[2] >= TILE else F.interpolate(x, (TILE, TILE), mode="nearest")
    return (small.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)


def sheets(tiles: Tensor) -> list[str]:
    """All tiles side by side on sheets of SHEET × SHEET."""
    out = []
    for part in tiles.split(SHEET * SHEET):
        rows = -(-len(part) // SHEET)
        whole = np.zeros((rows * SHEET, TILE, TILE, 3), np.uint8)
        whole[: len(part)] = part.numpy()
        grid = whole.reshape(rows, SHEET, TILE, TILE, 3).swapaxes(1, 2).reshape(rows * TILE, SHEET * TILE, 3)
        out.append(url(Image.fromarray(grid), 75))
    return out


def picture(image: Tensor) -> str:
    """(C, H, W) in [0, 1] → a square cell as a data: URL."""
    return url(to_pil(image), 85)


def url(image: Image.Image, quality: int) -> str:
    file = io.BytesIO()
    image.save(file, "WEBP", quality=quality)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"


def place(unit: Tensor, config: ReportConfig) -> tuple[list[list[float]], str]:
    """Two dimensions of h, scaled to −1 … 1, and how they came about."""
    if config.map == "pca" or len(unit) < 10:
        from sklearn.decomposition import PCA

        flat, how = PCA(2, random_state=config.seed).fit_transform(unit.numpy()), "first two principal components of h"
    else:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # UMAP says that a seed costs it its threads
                from umap import UMAP
        except ImportError as error:
            raise UserError(
                'a map by UMAP needs umap-learn: pip install "twoviews[report]". Without --map umap the map shows principal components'
            ) from error
        say(f"placing {len(unit):,} pictures by UMAP")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            flat = UMAP(n_neighbors=min(15, len(unit) - 1), metric="cosine", random_state=config.seed).fit_transform(unit.numpy())
        how = "UMAP of h: 15 neighbours by cosine. Near means similar; distances between far groups mean little"
    flat = np.asarray(flat, float)
    low, high = flat.min(0), flat.max(0)
    return (2 * (flat - low) / np.maximum(high - low, 1e-12) - 1).round(4).tolist(), how


def clusters(unit: Tensor, count: int, seed: int) -> list[int]:
    """k-means of normalised h."""
    from sklearn.cluster import KMeans

    return KMeans(min(count, 20, len(unit)), random_state=seed).fit_predict(unit.numpy()).tolist()


def neighbourhoods(source: ImageSource, ids: np.ndarray, near: Tensor, similar: Tensor, seed: int) -> list[list[tuple[str, str, float]]]:
    """Some keyed pictures with their neighbours."""

    def cell(row: int, value: float) -> tuple[str, str, float]:
        index = int(ids[row])
        return picture(as_float(source.read(index))), title(source, index), round(value, 3)

    rows = rng.permutation(len(ids), seed, "neighbours")[:ROWS].tolist()
    return [[cell(row, 1.0)] + [cell(int(n), float(s)) for n, s in zip(near[row][:6], similar[row][:6], strict=True)] for row in rows]


def alike(source: ImageSource, ids: np.ndarray, near: Tensor, similar: Tensor) -> list[tuple[str, str, str, str, float]]:
    """The most similar pairs of different pictures: likely duplicates, and the negatives that cost the loss most."""
    found: dict[tuple[int, int], float] = {}
    for flat in similar.flatten().argsort(descending=True)[: 8 * SHOWN].tolist():
        row, column = divmod(flat, similar.shape[1])
        other = int(near[row, column])
        found.setdefault((min(row, other), max(row, other)), float(similar[row, column]))
    out = []
    for (a, b), value in list(found.items())[:SHOWN]:
        first, second = (as_float(source.read(int(ids[i]))) for i in (a, b))
        out.append((picture(first), picture(second), title(source, int(ids[a])), title(source, int(ids[b])), round(value, 4)))
    return out


def pairs(
    run: Run,
    trained: TrainConfig,
    config: ReportConfig,
    source: ImageSource,
    ids: np.ndarray,
    workers: int,
) -> tuple[list[tuple[str, str, str, float]], list[float] | None]:
    """The pairs of views that are least alike, and each picture's loss among PAIRS pairs; nothing where the run has no head."""
    if not (run.path / HEAD).is_file():
        return [], None
    embedder, views = Embedder(run.path, EmbedConfig(layer="z", device=config.device)), Views.of(trained)
    parts = np.array_split(ids, max(1, round(len(ids) / PAIRS)))
    hard: list[tuple[float, int, Tensor, Tensor]] = []
    losses: list[Tensor] = []
    loader = Loader(source, views.crop_pairs, workers, missing="blank")
    batches = loader([(part, rng.key(trained.seed, "report", part)) for part in parts])
    with contextlib.closing(loader), torch.inference_mode():
        for batch in track(batches, "making views", len(parts)):
            x1, x2 = views(batch.images, batch.keys)
            z1, z2 = embedder(torch.cat([x1, x2])).chunk(2)
            logits = similarities(z1, z2, trained.temperature, trained.normalize)
            losses.append(F.cross_entropy(logits, partners(len(z1), logits.device), reduction="none").view(2, -1).mean(0))
            together = F.cosine_similarity(z1, z2)
            hard += [(float(together[i]), int(batch.ids[i]), x1[i], x2[i]) for i in together.argsort()[:SHOWN].tolist()]
    hard.sort(key=lambda one: one[0])
    shown = [(picture(a), picture(b), title(source, index), round(value, 3)) for value, index, a, b in hard[:SHOWN]]
    return shown, finite([round(value, 4) for value in torch.cat(losses).tolist()])


def confusion(h: Tensor, labels: np.ndarray | None, classes: int) -> Confusion | None:
    """kNN by five folds of these pictures. None without labels, or with too few."""
    if labels is None:
        return None
    rows = np.flatnonzero(labels >= 0)
    if len(rows) < 5 * FOLDS:
        return None
    x, y = h[rows], torch.from_numpy(labels[rows])
    fold = torch.from_numpy(rng.permutation(len(rows), 0, "folds") % FOLDS)
    guess = torch.empty_like(y)
    for number in range(FOLDS):
        guess[fold == number] = knn_votes(x[fold != number], y[fold != number], x[fold == number], classes).argmax(1)
    counts = torch.zeros(classes, classes, dtype=torch.long)
    counts.index_put_((y, guess), torch.ones(len(y), dtype=torch.long), accumulate=True)
    right = (guess == y).double().mean().item()
    return Confusion(counts.tolist(), right, *wilson(right, len(y)), len(y))
