"""The verdict, the facts, and the page as text."""

from __future__ import annotations

import json
import re
import shutil
import sys

import numpy as np
import pytest
import torch

import twoviews as tv
from twoviews.base.errors import UserError
from twoviews.pages.facts import facts, thinned
from twoviews.pages.look import confusion, without_itself
from twoviews.pages.page import embedded, report
from twoviews.pages.verdict import judge

from ..conftest import twoviews
from .conftest import CLASSES


def log(losses, said="learning", knn=None, rank=40.0, uniformity=-2.0, chance=6.0):
    return [
        {"epoch": n + 1, "loss": loss, "loss_chance": chance, "rank": rank, "uniformity": uniformity, "verdict": f"{said}: …"}
        | ({"knn": knn[n]} if knn else {})
        for n, loss in enumerate(losses)
    ]


FLAT = [5.0, 3.0, 2.5, 2.2, 2.1, 2.05, 2.03, 2.02, 2.01, 2.005, 2.003, 2.002, 2.001, 2.0005, 2.0002, 2.0001, 2.0, 2.0, 2.0, 2.0]


@pytest.mark.parametrize(
    ("word", "epochs", "finished"),
    [
        ("healthy", log(FLAT), True),
        ("unfinished", log(FLAT), False),
        ("unfinished", [], False),
        ("too short", log([5.0, 4.0, 3.0]), True),
        ("still improving", log(np.linspace(5, 1, 20)), True),
        ("still improving", log(FLAT, knn=[0.5 + n / 50 for n in range(20)]), True),
        ("under-trained", log(np.linspace(5.9, 4.8, 20)), True),
        ("collapsed", log(FLAT, "collapsed", rank=1.1, uniformity=-0.01), True),
        ("collapsed", log(FLAT, "collapsed", rank=1.1, uniformity=-0.01), False),
        ("collapsed", log(FLAT, "collapsed", rank=1.0, uniformity=None), True),
        ("learns nothing", log([6.0] * 20, "learns nothing yet"), True),
        ("unfinished", log([6.0] * 20, "learns nothing yet"), False),
        ("broken", [*log(FLAT), {"epoch": 21, "loss": None, "loss_chance": 6.0}], True),
    ],
)
def test_verdict(word, epochs, finished):
    found = judge({"epochs": len(epochs)}, [], epochs, finished)
    assert found.word == word
    assert found.text
    assert found.evidence


def test_curves_are_thinned_by_means():
    points = [(float(n), 2.0 * n) for n in range(1000)]
    assert thinned(points[:5], 10) == points[:5]
    found = thinned(points, 10)
    assert len(found) == 10
    assert found[0] == (49.5, 99.0)


def test_neighbours_are_without_the_picture_itself():
    near = torch.tensor([[1, 0, 2], [1, 2, 0], [0, 1, 3], [0, 1, 2]])  # the last is not among its own: too many equals
    similar = torch.tensor([[1.0, 1.0, 0.2], [1.0, 0.5, 0.4], [0.9, 0.8, 0.7], [1.0, 1.0, 1.0]])
    similar, near = without_itself(similar, near)
    assert near.tolist() == [[1, 2], [2, 0], [0, 1], [0, 1]]
    assert torch.allclose(similar, torch.tensor([[1.0, 0.2], [0.5, 0.4], [0.9, 0.8], [1.0, 1.0]]))


def test_confusion_counts_by_held_out_neighbours():
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(90) % 3
    x = torch.eye(3)[y] + 0.05 * torch.randn(90, 3, generator=generator)
    labels = y.numpy().copy()
    labels[:3] = -1
    found = confusion(x, labels, 3)
    assert found.tested == 87
    assert found.top1 == 1.0
    assert found.counts == [[29, 0, 0], [0, 29, 0], [0, 0, 29]]
    x[3] = x[4]  # one picture of class 0 that looks like one of class 1
    assert confusion(x, labels, 3).counts[0][1] == 1
    assert confusion(x, None, 3) is None


def test_data_cannot_leave_its_element():
    value = {"name": "</script><script>alert(1)</script><!-- & \u2028"}
    text = embedded(value)
    assert "<" not in text
    assert ">" not in text
    assert json.loads(text) == value


