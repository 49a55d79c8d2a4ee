"""The local page: what it does, and itself in a real browser."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
import torch

import twoviews as tv
from twoviews.base.errors import UserError
from twoviews.nets.classifier import load_classifier
from twoviews.nets.encoder import encoder, fingerprint, save_encoder
from twoviews.pages.config import ServeConfig
from twoviews.pages.explore import Explorer
from twoviews.vectors import sinks

from .conftest import CLASSES


@pytest.fixture
def explorer(trained, tmp_path):
    return Explorer(trained / "run", trained / "pictures", tmp_path / "labels", ServeConfig(workers=0))


def rows_of(explorer, name):
    return [row for row, path in enumerate(explorer.vectors.paths) if path.startswith(name)]


def test_neighbours(explorer, trained):
    first = rows_of(explorer, CLASSES[1])[0]
    found = explorer.near(first, 5)
    assert first not in [row for row, _ in found]
    unit = torch.nn.functional.normalize(explorer.vectors.h.double(), dim=1)
    cosine = unit @ unit[first]
    cosine[first] = -1
    assert [row for row, _ in found] == cosine.topk(5).indices.tolist()
    data = (trained / "pictures" / explorer.vectors.paths[first]).read_bytes()
    assert explorer.near_file(data, 1)[0][0] == first
    with pytest.raises(UserError, match="no picture"):
        explorer.near_file(b"nothing")


def test_a_few_labels_give_a_classifier(explorer):
    assert explorer.fit() is None
    truth = [next(name for name in CLASSES if path.startswith(name)) for path in explorer.vectors.paths]
    for name in CLASSES:
        for row in rows_of(explorer, name)[:3]:
            explorer.label(row, name)
    guess = explorer.fit()
    right = [guess.of(row)[0] == truth[row] for row in range(len(explorer))]
    assert np.mean(right) > 0.9
    unsure = explorer.unsure(10)
    assert not set(unsure) & set(explorer.given)
    margin = (guess.p.topk(2, dim=1).values @ torch.tensor([1.0, -1.0])).tolist()
    others = [margin[row] for row in range(len(explorer)) if row not in explorer.given and row not in unsure]
    assert max(margin[row] for row in unsure) <= min(others)
    assert explorer.counts() == dict.fromkeys(sorted(CLASSES), 3)
    folder = explorer.save()
    net, classes = load_classifier(folder)
    assert classes == sorted(CLASSES)
    again = tv.images(str(folder / "labels.csv"))  # the list is a SPEC for every verb
    assert sorted(again.classes) == sorted(CLASSES)
    x = torch.stack([net.encoder.preprocess(explorer.album.picture(row).mul(255).round().to(torch.uint8)) for row in range(5)])
    with torch.inference_mode():
        assert torch.allclose(net(x).softmax(1), guess.p[:5], atol=1e-4)


def test_labels_survive(explorer, trained, tmp_path):
    explorer.label(4, "  two\n words ")
    explorer.label(5, "other")
    explorer.label(5, None)
    with (tmp_path / "labels" / "labels.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["path", "label"],
            [str((trained / "pictures" / explorer.vectors.paths[4]).resolve()), "two words"],
        ]
    again = Explorer(trained / "run", trained / "pictures", tmp_path / "labels", ServeConfig(workers=0))
    assert again.given == {4: "two words"}
    with pytest.raises(UserError, match="two classes"):
        again.save()


@pytest.mark.parametrize(
    ("text", "words"),
    [("a,b\n1,2\n", "no columns path and label"), ("path,label\nnone.png,x\n", "names none of these"), ("", "none")],
)
def test_a_list_of_something_else(trained, tmp_path, text, words):
    (tmp_path / "other.csv").write_text(text)
    with pytest.raises(UserError, match=words):
        Explorer(trained / "run", trained / "pictures", tmp_path, ServeConfig(workers=0, labels=str(tmp_path / "other.csv")))


def port_free():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def outside():
    """The environment of a user: NiceGUI behaves otherwise where it sees pytest's variable."""
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"} | {"OMP_NUM_THREADS": "1"}


class Served:
    """A real `twoviews serve`."""

    def __init__(self, *arguments):
        self.port = port_free()
        self.address = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "twoviews", "serve", *map(str, arguments), "--port", str(self.port)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=outside())
        for _ in range(600):
            try:
                self.get("/near/0?k=1")
                return
            except (urllib.error.URLError, ConnectionError):
                assert self.process.poll() is None, self.process.stderr.read()
                time.sleep(0.1)
        raise AssertionError("it does not answer")

    def get(self, path, **headers):
        request = urllib.request.Request(self.address + path, headers=headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read()

    def stop(self, number=signal.SIGINT):
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=30)
        return said


@pytest.fixture(scope="module")
def served(trained, tmp_path_factory):
    found = Served(trained / "run", trained / "pictures", "--out", tmp_path_factory.mktemp("served"))
    found.folder = None
    yield found
    said = found.stop()
    assert "Traceback" not in said, said


