"""What is evaluated, and what stands beside it: the encoder, raw pixels, an untrained encoder, the weights training began from."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..base import device as devices
from ..base.console import say
from ..base.errors import RunError, UserError
from ..base.files import sha256
from ..nets.base import Encoder, Spec
from ..nets.encoder import fingerprint, from_spec, load_encoder, wrap_encoder
from ..nets.names import UNTRAINED, encoder_file, of_library
from ..nets.trial import at_size, place
from ..probes.features import features
from ..sources.config import ReadConfig
from ..sources.source import ImageSource, Small
from ..sources.spec import Pictures, open_pictures
from ..training.run import Run
from ..views.config import ViewConfig

IN_MEMORY = "an encoder in memory"
PIXEL_SIDE = 32  # raw pixels of larger pictures are compared at this side


@dataclasses.dataclass
class Subject:
    """Something that gives features. `h` has a row a picture: the training part's, the test part's, and the validation part's where it chooses."""

    name: str
    h: Tensor
    proof: dict[str, Any]
    net: Any  # picture views (n, C, S, S) → h
    size: int


@dataclasses.dataclass(frozen=True)
class Named:
    """The encoder that a command names, and its RUN if it has one."""

    text: str
    encoder: Encoder
    run: Run | None

    @property
    def folder(self) -> Path | None:
        return self.run.path if self.run else None

    @property
    def title(self) -> str:
        """What tables call it: ours, or the library's name."""
        return self.text if of_library(self.text) or self.text.startswith(UNTRAINED) else "twoviews"

    @property
    def trained_views(self) -> tuple[float, float]:
        """Smallest crop and share of flips that the encoder was trained with; the paper's where that is not known."""
        config = self.run.config if self.run else ViewConfig()
        return config.crop_min, config.flip

    def fresh(self) -> Encoder:
        """A copy of the encoder that may learn."""
        return copy.deepcopy(self.encoder).requires_grad_(True)

    def describe(self) -> dict[str, Any]:
        """What a JSON says of the encoder."""
        file = encoder_file(self.text) if Path(self.text).exists() else None
        return {
            "encoder": self.text,
            "spec": dataclasses.asdict(self.encoder.spec),
            "file_sha256": sha256(file) if file else None,
            **({"weights_sha256": fingerprint(self.encoder)} if self.text == IN_MEMORY else {}),
        }


def pictures_for(net: Encoder, images: str | Path | ImageSource, config: ReadConfig) -> Pictures:
    """The pictures of a SPEC as this encoder takes them: in its channels and, where the config says nothing else, its range."""
    return open_pictures(images, net.spec.channels, config, range=net.spec.range)


def named(encoder: str | Path | nn.Module, size: int = 0) -> Named:
    """RUN folder, .safetensors file, timm:NAME, torchvision:NAME, untrained:NAME, or a copy of an encoder or any module in memory; fed at `size`
    pixels if that is not 0.

    Raises UserError for sizes and modules that cannot be, TypeError for anything else.
    """
    if isinstance(encoder, nn.Module):
        text, net = IN_MEMORY, _copied(encoder)
        if not isinstance(net, Encoder):
            net = wrap_encoder(net, size or None)
            say(f"{type(encoder).__name__} in memory: h of {net.num_features:,}, pictures of {_fed(net.spec)}; wrap_encoder changes that")
    else:
        net = load_encoder(encoder)
        text = str(encoder)
    net = at_size(net, size)
    path = Path(text)
    run = Run(path) if not of_library(text) and (path / "config.json").is_file() else None
    return Named(text, net, run)


def _copied(module: nn.Module) -> nn.Module:
    """A copy that may change mode, device and memory format while the user's own stays as it is."""
    try:
        return copy.deepcopy(module)
    except Exception as error:  # whatever a module's own state raises
        raise UserError(
            f"the {type(module).__name__} in memory cannot be copied: {error}. Give it as a file: twoviews.save_encoder"
        ) from error


