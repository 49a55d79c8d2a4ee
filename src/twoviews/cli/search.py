"""`twoviews search ENCODER IMAGES --query FILE …`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..base.errors import UserError
from ..base.names import default_out, one_line
from ..vectors.config import SearchConfig
from .evaluation import refuse_vectors
from .options import ENCODER, VECTORS, from_dataclass


@from_dataclass(SearchConfig)
def command(
    encoder: ENCODER,
    images: VECTORS,
    /,
    *,
    query: Annotated[list[Path], Parameter(help="picture files that are asked for", consume_multiple=True, negative="")],
    out: Annotated[Path | None, Parameter(help="a .png sheet, an .html page, or .json [default: neighbours.png]")] = None,
    json: Annotated[Path | None, Parameter(help="also write the neighbours as JSON")] = None,
    **options,
) -> None:
    """The k most similar pictures of each query, by cosine, exact."""
    SearchConfig(**options)
    out = out if out is not None else default_out(images, "neighbours.png")
    refuse_vectors(encoder, images, out, json)
    for file in query:
        if not file.is_file():
            raise UserError(f"--query {file}: there is no such file")
    from ..base.console import say
    from ..base.files import write_json
    from ..vectors.search import search
    from ..vectors.show import Album, Row, query_cell, reading_of, show

    found = search(encoder, images, query, **options)
    value = found.as_json()
    rows = []
    if out.suffix.lower() != ".json":
        album = Album(found.vectors)
        for file, asked in zip(found.queries, value["queries"], strict=True):
            cells = [album.cell(n["id"], f"{n['similarity']:.3f}") for n in asked["neighbours"]]
            rows.append(Row(one_line(asked["query"]), [query_cell(file, reading_of(found.vectors)), *cells]))
    show(out, f"nearest by {value['encoder']}, {value['layer']}, of {value['searched']:,}", rows, value)
    if json:
        write_json(json, value)
    for asked in value["queries"]:
        say(f"{one_line(asked['query'])}: " + ", ".join(f"{found.vectors.title(n)} {n['similarity']:.3f}" for n in asked["neighbours"][:3]))
    say(f"{out}")
