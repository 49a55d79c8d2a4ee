"""`twoviews finetune ENCODER IMAGES`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..evaluate.config import FinetuneConfig
from .evaluation import refuse_early, shown
from .options import ENCODER, LABELLED, from_dataclass


@from_dataclass(FinetuneConfig)
def command(
    encoder: ENCODER,
    images: LABELLED,
    /,
    *,
    out: Annotated[
        Path | None, Parameter(help="the folder that keeps what is finished; the same command goes on in it [default: in the RUN]")
    ] = None,
    json: Annotated[Path | None, Parameter(help="also write the figures to this file")] = None,
    **options,
) -> None:
    """Train the whole network on few or all labels, beside the same network from scratch: the paper's semi-supervised protocol.

    --labels 1% 10% all, a number per class, or a .txt with a picture's name on each line (the official ImageNet lists as they are).
    """
    FinetuneConfig(**options)
    refuse_early(encoder, images, json, out)
    from ..evaluate.finetune import finetune

    shown(finetune(encoder, images, out, **options), json)
