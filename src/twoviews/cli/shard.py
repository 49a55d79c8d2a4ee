"""`twoviews shard IMAGES --out DIR`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..base.names import one_line
from ..sources.config import ShardConfig
from .evaluation import refuse_early
from .options import IMAGES, from_dataclass


@from_dataclass(ShardConfig)
def command(
    images: IMAGES,
    /,
    *,
    out: Annotated[Path, Parameter(help="the folder of the shards; the same command goes on in it")],
    json: Annotated[Path | None, Parameter(help="also write the index to this file")] = None,
    **options,
) -> None:
    """Put pictures into tar files (WebDataset's format), their bytes as they are: what many small files on slow or far storage want.

    Train on them with shards:DIR. A kill costs one shard; under torchrun the processes share the work.
    """
    ShardConfig(**options)
    refuse_early(None, images, json, out)
    from ..base.console import say
    from ..base.files import write_json
    from ..sources.shard import shard

    index = shard(images, out, **options)
    count = sum(map(len, index["splits"].values()))
    left = f"; {index['skipped']} files could not be read and are left out" if index["skipped"] else ""
    say(f"{index['count']:,} pictures in {count:,} shards{left}. Train on them with: twoviews train shards:{one_line(str(out))}")
    if json:
        write_json(json, index)
