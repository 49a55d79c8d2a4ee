"""A row is not an id: the same names for the same images from every sink and every index, whichever files drop out; and sets of too few or too equal."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

import twoviews as tv
from twoviews.base.files import read_json
from twoviews.nets.encoder import encoder, save_encoder
from twoviews.pages.config import ServeConfig
from twoviews.pages.explore import Explorer
from twoviews.probes import features
from twoviews.sources.config import Reading
from twoviews.sources.decode import read_file
from twoviews.sources.source import Small
from twoviews.training.sheet import to_pil
from twoviews.vectors import search as searching
from twoviews.vectors import sinks, write
from twoviews.vectors.config import EmbedConfig
from twoviews.vectors.duplicates import centred, groups_of
from twoviews.vectors.select import METHODS, choose
from twoviews.vectors.show import Album
from twoviews.views.pipeline import as_float

from ..conftest import twoviews

NAMES = [f"{part}/{'ab'[n > 4]}/{n:02}.png" for part, count in (("train", 9), ("test", 7)) for n in range(count)]
OPTIONS = {"device": "cpu", "workers": 0, "check": "none"}
GONE = {
    "nothing": (),
    "the first": (0,),
    "the middle": (4,),
    "the last of each part": (8, 15),
    "a whole part of the vectors": (4, 5, 6, 7),
    "the first of the test part": (9,),
    "many": (0, 1, 3, 8, 9, 11, 15),
}
TARGETS = ("folder", "v.parquet", "v.npz", "lance")


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    """An untrained encoder's file, and images of several sizes, so that they are read as files and a lost one leaves a gap."""
    root = tmp_path_factory.mktemp("ids")
    save_encoder(root / "net.safetensors", encoder("convnet", size=32, seed=1), {})
    generator = np.random.default_rng(0)
    for number, name in enumerate(NAMES):
        file = root / "images" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(generator.integers(0, 256, (3, 4, 3), dtype=np.uint8))
        coarse.resize((40 + number, 36), Image.Resampling.BICUBIC).save(file)
    tv.embed(root / "net.safetensors", root / "images", root / "whole.parquet", **OPTIONS)
    return root


@pytest.fixture
def parts_of_four(monkeypatch):
    monkeypatch.setattr(write, "PART", 4)
    monkeypatch.setattr(features, "BATCH", 4)


def folder_without(net, tmp_path, gone):
    """The images, with some files cut off in the middle."""
    for number, name in enumerate(NAMES):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        data = (net / "images" / name).read_bytes()
        (tmp_path / "images" / name).write_bytes(data[:300] if number in gone else data)
    return tmp_path / "images"


def by_a_plain_loop(net, gone, query, k):
    """(part, path, cosine) of the k nearest, from vectors that were made while all files were whole."""
    whole = tv.read_vectors(str(net / "whole.parquet"))
    rows = {f"{s}/{p}": h for s, p, h in zip(whole.splits, whole.paths, whole.h, strict=True)}
    found = [(name, float(F.cosine_similarity(query, rows[name], dim=0))) for number, name in enumerate(NAMES) if number not in gone]
    return sorted(found, key=lambda one: -one[1])[:k]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("gone", GONE.values(), ids=GONE)
def test_every_index_names_the_same_images_in_every_sink(net, tmp_path, parts_of_four, target, gone):
    if target == "lance":
        pytest.importorskip("lancedb")
    images = folder_without(net, tmp_path, gone)
    out = f"lance:{tmp_path / 'table'}" if target == "lance" else str(tmp_path / target)
    tv.embed(net / "net.safetensors", images, out, **OPTIONS)
    vectors = tv.read_vectors(out)
    assert [f"{s}/{p}" for s, p in zip(vectors.splits, vectors.paths, strict=True)] == [n for i, n in enumerate(NAMES) if i not in gone]
    assert vectors.ids.tolist() == [i for i in range(len(NAMES)) if i not in gone], "an id is the image's number over all parts"
    queries = [net / "images" / NAMES[n] for n in (0, 5, 15)]
    indexes = ["exact", *(["faiss"] if pytest.importorskip("faiss") else []), *(["lance"] if target == "lance" else [])]
    for k in (1, 3, 99):
        for index in indexes:
            found = tv.search(net / "net.safetensors", out, queries, k=k, index=index, **OPTIONS)
            for query, asked in zip(queries, found.as_json()["queries"], strict=True):
                want = by_a_plain_loop(net, gone, write.Embedder(net / "net.safetensors", EmbedConfig(device="cpu")).file(query), k)
                assert [f"{n['split']}/{n['path']}" for n in asked["neighbours"]] == [name for name, _ in want], (index, k)
                assert [n["similarity"] for n in asked["neighbours"]] == pytest.approx([value for _, value in want], abs=2e-6)
                assert [NAMES[n["id"]] for n in asked["neighbours"]] == [name for name, _ in want], "ids are not rows"


