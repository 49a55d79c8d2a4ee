"""What the evaluating verbs share: early refusals, how a result is shown, and the command of `knn` and `linear`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ..base.errors import UserError
from ..evaluate.config import EvalConfig
from ..nets.names import check_weights
from ..sources.config import READ
from ..sources.names import check_spec
from ..vectors.config import check_shown
from .options import ENCODER, LABELLED, from_dataclass

if TYPE_CHECKING:
    from ..evaluate.protocol import Result

SHARED = ("labels", "seeds", "seed", "baselines", "size", "device", "workers", *READ)


def refuse_early(encoder: str | None, images: str | None, json: Path | None = None, out: Path | None = None) -> None:
    """Before torch is loaded. Raises UserError for an encoder or pictures that are not there, and targets that cannot be written."""
    if encoder is not None:
        check_weights(encoder)
    if images is not None:
        check_spec(images)
    if json is not None and not json.parent.is_dir():
        raise UserError(f"--json {json}: the folder {json.parent} does not exist")
    if out is not None and out.is_file():
        raise UserError(f"--out {out} is a file; it is to be a folder")


def refuse_vectors(encoder: str, images: str, out: Path | None = None, json: Path | None = None) -> None:
    """As `refuse_early`, where IMAGES may also be vectors: lance:DIR or an .npz."""
    made = images.startswith("lance:") or images.endswith(".npz")
    if made and not Path(images.removeprefix("lance:")).exists():
        raise UserError(f"{images} does not exist: twoviews embed … --out {images} writes it")
    refuse_early(encoder, None if made else images, json)
    if out is not None:
        check_shown(out)


def shown(result: Result, json: Path | None) -> None:
    """The table, what was done, and the JSON."""
    from ..base.console import out, say
    from ..evaluate.table import table

    out().print(table(result))
    say(result.about["protocol"])
    seen = f"; {result.about['seen']}" if "seen" in result.about else ""
    say(f"tested on {result.about['tested_on']}{seen}")
    if json:
        result.write(json)


def measuring(verb: str, text: str, own: tuple[str, ...]) -> Callable[..., None]:
    """The command of a verb of evaluate.protocol; `own` are the options that only it has."""

    @from_dataclass(EvalConfig, (*SHARED, *own))
    def command(
        encoder: ENCODER,
        images: LABELLED,
        /,
        *,
        json: Annotated[Path | None, Parameter(help="also write the figures to this file")] = None,
        **options: Any,
    ) -> None:
        EvalConfig(**options)
        refuse_early(encoder, images, json)
        from ..base.console import say
        from ..evaluate import protocol

        shown(getattr(protocol, verb)(encoder, images, **options), json)
        say("the encoder is frozen, its hash the same before and after")

    command.__doc__ = text
    return command
