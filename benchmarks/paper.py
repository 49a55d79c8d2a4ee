"""Which of the paper's findings show on CIFAR-10 within two hours on two cores: Figures 5, 8, 9 and Tables 4, 5 at a small scale.

Run: python benchmarks/paper.py CIFAR_FOLDER --out studies --figures docs/figures
Goes on where it was stopped. Five studies, each with its own command (the options below); docs/paper.md shows what they leave.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
from pathlib import Path

import twoviews as tv
from machine import describe
from twoviews.base.files import write_json

# Epochs: as many as fit into the time; figure 9 needs three amounts of them. bf16 was measured to be faster than fp32 on this machine (twoviews doctor).
STUDIES = {"table5": 3, "figure8": 3, "table4": 3, "figure9": 4, "figure5": 1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cifar")
    parser.add_argument("--out", type=Path, default=Path("studies"))
    parser.add_argument("--figures", type=Path)
    parser.add_argument("--only", nargs="*", default=STUDIES, choices=STUDIES)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    for name, epochs in ((name, STUDIES[name]) for name in arguments.only):
        found = tv.paper(name, arguments.cifar, arguments.out, epochs=epochs, seeds=arguments.seeds, precision="bf16")
        if arguments.figures:
            about = {k: v for k, v in found.about.items() if k != "command"}
            about["images"] = {**about["images"], "spec": Path(arguments.cifar).name}
            write_json(arguments.figures / f"paper_{name}.json", {**dataclasses.asdict(found), "about": about, "machine": describe()})
            shutil.copy(arguments.out / name / "figure.png", arguments.figures / f"paper_{name}.png")


if __name__ == "__main__":
    main()
