"""`embed`: pictures → vectors, part by part. Memory does not grow with the number of pictures; a kill costs one part; processes share parts."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import Tensor, nn

from ..base import processes
from ..base.console import say
from ..base.device import autocast
from ..base.errors import RunError, UserError
from ..base.names import name_of, reachable
from ..base.settings import options_of, path_argument
from ..base.work import slug, working
from ..evaluate.subjects import named, pictures_for, where, workers_for
from ..nets.classifier import load_head
from ..nets.encoder import fingerprint
from ..nets.trial import place
from ..probes.features import evaluation_batches
from ..sources.config import AUTO, READ
from ..sources.decode import read_file
from ..sources.errors import Unreadable
from ..sources.loader import Lost
from ..sources.source import ImageSource, state
from ..sources.spec import Pictures
from ..training.run import versions
from ..views.evaluation import evaluation_view
from . import sinks
from .config import EmbedConfig
from .sinks import LANCE, Vectors

PART = 4096  # rows of a part, a multiple of the features' batch


class Embedder:
    """An encoder with its layer and preprocessing: pictures → vectors. Raises UserError for a layer that is not there."""

    def __init__(self, encoder: str | Path | nn.Module, config: EmbedConfig):
        self.subject, self.config = named(encoder, config.size), config
        self.spec = self.subject.encoder.spec
        self.device, self.precision = where(config.device)
        net: nn.Module = self.subject.encoder
        self.hash = fingerprint(net)
        if config.layer == "z":
            if self.subject.folder is None:
                raise UserError(f"--layer z needs the projection head, and only a RUN has one; {self.subject.text} is none")
            net = nn.Sequential(net, load_head(self.subject.folder, self.subject.encoder.num_features))
        self.net = place(net.eval(), self.device)

    @property
    def preprocessing(self) -> dict[str, Any]:
        """How images are made the encoder's input."""
        return {name: getattr(self.spec, name) for name in ("size", "channels", "resize")}

    @property
    def range(self) -> str:
        """What becomes 0 to 255 of values with more than 8 bits."""
        return self.config.reading(self.spec.channels, self.spec.range).range

    @torch.inference_mode()
    def __call__(self, views: Tensor) -> Tensor:
        """(n, C, S, S) → (n, d) float32 on the host."""
        with autocast(self.device, self.precision):
            h = self.net(views.to(self.device).contiguous(memory_format=torch.channels_last)).float().cpu()
        if not h.isfinite().all():
            raise RunError(
                f"{self.subject.text} makes vectors that are not finite: its weights are broken, or too large for {self.precision}"
            )
        return h

    def file(self, path: str | Path) -> Tensor:
        """The vector of one picture file, (d,). Raises UserError when it is none."""
        try:
            image = read_file(Path(path), self.config.reading(self.spec.channels, self.spec.range))
        except (Unreadable, OSError) as error:
            raise UserError(f"{path} is no picture that can be read: {error}") from error
        return self(evaluation_view(image[None], self.spec.size, self.spec.resize))[0]

    def about(self, pictures: Pictures) -> dict[str, Any]:
        """Provenance: what made these vectors of what."""
        return {
            **self.subject.describe(),
            "weights_sha256": self.hash,
            "layer": self.config.layer,
            "preprocessing": self.preprocessing,
            "images": {
                "spec": str(Path(pictures.spec).resolve()) if Path(pictures.spec).exists() else pictures.spec,
                "fingerprints": {name: part.fingerprint for name, part in pictures.splits.items()},
                "states": {name: state(part) for name, part in pictures.splits.items()},
                "count": sum(map(len, pictures.splits.values())),
            },
            "reading": {name: getattr(self.config, name) for name in READ} | {"range": self.range},
            "versions": versions(),
        }