def test_facts(trained):
    found = facts(trained / "run")
    assert found.finished
    assert [name for name, _ in found.skipped] == [f"{CLASSES[0]}/broken <b>.jpg"]
    assert found.best()["verb"] == "linear"
    assert found.best()["labels"] == "all"
    assert [name for name, _ in found.best()["beside"]] == ["untrained", "pixels"]
    assert "pixels" in found.best()["no_better_than"]  # colours as plain as these are told by pixels too
    assert len(found.curves["loss"]) == 24
    assert found.curves["loss"][-1][0] == 8.0  # epochs
    assert set(found.hashes()) == {"encoder.safetensors", "head.safetensors"}


def test_page(trained):
    page = report(trained / "run", workers=0)
    assert page == trained / "run" / "report.html"
    text = page.read_text(encoding="utf-8")
    assert len(text) < 3e6
    bare = re.sub(r"<script>.*?</script>", "", text, flags=re.S)  # the charting library names its licence's address
    assert not re.search(r"(src|href|url)\s*[=(]\s*[\"']?(https?:)?//", bare)
    assert "<img src=x" not in text
    assert "broken <b>" not in text
    assert "broken &lt;b&gt;" in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    assert "tested on" in text
    assert "it is not shown that training helped" in text
    assert "fingerprint" in text
    assert "first two principal components" in text
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])
    assert len(data["map"]["names"]) == 90
    assert data["map"]["classes"] == sorted(CLASSES)
    assert len(data["map"]["loss"]) == 90
    assert all(n not in near for n, near in enumerate(data["map"]["near"]))
    again = report(trained / "run", trained / "again.html", workers=0).read_text(encoding="utf-8")
    assert again == text


@pytest.mark.soak
def test_umap_places_equal_points_each_time(trained):
    first, second = (report(trained / "run", trained / f"{n}.html", map="umap", workers=0).read_text() for n in "ab")
    assert first == second
    assert "UMAP" in first


def test_several_runs(trained):
    other = trained / "other" / "run"
    shutil.copytree(trained / "run", other)
    info = json.loads((other / "config.json").read_text())
    info["config"]["temperature"] = 0.07
    (other / "config.json").write_text(json.dumps(info))
    text = report([trained / "run", other], trained / "both.html").read_text(encoding="utf-8")
    assert "Settings in which the runs differ" in text
    assert re.search(r'<th scope="row">temperature</th><td>0.5</td><td>0.07</td>', text)
    assert str(other) in text  # both folders are called run
    assert '"sheets"' not in text
    shutil.rmtree(trained / "other")


def test_a_run_without_evaluation_and_without_pictures(trained, tmp_path):
    shutil.copytree(trained / "run", tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "eval")
    info = json.loads((tmp_path / "run" / "config.json").read_text())
    info["source"]["spec"] = str(tmp_path / "gone")
    (tmp_path / "run" / "config.json").write_text(json.dumps(info))
    text = report(tmp_path / "run").read_text(encoding="utf-8")
    assert "Not evaluated yet" in text
    assert "cannot be shown" in text
    assert 'id="cloud"' not in text
    with pytest.raises(UserError, match="gone"):
        report(tmp_path / "run", images=str(tmp_path / "gone"))


def test_deleted_pictures_are_left_out(trained, tmp_path):
    shutil.copytree(trained / "pictures", tmp_path / "pictures")
    for file in sorted((tmp_path / "pictures").rglob("*.png"))[::3]:
        file.unlink()
    text = report(trained / "run", tmp_path / "page.html", images=str(tmp_path / "pictures"), workers=0).read_text()
    assert "Map of 60 pictures" in text


def test_command_line(trained, tmp_path):
    def run(*arguments):
        return twoviews("report", *arguments)

    done = run(trained / "run", "--points", 0, "--out", tmp_path / "page.html")
    assert (done.returncode, done.stdout) == (0, "")
    assert (tmp_path / "page.html").is_file()
    for arguments, words in (
        ([tmp_path], "no RUN folder|not a RUN folder"),
        ([trained / "run", "--out", tmp_path / "page.pdf"], "end in .html"),
        ([trained / "run", "--out", tmp_path / "no" / "page.html"], "does not exist"),
        ([trained / "run", "--points", "30000"], "too large"),
        ([trained / "run", "--map", "tsne"], "umap"),
        ([trained / "run", "--point", "3"], "--points"),
    ):
        done = run(*arguments)
        assert done.returncode == 2, done.stderr
        assert re.search(words, done.stderr), done.stderr
        assert "Traceback" not in done.stderr


def test_a_missing_extra_says_how_to_install(trained, monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(UserError, match=r"pip install \"twoviews\[report\]\""):
        report(trained / "run", trained / "none.html", map="umap", workers=0)
    assert not (trained / "none.html").exists()


def test_it_is_public():
    assert tv.report is report
