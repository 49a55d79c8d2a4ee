"""The shards that a pattern names: {000..099}, {a,b}, and * where a file system can be listed."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..base.errors import UserError


def expand(pattern: str) -> Iterator[str]:
    """Each {000..099} or {a,b} written out, from left to right."""
    match = re.search(r"\{(\d+)\.\.(\d+)\}|\{([^{}]*)\}", pattern)
    if not match:
        yield pattern
        return
    if match[1] is not None:
        if int(match[2]) - int(match[1]) > 10_000_000:
            raise UserError(f"{match[0]} are more than ten million shards")
        middles = (f"{n:0{len(match[1])}d}" for n in range(int(match[1]), int(match[2]) + 1))
    else:
        middles = iter(match[3].split(","))
    for middle in middles:
        for rest in expand(pattern[match.end() :]):
            yield pattern[: match.start()] + middle + rest


def matching(pattern: str) -> list[str]:
    """The files of a pattern with *; without one the pattern itself."""
    if not re.search(r"[*?\[]", pattern):
        return [pattern]
    import fsspec

    try:
        filesystem, path = fsspec.core.url_to_fs(pattern)
        found = sorted(str(name) for name in filesystem.glob(path))
    except (OSError, ImportError, NotImplementedError, ValueError) as error:
        raise UserError(f"{pattern} cannot be listed: {error}. Name the shards, as in {{000..099}}") from error
    return [filesystem.unstrip_protocol(name) for name in found] if "://" in pattern else found
