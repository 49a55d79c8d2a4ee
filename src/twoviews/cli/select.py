"""`twoviews select ENCODER IMAGES -n 100`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..base.errors import UserError
from ..base.names import one_line
from ..vectors.config import SelectConfig
from .evaluation import refuse_vectors
from .options import ENCODER, VECTORS, from_dataclass

SHOWN = 200


@from_dataclass(SelectConfig)
def command(
    encoder: ENCODER,
    images: VECTORS,
    /,
    *,
    n: Annotated[int, Parameter(name=("-n", "--n"), help="how many pictures to choose")] = 100,
    out: Annotated[Path | None, Parameter(help="a .png sheet, an .html page (both the first 200), or .json")] = None,
    json: Annotated[Path | None, Parameter(help="write the choice as JSON")] = None,
    **options,
) -> None:
    """Say which pictures to label next, one path a line, the most useful first. Labels are not looked at."""
    config = SelectConfig(**options)
    if n < 1:
        raise UserError(f"-n is {n}; it must be at least 1")
    if config.given and not Path(config.given).is_file():
        raise UserError(f"--given {config.given}: there is no such file")
    refuse_vectors(encoder, images, out, json)
    from ..base.console import say
    from ..base.files import write_json
    from ..vectors.select import select
    from ..vectors.show import Album, Cell, Row, show

    found, vectors = select(encoder, images, n, **options)
    for picture in found:
        print(vectors.title(picture) if picture["path"] in vectors.twice else one_line(picture["path"]))
    if json:
        write_json(json, found)
    if out:
        album = Album(vectors)
        cells: list[Cell] = [album.cell(p["id"]) for p in found[:SHOWN]] if out.suffix.lower() != ".json" else []
        rows = [
            Row(f"{start + 1} to {start + len(cells[start : start + 10])}", cells[start : start + 10]) for start in range(0, len(cells), 10)
        ]
        show(out, f"label these first, by {config.method}", rows, found)
        say(f"{out}")
