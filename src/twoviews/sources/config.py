"""Every option of reading pictures, shared by all verbs that take IMAGES. No torch here."""

from __future__ import annotations

import dataclasses
import re
from typing import Any, Literal

from ..base.errors import UserError
from ..base.settings import Checked, setting

MAX_CHANNELS = 16
MAX_PIXELS = 178_956_970  # Pillow's own limit against decompression bombs
AUTO, DATA = "auto", "data"


@dataclasses.dataclass(frozen=True)
class Reading:
    """How the bytes of a picture file become uint8: `channels` 1 (gray), 3 (RGB) or up to 16 of the file's own.

    `range` is what becomes 0 … 255 of values of more than 8 bits, in every format alike: `auto` (their type's range), `data` (each picture's own), or LOW:HIGH.
    """

    channels: int = 3
    range: str = AUTO
    truncated: bool = False
    max_pixels: int = MAX_PIXELS

    @property
    def limits(self) -> tuple[float, float] | None:
        """LOW and HIGH, where they are given."""
        return None if self.range in (AUTO, DATA) else limits(self.range)


def limits(text: str) -> tuple[float, float]:
    """LOW:HIGH as numbers. Raises UserError."""
    number = r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*"
    match = re.fullmatch(f"{number}:{number}", text)
    if not match or not float(match[1]) < float(match[2]):
        raise UserError(f"range {text!r} is not understood: auto, data, or LOW:HIGH with LOW below HIGH, such as -1000:400")
    return float(match[1]), float(match[2])


def _as_named(text: str) -> str:
    """PART=NAME without what a shell's completion puts around NAME: train=./photos/ is train=photos."""
    part, equals, name = text.rpartition("=")
    return part + equals + re.sub(r"^(?:\./+)+(?=.)|(?<=[^/])/+$", "", name)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReadConfig(Checked):
    """How pictures are found and read."""

    root: str = setting("data", "folder of the files of cifar10, cifar100, stl10, fashion-mnist", free=True)
    download: bool = setting(False, "download these files when they are not there", free=True)
    check: Literal["auto", "full", "header", "none"] = setting(
        "auto",
        "how files are looked at before: decoded (full), their headers, not at all; auto: full up to 100,000 files or with strict, else not at all. What turns out "
        "unreadable later is replaced and listed",
        free=True,
    )
    strict: bool = setting(False, "refuse to begin when any file cannot be read", free=True)
    truncated: bool = setting(False, "take pictures whose file ends too early, as far as they go")
    max_pixels: int = setting(MAX_PIXELS, "pictures of more pixels are refused as decompression bombs")
    range: str = setting(
        AUTO,
        "what becomes 0 to 255 of values with more than 8 bits, in every format: auto (their type's range), data (each picture's own), or LOW:HIGH; "
        "8 bits stay as they are",
    )
    path_column: str = setting("", "column of a list that holds the paths; none: path, file, filename, image …")
    label_column: str = setting("", "column of labels in a list or a table; none: label, class …")
    split_column: str = setting("", "column of a list that says train, val or test; none: split")
    image_column: str = setting("", "column of a table that holds the images, where there are several; none: image, img …")
    image_key: str = setting(
        "", "ending of the image of a sample in shards, such as jpg or rgb.png, where there are several; none: the plain one"
    )
    parts: tuple[str, ...] = setting(
        (), "which folders, files or splits are what: train=NAME val=NAME test=NAME unlabelled=NAME; none: by their names"
    )
    test_on: Literal["test", "val"] = setting("test", "the part that evaluations are tested on")
    root_only: bool = setting(False, "refuse lists with paths outside their own folder", free=True)
    streaming: bool = setting(False, "read hf: sets piece by piece where they lie, without copying them first", free=True)
    cache: str = setting("", "folder for shards fetched from http or an object store; none: the user's cache folder", free=True)
    cache_gb: float = setting(50.0, "its size; the shards used longest ago go first", free=True)

    LEAST = ("max_pixels",)
    ABOVE = ("cache_gb",)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "parts", tuple(map(_as_named, self.parts)))
        if self.range not in (AUTO, DATA):
            limits(self.range)
        if self.parts and self.parts[0] != "none" and "=" not in self.parts[0]:
            raise UserError(f"--parts {self.parts[0]!r} is not understood: PART=NAME, such as train=NAME test=NAME, or none alone")

    def reading(self, channels: int, range: str = AUTO) -> Reading:
        """How files are decoded to these channels; `range`, an encoder's own, counts where none is asked for."""
        return Reading(channels, range if self.range == AUTO else self.range, self.truncated, self.max_pixels)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShardConfig(ReadConfig):
    """How pictures are put into shards."""

    per_shard: int = setting(0, "pictures a shard; 0: about 200 MB, by the mean of 64 pictures")
    sort: bool = setting(False, "keep the pictures' order; else they are mixed once, so that a shard is no single class")
    seed: int = setting(0, "what that order is keyed by")

    NOT_BELOW = ("per_shard",)


READ = tuple(field.name for field in dataclasses.fields(ReadConfig))


def check_channels(channels: Any) -> None:
    """Raises UserError for a number of channels that no picture may have."""
    if not isinstance(channels, int) or not 1 <= channels <= MAX_CHANNELS:
        raise UserError(f"channels is {channels}; it must be from 1 (gray) to {MAX_CHANNELS}; 3 is RGB")
