"""`twoviews paper EXPERIMENT IMAGES` and `twoviews paper list [IMAGES]`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..base.errors import UserError
from ..base.names import default_out
from ..studies.catalog import study_of
from ..studies.config import PaperConfig
from .evaluation import refuse_early
from .options import from_dataclass


@from_dataclass(PaperConfig)
def command(
    experiment: Annotated[
        str,
        Parameter(help="figure5, table1, figure7, figure8, table3, table2, table4, table5, figure9, table6, table7, table8, b9; or list"),
    ],
    images: Annotated[
        str | None, Parameter(help="labelled pictures, as for linear; for list: to say how long each takes on this machine")
    ] = None,
    /,
    *,
    out: Annotated[
        Path | None,
        Parameter(help="the folder that keeps every training; studies in it share them, and the same command goes on [default: studies]"),
    ] = None,
    json: Annotated[Path | None, Parameter(help="also write the figures to this file")] = None,
    **options,
) -> None:
    """An experiment of the paper on your pictures: many small trainings, a table and a figure in its form, and which of its findings show."""
    config = PaperConfig(**options)
    refuse_early(None, images, json, out)
    if experiment == "list":
        from ..studies.costs import show

        show(images, config)
        return
    study_of(experiment)
    if images is None:
        raise UserError(f"paper {experiment} needs pictures: twoviews paper {experiment} IMAGES")
    out = out if out is not None else default_out(images, "studies")
    from ..evaluate.figure import need_matplotlib

    need_matplotlib("paper's figure")
    from rich.markdown import Markdown

    from ..base.console import out as printer
    from ..base.console import say
    from ..base.files import write_json
    from ..studies.paper import paper

    outcome = paper(experiment, images, out, **options)
    folder = out / outcome.name
    printer().print(Markdown((folder / "table.md").read_text(encoding="utf-8")))
    say(f"{folder}: table.md, figure.png, figures.json")
    if json:
        write_json(json, {"name": outcome.name, **outcome.about, "rows": outcome.rows, "findings": outcome.findings})
