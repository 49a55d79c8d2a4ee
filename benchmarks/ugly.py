"""What happens to each ugly file: opened with which size and channels, or refused for which reason; time and memory of each.

Run: python benchmarks/ugly.py FOLDER [--json docs/figures/ugly.json]   (FOLDER has MANIFEST.csv with the columns file, what, expect)
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from pathlib import Path
from typing import Any

from twoviews.sources.config import Reading
from twoviews.sources.decode import info, read_bytes, read_file
from twoviews.sources.errors import Unreadable

# What the user names for files that cannot be read without: their own channels, and what is black and white.
NAMED = {
    "four_channels.tif": Reading(4),
    "eight_bands_contig.tif": Reading(8),
    "eight_bands_planar.tif": Reading(8),
    "five_bands.npy": Reading(5),
    "fortran.npy": Reading(5),
    "float32.tif": Reading(range="-3:4"),
    "int16_negative.tif": Reading(range="-1000:3000"),
    "gray_float.npy": Reading(range="data"),
    "imagers_rgb32f_color.tiff": Reading(range="data"),
}


def peak() -> int:
    """Most bytes this process has held since the last `reset`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def reset() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def look(path: Path, how: Reading) -> dict[str, Any]:
    """Open one file as training would."""
    reset()
    before, began = peak(), time.perf_counter()
    try:
        found = {"opened": list(read_file(path, how).shape), "frames": info(read_bytes(path), how).frames}
    except Unreadable as error:
        found = {"refused": str(error)}
    return {**found, "seconds": round(time.perf_counter() - began, 3), "megabytes": round((peak() - before) / 1e6)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = []
    for row in csv.DictReader((arguments.folder / "MANIFEST.csv").open(encoding="utf-8")):
        if row["expect"] == "skip":
            continue
        path = arguments.folder / row["file"]
        found = {"file": row["file"], "what": row["what"], "expect": row["expect"], **look(path, Reading())}
        if row["file"] in NAMED:
            how = NAMED[row["file"]]
            options = f"--channels {how.channels}" if how.channels != 3 else f"--range {how.range}"
            found["named"] = {"options": options, **look(path, how)}
        rows.append(found)
        print(json.dumps(found, ensure_ascii=False), flush=True)
    if arguments.json:
        text = ",\n".join(json.dumps({k: v for k, v in row.items() if k not in ("seconds",)}, ensure_ascii=False) for row in rows)
        arguments.json.write_text(f"[\n{text}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
