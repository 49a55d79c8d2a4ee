"""The names of the known sets, and whether a SPEC can be pictures at all. No torch here: a wrong name is answered at once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ..base.errors import UserError, nearest
from .parts import part_of

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


SHARDS, HUB = "shards:", "hf:"
LISTS = (".csv", ".tsv", ".jsonl", ".parquet")


def check_spec(spec: str | Path) -> None:
    """Raises UserError when a SPEC is neither a known set, nor a folder, a list, a Parquet file, hf:NAME or shards:PATTERN."""
    name, path = str(spec), Path(spec)
    if name.startswith((SHARDS, HUB)):
        if not name.partition(":")[2]:
            raise UserError(
                f"{name} names nothing: {'shards:FOLDER or shards:train-{000..099}.tar' if name == SHARDS else 'hf:NAME or hf:FOLDER'}"
            )
        return
    try:
        there, folder = path.exists(), path.is_dir()
    except (OSError, ValueError) as error:
        raise UserError(f"{name[:80]}… is no path: {getattr(error, 'strerror', None) or error}") from error
    if name in SETS or folder:
        return
    if not there:
        raise UserError(f"{name} does not exist: it is neither a path nor one of the sets {', '.join(SETS)}.{nearest(name, SETS)}")
    if path.suffix.lower() not in LISTS:
        raise UserError(
            f"{name} is a file; pictures come from a folder, a list ({', '.join(LISTS[:3])}), a .parquet file, one of the sets {', '.join(SETS)}, "
            "hf:NAME, or shards:PATTERN"
        )


def series(path: str, asked: Sequence[str] = ()) -> str:
    """What the files of one part have in common, of a path below the set's folder: its name without number and ending, `train` of data/train-00000-of-00002.parquet.

    The folder's name where that is one of a part and the file's is not; what `asked` (ReadConfig.parts) names is taken as it stands.
    """
    *folders, name = path.split("/")
    stem = re.sub(r"\.(parquet|tar)$", "", name, flags=re.IGNORECASE)
    given = {text.partition("=")[2] for text in asked}
    own = next((one for one in (name, stem, *reversed(folders)) if one in given), None)
    if own is not None:
        return own
    bare = re.sub(r"(?:[-_.]?\d+)?(?:[-_.]of[-_.]\d+)?(?:-[0-9a-f]{8,})?$", "", stem) or stem
    return bare if part_of(bare) or not folders else next((one for one in reversed(folders) if part_of(one)), bare)
