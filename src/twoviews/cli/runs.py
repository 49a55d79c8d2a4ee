"""`twoviews runs DIR`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def command(
    folder: Annotated[Path, Parameter(help="the folder that holds RUN folders")] = Path("runs"),
    /,
    *,
    json: Annotated[Path | None, Parameter(help="write the table as JSON")] = None,
) -> None:
    """All runs below a folder as a table, with their best figures; the one written last comes first."""
    from ..base.console import out, say
    from ..base.files import write_json
    from ..pages.runs import runs, table

    found = runs(folder)
    if not found:
        say(f"{folder} holds no RUN: twoviews train IMAGES --out {folder}/NAME makes one")
    else:
        out().print(table(found))
    if json:
        write_json(json, found)