@pytest.mark.parametrize("gone", [(0,), (2, 9), (8, 15)])
def test_images_beside_names_are_those_of_the_names(net, tmp_path, gone):
    """Cells of sheets and the pictures of the local page, with the vectors from a file and with those made on the way."""
    images = folder_without(net, tmp_path, gone)
    tv.embed(net / "net.safetensors", images, tmp_path / "v.parquet", **OPTIONS)
    for spec in (tmp_path / "v.parquet", images):
        explorer = Explorer(net / "net.safetensors", str(spec), tmp_path / "labels", ServeConfig(**OPTIONS))
        vectors, album = explorer.vectors, Album(explorer.vectors)
        for row, (split, path) in enumerate(zip(vectors.splits, vectors.paths, strict=True)):
            picture = as_float(read_file(images / split / path, Reading()))
            assert torch.equal(album.picture(row), picture)
            cell = album.cell(int(vectors.ids[row]))
            assert cell.lines[0] == f"{split}: {path}"
            assert cell.picture.tobytes() == to_pil(picture).tobytes()
            assert explorer.near(row, 1)[0][0] != row
    with pytest.raises(KeyError):
        album.cell(gone[0])


def test_duplicates_and_choices_carry_ids_over_a_gap(net, tmp_path):
    images = folder_without(net, tmp_path, (1,))
    (images / NAMES[7]).write_bytes((images / NAMES[3]).read_bytes())
    found, _ = tv.duplicates(net / "net.safetensors", images, **OPTIONS)
    assert [[(p["id"], p["path"]) for p in group["pictures"]] for group in found] == [[(3, "a/03.png"), (7, "b/07.png")]]
    chosen, _ = tv.select(net / "net.safetensors", images, 8, **OPTIONS)
    assert sorted(p["id"] for p in chosen) == [0, 2, 3, 4, 5, 6, 7, 8], "all of the training part that can be read, none of the test part"
    assert all(NAMES[p["id"]] == f"{p['split']}/{p['path']}" for p in chosen)
    with pytest.raises(tv.UserError, match="there are 8 pictures to choose from"):
        tv.select(net / "net.safetensors", images, 9, **OPTIONS)


def test_a_run_whose_weights_went_on_gets_other_vectors(net, tmp_path):
    """Vectors that a RUN keeps are those of its weights as they are now."""
    run, found = tmp_path / "run", []
    run.mkdir()
    (run / "config.json").write_text("{}")
    for seed in (1, 2, 1):
        save_encoder(run / "encoder.safetensors", encoder("convnet", size=32, seed=seed), {})
        found.append(write.vectors_of(write.Embedder(run, EmbedConfig(**OPTIONS)), net / "images").h)
    assert torch.equal(found[0], found[2])
    assert not torch.allclose(found[0], found[1], atol=1e-3)
    assert len(list((run / "vectors").iterdir())) == 2


def table_of(h, tmp_path):
    """Vectors with gaps between their ids, as a LanceDB table, and read back."""
    ids = np.arange(len(h)) * 3 + 1
    source = Small(torch.zeros(len(h), 1, 8, 8, dtype=torch.uint8), None, [], "made")
    sinks.write_part(tmp_path / "part-0-000000.parquet", source, ids, 0, "all", h, {"encoder": "x"})
    sinks.merge([tmp_path / "part-0-000000.parquet"], f"lance:{tmp_path / 'table'}")
    return sinks.read(f"lance:{tmp_path / 'table'}")


