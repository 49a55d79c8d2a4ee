"""EvalConfig: every option of `knn` and `linear`. The commands' options and their help are derived from it. No torch here."""

from __future__ import annotations

import dataclasses
import re
from typing import Literal

from ..base.errors import UserError, unknown
from ..views.config import setting

BASELINES = ("untrained", "pixels", "histogram")


@dataclasses.dataclass(frozen=True)
class Amount:
    """How many labels: `per_class` so many of each class, or `share` of all, class-balanced; neither = all."""

    per_class: int | None = None
    share: float | None = None

    def __str__(self) -> str:
        return f"{self.per_class} per class" if self.per_class else f"{100 * self.share:g} %" if self.share else "all"

    @property
    def all(self) -> bool:
        return self.per_class is None and self.share is None


def amount(text: str) -> Amount:
    """`all`, `5` or `5-per-class`, `1%`. Raises UserError for anything else."""
    if text == "all":
        return Amount()
    if match := re.fullmatch(r"(\d+)(-per-class)?", text):
        if int(match[1]) > 0:
            return Amount(per_class=int(match[1]))
    elif (match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", text)) and 0 < float(match[1]) <= 100:
        return Amount(share=float(match[1]) / 100)
    raise UserError(f"labels {text!r} is not understood: all, a number per class such as 5, or a share such as 1%")


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """How an encoder is measured."""

    labels: tuple[str, ...] = setting(("all",), "amounts of labels: all, 5 (per class), 1%; several make several columns")
    seeds: int = setting(5, "draws of labels (and of the test part where there is none) that are averaged")
    seed: int = setting(0, "the first of these seeds")
    baselines: tuple[str, ...] = setting(("untrained", "pixels"), "what stands beside: untrained, pixels, histogram, none")
    protocol: Literal["lbfgs", "sgd"] = setting(
        "lbfgs", "linear: lbfgs is the paper's transfer protocol (B.8), sgd that with augmentation (B.6)"
    )
    epochs: int = setting(90, "epochs of protocol sgd (paper B.6)")
    batch: int = setting(512, "batch of protocol sgd")
    k: int = setting(20, "neighbours of kNN")
    knn_temperature: float = setting(0.07, "temperature of kNN's votes")
    size: int = setting(0, "side in pixels at which pictures are given to the encoder; 0: that of its training")
    device: str = setting("auto", "auto, cpu, cuda, cuda:N or mps")
    workers: int = setting(-1, "processes that decode picture files; -1: as many as make sense")
    root: str = setting("data", "folder of the files of cifar10, cifar100, stl10, fashion-mnist")
    download: bool = setting(False, "download these files when they are not there")

    def __post_init__(self) -> None:
        for name in ("seeds", "epochs", "batch", "k"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.knn_temperature <= 0:
            raise UserError(f"knn_temperature is {self.knn_temperature}; it must be above 0")
        if self.protocol not in ("lbfgs", "sgd"):
            raise unknown("protocol", self.protocol, ("lbfgs", "sgd"))
        for name in self.baselines:
            if name not in (*BASELINES, "none"):
                raise unknown("baseline", name, [*BASELINES, "none"])
        for text in self.labels:
            amount(text)