def _fed(spec: Spec) -> str:
    mean, std = (" ".join(f"{value:.3g}" for value in values) for values in (spec.mean, spec.std))
    return f"{spec.size} px and {spec.channels} channels, mean {mean}, deviation {std}"


def pixels(x: Tensor) -> Tensor:
    """Raw pixels as features. Shapes (n, C, S, S) → (n, C·S·S)."""
    return x.flatten(1)


def histogram(x: Tensor, bins: int = 4) -> Tensor:
    """Colour histogram of each picture, bins³ (gray and each of other channels: bins²) shares, square-rooted (Hellinger). Shapes (n, C, S, S) → (n, bins^…)."""
    n, channels = x.shape[:2]
    if channels not in (1, 3):  # one histogram a channel: their product would have no end
        return torch.cat([histogram(x[:, c : c + 1], bins) for c in range(channels)], 1)
    bins = bins if channels == 3 else bins * bins
    level = (x * bins).long().clamp(0, bins - 1).flatten(2)  # (n, C, S·S)
    index = torch.zeros_like(level[:, 0])
    for channel in range(channels):
        index = index * bins + level[:, channel]
    counts = torch.zeros(n, bins**channels, device=x.device).scatter_add_(1, index, torch.ones_like(index, dtype=torch.float32))
    return (counts / index.shape[1]).sqrt()


def gather(
    subject: Named,
    pictures: Pictures,
    baselines: list[str],
    device: torch.device,
    precision: str,
    workers: int,
    seed: int,
    choices: bool = False,
) -> list[Subject]:
    """Features of the encoder and of each baseline on the labelled and test pictures, by the evaluation view; with `choices` on those of validation too.

    The encoder is hashed before and after: RunError if anything in it changed.
    """
    spec = subject.encoder.spec

    def of(name: str, net: Any, size: int) -> Tensor:
        parts = [part for part in (pictures.labelled, pictures.test, pictures.validation if choices else None) if part is not None]
        return torch.cat([features(net, part, size, spec.resize, device, precision, workers, what=name) for part in parts])

    def encoded(name: str, net: Encoder) -> Subject:
        net = place(net.eval(), device)
        before = fingerprint(net)
        h = of(name, net, spec.size)
        after = fingerprint(net)
        if before != after:
            raise RunError(f"the {name} encoder changed while it was evaluated: the figures would mean nothing")
        return Subject(name, h, {"weights_sha256": before, "weights_unchanged": True, "features": h.shape[1]}, net, spec.size)

    found = [encoded(subject.title, subject.encoder)]
    for name in baselines:
        if name == "untrained" and spec.name == "custom":
            say("no untrained network beside it: a module of your own cannot be made anew")
            continue
        if name == "untrained":
            found.append(encoded("untrained", untrained(subject, seed)))
        elif name == "pixels":
            side = min(spec.size, PIXEL_SIDE)
            found.append(Subject("pixels", of("pixels", pixels, side), {"side": side}, pixels, side))
        elif name == "histogram":
            found.append(Subject("histogram", of("histogram", histogram, spec.size), {}, histogram, spec.size))
    if subject.run and (init := subject.run.info["config"]["init"]):
        found.insert(1, encoded("start", _start(init, spec)))
    return found


def untrained(subject: Named, seed: int) -> Encoder:
    """The same architecture with the random weights that training would have begun from."""
    return from_spec(subject.encoder.spec, subject.run.info["config"]["seed"] if subject.run else seed)


def _start(init: str, spec: Spec) -> Encoder:
    """The weights that --init began from."""
    net = at_size(load_encoder(init), spec.size)
    net.spec = dataclasses.replace(net.spec, channels=spec.channels, resize=spec.resize)
    return net


def where(device: str) -> tuple[torch.device, str]:
    """The device and the precision of an evaluation."""
    chosen = devices.pick(device)
    return chosen, devices.precision("auto", chosen)


def workers_for(asked: int, source: ImageSource) -> int:
    """Processes that decode pictures: as many as were asked for, else none for pictures in memory and two for files."""
    return asked if asked >= 0 else 0 if isinstance(source, Small) else 2
