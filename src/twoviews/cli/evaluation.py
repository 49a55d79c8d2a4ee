"""What `knn` and `linear` share: read options, measure, print the table, write the JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def measure(verb: str, encoder: str, images: str, json: Path | None, options: dict[str, Any]) -> None:
    """Run one evaluation from the command line."""
    from ..base.console import out, say
    from ..evaluate import protocol
    from ..evaluate.table import table

    if json:
        protocol.check_target(json)
    result = getattr(protocol, verb)(encoder, images, **options)
    out().print(table(result))
    say(result.about["protocol"])
    say(
        f"tested on {result.about['tested_on']}; "
        + (f"{result.about['seen']}; " if "seen" in result.about else "")
        + "the encoder is frozen, its hash the same before and after"
    )
    if json:
        result.write(json)
