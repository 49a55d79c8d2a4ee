"""What a hostile file can do: nothing. No code of a file runs, no name leads out of a folder, nothing unpacks without end, no page carries a script."""

from __future__ import annotations

import ast
import html.parser
import io
import json
import pickle
import re
import struct
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import twoviews as tv
from twoviews.base.console import plain
from twoviews.sources.boxes import open_boxes
from twoviews.sources.config import ReadConfig
from twoviews.sources.spec import open_pictures
from twoviews.training.run import checkpoints

from .conftest import twoviews

PACKAGE = Path(tv.__file__).parent
FUZZ = Path(__file__).parents[1] / "benchmarks" / "fuzz.py"


def test_nothing_that_runs_code_is_ever_read():
    modules = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
    calls = {"torch.load", "torch.save", "os.system", "eval", "exec", "pickle.load", "pickle.loads"}
    seen = 0
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            where = f"{path}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import):
                assert not {name.name.split(".")[0] for name in node.names} & modules, where
            elif isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] not in modules, where
            elif isinstance(node, ast.Call):
                seen += 1
                name = ast.unparse(node.func)
                assert name not in calls, where
                assert not re.search(r"_object(_list)?$", name), where  # torch.distributed's pickling collectives
                options = {option.arg: ast.unparse(option.value) for option in node.keywords}
                assert options.get("allow_pickle", "False") == "False", where
                assert options.get("shell", "False") == "False", where
                assert name != "np.load" or "allow_pickle" in options, where
                assert not name.startswith("yaml.") or (name, options.get("Loader")) == ("yaml.load", "yaml.BaseLoader"), where
    assert seen > 1000


class Evil:
    """What a pickle does when it is read."""

    def __reduce__(self):
        return (open, ("evil-was-here", "w"))


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tv.train("digits", tmp_path / "run", recipe="digits", batch=256, width=0.25, epochs=1, tensorboard=False)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json"])
def test_a_malicious_checkpoint(run, name, tmp_path):
    saved = checkpoints(run.path)[-1]
    payload = pickle.dumps(Evil())
    sound = (saved / name).read_bytes()
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:  # torch's own form
        archive.writestr("archive/data.pkl", payload)
    headers = [
        payload,
        zipped.getvalue(),
        struct.pack("<Q", 2**62) + b"{}",
        struct.pack("<Q", 40) + b'{"a":{"dtype":"F32","shape":[9999999999],"data_offsets":[0,4]}}',
    ]
    for data in (*headers, b"", sound[: len(sound) // 2]):
        (saved / name).write_bytes(data)
        with pytest.raises(tv.UserError, match=r"damaged|another encoder|cannot be read as JSON"):
            tv.train("digits", run.path, recipe="digits", batch=256, width=0.25, epochs=1, tensorboard=False)
    assert not (tmp_path / "evil-was-here").exists()


def test_a_malicious_encoder(run, tmp_path):
    for data in (pickle.dumps(Evil()), struct.pack("<Q", 2**63 - 1) + b"x" * 100, struct.pack("<Q", 8) + b"[[[[[[[["):
        (run.path / "encoder.safetensors").write_bytes(data)
        with pytest.raises(tv.UserError, match="not a safetensors file"):
            tv.load_encoder(run.path)
    assert not (tmp_path / "evil-was-here").exists()


def test_a_tar_with_names_that_lead_out(tmp_path):
    """Nothing is unpacked: such a name is a name. Links and devices in a tar are left out."""
    file = io.BytesIO()
    Image.new("RGB", (200, 150)).save(file, "PNG")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, kind in (
            ("../../out.png", tarfile.REGTYPE),
            ("/abs.png", tarfile.REGTYPE),
            ("link.png", tarfile.SYMTYPE),
            ("dev.png", tarfile.CHRTYPE),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            member.size = len(file.getvalue()) if kind == tarfile.REGTYPE else 0
            archive.addfile(member, io.BytesIO(file.getvalue()) if kind == tarfile.REGTYPE else None)
    before = {p for p in tmp_path.parent.rglob("*") if "cache" not in str(p)}
    source = open_pictures(f"shards:{tmp_path}/a.tar", config=ReadConfig(cache=str(tmp_path / "cache"))).training
    assert [source.name(n) for n in range(len(source))] == ["../../out.png", "/abs.png"]
    assert source.read(0).shape == (3, 150, 200)
    assert {p for p in tmp_path.parent.rglob("*") if "cache" not in str(p)} == before


def test_vectors_that_unpack_without_end(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("vector.npy", b"\0" * 50_000_000)
    with pytest.raises(tv.UserError, match="packed"):
        tv.read_vectors(str(tmp_path / "bomb.npz"))
    np.savez(tmp_path / "objects.npz", vector=np.array([Evil()], dtype=object), allow_pickle=True)
    with pytest.raises(tv.UserError, match="was not written by twoviews embed"):
        tv.read_vectors(str(tmp_path / "objects.npz"))


def test_annotations_that_grow_or_look_elsewhere(tmp_path):
    (tmp_path / "Annotations").mkdir()
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    for text in (
        f'<!DOCTYPE a [<!ENTITY l0 "ha">{laughs}]><annotation><filename>&l11;</filename></annotation>',
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation><filename>&x;</filename></annotation>',
        "<a>" * 100_000,
    ):
        (tmp_path / "Annotations" / "a.xml").write_text(text)
        with pytest.raises(tv.UserError) as caught:
            open_boxes(tmp_path)
        assert "root:" not in str(caught.value)


class Tags(html.parser.HTMLParser):
    """What a browser would see of a page: its tags and their attributes."""

    def __init__(self):
        super().__init__()
        self.found, self.attributes = set(), set()

    def handle_starttag(self, tag, attributes):
        self.found.add(tag)
        self.attributes |= {name for name, _ in attributes}


def test_names_never_become_markup(tmp_path):
    """Classes and files called like scripts, in the page of neighbours."""
    evil = "<script>alert(1)<"
    for n in range(6):
        folder = tmp_path / "set" / (evil if n % 2 else '"><img src=x onerror=alert(2)>')
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (150, 140 + n), (40 * n, 0, 0)).save(folder / f"<b>{n}&.png")
    query = next((tmp_path / "set").rglob("*0&.png"))
    line = [
        "search",
        "untrained:convnet",
        str(tmp_path / "set"),
        "--size",
        "16",
        "--query",
        str(query),
        "--out",
        str(tmp_path / "page.html"),
        "--workers",
        "0",
    ]
    done = twoviews(*line)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "page.html").read_text()
    tags = Tags()
    tags.feed(page)
    assert "script" not in tags.found
    assert "b" not in tags.found
    assert not {name for name in tags.attributes if name.startswith("on")}
    assert "&lt;script&gt;alert(1)&lt;" in page


def test_names_never_steer_a_terminal():
    assert plain("a\x1b]0;evil\x07b\u202egpj.exe") == "a\\x1b]0;evil\\x07b\\u202egpj.exe"
    assert plain("日本語 📷 ü\n") == "日本語 📷 ü\n"
    assert plain("\udcff") == "\\xff"


def test_damaged_input_raises_our_errors_only(tmp_path):
    """A short turn of benchmarks/fuzz.py, whose long one is in docs/reliability.md."""
    command = [sys.executable, str(FUZZ), "--inputs", "150", "--seed", "7", "--json", str(tmp_path / "fuzz.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads((tmp_path / "fuzz.json").read_text())
    assert found["inputs"] == 150 * len(found["parsers"])
    assert all(one.get("refused", 0) + one.get("read", 0) == 150 for one in found["parsers"].values())
