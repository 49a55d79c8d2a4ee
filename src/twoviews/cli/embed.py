"""`twoviews embed ENCODER IMAGES --out TARGET`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..base.names import default_out, one_line
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
        str | None,
        Parameter(help="a folder of Parquet parts, FILE.parquet, FILE.npz, or lance:DIR (a LanceDB table) [default: vectors.parquet]"),
    ] = None,
    json: Annotated[Path | None, Parameter(help="write the provenance as JSON")] = None,
    **options,
) -> None:
    """Write a vector for each picture, with its path, label and provenance.

    Memory does not grow with the number of pictures; the same command goes on after a kill; under torchrun the processes share the work.
    """
    EmbedConfig(**options)
    refuse_early(encoder, images, json)
    out = out if out is not None else str(default_out(images, "vectors.parquet"))
    from ..base.console import say
    from ..base.files import write_json
    from ..vectors.write import embed

    about = embed(encoder, images, out, **options)
    lost = about["images"]["count"] - about["vectors"]
    what = f"vectors of {about['images']['count']:,} images," if lost else "vectors"
    say(f"{about['vectors']:,} {what} in {one_line(out)}" + (f"; {lost:,} could not be read" if lost else ""))
    if json:
        write_json(json, {"out": out, **about})
