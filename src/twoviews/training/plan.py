"""From what the user gave to what will run: pictures, recipe, batch, encoder. Everything that can be refused is refused here, before
anything is written."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..base import device as devices
from ..base import processes
from ..base.errors import UserError
from ..nets.base import Encoder, Spec
from ..nets.encoder import adopt, from_spec, load_weights, made, read_header, spec_of
from ..nets.foreign import preprocessing_of
from ..nets.head import Head, head
from ..nets.names import CUSTOM, encoder_file, of_library
from ..nets.trial import at_size, trial
from ..optim.schedule import Schedule, official
from ..sources.files import Files, kept
from ..sources.parts import UNLABELLED
from ..sources.source import ImageSource, Small
from ..sources.spec import Pictures, open_pictures
from .config import TrainConfig, resolve
from .recipes import choose, recipe
from .skipped import SKIPPED

PICTURES = "pictures.parquet"  # of a RUN: the list of its files
TRIED = 2  # pairs that go through the network before anything is written


@dataclasses.dataclass
class Plan:
    """All parts of a training, ready to run. `notes` are what was decided for the user, to be said at the start."""

    config: TrainConfig
    pictures: Pictures
    source: ImageSource
    encoder: Encoder
    head: Head
    schedule: Schedule
    device: torch.device
    precision: str
    workers: int
    notes: list[str]

    @property
    def share(self) -> int:
        """Pairs of a batch that are this process's."""
        return self.config.batch // processes.world()

    @property
    def steps_per_epoch(self) -> int:
        return len(self.source) // self.config.batch

    @property
    def steps(self) -> int:
        return self.steps_per_epoch * self.config.epochs

    @property
    def origin(self) -> dict[str, Any]:
        """What config.json says of the pictures."""
        return {
            "spec": self.pictures.spec,
            "count": len(self.source),
            "fingerprint": self.source.fingerprint,
            "skipped": len(self.pictures.skipped),
        }


def settings(
    images: str | Path | ImageSource, given: dict[str, Any], out: Path | None = None
) -> tuple[Pictures, ImageSource, TrainConfig, list[str]]:
    """The pictures of a SPEC, the part that trains, every option resolved, and what was decided for the user.

    Raises UserError for unknown options (with the nearest name), wrong values, and pictures that are not there.
    """
    early = resolve({}, given)
    pictures, source = _open(images, early, given, SKIPPED if out is not None else "")
    notes = list(pictures.remarks)
    if UNLABELLED in pictures.splits and len(pictures.splits) > 1:
        notes.append(f"learned from is the {UNLABELLED} part alone; --parts {UNLABELLED}=NAME adds others to it")
    if out is not None and (out / PICTURES).is_file() and isinstance(source, Files):
        before = kept(source, out / PICTURES)
        if before is not None and before is not source:
            notes.append(
                f"the pictures are no longer those of the beginning ({len(before):,}): the run goes on with these; what is gone is stood in for"
            )
            source = before
    config, more = decide(pictures.spec, source, given)
    notes += more
    if config.channels not in (1, 3) and config.strength > 0:
        notes.append(
            f"{config.channels} channels: saturation, hue and gray make no sense and are left out; brightness, contrast, blur, crop and flip stay"
        )
    return pictures, source, config, notes


