"""The names of encoders and where their files lie. No torch here: a wrong name is answered at once."""

from __future__ import annotations

from pathlib import Path

from ..base.errors import UserError, unknown

DEPTHS = (18, 34, 50, 101, 152, 200)
NAMES = (*(f"resnet{depth}" for depth in DEPTHS), "convnet")
LIBRARIES = ("timm", "torchvision")
STEMS = ("imagenet", "small", "torchvision")
CUSTOM = "custom"  # what specs and configurations call a module of the user's own
WEIGHTS = "encoder.safetensors"
HEAD = "head.safetensors"
CLASSIFIER = "classifier.safetensors"


UNTRAINED = "untrained:"


def of_library(name: str) -> bool:
    """Whether a name is `timm:…` or `torchvision:…`, that is, no file."""
    library, colon, rest = name.partition(":")
    return bool(colon and rest) and library in LIBRARIES


def check_encoder(name: str, stem: str = "small") -> None:
    """Raises UserError, with the nearest name, for an encoder or a stem that does not exist. Libraries' own names are checked by them."""
    if not of_library(name) and name not in NAMES:
        raise unknown("encoder", name, [*NAMES, "timm:NAME", "torchvision:NAME"])
    if stem not in STEMS:
        raise unknown("stem", stem, STEMS)


def check_weights(name: str) -> None:
    """Raises UserError when a name is neither a library's, nor `untrained:NAME`, nor a file of weights that is there."""
    if name.startswith(UNTRAINED):
        check_encoder(name.removeprefix(UNTRAINED))
    elif not of_library(name):
        encoder_file(name)


def encoder_file(name: str) -> Path:
    """The weights' file of a RUN folder or of a path given directly. Raises UserError when there is none."""
    path = Path(name)
    if path.is_dir():
        if (path / WEIGHTS).is_file():
            return path / WEIGHTS
        started = (path / "config.json").is_file()
        raise UserError(
            f"{path} has no {WEIGHTS} yet: it is written at the end of an epoch. Let the training go on."
            if started
            else f"{path} is not a RUN folder: it has neither config.json nor {WEIGHTS}. Give the --out of a `twoviews train`"
        )
    if not path.exists():
        raise UserError(
            f"{path} does not exist. An encoder is a RUN folder, a .safetensors file, timm:NAME, torchvision:NAME, or untrained:NAME"
        )
    return path
