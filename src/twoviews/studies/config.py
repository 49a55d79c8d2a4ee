"""Every option of `paper`, and the names of its studies. No torch here."""

from __future__ import annotations

import dataclasses
from typing import Literal

from ..base.errors import UserError
from ..base.settings import setting
from ..evaluate.config import amount
from ..nets.names import check_encoder
from ..sources.config import ReadConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class PaperConfig(ReadConfig):
    """How a study of the paper is repeated. A scale says which network, pictures and epochs; the options below change it."""

    scale: Literal["auto", "small", "medium", "paper"] = setting(
        "auto", "small: minutes on processors; medium: hours on a GPU; paper: the paper's own; auto: small or, on a GPU, medium"
    )
    seeds: int = setting(3, "trainings of each cell, with weights, order and views of their own")
    seed: int = setting(0, "the first of these seeds")
    epochs: int = setting(0, "passes over the pictures; where a study varies them, those of its middle; 0: the scale's")
    encoder: str = setting("", "the network; none: the scale's")
    width: float = setting(0.0, "factor on its channels; 0: the scale's")
    size: int = setting(0, "side of a view in pixels; 0: the scale's")
    batch: int = setting(0, "pairs a step; 0: the scale's")
    labels: str = setting("", "amount of labels of the linear evaluation, such as all, 500 (per class), 1%; none: the scale's")
    precision: Literal["auto", "fp32", "bf16"] = setting("auto", "as for train")
    sets: tuple[str, ...] = setting(("all",), "table8: as for transfer")
    jobs: int = setting(0, "trainings side by side; 0: one a core, on a GPU as many as its memory holds", free=True)
    device: str = setting("auto", "auto, cpu, cuda, cuda:N or mps", free=True)

    LEAST = ("seeds",)
    NOT_BELOW = ("epochs", "width", "size", "batch", "jobs")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.encoder:
            check_encoder(self.encoder)
        if self.labels:
            amount(self.labels)
        if 0 < self.size < 4:
            raise UserError(f"size is {self.size}; a view needs at least 4 pixels a side")
