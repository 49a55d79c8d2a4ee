"""`twoviews serve ENCODER IMAGES`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..pages.config import ServeConfig
from .evaluation import refuse_vectors
from .options import ENCODER, VECTORS, from_dataclass


@from_dataclass(ServeConfig)
def command(
    encoder: ENCODER,
    images: VECTORS,
    /,
    *,
    out: Annotated[Path | None, Parameter(help="folder for labels and classifier [default: RUN/labels]")] = None,
    open: Annotated[bool, Parameter(help="open a browser at the page", negative="")] = False,
    **options,
) -> None:
    """A local page: drop a picture and see its neighbours, name a few, get a classifier at once, see what it is unsure of, save both."""
    ServeConfig(**options)
    refuse_vectors(encoder, images)
    from ..pages.serve import serve

    serve(encoder, images, out, browser=open, **options)
