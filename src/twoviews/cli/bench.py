"""`twoviews bench loss|views|step`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter


def command(
    what: Annotated[Literal["loss", "views", "step"], Parameter(help="what to measure")],
    images: Annotated[
        Path | None, Parameter(help="views: a folder of picture files [default: parts of scikit-learn's two photographs]")
    ] = None,
    /,
    *,
    sizes: Annotated[
        list[int] | None, Parameter(help="pairs (loss), pixels (views), batches (step)", consume_multiple=True, negative="")
    ] = None,
    seconds: Annotated[float | None, Parameter(help="about how long for each row")] = None,
    json: Annotated[Path | None, Parameter(help="write the figures as JSON")] = None,
    plot: Annotated[Path | None, Parameter(help="draw them as a PNG")] = None,
) -> None:
    """Measure time and memory on this machine, side by side with what else is installed of lightly, kornia and others.

    Under torchrun, loss and step are measured over its processes. Some minutes.
    """
    from ..base.errors import UserError

    if images is not None and what != "views":
        raise UserError(f"bench {what} takes no pictures")
    if images is not None and not images.is_dir():
        raise UserError(f"{images} is not a folder of picture files")
    if sizes is not None and (not sizes or min(sizes) < 4):
        raise UserError("--sizes must be whole numbers from 4 on")
    from ..bench.show import run

    run(what, images, tuple(sizes) if sizes else None, seconds, json, plot)
