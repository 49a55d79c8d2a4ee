"""`twoviews train IMAGES`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..training.check import check, run_folder
from ..training.config import TrainConfig
from .options import IMAGES, from_dataclass


@from_dataclass(TrainConfig)
def command(
    images: IMAGES,
    /,
    *,
    out: Annotated[Path | None, Parameter(help="the RUN folder; the same command goes on in it [default: runs/NAME]")] = None,
    json: Annotated[Path | None, Parameter(help="write what the run reached as JSON")] = None,
    **options,
) -> None:
    """Train an encoder on unlabelled pictures.

    It may be killed anywhere: the same command goes on from its checkpoint. Labels are not used.
    """
    out = run_folder(images, out)
    check(images, out, options)
    from ..base.files import write_json
    from ..training.loop import train

    run = train(images, out, **options)
    if json:
        write_json(json, {"run": str(run.path), "info": run.info, "epochs": run.log("epoch")})
