"""Vectors: every sink, continuing, searching against the definition, duplicates that were planted, and choices that cover."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import twoviews as tv
from twoviews.nets.encoder import encoder, save_encoder
from twoviews.vectors import search as searching
from twoviews.vectors import sinks, write
from twoviews.vectors.duplicates import centred, groups_of, pairs
from twoviews.vectors.select import choose, coverage, k_centre


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """An encoder file, and a folder of 60 pictures in three classes with an unreadable one, two copies and a smaller copy."""
    root = tmp_path_factory.mktemp("vectors")
    save_encoder(root / "net.safetensors", encoder("resnet18", width=0.25, stem="small", size=24, seed=1), {})
    generator = np.random.default_rng(0)
    for n in range(60):
        folder = root / "pictures" / "abc"[n % 3]
        folder.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(generator.integers(0, 256, (5, 6, 3), dtype=np.uint8)).resize((48 + n % 2, 40), Image.Resampling.BICUBIC)
        coarse.save(folder / f"{n:02}.png")
    first = root / "pictures" / "a" / "00.png"
    Image.open(first).save(root / "pictures" / "b" / "copy.png")
    Image.open(first).convert("RGB").save(root / "pictures" / "c" / "copy.jpg", quality=90)
    Image.open(first).resize((96, 80), Image.Resampling.BICUBIC).save(root / "pictures" / "c" / "larger.png")
    (root / "pictures" / "a" / "broken.png").write_bytes(b"no picture")
    return root


def test_every_sink_holds_the_same(place, tmp_path, monkeypatch):
    pytest.importorskip("lancedb")
    monkeypatch.setattr(write, "PART", 256)
    targets = ["folder", "v.parquet", "v.npz", f"lance:{tmp_path / 'table'}"]
    found = []
    for target in targets:
        out = target if target.startswith("lance:") else str(tmp_path / target)
        tv.embed(place / "net.safetensors", place / "pictures", out, device="cpu", workers=0)
        found.append(tv.read_vectors(out))
    for other in found:
        assert torch.equal(other.h, found[0].h)
        assert (other.paths, other.labels, other.splits) == (found[0].paths, found[0].labels, found[0].splits)
        assert other.about == found[0].about
    v = found[0]
    assert len(v) == 63, "the unreadable one has no vector"
    assert v.labels[v.paths.index("b/copy.png")] == "b"
    assert v.about["preprocessing"] == {"size": 24, "channels": 3, "resize": "antialias"}
    assert len(v.about["weights_sha256"]) == 64
    net = tv.load_encoder(place / "net.safetensors")
    assert (net.embed(Image.open(place / "pictures" / "c" / "larger.png")) - v.h[v.paths.index("c/larger.png")]).abs().max() < 2e-3, (
        "workers round to gray levels"
    )
    schema = pq.read_schema(tmp_path / "v.parquet")
    assert schema.names == ["id", "path", "split", "label", "vector"]
    assert schema.field("vector").type.list_size == v.h.shape[1]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "table", "v.npz", "v.parquet"], "no parts are left"


def test_it_goes_on_and_computes_only_what_is_missing(place, tmp_path, monkeypatch):
    monkeypatch.setattr(write, "PART", 256)
    images = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (1000, 3, 24, 24), dtype=np.uint8))
    source = tv.images("digits")
    source = type(source)(images, np.arange(1000) % 4, list("wxyz"), "made")
    tv.embed(place / "net.safetensors", source, tmp_path / "v", device="cpu")
    whole = tv.read_vectors(str(tmp_path / "v"))
    parts = sorted((tmp_path / "v").glob("part-*.parquet"))
    assert [pq.read_metadata(p).num_rows for p in parts] == [256, 256, 256, 232]
    kept = parts[0].stat().st_mtime_ns
    parts[1].unlink()
    parts[3].unlink()
    tv.embed(place / "net.safetensors", source, tmp_path / "v", device="cpu")
    assert torch.equal(tv.read_vectors(str(tmp_path / "v")).h, whole.h)
    assert parts[0].stat().st_mtime_ns == kept
    source.fingerprint = "others"
    with pytest.raises(tv.UserError, match="begun with other settings"):
        tv.embed(place / "net.safetensors", source, tmp_path / "v", device="cpu")


def test_killed_it_goes_on_and_processes_share_parts(place, tmp_path):
    code = "import sys, twoviews.vectors.write as w\nw.PART = 256\nfrom twoviews.cli.main import main\nsys.exit(main(sys.argv[1:]))"
    (tmp_path / "run.py").write_text(code)
    line = ["embed", str(place / "net.safetensors"), "digits", "--device", "cpu"]
    save_encoder(tmp_path / "gray.safetensors", encoder("convnet", channels=1, size=32), {})
    line[1] = str(tmp_path / "gray.safetensors")
    process = subprocess.Popen([sys.executable, str(tmp_path / "run.py"), *line, "--out", str(tmp_path / "killed")])
    limit = time.monotonic() + 60
    while not list((tmp_path / "killed").glob("part-*")) and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29555"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for head, out in (([sys.executable], "killed"), (torchrun, "two")):
        done = subprocess.run(
            [*head, str(tmp_path / "run.py"), *line, "--out", str(tmp_path / out)], capture_output=True, text=True, env=environment
        )
        assert done.returncode == 0, done.stderr
    one, two = (tv.read_vectors(str(tmp_path / name)) for name in ("killed", "two"))
    assert len(one) == 1797
    assert set(one.splits) == {"train", "test"}
    assert (one.h - two.h).abs().max() < 1e-5
    assert one.paths == two.paths


@settings(max_examples=30)
@given(st.integers(1, 400), st.integers(1, 7), st.integers(1, 12), st.integers(0, 9))
def test_top_k_is_the_definition(n, q, k, seed):
    g = torch.Generator().manual_seed(seed)
    x, queries = torch.randn(n, 6, generator=g), torch.randn(q, 6, generator=g)
    before = searching.ROWS, searching.QUERIES
    searching.ROWS, searching.QUERIES = 64, 3
    try:
        scores, rows = searching.top_k(F.normalize(x, dim=1), queries, k)
    finally:
        searching.ROWS, searching.QUERIES = before
    want, _ = searching.definition(x, queries, min(k, n))
    assert scores.shape == (q, min(k, n))
    assert (scores - want).abs().max() < 1e-5
    assert (F.cosine_similarity(queries[:, None], x[rows], dim=2) - want).abs().max() < 1e-5, "the numbers belong to the scores"


def test_top_k_at_full_tiles_and_with_equal_rows():
    g = torch.Generator().manual_seed(0)
    x = F.normalize(torch.randn(20_000, 16, generator=g), dim=1)
    x[5000:5040] = x[7]  # more equal rows than k
    scores, rows = searching.top_k(x, x[[7, 19_999]], 10)
    assert scores[0].tolist() == pytest.approx([1.0] * 10, abs=1e-5)
    assert set(rows[0].tolist()) <= {7, *range(5000, 5040)}
    assert rows[1, 0] == 19_999


def test_search_finds_the_copies(place, tmp_path):
    query = place / "pictures" / "a" / "00.png"
    found = tv.search(place / "net.safetensors", place / "pictures", [query], k=4, device="cpu", workers=0).as_json()
    paths = [n["path"] for n in found["queries"][0]["neighbours"]]
    assert {"a/00.png", "b/copy.png", "c/copy.jpg"} <= set(paths)
    assert found["queries"][0]["neighbours"][0]["similarity"] == pytest.approx(1.0, abs=1e-4)
    for index in ("faiss", "lance"):
        pytest.importorskip("faiss" if index == "faiss" else "lancedb")
        spec = f"lance:{tmp_path / 'table'}"
        tv.embed(place / "net.safetensors", place / "pictures", spec, device="cpu", workers=0)
        other = tv.search(place / "net.safetensors", spec, [query], k=3, index=index, device="cpu").as_json()
        assert [n["similarity"] for n in other["queries"][0]["neighbours"]] == pytest.approx(
            [n["similarity"] for n in found["queries"][0]["neighbours"][:3]], abs=1e-3
        )


def test_vectors_of_another_encoder_are_refused(place, tmp_path):
    tv.embed(place / "net.safetensors", place / "pictures", tmp_path / "v.parquet", device="cpu", workers=0)
    save_encoder(tmp_path / "other.safetensors", encoder("resnet18", width=0.25, stem="small", size=24, seed=2), {})
    query = place / "pictures" / "a" / "00.png"
    with pytest.raises(tv.UserError, match="holds vectors of another encoder"):
        tv.search(tmp_path / "other.safetensors", tmp_path / "v.parquet", [query], device="cpu")
    with pytest.raises(tv.UserError, match="is no picture that can be read"):
        tv.search(place / "net.safetensors", tmp_path / "v.parquet", [place / "pictures" / "a" / "broken.png"], device="cpu")
    pq.write_table(pq.read_table(tmp_path / "v.parquet").replace_schema_metadata(None), tmp_path / "bare.parquet")
    with pytest.raises(tv.UserError, match="not written by twoviews embed"):
        sinks.read(str(tmp_path / "bare.parquet"))
    (tmp_path / "x.npz").write_bytes(b"no archive")
    with pytest.raises(tv.UserError, match="not written by twoviews embed"):
        sinks.read(str(tmp_path / "x.npz"))
    with pytest.raises(tv.UserError, match="needs the projection head"):
        tv.embed(place / "net.safetensors", place / "pictures", tmp_path / "z.parquet", layer="z", device="cpu")
    with pytest.raises(tv.UserError, match="vectors are written to"):
        tv.embed(place / "net.safetensors", place / "pictures", tmp_path / "v.csv", device="cpu")


def test_planted_duplicates_are_found_and_nothing_else(place):
    found, vectors = tv.duplicates(place / "net.safetensors", place / "pictures", device="cpu", workers=0)
    assert len(found) == 1, found
    assert {p["path"] for p in found[0]["pictures"]} >= {"a/00.png", "b/copy.png", "c/copy.jpg"}
    assert found[0]["similarity"] <= 1
    assert len(vectors) == 63


def test_pairs_across_tiles(monkeypatch):
    monkeypatch.setattr("twoviews.vectors.duplicates.TILE", 7)
    unit = centred(torch.randn(40, 5, generator=torch.Generator().manual_seed(0)))
    i, j, values = pairs(unit, 0.5)
    similar = (unit @ unit.T).triu(1)
    assert sorted(zip(i.tolist(), j.tolist(), strict=True)) == sorted(map(tuple, (similar >= 0.5).nonzero().tolist()))
    assert values.min() >= 0.5 - 1e-6
    chain = F.normalize(torch.tensor([[1.0, 0], [0.9, 0.4], [0.6, 0.8], [-1, 0]]), dim=1)
    groups = groups_of(chain, 0.85)
    assert [rows for rows, _ in groups] == [[0, 1, 2]], "a chain of near pairs is one group"
    assert groups_of(chain, 0.999) == []


def test_choices_cover_all_regions():
    g = torch.Generator().manual_seed(0)
    centres = 5 * torch.eye(8)
    h = torch.cat([centres[i] + 0.3 * torch.randn(n, 8, generator=g) for i, n in enumerate((200, 100, 50, 20, 10, 10, 5, 5))])
    region = np.repeat(np.arange(8), (200, 100, 50, 20, 10, 10, 5, 5))
    for method in ("coverage", "k-centre"):
        chosen = choose(h, 8, method)
        assert len(set(chosen.tolist())) == 8
        assert len(set(region[chosen])) == 8, method
    given_ = np.flatnonzero(region < 5)[[0, 201, 301, 351, 371]]
    rest = choose(h, 3, "coverage", given_)
    assert set(region[rest]) == {5, 6, 7}
    assert set(region[choose(h, 3, "k-centre", given_)]) == {5, 6, 7}
    assert len(set(choose(h, 400, "coverage").tolist())) == 400
    assert (choose(h, 5, "random", seed=1) == choose(h, 5, "random", seed=1)).all()
    assert set(coverage(centred(h), 4, np.empty(0, np.int64))) != set(k_centre(centred(h), 4, np.empty(0, np.int64)))
    with pytest.raises(tv.UserError, match="there are 400 pictures"):
        choose(h, 401)
    with pytest.raises(tv.UserError, match="Did you mean coverage"):
        choose(h, 4, "covrage")


def test_select_leaves_the_test_part_and_given_ones_out(place, tmp_path):
    names = tmp_path / "given.txt"
    names.write_text("a/00.png\nb/01.png\n")
    chosen, _ = tv.select(place / "net.safetensors", place / "pictures", 10, given=str(names), device="cpu", workers=0)
    assert len({p["path"] for p in chosen} | {"a/00.png", "b/01.png"}) == 12
    names.write_text("nowhere.png\n")
    with pytest.raises(tv.UserError, match="match no picture"):
        tv.select(place / "net.safetensors", place / "pictures", 10, given=str(names), device="cpu", workers=0)


def test_the_commands_draw(place, tmp_path):
    def run(*arguments):
        return subprocess.run([sys.executable, "-m", "twoviews", *map(str, arguments)], capture_output=True, text=True)

    query = place / "pictures" / "a" / "00.png"
    tv.embed(place / "net.safetensors", place / "pictures", tmp_path / "v.parquet", device="cpu", workers=0)
    done = run(
        "search",
        place / "net.safetensors",
        tmp_path / "v.parquet",
        "--query",
        query,
        query,
        "-k",
        "3",
        "--out",
        tmp_path / "n.html",
        "--device",
        "cpu",
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "n.html").read_text()
    assert page.count("<img") == 8
    assert "http" not in page.replace("http-equiv", ""), "the page needs no network"
    done = run(
        "duplicates",
        place / "net.safetensors",
        tmp_path / "v.parquet",
        "--out",
        tmp_path / "d.png",
        "--json",
        tmp_path / "d.json",
        "--device",
        "cpu",
    )
    assert done.returncode == 0, done.stderr
    assert "1 groups" in done.stderr
    assert "b/copy.png" in done.stdout
    assert Image.open(tmp_path / "d.png").size[0] > 300
    assert json.loads((tmp_path / "d.json").read_text())[0]["pictures"]
    done = run("select", place / "net.safetensors", tmp_path / "v.parquet", "-n", "5", "--out", tmp_path / "s.png", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 5


def test_memory_does_not_grow_with_the_pictures(tmp_path):
    """Peak memory of real processes: ten times the pictures, the same memory (the vectors alone would take 74 MB more)."""
    code = """
import resource, sys
import numpy as np, torch
import twoviews as tv
from twoviews.nets.encoder import adopt

class Wide(torch.nn.Linear):
    num_features = 1024
    def forward(self, x): return super().forward(x.flatten(1))

class Made:
    labels, classes = None, ()
    def __init__(self, n): self.n, self.fingerprint = n, str(n)
    def __len__(self): return self.n
    def name(self, i): return str(i)
    def read(self, i): return torch.full((3, 8, 8), i % 251, dtype=torch.uint8)

torch.set_num_threads(1)
net = adopt(Wide(48, 1024), 3, 4, "antialias")
tv.embed(net, Made(int(sys.argv[1])), sys.argv[2], device="cpu", workers=0)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
    peaks = []
    for count in (8192, 8192 + 18_000):
        done = subprocess.run([sys.executable, "-c", code, str(count), str(tmp_path / f"{count}.parquet")], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        peaks.append(float(done.stdout))
    assert pq.read_metadata(tmp_path / "26192.parquet").num_rows == 26_192
    assert peaks[1] - peaks[0] < 30, peaks
