"""Every option of `report` and `serve`. The commands' options are derived from these dataclasses. No torch here."""

from __future__ import annotations

import dataclasses
from typing import Literal

from ..base.errors import UserError
from ..base.settings import setting
from ..sources.config import ReadConfig
from ..vectors.config import EmbedConfig

MOST_POINTS = 20_000  # beyond, the page is larger than 15 MB


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReportConfig(ReadConfig):
    """What the page of a RUN shows."""

    images: str = setting("", "the pictures to show, a SPEC; none: those of the training, where they still are")
    points: int = setting(2000, "pictures on the map, drawn from these by seed; 0: a page without pictures")
    map: Literal["pca", "umap"] = setting(
        "pca", "how h becomes a map: pca (two principal components, at once), or umap (clearer groups, half a minute more; twoviews[report])"
    )
    device: str = setting("auto", "auto, cpu, cuda, cuda:N or mps", free=True)
    workers: int = setting(-1, "processes that decode picture files; -1: as many as make sense", free=True)
    seed: int = setting(0, "what all random numbers are keyed by")

    NOT_BELOW = ("points",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.points > MOST_POINTS:
            raise UserError(
                f"points is {self.points}; a page of more than {MOST_POINTS:,} is too large to send: embed and search take any number"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServeConfig(EmbedConfig):
    """How the local page is served."""

    host: str = setting("127.0.0.1", "address to listen at; others than this machine's own let the whole network look", free=True)
    port: int = setting(8018, "port to listen at", free=True)
    labels: str = setting(
        "", "CSV of labels (path, label) to begin with, as the page saves it; none: OUT/labels.csv if it is there", free=True
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.port <= 65535:
            raise UserError(f"port is {self.port}; it must be from 1 to 65535")
