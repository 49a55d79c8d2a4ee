"""The names of the known sets, and whether a SPEC can be pictures at all. No torch here: a wrong name is answered at once."""

from __future__ import annotations

from pathlib import Path

from ..base.errors import UserError, nearest

TRANSFER_SETS = (
    "food101",
    "cifar10",
    "cifar100",
    "birdsnap",
    "sun397",
    "cars",
    "aircraft",
    "voc2007",
    "dtd",
    "pets",
    "caltech101",
    "flowers",
)  # in the order of the paper's Table 8
SETS = ("digits", "cifar10", "cifar100", "stl10", "fashion-mnist")


def check_spec(spec: str | Path) -> None:
    """Raises UserError when a SPEC is neither a known set, nor a folder, nor a Parquet file."""
    name, path = str(spec), Path(spec)
    if name in SETS or path.is_dir():
        return
    if not path.exists():
        raise UserError(f"{name} does not exist: it is neither a path nor one of the sets {', '.join(SETS)}.{nearest(name, SETS)}")
    if path.suffix != ".parquet":
        raise UserError(f"{name} is a file; pictures come from a folder, a .parquet file, or one of the sets {', '.join(SETS)}")
