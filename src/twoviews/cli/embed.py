"""`twoviews embed ENCODER IMAGES --out TARGET`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from ..vectors.config import EmbedConfig
from .evaluation import refuse_early
from .options import ENCODER, IMAGES, from_dataclass


@from_dataclass(EmbedConfig)
def command(
    encoder: ENCODER,
    images: IMAGES,
    /,
    *,
    out: Annotated[
        str, Parameter(help="a folder of Parquet parts, FILE.parquet, FILE.npz, or lance:DIR (a LanceDB table)")
    ] = "vectors.parquet",
    **options,
) -> None:
    """Write a vector for each picture, with its path, label and provenance.

    Memory does not grow with the number of pictures; the same command goes on after a kill; under torchrun the processes share the work.
    """
    EmbedConfig(**options)
    refuse_early(encoder, images)
    from ..base.console import say
    from ..vectors.write import embed

    embed(encoder, images, out, **options)
    say(f"vectors in {out}")
