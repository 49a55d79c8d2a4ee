"""`twoviews export ENCODER --to FORMAT`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..formats.config import ExportConfig
from ..nets.names import check_weights
from .options import ENCODER, from_dataclass


@from_dataclass(ExportConfig)
def command(
    encoder: ENCODER,
    /,
    *,
    out: Annotated[Path | None, Parameter(help="the folder [default: RUN/export/FORMAT]")] = None,
    **options,
) -> None:
    """The encoder for other tools: a folder with weights, preprocessing.json and a model card. It is loaded again and compared first."""
    ExportConfig(**options)
    check_weights(encoder)
    from ..base.console import say
    from ..formats.write import export

    say(f"{export(encoder, out, **options)}: README.md says how to load it")