def test_it_answers_only_here(served):
    with pytest.raises(urllib.error.HTTPError, match="400"):
        served.get("/near/0", Host="evil.example")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        served.get("/near/90")
    with socket.socket() as other:
        other.settimeout(2)
        own = socket.gethostbyname(socket.gethostname())
        if not own.startswith("127."):
            assert other.connect_ex((own, served.port)) != 0


def test_in_the_browser(served, opened, trained):
    """Drop, look at neighbours, name, see guesses and what is unsure, save: as a user would."""
    asked = []
    page = opened(served.address, network=True)
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_role("heading", level=2).wait_for()
    assert page.locator("figure").count() == 24
    page.locator('input[type="file"]').set_input_files(str(next((trained / "pictures" / CLASSES[0]).glob("*.png"))))
    page.get_by_text(re.compile("^Nearest to .*png")).wait_for()
    assert page.locator("figure").count() == 25
    page.get_by_role("button", name=re.compile("^Neighbours of ")).nth(3).click()
    page.get_by_text(re.compile("^Nearest to .*/")).wait_for()
    typed = page.get_by_label("Name to give")
    for name in CLASSES:
        typed.fill(name)
        for _ in range(2):
            before = page.get_by_role("button", name=re.compile("take the name away")).count()
            page.get_by_role("button", name=re.compile("^Give ")).nth(1).click()
            page.wait_for_function("n => document.querySelectorAll('[aria-label$=\"take the name away\"]').length > n", arg=before)
    page.get_by_role("button", name=f"{CLASSES[0]}: 2").wait_for()
    assert page.locator("img[src=x]").count() == 0
    page.get_by_role("button", name="What is it unsure of?").click()
    page.get_by_text(re.compile("^Unsure:")).wait_for()
    assert page.get_by_text(re.compile(r"\? \d+ %$")).count() == 24
    page.get_by_role("button", name="Save classifier").click()
    page.get_by_text(re.compile("^Saved in")).wait_for()
    page.get_by_role("button", name="Labelled").click()
    page.get_by_text("6 labelled pictures").wait_for()
    with page.expect_download() as download:
        page.get_by_role("button", name="Labels as CSV").click()
    rows = list(csv.reader(open(download.value.path(), newline="")))  # noqa: SIM115, PTH123
    assert len(rows) == 7
    page.locator('input[type="file"]').set_input_files({"name": "no.png", "mimeType": "image/png", "buffer": b"nothing"})
    page.get_by_text(re.compile("no picture that can be read")).wait_for()
    assert all(url.startswith((served.address, "data:", "blob:")) for url in asked)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_names_contrast_and_phone(served, opened, scheme):
    from axe_playwright_python.sync_playwright import Axe

    page = opened(served.address, width=390, network=True, color_scheme=scheme)
    page.locator("figure").first.wait_for()
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    found = [one for one in Axe().run(page).response["violations"] if one["impact"] in ("serious", "critical")]
    assert [(one["id"], [node["html"][:150] for node in one["nodes"][:3]]) for one in found] == []


def vectors_of(folder, count):
    """An encoder file, and a file of vectors that say that it made them."""
    net = encoder("resnet18", width=1, stem="small", size=24)
    save_encoder(folder / "net.safetensors", net, {})
    about = {
        "encoder": "net", "weights_sha256": fingerprint(net), "layer": "h", "preprocessing": {"size": 24, "channels": 3, "resize": "antialias"},
        "images": {"spec": "gone", "fingerprints": {}, "count": count}, "reading": {}, "versions": {},
    }  # fmt: skip

    class Names:
        labels, classes = None, ()

        def name(self, index):
            return f"{index}.jpg"

    h = torch.randn(count, net.num_features, generator=torch.Generator().manual_seed(0))
    sinks.write_part(folder / "v.parquet", Names(), np.arange(count), 0, "all", h, about)
    return folder / "net.safetensors", folder / "v.parquet"


def test_many_pictures_are_searched(tmp_path):
    """20,000 through the server; how long 100,000 take is in docs/results.md."""
    server = Served(*vectors_of(tmp_path, 20_000), "--out", tmp_path / "labels")
    for row in (0, 19_999):
        assert len(json.loads(server.get(f"/near/{row}?k=24"))) == 24
    server.stop(signal.SIGTERM)


def refused(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "twoviews", "serve", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env=outside(),
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_wrong_input(trained, tmp_path):
    run, pictures = trained / "run", trained / "pictures"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert "in use" in refused(run, pictures, "--port", port)
    assert "from 1 to 65535" in refused(run, pictures, "--port", "70000")
    assert "does not exist" in refused(run, tmp_path / "none")
    assert "no such file" in refused(run, pictures, "--labels", tmp_path / "none.csv", "--port", port_free())


def test_no_browser(monkeypatch, capsys):
    import webbrowser

    from twoviews.pages.serve import show

    monkeypatch.setattr(webbrowser, "_tryorder", [])
    show("http://127.0.0.1:1/")
    assert "open http://127.0.0.1:1/ yourself" in capsys.readouterr().err


def test_a_missing_extra_says_how_to_install(trained, monkeypatch):
    monkeypatch.setitem(sys.modules, "nicegui", None)
    with pytest.raises(UserError, match=r"pip install \"twoviews\[serve\]\""):
        tv.serve(trained / "run", trained / "pictures")