FEW = {
    "one image": torch.tensor([[1.0, 2.0, 3.0]]),
    "zeros among others": torch.tensor([[0.0, 0, 0], [1, 2, 3], [0, 0, 0], [-1, 0, 1], [-3, -2, 0]]),
    "all zeros": torch.zeros(4, 3),
    "all equal": torch.ones(30, 3),
    "pairs of equals": torch.eye(3).repeat(2, 1),
}


@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize("query", [(1.0, 0.5, 0.0), (0.0, 0.0, 0.0)], ids=["a query", "a query of zeros"])
def test_indexes_agree_where_there_is_little_to_compare(tmp_path, name, query):
    pytest.importorskip("lancedb")
    pytest.importorskip("faiss")
    vectors, queries = table_of(FEW[name], tmp_path), torch.tensor([query])
    for k in (1, 2, 50):
        values = [float(F.cosine_similarity(queries[0], h, dim=0)) for h in FEW[name]]
        want = sorted(range(len(values)), key=lambda row: (-round(values[row], 6), row))[:k]
        for index, ask in searching.INDEXES.items():
            scores, rows = ask(vectors, queries, k, f"lance:{tmp_path / 'table'}")
            assert rows.tolist() == [want], (index, k)
            assert scores[0].tolist() == pytest.approx([values[row] for row in want], abs=1e-6)


def test_ids_lead_to_rows_and_nothing_else_does(tmp_path):
    vectors = sinks.Vectors(torch.zeros(3, 2), ["a", "b", "c"], ["all"] * 3, [None] * 3, {}, np.array([2, 5, 9]))
    assert vectors.rows([9, 2, 2]).tolist() == [2, 0, 0]
    assert vectors.rows([]).tolist() == []
    assert vectors.entry(1) == {"id": 5, "path": "b", "split": "all", "label": None}
    for absent in (0, 1, 3, 10):
        with pytest.raises(KeyError, match=str(absent)):
            vectors.rows([2, absent])


def test_a_common_offset_makes_no_duplicates():
    """After a ReLU all vectors point the same way: raw cosines here are above 0.999."""
    g = torch.Generator().manual_seed(0)
    h = 100 + torch.randn(40, 16, generator=g)
    h[7] = h[30] + 0.01 * torch.randn(16, generator=g)
    unit = F.normalize(h, dim=1)
    assert (unit @ unit.T).min() > 0.999
    assert [rows for rows, _ in groups_of(centred(h), 0.97)] == [[7, 30]]


@pytest.mark.parametrize("offset", [0.0, 1.0, 1e4])
@pytest.mark.parametrize("copies", [2, 3, 5])
def test_copies_alone_are_one_group(copies, offset):
    h = (offset + torch.randn(1, 16, generator=torch.Generator().manual_seed(copies))).repeat(copies, 1)
    assert groups_of(centred(h), 1.0) == [(list(range(copies)), 1.0)]
    beside = torch.cat([h, offset + torch.randn(1, 16, generator=torch.Generator().manual_seed(9))])
    assert [rows for rows, _ in groups_of(centred(beside), 0.97)] == [list(range(copies))]


def test_images_alone_and_two_different_ones_are_no_group():
    h = torch.randn(2, 16, generator=torch.Generator().manual_seed(0)) + 1
    assert groups_of(centred(h), 0.97) == []
    assert groups_of(centred(h[:1]), 0.97) == []


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("h", [torch.ones(6, 4), torch.zeros(6, 4), torch.eye(2).repeat(3, 1)], ids=["constant", "zeros", "pairs"])
def test_every_method_chooses_among_equal_vectors(h, method, recwarn):
    for n in (1, 3, 6):
        assert len(set(choose(h, n, method).tolist())) == n
    assert set(choose(h, 4, method, np.array([1, 3])).tolist()) == {0, 2, 4, 5}
    assert choose(h[:1], 1, method).tolist() == [0]
    assert not recwarn.list
    with pytest.raises(tv.UserError, match="there are 0 pictures"):
        choose(h[:1], 1, method, np.array([0]))


