"""`twoviews knn ENCODER IMAGES`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..evaluate.config import EvalConfig
from .evaluation import measure
from .options import from_dataclass

OPTIONS = (
    "labels",
    "seeds",
    "seed",
    "baselines",
    "k",
    "knn_temperature",
    "size",
    "device",
    "workers",
    "root",
    "download",
)


@from_dataclass(EvalConfig, OPTIONS)
def command(
    encoder: str,
    images: str,
    /,
    *,
    json: Annotated[Path | None, Parameter(help="also write the figures to this file")] = None,
    **options,
) -> None:
    """Accuracy of the k nearest neighbours in h, beside raw pixels and an untrained encoder. ENCODER: a RUN, a .safetensors file, timm:NAME or torchvision:NAME."""
    measure("knn", encoder, images, json, options)
