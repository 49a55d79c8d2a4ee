"""`twoviews report RUN …`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..base.errors import UserError
from ..pages.config import ReportConfig
from .options import from_dataclass


@from_dataclass(ReportConfig)
def command(
    runs: Annotated[list[Path], Parameter(help="a RUN, or several to be compared")],
    /,
    *,
    out: Annotated[Path | None, Parameter(help="the .html page [default: RUN/report.html; of several, report.html]")] = None,
    **options,
) -> None:
    """One HTML page of a run that needs no network: verdict, curves, views, map, neighbours, figures, and how to repeat it."""
    ReportConfig(**options)
    for run in runs:
        if not (run / "config.json").is_file():
            raise UserError(f"{run} is not a RUN folder: it has no config.json. Give the --out of a `twoviews train`")
    from ..base.console import say
    from ..pages.page import report

    page = report(runs, out, **options)
    say(f"{page}: {page.stat().st_size / 1e6:.1f} MB; open it in any browser")
