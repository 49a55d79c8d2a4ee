"""Few pictures: does pretraining on them alone help? kNN and few-label accuracy beside raw pixels, an untrained encoder and colour histograms.

Each set is trained by `twoviews train SET` with the recipe `photos`, then measured with `twoviews knn` and `linear`. The sets have no test
part: a fifth of each class is held out, drawn anew for each of the seeds (those pictures were seen in pretraining, without labels).
Command: python benchmarks/small_sets.py --data PATH --sets photos flowers128 mednist steel_defects --json docs/figures/small_sets.json
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import twoviews as tv
from machine import describe, parser, report
from twoviews.evaluate.table import cell


def main() -> None:
    arguments = parser(__doc__ or "")
    arguments.add_argument("--data", type=Path, default=Path("../shared/data"))
    arguments.add_argument("--sets", nargs="+", default=["photos", "flowers128", "mednist", "steel_defects"])
    arguments.add_argument("--out", type=Path, default=Path("runs/small_sets"))
    arguments.add_argument("--epochs", type=int, default=150)
    arguments.add_argument("--size", type=int, default=64)
    arguments.add_argument("--width", type=float, default=0.5)
    arguments.add_argument("--seeds", type=int, default=10)
    a = arguments.parse_args()
    figures: dict[str, Any] = {"machine": describe(), "settings": {k: str(v) for k, v in vars(a).items()}, "sets": {}}
    for name in a.sets:
        began = time.perf_counter()
        run = tv.train(a.data / name, a.out / name, epochs=a.epochs, size=a.size, width=a.width)
        seconds = time.perf_counter() - began
        beside = {"baselines": ("untrained", "pixels", "histogram"), "seeds": a.seeds}
        fewest = min(5, smallest_class(a.data / name) * 4 // 5)
        labels = tuple(dict.fromkeys((str(min(2, fewest)), str(fewest), "all")))
        results = {
            "knn": tv.knn(run.path, a.data / name, k=5, **beside),
            "linear": tv.linear(run.path, a.data / name, labels=labels, **beside),
        }
        rows = [{"verb": verb, **row} for verb, result in results.items() for row in result.rows]
        figures["sets"][name] = {"train_seconds": seconds, "log": run.log()[-1], "pictures": run.info["source"]["count"], "rows": rows}
        print(f"\n{name}: {run.info['source']['count']} pictures, {seconds:.0f} s; {run.log()[-1]['verdict']}", flush=True)
        for row in rows:
            print(f"  {row['verb']:6} {row['labels']:12} {row['subject']:10} {cell(row['top1'])}", flush=True)
        report(figures, a.json)


def smallest_class(folder: Path) -> int:
    """Pictures of the rarest class."""
    return min(sum(1 for file in sub.iterdir() if file.is_file()) for sub in folder.iterdir() if sub.is_dir())


if __name__ == "__main__":
    main()
