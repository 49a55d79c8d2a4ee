"""`twoviews duplicates ENCODER IMAGES`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..vectors.config import DuplicatesConfig
from .evaluation import refuse_vectors
from .options import ENCODER, VECTORS, from_dataclass

SHOWN = 50


@from_dataclass(DuplicatesConfig)
def command(
    encoder: ENCODER,
    images: VECTORS,
    /,
    *,
    out: Annotated[Path | None, Parameter(help="a .png sheet, an .html page (both the largest 50 groups), or .json (all)")] = None,
    json: Annotated[Path | None, Parameter(help="write all groups as JSON")] = None,
    **options,
) -> None:
    """List groups of pictures that are nearly the same: copies, other sizes, neighbours in a burst or a video."""
    DuplicatesConfig(**options)
    refuse_vectors(encoder, images, out, json)
    from ..base.console import say
    from ..base.files import write_json
    from ..vectors.duplicates import duplicates
    from ..vectors.show import Album, Row, show

    found, vectors = duplicates(encoder, images, **options)
    for group in found:
        print(f"{group['similarity']:.4f}\t" + "\t".join(vectors.title(p) for p in group["pictures"]))
    extra = sum(len(group["pictures"]) - 1 for group in found)
    say(f"{len(found)} groups; without {extra} of the {len(vectors):,} pictures one of each would be left")
    if json:
        write_json(json, found)
    if out:
        album = Album(vectors)
        drawn = found[:SHOWN] if out.suffix.lower() != ".json" else []
        rows = [Row(f"similarity {g['similarity']:.3f} or more", [album.cell(p["id"]) for p in g["pictures"][:8]]) for g in drawn]
        show(out, f"{len(found)} groups of near-duplicates", rows, found)
        say(f"{out}")