def prepare(images: str | Path | ImageSource, module: nn.Module | None, given: dict[str, Any], out: Path | None = None) -> Plan:
    """Open the pictures, resolve the options, build the networks. Raises UserError for whatever the user can mend.

    A run that goes on in `out` goes on with the pictures it began with.
    """
    device = devices.pick(given.get("device", "auto"))
    pictures, source, config, notes = settings(images, given, out)
    if len(source) < 2:
        raise UserError(
            f"{pictures.spec} holds {len(source)} picture; contrastive learning needs at least 2, and some hundred to learn anything"
        )
    if config.batch > len(source):
        raise UserError(f"batch {config.batch} is larger than the set of {len(source)} pictures: --batch {len(source)} at most")
    if config.batch < 2:
        raise UserError("batch is 1; a pair needs other pairs to be told from: at least 2")
    _divide(config)
    net = _network(config, module, given)
    if net.spec.size != config.size:
        notes.append(f"size {net.spec.size}: {net.spec} takes no {config.size}")
        config = dataclasses.replace(config, size=net.spec.size)
    if net.spec.built:
        notes.append(f"{net.spec} is built for {net.spec.built} pixels: such networks take one size each")
    if net.spec.name == CUSTOM:
        config = dataclasses.replace(config, encoder=CUSTOM)
    elif config.init or isinstance(module, Encoder):
        spec = net.spec
        config = dataclasses.replace(config, encoder=spec.name, width=spec.width, sk=spec.sk, stem=spec.stem)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed + 1)
        projection = head(config.head, net.num_features, config.head_features, config.head_norm)
    steps = len(source) // config.batch
    schedule = official(config.learning_rate, config.scaling, config.warmup_epochs, config.batch, steps * config.batch, config.epochs)
    precision = devices.precision(config.precision, device)
    if out is None or not (out / "config.json").is_file():  # a run that goes on has trained already
        per_step = 2 * min(config.chunk or config.batch // processes.world(), TRIED)
        trial(net, projection, per_step, device, precision)
    workers = (
        config.workers if config.workers >= 0 else (0 if isinstance(source, Small) else max(1, (os.cpu_count() or 1) // processes.local()))
    )
    return Plan(
        config,
        pictures,
        source,
        net,
        projection,
        schedule,
        device,
        precision,
        workers,
        notes,
    )


def _divide(config: TrainConfig) -> None:
    """Refuse a batch that does not divide over the processes, and a chunk that does not divide it or would change nothing."""
    n, batch, chunk = processes.world(), config.batch, config.chunk
    if batch % n:
        fits = next(k for k in range(n - 1, 0, -1) if batch % k == 0)
        raise UserError(
            f"batch {batch} does not divide over {n} processes, and another batch would be another recipe: --nproc-per-node {fits}, "
            f"or --batch {max(1, batch // n) * n} or {(batch // n + 1) * n}"
        )
    share, whose = batch // n, f"a process's share of the batch, {batch // n} pairs" if n > 1 else f"the batch of {batch} pairs"
    if chunk >= share:
        raise UserError(
            f"chunk {chunk} would change nothing: it must be smaller than {whose}. Leave --chunk away, or take at most {share // 2}"
        )
    if chunk and share % chunk:
        near = min((k for k in range(1, share) if share % k == 0), key=lambda k: abs(k - chunk))
        raise UserError(f"chunk {chunk} does not divide {whose}: --chunk {near}")


def _open(images: str | Path | ImageSource, config: TrainConfig, given: dict[str, Any], listed: str) -> tuple[Pictures, ImageSource]:
    channels = recipe(config.recipe).values.get("channels", 3) if config.recipe != "auto" else 1 if str(images) == "digits" else 3
    pictures = open_pictures(images, given.get("channels", channels), config, listed=listed)
    return pictures, pictures.training


def decide(spec: str, source: ImageSource, given: dict[str, Any]) -> tuple[TrainConfig, list[str]]:
    """Recipe and the values that follow from the pictures, where the user gave none."""
    notes = []
    name = given.get("recipe", "auto")
    side = max(source.images.shape[2:]) if isinstance(source, Small) else None
    if name == "auto":
        name, why = choose(spec, len(source), side)
        notes.append(f"recipe {name} ({why}; --recipe changes it)")
    values = {**recipe(name).values, "recipe": name}
    given = {k: v for k, v in given.items() if k != "recipe"}
    config = resolve(values, given)
    if "batch" not in given and config.batch > len(source) >= 2:
        values["batch"] = len(source)
        notes.append(f"batch {len(source)} instead of the recipe's {config.batch}: there are no more pictures")
    if "size" not in given and side is not None and name != "digits" and config.size > side:
        values["size"] = side
        notes.append(f"size {side} instead of the recipe's {config.size}: the pictures are no larger")
    if "warmup_epochs" not in given and config.warmup_epochs > config.epochs / 10:
        values["warmup_epochs"] = config.epochs / 10
        notes.append(f"warm-up of {config.epochs / 10:g} epochs, a tenth of the run")
    return resolve(values, given), notes


def _network(config: TrainConfig, module: nn.Module | None, given: dict[str, Any]) -> Encoder:
    feed: dict[str, Any] = {"resize": config.resize, "range": config.range}
    if module is not None:
        return _of_your_own(config, module, feed)
    spec = Spec(config.encoder, config.width, config.sk, config.stem, config.size, config.channels, **feed)
    any_size = "size" not in given
    if not config.init:
        return made(spec, seed=config.seed, any_size=any_size)
    if of_library(config.init):
        if given.get("encoder", config.init) != config.init:
            raise UserError(
                f"--init {config.init} brings its own architecture; --encoder {config.encoder} is another. Leave --encoder away"
            )
        return made(dataclasses.replace(spec, name=config.init), pretrained=True, seed=config.seed, any_size=any_size)
    path = encoder_file(config.init)
    has = spec_of(read_header(path), path)
    asked = {name: given[name] for name in ("encoder", "width", "sk", "stem", "channels") if name in given}
    other = [
        f"{k} {v!r} was asked for, it has {getattr(has, 'name' if k == 'encoder' else k)!r}"
        for k, v in asked.items()
        if v != getattr(has, "name" if k == "encoder" else k)
    ]
    if other:
        raise UserError(f"--init {config.init} is the checkpoint of another encoder: {'; '.join(other)}")
    if has.channels != config.channels:
        raise UserError(
            f"--init {config.init} takes pictures of {has.channels} channels, and this run gives {config.channels}: --channels {has.channels}"
        )
    net = from_spec(has, config.seed)
    load_weights(net, path, str(has))
    try:
        net = at_size(net, config.size)
    except UserError:
        if not any_size:
            raise
    net.spec = dataclasses.replace(net.spec, **feed)
    return net


def _of_your_own(config: TrainConfig, module: nn.Module, feed: dict[str, Any]) -> Encoder:
    """A module, or an encoder that is in memory, which is trained as it is."""
    if not isinstance(module, Encoder):
        _, _, mean, std = preprocessing_of(module)
        return adopt(module, config.channels, config.size, **feed, mean=mean, std=std)
    if module.spec.channels != config.channels:
        raise UserError(
            f"the encoder takes pictures of {module.spec.channels} channels, and this run gives {config.channels}: channels={module.spec.channels}"
        )
    net = at_size(module, config.size)
    net.spec = dataclasses.replace(net.spec, **feed)
    return net
