"""A RUN on made pictures whose class names are hostile, trained and measured once; and a browser."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
from PIL import Image

import twoviews as tv

CLASSES = ("<img src=x onerror=alert(1)>", "a & b", "café 'q'")


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A folder with `pictures` (three classes, one file that is none) and `run`, which has a linear and a kNN evaluation."""
    root = tmp_path_factory.mktemp("report")
    generator = np.random.default_rng(0)
    for n in range(90):
        folder = root / "pictures" / CLASSES[n % 3]
        folder.mkdir(parents=True, exist_ok=True)
        noise = generator.integers(0, 90, (6, 6, 3))
        noise[..., n % 3] += 150
        Image.fromarray(noise.astype(np.uint8)).resize((40, 40 + n % 2), Image.Resampling.BICUBIC).save(folder / f"{n:02}.png")
    (root / "pictures" / CLASSES[0] / "broken <b>.jpg").write_bytes(b"nothing")
    run = tv.train(
        root / "pictures", root / "run", encoder="convnet", width=0.25, size=16, batch=30, epochs=8, workers=0, optimizer="adamw",
        learning_rate=0.01, scaling="none", temperature=0.5, monitor_every=1, log_every=1, tensorboard=False,
    )  # fmt: skip
    tv.linear(run.path, root / "pictures", labels=("2", "all"), seeds=2)
    tv.knn(run.path, root / "pictures")
    return root


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium. Where there is none the test is skipped; `make browser` and CI want one (TWOVIEWS_BROWSER=1)."""
    found = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
    if found is None:
        message = "there is no Chromium on this machine: apt-get install chromium"
        pytest.fail(message) if os.environ.get("TWOVIEWS_BROWSER") else pytest.skip(message)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield opened
        opened.close()


@pytest.fixture
def opened(browser):
    """url → a page that has loaded; what it says to the console, and what it asks of the network, fails the test at its end."""
    heard, pages = [], []

    def open_page(url, width=1280, height=900, network=False, **options):
        page = browser.new_page(viewport={"width": width, "height": height}, **options)
        pages.append(page)
        page.on(
            "console", lambda message: heard.append(f"{message.type}: {message.text}") if message.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: heard.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (heard.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        if not network:
            page.on("request", lambda request: heard.append(request.url) if request.url.startswith(("http", "ws")) else None)
        page.goto(url)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert not heard