@pytest.fixture(scope="module")
def deep(tmp_path_factory):
    """16-bit images of several sizes, of few values each: how they are read decides their vectors."""
    folder = tmp_path_factory.mktemp("deep") / "u16"
    folder.mkdir()
    g = np.random.default_rng(0)
    for n in range(6):
        low, high = sorted(g.integers(0, 65536, 2).tolist())
        Image.fromarray(g.integers(low, high + 300, (40, 41 + n)).clip(0, 65535).astype(np.uint16)).save(folder / f"{n}.png")
    return folder


@pytest.mark.parametrize("target", ["v.parquet", "v", "v.npz", "lance"])
@pytest.mark.parametrize("fed", [{"range": "data"}, {"size": 48}, {"range": "0:70000", "size": 24}, {}])
def test_a_query_is_fed_as_the_vectors_were_and_other_settings_are_refused(net, deep, tmp_path, target, fed):
    if target == "lance":
        pytest.importorskip("lancedb")
    out = f"lance:{tmp_path / 'table'}" if target == "lance" else str(tmp_path / target)
    tv.embed(net / "net.safetensors", deep, out, **fed, **OPTIONS)
    files = sorted(deep.iterdir())
    for options in ({}, fed):
        found = tv.search(net / "net.safetensors", out, files, k=1, **options, **OPTIONS)
        assert [found.vectors.paths[row] for row in found.rows[:, 0].tolist()] == [file.name for file in files]
        assert found.scores.min() > 1 - 1e-5
    for other, words in (({"range": "7:70"}, "range"), ({"size": 40}, "size 40")):
        with pytest.raises(tv.UserError, match=f"here they are fed at.*{words}"):
            tv.search(net / "net.safetensors", out, files[:1], **other, **OPTIONS)
        with pytest.raises(tv.UserError, match="here they are fed at"):
            tv.duplicates(net / "net.safetensors", out, **other, **OPTIONS)


def swapped(a, b):
    """Two files of one length with each other's bytes."""
    one, two = a.read_bytes(), b.read_bytes()
    assert len(one) == len(two)
    a.write_bytes(two)
    b.write_bytes(one)


def moved(a, b):
    """The same by moving, which keeps their times."""
    for file in (a, b):
        os.utime(file, (1e9, 1e9))
    a.rename(a.with_name("aside"))
    b.rename(a)
    a.with_name("aside").rename(b)


@pytest.mark.parametrize("kind", [".bmp", ".tif", ".npy"])
@pytest.mark.parametrize("swap", [swapped, moved])
def test_files_that_changed_in_place_get_new_vectors(tmp_path, capsys, kind, swap):
    """Whatever their lengths; a RUN of them goes on all the same, and vectors of before are told of."""
    run, folder = tmp_path / "run", tmp_path / "images"
    run.mkdir()
    folder.mkdir()
    (run / "config.json").write_text("{}")
    save_encoder(run / "encoder.safetensors", encoder("convnet", size=32, seed=1), {})
    for n in range(4):
        array = np.random.default_rng(n).integers(0, 256, (36, 40, 3) if n % 2 else (40, 36, 3), dtype=np.uint8)
        np.save(folder / f"{n}.npy", array) if kind == ".npy" else Image.fromarray(array).save(folder / f"{n}{kind}")
    tv.embed(run, folder, tmp_path / "v.parquet", **OPTIONS)
    options = {**OPTIONS, "k": 1}
    before = tv.images(str(folder)).fingerprint
    first, query = folder / f"0{kind}", tmp_path / f"query{kind}"
    query.write_bytes(first.read_bytes())
    nearest = [tv.search(run, folder, [query], **options).as_json()["queries"][0]["neighbours"][0]["path"]]
    swap(first, folder / f"1{kind}")
    nearest.append(tv.search(run, folder, [query], **options).as_json()["queries"][0]["neighbours"][0]["path"])
    assert nearest == [first.name, f"1{kind}"]
    assert len(list((run / "vectors").iterdir())) == 1, "vectors of files as they were before are of no use"
    assert tv.images(str(folder)).fingerprint == before
    capsys.readouterr()
    Album(tv.read_vectors(str(tmp_path / "v.parquet"))).cell(0)
    assert "written anew or moved since the vectors were made" in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.parametrize("target", TARGETS)
