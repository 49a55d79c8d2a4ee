"""What the local page does, without the page: neighbours, labels, a classifier from a few of them, what it is unsure of, and the files it leaves."""

from __future__ import annotations

import csv
import dataclasses
import io
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..base import draws as rng
from ..base.errors import UserError
from ..base.files import write_whole
from ..base.names import utf8
from ..evaluate.linear import layer
from ..nets.classifier import Classifier, save_classifier
from ..sources.decode import decode
from ..sources.errors import Unreadable
from ..sources.files import Files
from ..training.sheet import to_pil
from ..vectors.search import top_k
from ..vectors.show import Album
from ..vectors.write import fed, vectors_of
from ..views.evaluation import evaluation_view
from ..views.pipeline import as_float
from .config import ServeConfig

LABELS = "labels.csv"


@dataclasses.dataclass
class Guess:
    """A linear classifier of h: `weight` (classes, d), `bias`, and what it says of all pictures: `p` (n, classes)."""

    classes: list[str]
    weight: Tensor
    bias: Tensor
    p: Tensor

    def of(self, row: int) -> tuple[str, float]:
        """The likeliest class of a picture, and its probability."""
        p, at = self.p[row].max(0)
        return self.classes[int(at)], float(p)


class Explorer:
    """Pictures, their vectors, and the labels that a person gives them. Labels are on disk as soon as they are given."""

    def __init__(self, encoder: str | Path, images: str | Path, out: Path, config: ServeConfig):
        self.config, self.out = config, out
        self.embedder = fed(encoder, images, config)
        self.vectors = vectors_of(self.embedder, images)
        self.album = Album(self.vectors)
        self.unit = F.normalize(self.vectors.h, dim=1)
        self.paths = self._paths()
        self.given: dict[int, str] = {}
        self.guess: Guess | None = None
        self.lock = threading.Lock()  # the server answers from several threads
        self._load(Path(config.labels) if config.labels else out / LABELS, bool(config.labels))

    def __len__(self) -> int:
        return len(self.vectors)

    def near(self, row: int, k: int = 24) -> list[tuple[int, float]]:
        """The k most similar pictures of a picture, without itself: (row, cosine)."""
        return [(other, value) for other, value in self._near(self.vectors.h[row], k + 1) if other != row][:k]

    def near_file(self, data: bytes, k: int = 24) -> list[tuple[int, float]]:
        """The k most similar pictures of a picture file. Raises UserError when it is none."""
        return self._near(self.embed(data), k)

    def embed(self, data: bytes) -> Tensor:
        """The vector of a picture file, (d,). Raises UserError when it is none."""
        return self.embedder(evaluation_view(self._decode(data)[None], self.embedder.spec.size, self.embedder.spec.resize))[0]

    def label(self, row: int, name: str | None) -> None:
        """Name a picture, or (None) take its name away; the list on disk follows. The classifier is the caller's to fit anew."""
        with self.lock:
            name = name and " ".join(name.split())
            if name:
                self.given[row] = name
            else:
                self.given.pop(row, None)
            self._write()

    def counts(self) -> dict[str, int]:
        """How many pictures have each name."""
        return dict(sorted(Counter(self.given.values()).items()))

    def fit(self) -> Guess | None:
        """Logistic regression on h of the labelled pictures, as `linear` does it; None while there are fewer than two classes."""
        with self.lock:
            given = dict(self.given)
        classes = sorted(set(given.values()))
        if len(classes) < 2:
            self.guess = None
            return None
        rows = torch.tensor(list(given))
        y = torch.tensor([classes.index(name) for name in given.values()])
        weight, bias = layer(self.vectors.h[rows], y, len(classes), self.config.seed)
        self.guess = Guess(classes, weight, bias, torch.addmm(bias, self.vectors.h, weight.T).softmax(1))
        return self.guess

    def unsure(self, k: int = 24) -> list[int]:
        """Unlabelled pictures whose two likeliest classes are closest. Keyed ones while there is no classifier."""
        if self.guess is None:
            order = rng.permutation(len(self), self.config.seed, "serve")
            return [int(row) for row in order if int(row) not in self.given][:k]
        best = self.guess.p.topk(2, dim=1).values
        margin = best[:, 0] - best[:, 1]
        margin[list(self.given)] = torch.inf
        return margin.topk(min(k, len(self) - len(self.given)), largest=False).indices.tolist()

    def save(self) -> Path:
        """encoder.safetensors and classifier.safetensors beside the labels: an ENCODER for every verb. Raises UserError without two classes."""
        guess = self.fit()
        if guess is None:
            raise UserError("a classifier needs at least two classes: give pictures of each a name")
        net = Classifier(self.embedder.subject.encoder, len(guess.classes))
        net.start_at(guess.weight, guess.bias)
        save_classifier(self.out, net, guess.classes, {"labels": self.counts(), "source": self.embedder.subject.describe()})
        return self.out

    def picture(self, row: int) -> bytes:
        """A picture as a small WebP."""
        return _webp(self.album.picture(row))

    def picture_of(self, data: bytes) -> bytes:
        """A picture file as a small WebP. Raises UserError when it is none."""
        return _webp(as_float(self._decode(data)))

    def _near(self, query: Tensor, k: int) -> list[tuple[int, float]]:
        values, rows = top_k(self.unit, query[None], k)
        return list(zip(rows[0].tolist(), values[0].tolist(), strict=True))

    def _decode(self, data: bytes) -> Tensor:
        spec = self.embedder.spec
        try:
            return decode(data, self.embedder.config.reading(spec.channels, spec.range))
        except Unreadable as error:
            raise UserError(f"that is no picture that can be read: {error}") from error

    def _paths(self) -> list[str]:
        """What the list of labels calls each picture: its file where it is one."""
        v = self.vectors
        parts = v.pictures.splits if v.pictures else {}
        roots = {name: part.root.resolve() for name, part in parts.items() if isinstance(part, Files)}
        several = len(set(v.splits)) > 1  # sets count the pictures of each part from 0
        rows = zip(v.splits, v.paths, strict=True)
        return [utf8(str(roots[split] / path)) if split in roots else f"{split}/{path}" if several else path for split, path in rows]

    def _load(self, file: Path, asked: bool) -> None:
        """Labels of before. Raises UserError where the file that was asked for is not one, or names other pictures only."""
        if not file.is_file():
            if asked:
                raise UserError(f"--labels {file}: there is no such file")
            return
        with file.open(newline="", encoding="utf-8", errors="surrogateescape") as opened:
            rows = csv.DictReader(opened)
            if not {"path", "label"} <= set(rows.fieldnames or ()):
                raise UserError(f"{file} has no columns path and label: it has {', '.join(rows.fieldnames or ()) or 'none'}")
            found = [(row["path"], row["label"]) for row in rows if row["path"] and row["label"]]
        number = {
            path: row for names in (self.vectors.paths, self.paths) if len(set(names)) == len(names) for row, path in enumerate(names)
        }
        self.given = {number[utf8(path)]: label for path, label in found if utf8(path) in number}
        if found and not self.given:
            raise UserError(f"{file} names none of these pictures; the first is {found[0][0]!r}")
        self.fit()

    def _write(self) -> None:
        rows: list[tuple[Any, ...]] = [("path", "label"), *sorted((self.paths[row], name) for row, name in self.given.items())]

        def fill(part: Path) -> None:
            with part.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([utf8(text) for text in row] for row in rows)

        write_whole(self.out / LABELS, fill)


def _webp(picture: Tensor) -> bytes:
    file = io.BytesIO()
    to_pil(picture).save(file, "WEBP", quality=85)
    return file.getvalue()