def embed(encoder: str | Path | nn.Module, images: str | Path | ImageSource, out: str | Path, **options: Any) -> dict[str, Any]:
    """Write the vectors of all pictures of a SPEC to `out`, which `read_vectors`, `search` and the others take; returns their provenance.

    It says how many `vectors` were written: images that cannot be read have none.

    `out`: a folder (Parquet parts), FILE.parquet, FILE.npz, or `lance:DIR`. `options` are fields of EmbedConfig. The same call goes on where
    it was killed. Raises UserError for what can be mended before, RunError where no image can be read.
    """
    config = options_of(EmbedConfig, options)
    path_argument("out", out)
    refuse_target(str(out))
    joined = processes.join()
    embedder = Embedder(encoder, config)
    pictures = opened(images, embedder)
    about = write(embedder, pictures, str(out))
    if joined:
        processes.leave()
    return about


def opened(images: str | Path | ImageSource, embedder: Embedder) -> Pictures:
    """The pictures of a SPEC in the encoder's channels."""
    return pictures_for(embedder.subject.encoder, images, embedder.config)


def refuse_target(out: str) -> None:
    """Raises UserError for a target that cannot be written."""
    path = Path(out)
    if not out.startswith(LANCE) and path.suffix not in ("", ".parquet", ".npz"):
        raise UserError(f"--out {out}: vectors are written to a folder, FILE.parquet, FILE.npz, or lance:DIR")
    if path.suffix == "" and path.is_file():
        raise UserError(f"--out {out} is a file; vectors are written to a folder, FILE.parquet, FILE.npz, or lance:DIR")


def write(embedder: Embedder, pictures: Pictures, out: str) -> dict[str, Any]:
    """All parts that are missing, then the sink. Returns the provenance."""
    folder = whole = Path(out)
    if out.startswith(LANCE) or whole.suffix:
        folder = Path(f"{out.removeprefix(LANCE).rstrip('/')}.parts")
    about = embedder.about(pictures)
    with working(folder, "embed", {key: about[key] for key in ("weights_sha256", "layer", "preprocessing", "images")}):
        parts = [
            (number, name, start) for number, name in enumerate(pictures.splits) for start in range(0, len(pictures.splits[name]), PART)
        ]
        files = [folder / f"part-{number}-{start // PART:06d}.parquet" for number, _, start in parts]
        own = [i for i in range(processes.rank(), len(parts), processes.world()) if not files[i].is_file()]
        if len(own) < len(parts):
            say(f"going on: {len(parts) - len(own)} of {len(parts)} parts are there or others'")
        for name, source in pictures.splits.items():
            mine = [i for i in own if parts[i][1] == name]
            if mine:
                _split(embedder, source, name, pictures.first(name), [(files[i], parts[i][2]) for i in mine], about)
        processes.largest([0.0])  # all parts are written
        skipped = pictures.skipped
        if skipped:
            say(f"{len(skipped)} files could not be read and have no vector; the first: {skipped[0][0]}: {skipped[0][1]}")
        count = sum(pq.read_metadata(reachable(file)).num_rows for file in files)
        if not count:
            _refuse_empty(pictures, folder)
        if folder != whole:
            processes.first(lambda: sinks.merge(files, out))
    if folder != whole:
        processes.first(lambda: shutil.rmtree(folder, ignore_errors=True))
    return {**about, "vectors": count}


def _refuse_empty(pictures: Pictures, folder: Path) -> None:
    """Raises RunError where no image could be read, and takes the folder of empty parts away."""
    processes.largest([0.0])  # all have counted
    processes.first(lambda: shutil.rmtree(folder, ignore_errors=True))
    raise RunError(f"{pictures.spec} has no vectors: none of its {sum(map(len, pictures.splits.values())):,} images could be read")


def _split(embedder: Embedder, source: ImageSource, name: str, first: int, parts: list[tuple[Path, int]], about: dict[str, Any]) -> None:
    """The vectors of some parts of one split, through one loader; each part is written once it is full."""
    ranges = [np.arange(start, min(start + PART, len(source))) for _, start in parts]
    workers = workers_for(embedder.config.workers, source)
    spec = embedder.spec
    ready: list[Tensor] = []
    lost: list[Lost] = []
    at = 0
    for views in evaluation_batches(source, spec.size, spec.resize, workers, np.concatenate(ranges), "embedding", "blank", lost):
        ready.append(embedder(views))
        if sum(map(len, ready)) == len(ranges[at]):
            ids, h = ranges[at], torch.cat(ready)
            kept = ~np.isin(ids, [one.id for one in lost])
            sinks.write_part(parts[at][0], source, ids[kept], first, name, h[torch.from_numpy(kept)], about)
            for one in lost:
                say(f"{one.reason}. It has no vector")
            ready, lost[:], at = [], [], at + 1


