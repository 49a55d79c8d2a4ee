"""`twoviews from-tf PATH --out RUN`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from ..base.errors import UserError


def command(
    path: Annotated[Path, Parameter(help="an official checkpoint: its prefix or folder, TF1 or TF2, or a SavedModel")],
    /,
    *,
    out: Annotated[Path, Parameter(help="the RUN folder to make")],
    resize: Annotated[
        Literal["antialias", "official", "official-v1"],
        Parameter(help="filter of the pictures; the published weights want the first version's"),
    ] = "official-v1",
    size: Annotated[int, Parameter(help="side of the pictures in pixels")] = 224,
) -> None:
    """An official SimCLR v1 or v2 checkpoint as a RUN that every verb takes. TensorFlow is not needed; every variable is placed and checked."""
    if size < 4:
        raise UserError(f"--size is {size}; it must be at least 4")
    index = path if path.name.endswith(".index") else path.with_name(f"{path.name.split('.data-')[0]}.index")
    if not path.is_dir() and not index.is_file():
        raise UserError(f"{path} is no TensorFlow checkpoint: there is no {index.name}")
    from ..base.console import say
    from ..formats.official import from_tf

    run = from_tf(path, out, resize=resize, size=size)
    say(f"{run.path}: conversion.json says what went where. Measure it with: twoviews linear {run.path} IMAGES")
