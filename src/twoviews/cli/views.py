"""`twoviews views IMAGES`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..base.names import default_out
from ..sources.config import READ
from ..training.check import check
from ..training.config import TrainConfig
from ..views.config import ViewConfig
from .options import IMAGES, from_dataclass

OPTIONS = ("recipe", "seed", *READ, *ViewConfig.__dataclass_fields__)


@from_dataclass(TrainConfig, OPTIONS)
def command(
    images: IMAGES,
    /,
    *,
    out: Annotated[Path | None, Parameter(help="the PNG file [default: views.png]")] = None,
    count: Annotated[int, Parameter(help="pictures on the sheet")] = 8,
    json: Annotated[Path | None, Parameter(help="write the draws of each view as JSON")] = None,
    **options,
) -> None:
    """Draw a sheet: pictures and pairs of their views, with the draws of each: what training will see, before it begins."""
    check(images, None, options)
    out = out if out is not None else default_out(images, "views.png")
    from ..base.console import say
    from ..base.files import write_json
    from ..training.sheet import sheet

    draws = sheet(images, out, count, **options)
    say(f"{out}: {len(draws)} pictures, each with two views and their draws")
    if json:
        write_json(json, draws)
