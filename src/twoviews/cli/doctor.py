"""`twoviews doctor`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..base.errors import UserError


def command(
    *,
    device: Annotated[str, Parameter(help="auto, cpu, cuda, cuda:N or mps")] = "auto",
    seconds: Annotated[float, Parameter(help="how long to measure; 0: only look")] = 20.0,
    out: Annotated[Path, Parameter(help="a folder on the disk that is to take RUNs")] = Path(),
    json: Annotated[Path | None, Parameter(help="write all of it as JSON")] = None,
) -> None:
    """This machine, what of it is used, what it measures in twenty seconds, and what would make it faster."""
    if not out.is_dir():
        raise UserError(f"--out {out}: there is no such folder")
    if seconds < 0:
        raise UserError(f"--seconds is {seconds:g}; it must not be negative")
    from ..base.files import write_json
    from ..bench.doctor import doctor, show

    health = doctor(device, seconds, out)
    show(health)
    if json:
        write_json(json, dataclasses.asdict(health))
