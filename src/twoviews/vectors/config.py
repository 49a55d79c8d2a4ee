"""Every option of `embed`, `search`, `duplicates` and `select`. The commands' options are derived from these dataclasses. No torch here."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from ..base.errors import UserError
from ..base.settings import setting
from ..sources.config import ReadConfig

SHOWN = (".png", ".html", ".json")


def check_shown(out: Path) -> None:
    """Raises UserError for an --out that is no sheet, page or JSON, or whose folder is missing."""
    if out.suffix.lower() not in SHOWN:
        raise UserError(f"--out {out}: it is to end in {', '.join(SHOWN[:-1])} or {SHOWN[-1]}")
    if not out.parent.is_dir():
        raise UserError(f"--out {out}: the folder {out.parent} does not exist")


@dataclasses.dataclass(frozen=True, kw_only=True)
class EmbedConfig(ReadConfig):
    """How vectors are made."""

    layer: Literal["h", "z"] = setting("h", "h, what downstream work uses (paper 4.2), or z behind the projection head; z needs a RUN")
    size: int = setting(0, "side in pixels at which pictures are given to the encoder; 0: that of its training")
    device: str = setting("auto", "auto, cpu, cuda, cuda:N or mps", free=True)
    workers: int = setting(-1, "processes that decode picture files; -1: as many as make sense", free=True)
    seed: int = setting(0, "what all random numbers are keyed by")

    NOT_BELOW = ("size",)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchConfig(EmbedConfig):
    """How neighbours are found."""

    k: int = setting(10, "neighbours of each query")
    index: Literal["exact", "faiss", "lance"] = setting(
        "exact", "exact compares with all; faiss and lance ask an approximate index of these libraries (extras)"
    )

    LEAST = ("k",)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DuplicatesConfig(EmbedConfig):
    """What counts as nearly the same picture."""

    threshold: float = setting(0.97, "cosine of the centred vectors from which on two pictures are one group; 1: equal vectors only")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.threshold <= 1:
            raise UserError(f"threshold is {self.threshold}; it must be above 0 and at most 1")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SelectConfig(EmbedConfig):
    """Which pictures to label next."""

    method: Literal["coverage", "k-centre", "random"] = setting(
        "coverage",
        "coverage: the picture nearest to each of n k-means centres; k-centre: always the one farthest from all chosen (finds outliers); random",
    )
    given: str = setting("", "a .txt with the names of pictures that are labelled already, one a line")
