"""`twoviews plan IMAGES`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..training.check import check
from ..training.config import TrainConfig
from .options import from_dataclass


@from_dataclass(TrainConfig)
def command(
    images: Annotated[str, Parameter(help="the pictures, as for train")],
    /,
    *,
    json: Annotated[Path | None, Parameter(help="write the figures as JSON")] = None,
    **options,
) -> None:
    """Measure what a training would take, before it: memory, images/s, time, and which chunk fits.

    Takes about a minute. The options are those of train, with the same meaning; nothing is trained and nothing written.
    """
    check(images, None, options)
    from ..base.files import write_json
    from ..training.estimate import estimate, show

    found = estimate(images, **options)
    show(found)
    if json:
        write_json(json, dataclasses.asdict(found))
