"""`twoviews distill TEACHER IMAGES`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..base.errors import UserError
from ..evaluate.config import DistillConfig
from .evaluation import refuse_early, shown
from .options import LABELLED, from_dataclass


@from_dataclass(DistillConfig)
def command(
    teacher: Annotated[Path, Parameter(help="a fine-tuned network: a folder with classifier.safetensors that finetune or distill left")],
    images: LABELLED,
    /,
    *,
    out: Annotated[Path | None, Parameter(help="the folder that keeps what is finished; the same command goes on in it")] = None,
    json: Annotated[Path | None, Parameter(help="also write the figures to this file")] = None,
    **options,
) -> None:
    """Teach a student of any size what a fine-tuned network says of all pictures, beside the same student from labels alone (SimCLRv2).

    Without --student it is the teacher's own network again: self-distillation.
    """
    DistillConfig(**options)
    if not teacher.is_dir():
        raise UserError(f"{teacher} is no folder: give one that twoviews finetune left, with classifier.safetensors")
    refuse_early(options.get("init"), images, json, out)
    from ..evaluate.distill import distill

    shown(distill(teacher, images, out, **options), json)