def test_embed_counts_vectors_and_not_images_that_have_none(net, tmp_path, monkeypatch, target):
    if target == "lance":
        pytest.importorskip("lancedb")
    monkeypatch.chdir(tmp_path)
    folder = folder_without(net, tmp_path, (1, 12))
    out = "lance:table" if target == "lance" else target
    line = [
        "embed",
        net / "net.safetensors",
        folder,
        "--out",
        out,
        "--json",
        "e.json",
        "--check",
        "none",
        "--workers",
        "0",
        "--device",
        "cpu",
    ]
    done = twoviews(*line)
    assert done.returncode == 0
    assert f"14 vectors of 16 images, in {out}; 2 could not be read" in done.stderr
    about = read_json(tmp_path / "e.json")
    assert (about["vectors"], about["images"]["count"], len(tv.read_vectors(out))) == (14, 16, 14)
    for name in NAMES:
        (folder / name).write_bytes(b"\x89PNG\r\n\x1a\n broken")
    line[4] = out.replace("table", "none").replace("folder", "none").replace("v.", "none.")
    (tmp_path / "e.json").unlink()
    done = twoviews(*line)
    assert done.returncode in (1, 2), done.stderr
    assert "none of its 16 images could be read" in done.stderr
    assert not [path.name for path in tmp_path.iterdir() if "none" in path.name or path.name == "e.json"]


def test_names_tell_the_parts_apart_in_lines_captions_and_pages(net, tmp_path, monkeypatch):
    """The same path in several parts: what is printed says which, and select's lines are found again by it."""
    monkeypatch.chdir(tmp_path)
    for n, part in enumerate(("train", "train", "test", "test")):
        file = tmp_path / "images" / part / "ab"[n % 2] / "1.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes((net / "images" / NAMES[n % 2]).read_bytes())
    tail = ("--workers", "0", "--device", "cpu")
    encoder_ = net / "net.safetensors"
    query = tmp_path / "images" / "test" / "a" / "1.png"
    done = twoviews("search", encoder_, "images", "--query", query, "-k", "2", "--out", "n.html", *tail)
    assert f"{query}: train: a/1.png 1.000, test: a/1.png 1.000" in done.stderr
    assert all(f"{part}: a/1.png<br>" in (tmp_path / "n.html").read_text("utf-8") for part in ("train", "test"))
    done = twoviews("duplicates", encoder_, "images", "--threshold", "1", "--out", "d.html", *tail)
    assert [line.split("\t")[1:] for line in done.stdout.splitlines()] == [
        ["train: a/1.png", "test: a/1.png"],
        ["train: b/1.png", "test: b/1.png"],
    ]
    assert 'alt="test: b/1.png"' in (tmp_path / "d.html").read_text("utf-8")
    done = twoviews("select", encoder_, "images", "-n", "1", *tail)
    assert done.stdout in ("train: a/1.png\n", "train: b/1.png\n")
    (tmp_path / "given.txt").write_text(done.stdout)
    rest, _ = tv.select(encoder_, tmp_path / "images", 1, given=str(tmp_path / "given.txt"), **OPTIONS)
    assert f"train: {rest[0]['path']}\n" != done.stdout
    found = tv.knn(encoder_, tmp_path / "images", labels=(str(tmp_path / "given.txt"),), baselines=("none",), device="cpu", workers=0)
    assert found.rows[0]["labels_used"] == 1


def test_a_new_table_of_lancedb_is_made_without_its_warning(tmp_path):
    """In a process of its own: it asks how much to say when it is loaded."""
    if find_spec("lancedb") is None:
        pytest.skip("LanceDB is not installed")
    code = (
        "import sys, pyarrow as pa; from twoviews.vectors import sinks; sinks.connect(sys.argv[1]).create_table('x', pa.table({'a': [1]}))"
    )
    done = subprocess.run([sys.executable, "-c", code, f"lance:{tmp_path / 'table'}"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
