"""A million small files: time and memory to begin, cost of pictures from all over the set, memory over ten rounds; beside torchvision's ImageFolder
with torch's DataLoader. Each in a process of its own, with two readers; memory is the proportional set size (PSS) of the process and its readers.

Command: python benchmarks/million.py --json docs/figures/million.json   (makes the files in a temporary folder, some minutes)
"""

from __future__ import annotations

import gc
import io
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

from machine import describe, parser, report

CLASSES, SIZE, BATCH, WORKERS = 10, 16, 256, 2


def make(folder: Path, count: int) -> None:
    """JPEG files of 16 and 17 pixels in ten folders, of a hundred different contents."""
    made, contents = np.random.default_rng(0), []
    for n in range(100):
        file = io.BytesIO()
        Image.fromarray(made.integers(0, 256, (16 + n % 2, 16, 3), np.uint8)).save(file, "JPEG")
        contents.append(file.getvalue())
    for n in range(count):
        if n < CLASSES:
            (folder / f"class{n}").mkdir(parents=True)
        (folder / f"class{n % CLASSES}" / f"picture-{n:07d}.jpg").write_bytes(contents[n % 100])


def memory() -> float:
    """Megabytes of this process and its readers, shared pages counted once."""
    me = psutil.Process()
    return sum(p.memory_full_info().pss for p in (me, *me.children(recursive=True))) / 1e6


def rounds(begin: Any, draw: Any, count: int, each: int) -> dict[str, Any]:
    """Begin, then ten rounds of `each` pictures drawn from all of them."""
    before, started = memory(), time.perf_counter()
    pictures = begin()
    gc.collect()
    found: dict[str, Any] = {"seconds_to_begin": time.perf_counter() - started, "megabytes_to_begin": memory() - before}
    order, seconds, held = np.random.default_rng(1), [], []
    iterate = draw(pictures)
    for _ in range(10):
        ids = order.permutation(count)[:each]
        started = time.perf_counter()
        for _ in iterate(ids):
            pass
        seconds.append(time.perf_counter() - started)
        held.append(memory())
    return {**found, "pictures_per_second": each / float(np.median(seconds)), "megabytes": [round(m) for m in held]}


def ours(folder: Path, count: int, each: int) -> dict[str, Any]:
    """Ours: two crops of each picture, as training reads them."""
    from twoviews.sources.loader import Loader
    from twoviews.sources.spec import open_pictures
    from twoviews.views.pipeline import Views

    def draw(source: Any) -> Any:
        loader = Loader(source, Views(size=SIZE).crop_pairs, WORKERS, missing="replace")
        return lambda ids: loader([(part, part.astype(np.uint64)) for part in np.array_split(ids, range(BATCH, len(ids), BATCH))])

    return rounds(lambda: open_pictures(folder).training, draw, count, each)


class Pair:
    """Two crops of a picture, as a SimCLR script has them."""

    def __init__(self) -> None:
        from torchvision.transforms import v2

        self.crop = v2.Compose([v2.PILToTensor(), v2.RandomResizedCrop(SIZE, (0.08, 1.0)), v2.RandomHorizontalFlip()])

    def __call__(self, image: Any) -> Any:
        import torch

        return torch.stack([self.crop(image), self.crop(image)])


def torchvision(folder: Path, count: int, each: int) -> dict[str, Any]:
    """ImageFolder + DataLoader: the same."""
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder

    class Chosen(list):
        pass

    def draw(data: Any) -> Any:
        chosen = Chosen()
        loader = DataLoader(data, batch_size=BATCH, sampler=chosen, num_workers=WORKERS, persistent_workers=True)

        def iterate(ids: Any) -> Any:
            chosen[:] = ids.tolist()
            return loader

        return iterate

    return rounds(lambda: ImageFolder(str(folder), Pair()), draw, count, each)


def digits(epochs: int) -> list[int]:
    """Memory of this process while it trains on digits."""
    import twoviews as tv
    from twoviews.training.loop import Trainer

    held, end = [], Trainer.end_epoch

    def look(self: Any, *arguments: Any) -> None:
        end(self, *arguments)
        held.append(round(memory()))

    Trainer.end_epoch = look  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as out:
        tv.train("digits", Path(out) / "run", epochs=epochs, width=0.25, monitor_every=epochs // 10, tensorboard=False)
    return held


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        what, folder, count, each = sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
        print(json.dumps(digits(each) if what == "digits" else {"ours": ours, "torchvision": torchvision}[what](folder, count, each)))
        return
    arguments = parser(__doc__ or "")
    arguments.add_argument("--files", type=int, default=1_000_000)
    arguments.add_argument("--folder", type=Path, help="where the files are, or are to be made and kept")
    arguments.add_argument("--each", type=int, default=50_000, help="pictures of a round")
    arguments.add_argument("--epochs", type=int, default=200, help="of digits")
    a = arguments.parse_args()

    def child(what: str, folder: Path, each: int) -> Any:
        done = subprocess.run(
            [sys.executable, __file__, "--child", what, str(folder), str(a.files), str(each)], stdout=subprocess.PIPE, check=True, text=True
        )
        found = json.loads(done.stdout.splitlines()[-1])
        print(what, found, flush=True)
        return found

    with tempfile.TemporaryDirectory() as temporary:
        folder = a.folder or Path(temporary)
        if not any(folder.glob("class*")):
            make(folder, a.files)
        found = {what: child(what, folder, a.each) for what in ("ours", "torchvision")}
    found["digits"] = {"epochs": a.epochs, "megabytes": child("digits", Path(), a.epochs)}
    report({"machine": describe(), "files": a.files, "each": a.each, "readers": WORKERS, **found}, a.json)


if __name__ == "__main__":
    main()
