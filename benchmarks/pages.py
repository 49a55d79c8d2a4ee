"""What the pages cost: the report of 10,000 pictures (size, frames while zooming and hovering) and the local page of 100,000 (time of an answer).

Headless Chromium draws without a GPU here, so frames on a desktop are no slower. The pictures are noise: they compress worse than real ones.

Command: python benchmarks/pages.py --json docs/figures/pages.json
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from playwright.sync_api import sync_playwright

from machine import describe, parser, report

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.pages.test_browser import frame_times, many
from tests.pages.test_serve import Served, vectors_of

import twoviews as tv
from twoviews.pages.facts import facts
from twoviews.pages.page import render


def page(folder: Path) -> dict[str, float]:
    """Megabytes of the report, and milliseconds from frame to frame."""
    run = tv.train("digits", folder / "run", recipe="digits", batch=256, epochs=2, tensorboard=False)
    text = render([facts(run.path)], many(10_000), "")
    (folder / "page.html").write_text(text, encoding="utf-8")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 1280, "height": 900})
        began = time.perf_counter()
        opened.goto((folder / "page.html").as_uri())
        opened.wait_for_function("window.twoviewsMap !== undefined")
        ready = time.perf_counter() - began
        frames = sorted(frame for _ in range(3) for frame in frame_times(opened))
    return {
        "points": 10_000,
        "megabytes": len(text) / 1e6,
        "seconds_to_open": ready,
        "frame_median_ms": statistics.median(frames),
        "frame_95_ms": frames[int(0.95 * len(frames))],
    }


def answers(folder: Path) -> dict[str, float]:
    """Milliseconds of an answer with 24 neighbours through the server."""
    net, vectors = vectors_of(folder, 100_000)
    server = Served(net, vectors, "--out", folder / "labels")
    times = []
    for row in np.random.default_rng(0).integers(0, 100_000, 100):
        began = time.perf_counter()
        found = json.loads(server.get(f"/near/{row}?k=24"))
        times.append(1000 * (time.perf_counter() - began))
        assert len(found) == 24
    server.stop()
    times.sort()
    return {"pictures": 100_000, "features": 512, "median_ms": statistics.median(times), "worst_ms": times[-1]}


def main() -> None:
    options = parser(__doc__ or "").parse_args()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        report({"machine": describe(), "report": page(Path(folder)), "serve": answers(Path(folder))}, options.json)


if __name__ == "__main__":
    main()
