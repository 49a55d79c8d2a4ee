"""The documentation's site: built strictly, and every link and anchor in it leads somewhere, in the built pages too."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import twoviews

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return out


class Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.targets, self.anchors = [], set()

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.anchors |= {found[name] for name in ("id", "name") if found.get(name)}
        self.targets += [found[name] for name in ("href", "src") if found.get(name) and tag != "base"]


def test_links_and_anchors(site):
    pages = {}
    for file in site.rglob("*.html"):
        pages[file] = Links()
        pages[file].feed(file.read_text(encoding="utf-8"))
    checked = 0
    for file, links in pages.items():
        if file.name == "404.html":
            continue
        for target in links.targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            checked += 1
            path = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            path = path / "index.html" if path.is_dir() else path
            assert path.is_file(), f"{file.relative_to(site)}: {target}"
            if parts.fragment and path in pages and not parts.fragment.startswith("__"):
                assert unquote(parts.fragment) in pages[path].anchors, f"{file.relative_to(site)}: {target}"
    assert checked > 500


def test_pages_ask_no_other_host(site):
    """Fonts and scripts are the site's own."""
    for file in site.rglob("*.html"):
        text = file.read_text(encoding="utf-8")
        assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"https?://(?!127)[^\"]*\.(?:js|css|woff2?|png)\"", text), file


def test_the_api_page_has_every_public_name(site):
    text = (site / "api" / "index.html").read_text(encoding="utf-8")
    anchors = set(re.findall(r'id="(twoviews\.[\w.]+)"', text))
    for name in twoviews.__all__:
        where = f"twoviews.{twoviews._WHERE[name]}.{twoviews._CALLED.get(name, name)}"
        assert where in anchors, f"docs/api.md lacks {where}"
