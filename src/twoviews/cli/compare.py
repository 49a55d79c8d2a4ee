"""`twoviews compare IMAGES ENCODER ENCODER …`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..evaluate.config import CompareConfig
from .evaluation import refuse_early, shown
from .options import LABELLED, from_dataclass


@from_dataclass(CompareConfig)
def command(
    images: LABELLED,
    /,
    *encoders: Annotated[str, Parameter(help="RUNs, .safetensors files, timm:NAME, torchvision:NAME, untrained:NAME")],
    json: Annotated[Path | None, Parameter(help="also write the figures to this file")] = None,
    plot: Annotated[Path | None, Parameter(help="draw accuracy against labels as a PNG")] = None,
    **options,
) -> None:
    """Encoders side by side on your pictures, with raw pixels and an untrained network, and which to take: is pretraining worth it?"""
    from ..base.errors import UserError

    CompareConfig(**options)
    refuse_early(None, images, json)
    if not encoders:
        raise UserError("compare needs at least one encoder: twoviews compare IMAGES runs/mine timm:resnet18")
    for encoder in encoders:
        refuse_early(encoder, None)
    if plot is not None:
        from ..evaluate.figure import need_matplotlib

        need_matplotlib("--plot")
    from ..base.console import out
    from ..evaluate.compare import compare

    result = compare(images, encoders, plot, **options)
    shown(result, json)
    out().print(result.about["recommendation"])
