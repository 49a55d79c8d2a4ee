"""`twoviews detect ENCODER BOXES`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..base.errors import UserError
from ..evaluate.config import DetectConfig
from .evaluation import refuse_early
from .options import ENCODER, from_dataclass


@from_dataclass(DetectConfig)
def command(
    encoder: ENCODER,
    boxes: Annotated[
        Path, Parameter(help="a VOC folder (Annotations/*.xml, JPEGImages), a COCO .json or a folder of them, or YOLO's data.yaml")
    ],
    /,
    *,
    out: Annotated[
        Path | None, Parameter(help="the folder that keeps what is finished; the same command goes on in it [default: in the RUN]")
    ] = None,
    json: Annotated[Path | None, Parameter(help="also write the figures to this file")] = None,
    **options,
) -> None:
    """Train Faster R-CNN on an encoder, beside the same on an untrained one: mAP, curves, and pictures with predictions."""
    config = DetectConfig(**options)
    if not boxes.exists():
        raise UserError(f"{boxes} does not exist: boxes come from a VOC folder, a COCO .json or a folder of them, or YOLO's data.yaml")
    refuse_early(encoder, None, json, out)
    for name in config.beside:
        if name not in ("none", "untrained"):
            refuse_early(name, None)
    from ..base.console import out as printer
    from ..base.console import say
    from ..evaluate.detect import detect
    from ..evaluate.table import detection_table

    result = detect(encoder, boxes, out, **options)
    printer().print(detection_table(result))
    say(result.about["protocol"])
    say(f"tested on {result.about['tested_on']}")
    if json:
        result.write(json)
