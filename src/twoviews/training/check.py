"""What can be refused before torch is loaded: options, recipe, names, paths. The command line asks first, so that it answers at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..base.errors import UserError
from ..base.names import default_out, name_of
from ..nets.names import check_encoder, check_weights
from ..sources.names import check_spec
from .config import resolve
from .recipes import recipe


def check(images: str | Path | None, out: Path | None, given: dict[str, Any]) -> None:
    """Raises UserError for an option, value, recipe, encoder, picture SPEC (None: a source of one's own) or RUN folder that cannot be."""
    config = resolve({}, given)
    if config.recipe != "auto":
        recipe(config.recipe)
    if "batch" in given and config.batch < 2:
        raise UserError("batch is 1; a pair needs other pairs to be told from: at least 2")
    check_encoder(config.encoder)
    if config.init:
        check_weights(config.init)
    if images is not None:
        check_spec(images)
    if out is not None:
        refuse_foreign(out)


def run_folder(images: object, out: str | Path | None) -> Path:
    """The RUN folder of a training: `out`, or runs/NAME after the pictures. Raises UserError where the latter lies among the pictures."""
    if out is not None:
        return Path(out)
    return default_out(images, Path("runs") / (name_of(images) if isinstance(images, str | Path) else "own"))


def refuse_foreign(path: Path) -> None:
    """Raises UserError when `path` is a file, or a folder with something in it that is not a RUN."""
    if path.is_file():
        raise UserError(f"--out {path} is a file; a RUN is a folder")
    if path.is_dir() and not (path / "config.json").exists() and any(p.name != "lock" for p in path.iterdir()):
        raise UserError(f"--out {path} exists and is not a RUN; choose a new folder")
