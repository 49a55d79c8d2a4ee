"""`twoviews transfer ENCODER --sets NAMES`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..base.errors import UserError, unknown
from ..evaluate.config import TransferConfig
from ..sources.names import TRANSFER_SETS
from .evaluation import refuse_early
from .options import ENCODER, from_dataclass


@from_dataclass(TransferConfig)
def command(
    encoder: ENCODER,
    /,
    *,
    sets: Annotated[
        list[str],
        Parameter(
            help="all (those of the paper's twelve that are below --root), their names, or folders of class folders",
            consume_multiple=True,
            negative="",
        ),
    ] = ["all"],  # noqa: B006 (never changed)
    out: Annotated[Path | None, Parameter(help="the folder that keeps what is finished [default: in the RUN]")] = None,
    json: Annotated[Path | None, Parameter(help="also write the figures to this file")] = None,
    **options,
) -> None:
    """The paper's transfer table: other sets, each with its own split and metric, linear, fine-tuned and from scratch."""
    TransferConfig(**options)
    sets = [name for text in sets for name in text.split(",")]
    for name in sets:
        if name != "all" and name not in TRANSFER_SETS and not Path(name).is_dir():
            raise unknown("set", name, ["all", *TRANSFER_SETS, "FOLDER"])
    if "all" in sets and len(sets) > 1:
        raise UserError("--sets all stands alone")
    refuse_early(encoder, None, json, out)
    from ..base.console import out as printer
    from ..base.console import say
    from ..evaluate.table import transfer_table
    from ..evaluate.transfer import transfer

    result = transfer(encoder, sets, out, **options)
    printer().print(transfer_table(result))
    say(result.about["protocol"])
    if json:
        result.write(json)