def vectors_of(embedder: Embedder, images: str | Path | ImageSource) -> Vectors:
    """Vectors of a SPEC: read where it names vectors, else made, and kept in the RUN, if there is one, for the next time.

    Raises UserError for vectors of another encoder or layer, or of images that were read otherwise.
    """
    spec = str(images)
    if not isinstance(images, ImageSource) and sinks.is_vectors(spec):
        found = sinks.read(spec)
        _refuse_others(found, spec, embedder)
        return _some(found, spec)
    pictures = opened(images, embedder)
    with tempfile.TemporaryDirectory() as passing:
        target = kept(embedder, pictures) or Path(passing) / "vectors"
        write(embedder, pictures, str(target))
        return _some(dataclasses.replace(sinks.read(str(target)), pictures=pictures), spec)


def fed(encoder: str | Path | nn.Module, images: str | Path | ImageSource, config: EmbedConfig) -> Embedder:
    """The encoder for images or vectors; where it is for vectors, it is fed as those were, in what `config` leaves open (size, range)."""
    if not isinstance(images, ImageSource) and sinks.is_vectors(str(images)):
        about = sinks.provenance(images)
        config = dataclasses.replace(
            config,
            size=config.size or about["preprocessing"]["size"],
            range=about.get("reading", {}).get("range", AUTO) if config.range == AUTO else config.range,
        )
    return Embedder(encoder, config)


def _refuse_others(found: Vectors, spec: str, embedder: Embedder) -> None:
    """Raises UserError for stored vectors of another encoder or layer, or of images that were read otherwise than this encoder reads them."""
    about, layer = found.about, embedder.config.layer
    if about["weights_sha256"] != embedder.hash or about["layer"] != layer:
        raise UserError(
            f"{spec} holds vectors of another encoder: {about['encoder']}, layer {about['layer']}, weights {about['weights_sha256'][:8]}; "
            f"{embedder.subject.text}, layer {layer}, has {embedder.hash[:8]}. Embed the pictures again"
        )
    own = embedder.preprocessing | {"range": embedder.range}
    theirs = about["preprocessing"] | {"range": about.get("reading", {}).get("range", own["range"])}
    if other := [name for name in own if theirs.get(name, own[name]) != own[name]]:
        had, has = (", ".join(f"{name} {value[name]}" for name in other) for value in (theirs, own))
        raise UserError(f"{spec} holds vectors of images fed at {had}, and here they are fed at {has}: leave that out, or embed them again")


def _some(vectors: Vectors, spec: str) -> Vectors:
    """The vectors. Raises UserError where there are none."""
    if not len(vectors):
        raise UserError(f"{spec} has no vectors: none of its pictures could be read")
    return vectors


def kept(embedder: Embedder, pictures: Pictures) -> Path | None:
    """Where a RUN keeps the vectors of these pictures: a folder for each state of encoder and pictures. Those of an earlier state of them go."""
    if embedder.subject.folder is None:
        return None
    prints = "-".join(part.fingerprint.split("[")[0][:8] for part in pictures.splits.values())
    now = hashlib.sha256("".join(map(state, pictures.splits.values())).encode()).hexdigest()[:8]
    name = f"{slug(Path(name_of(pictures.spec)).stem)}-{embedder.config.layer}{embedder.spec.size}-{embedder.hash[:8]}-{prints}"
    folder = embedder.subject.folder / "vectors"
    for other in folder.glob(f"{name}-*"):
        if other.name != f"{name}-{now}":
            shutil.rmtree(other, ignore_errors=True)
    return folder / f"{name}-{now}"
