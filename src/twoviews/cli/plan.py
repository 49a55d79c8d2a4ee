"""`twoviews plan IMAGES`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..base.errors import UserError
from ..training.check import check
from ..training.config import TrainConfig
from .options import from_dataclass


@from_dataclass(TrainConfig)
def command(
    images: Annotated[str, Parameter(help="the pictures, as for train")],
    /,
    *,
    json: Annotated[Path | None, Parameter(help="write the figures as JSON")] = None,
    preview: Annotated[Path | None, Parameter(help="a .png: some pictures with their views as planned and as advised")] = None,
    measure: Annotated[bool, Parameter(help="measure steps; --no-measure only looks at the pictures")] = True,
    **options,
) -> None:
    """Before a training: what its pictures say about the options, and what it would take (memory, images/s, time, which chunk fits).

    Takes about a minute. The options are those of train, with the same meaning; nothing is trained and nothing written.
    """
    check(images, None, options)
    if preview is not None and preview.suffix.lower() != ".png":
        raise UserError(f"--preview {preview}: the preview is a .png file")
    from ..base.files import write_json
    from ..training.advice import advised, said
    from ..training.estimate import estimate, show
    from ..training.plan import settings
    from ..training.sheet import preview as draw

    pictures, source, config, notes = settings(images, options)
    advice = said(source, config, notes)
    if preview is not None:
        draw(source, pictures.spec, config, advised(config, advice), preview)
    found = estimate(images, **options) if measure else None
    if found is not None:
        show(found)
    if json:
        chosen = {"options": config.deciding(), "notes": notes, "advice": [dataclasses.asdict(one) for one in advice]}
        write_json(json, {**(dataclasses.asdict(found) if found else {}), **chosen})
