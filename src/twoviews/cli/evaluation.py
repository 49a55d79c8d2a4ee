"""What `knn` and `linear` share: a command from a verb, its help and its options; it measures, prints the table, writes the JSON."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ..evaluate.config import EvalConfig
from ..nets.names import check_weights
from ..sources.names import check_spec
from .options import from_dataclass

SHARED = ("labels", "seeds", "seed", "baselines", "size", "device", "workers", "root", "download")


def measuring(verb: str, text: str, own: tuple[str, ...]) -> Callable[..., None]:
    """The command of a verb of evaluate.protocol; `own` are the options that only it has."""

    @from_dataclass(EvalConfig, (*SHARED, *own))
    def command(
        encoder: Annotated[str, Parameter(help="a RUN, a .safetensors file, timm:NAME or torchvision:NAME")],
        images: Annotated[str, Parameter(help="labelled pictures: a folder of class folders, Parquet, or a set")],
        /,
        *,
        json: Annotated[Path | None, Parameter(help="also write the figures to this file")] = None,
        **options: Any,
    ) -> None:
        EvalConfig(**options)
        check_weights(encoder)
        check_spec(images)
        from ..base.console import out, say
        from ..evaluate import protocol
        from ..evaluate.table import table

        if json:
            protocol.check_target(json)
        result = getattr(protocol, verb)(encoder, images, **options)
        out().print(table(result))
        say(result.about["protocol"])
        seen = f"{result.about['seen']}; " if "seen" in result.about else ""
        say(f"tested on {result.about['tested_on']}; {seen}the encoder is frozen, its hash the same before and after")
        if json:
            result.write(json)

    command.__doc__ = text
    return command
