"""The kinds of sources: lists, Hugging Face sets, row groups, shards; and the order in which an epoch sees them."""

from __future__ import annotations

import csv
import http.server
import io
import json
import signal
import subprocess
import sys
import tarfile
import threading
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from twoviews.base.errors import RunError, UserError
from twoviews.base.files import sha256
from twoviews.sources import shards as shards_module
from twoviews.sources import table as table_module
from twoviews.sources.config import ReadConfig
from twoviews.sources.errors import Unreadable
from twoviews.sources.loader import Loader
from twoviews.sources.order import Batches, Order, some
from twoviews.sources.shard import shard
from twoviews.sources.shards import expand
from twoviews.sources.spec import images, open_pictures
from twoviews.views.pipeline import Views


@pytest.fixture
def folder(tmp_path):
    """24 pictures of several sizes in three class folders."""
    for n in range(24):
        path = tmp_path / "photos" / f"c{n % 3}" / f"{n:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((150 + n, 140), 60).convert("RGB").save(path)
    return tmp_path / "photos"


def write_list(path, rows, names=("path", "label"), **options):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, **options).writerows([names, *rows])
    return path


# -- lists ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet"])
def test_lists(folder, kind):
    rows = [(f"c{n % 3}/{n:02d}.png", ("zebra", "ant")[n % 2], ("train", "test")[n % 4 == 0]) for n in range(24)]
    path = folder / f"list.{kind}"
    if kind == "parquet":
        columns = dict(zip(("file", "class", "split"), map(list, zip(*rows, strict=True)), strict=True))
        pq.write_table(pa.table(columns), path)
    else:
        write_list(path, rows, ("file", "class", "split"), delimiter="\t" if kind == "tsv" else ",")
    pictures = open_pictures(path)
    assert {name: len(source) for name, source in pictures.splits.items()} == {"train": 18, "test": 6}
    assert pictures.training.classes == ["ant", "zebra"]
    assert pictures.training.labels[:3].tolist() == [0, 1, 0]
    assert pictures.training.read(0).shape == (3, 140, 151)
    assert pictures.test.name(1) == "c1/04.png"


def test_columns_are_named_or_guessed(folder):
    rows = [(f"c{n % 3}/{n:02d}.png", n % 10, f"k{n % 3}") for n in range(24)]
    path = write_list(folder / "a.csv", rows, ("where", "number", "kind"))
    with pytest.raises(UserError, match=r"--path-column.*It has where, number, kind"):
        open_pictures(path)
    with pytest.raises(UserError, match=r"has no column 'wher'\. Did you mean where"):
        open_pictures(path, config=ReadConfig(path_column="wher"))
    with pytest.raises(UserError, match=r"no column 'kinds'\. Did you mean kind"):
        open_pictures(path, config=ReadConfig(path_column="where", label_column="kinds"))
    found = open_pictures(path, config=ReadConfig(path_column="where", label_column="number"))
    assert found.training.classes == [str(n) for n in range(10)]
    assert open_pictures(path, config=ReadConfig(path_column="where")).training.labels is None


def test_wrong_lists(folder, tmp_path):
    for text, words in {
        "": "is empty",
        "path,label\n": "no rows",
        "path,label\na.png\n": "row 2 has 1 fields",
        "path,label\n,x\n": "row 1 has no path",
        "path,split\na.png,nonsense\n": "split 'nonsense'",
        "path\n\0\n": "no text|cannot be read",
    }.items():
        (folder / "bad.csv").write_text(text)
        with pytest.raises(UserError, match=words):
            open_pictures(folder / "bad.csv")
    path = write_list(
        folder / "gone.csv", [("nowhere.png", "a"), ("c0/00.png", "b"), ("x" * 4000 + ".png", "c"), ("a\0.png"[:1] + ".png", "d")]
    )
    skipped = dict(open_pictures(path).skipped)
    assert skipped["nowhere.png"] == "No such file or directory"
    assert skipped["x" * 4000 + ".png"] == "File name too long"


def test_lists_may_be_kept_to_their_folder(folder):
    (folder / "inside").mkdir()
    (folder / "inside" / "out").symlink_to(folder.parent)
    Image.new("RGB", (200, 200)).save(folder.parent / "outside.png")
    for name in ("../outside.png", str(folder.parent / "outside.png"), "inside/out/outside.png"):
        path = write_list(folder / "a.csv", [("c0/00.png", "x"), (name, "y")])
        assert len(open_pictures(path).training) == 2
        with pytest.raises(UserError, match=r"row 2 points outside its folder.*--root-only"):
            open_pictures(path, config=ReadConfig(root_only=True))


# -- order ---------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(1, 5), st.integers(0, 3))
@settings(max_examples=150, deadline=None)
def test_an_order_sees_each_picture_once_and_is_the_same_however_it_is_read(counts, window, epoch):
    bounds = np.cumsum([0, *counts])
    n = int(bounds[-1])
    order = Order(n, bounds, window, 7, "order", epoch)
    whole = order[0:n]
    assert sorted(whole.tolist()) == list(range(n))
    again = Order(n, bounds, window, 7, "order", epoch)
    assert [int(again[i : i + 1][0]) for i in reversed(range(n))] == whole[::-1].tolist()
    block = np.searchsorted(bounds, whole, "right") - 1
    for start in range(0, len(counts), window):  # a window's blocks come together, and no others
        length = sum(counts[b] for b in order.blocks[start : start + window])
        at = sum(counts[b] for b in order.blocks[:start])
        assert set(block[at : at + length]) == set(order.blocks[start : start + window].tolist())
    if n > 20:
        assert (Order(n, bounds, window, 7, "order", epoch + 1)[0:n] != whole).any()


def test_keyed_pictures_of_a_huge_source_come_from_a_few_blocks(folder, tmp_path):
    class Huge:
        blocks = np.arange(0, 10**9 + 1, 10_000)

        def __len__(self):
            return 10**9

    ids = some(Huge(), 25_000, 0, "x")
    assert len(set(ids.tolist())) == 25_000
    assert len({i // 10_000 for i in ids.tolist()}) == 4
    assert len(some(Huge(), 75_000, 0, "x")) == 75_000
    shard(folder, tmp_path / "out", per_shard=7)
    source = open_pictures(f"shards:{tmp_path / 'out'}").training
    few = source.labels_at(np.array([20, 3, 9]))
    assert source._labels is None  # the others' indexes were not read for it
    assert few.tolist() == source.labels[[20, 3, 9]].tolist()
    assert few.tolist() == source.labels_at(np.array([20, 3, 9])).tolist()


def test_batches_are_shared_by_processes():
    order = Order(40, np.array([0, 10, 25, 40]), 2, "o")
    alone = list(Batches(order, 8, slice(0, 8), 1, 5, 3, "v"))
    halves = [list(Batches(order, 8, slice(k, k + 4), 1, 5, 3, "v")) for k in (0, 4)]
    for (ids, keys), *parts in zip(alone, *halves, strict=True):
        assert ids.tolist() == np.concatenate([p[0] for p in parts]).tolist()
        assert keys.tolist() == np.concatenate([p[1] for p in parts]).tolist()


# -- shards --------------------------------------------------------------------------------------------------------


def test_shards_keep_bytes_names_and_labels(folder, tmp_path):
    index = shard(folder, tmp_path / "out", per_shard=7)
    assert index["count"] == 24
    assert [s["count"] for s in index["splits"]["all"]] == [7, 7, 7, 3]
    for own in index["splits"]["all"]:
        assert sha256(tmp_path / "out" / own["file"]) == own["sha256"]
    source = open_pictures(f"shards:{tmp_path / 'out'}").training
    before = open_pictures(folder, in_memory=False).training
    assert source.classes == before.classes
    at = {before.name(n): n for n in range(24)}
    assert sorted(source.name(n) for n in range(24)) == sorted(at)
    assert [source.name(n) for n in range(24)] != sorted(at)  # mixed, so that a shard is no single class
    for n in range(24):
        assert source.bytes(n) == before.bytes(at[source.name(n)])
        assert source.labels[n] == before.labels[at[source.name(n)]]
    with tarfile.open(tmp_path / "out" / "all-000000.tar") as archive:  # and others read them: WebDataset's layout
        names = archive.getnames()
    assert names[:3] == ["all-000000-0000000.png", "all-000000-0000000.cls", "all-000000-0000000.json"]
    kept = shard(folder, tmp_path / "sorted", per_shard=7, sort=True)
    assert [open_pictures(f"shards:{tmp_path / 'sorted'}").training.name(n) for n in range(24)] == sorted(at)
    assert kept["count"] == 24


def test_webdataset_reads_our_shards_and_we_read_theirs(folder, tmp_path):
    """A tar as WebDataset's own writer lays it out, without an index: keys, a picture, .cls as text."""
    with tarfile.open(tmp_path / "train-000.tar", "w") as archive:
        for n in range(6):
            for suffix, data in (("cls", str(n % 2).encode()), ("jpg", _jpeg(n)), ("json", b"{}")):
                member = tarfile.TarInfo(f"set/{n:05d}.{suffix}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    for pattern in ("train-{000..000}.tar", "train-*.tar", "train-000.tar"):
        source = open_pictures(f"shards:{tmp_path}/{pattern}", config=ReadConfig(cache=str(tmp_path / "cache"))).training
        assert len(source) == 6
        assert source.labels.tolist() == [0, 1, 0, 1, 0, 1]
        assert source.bytes(3) == _jpeg(3)
    assert list((tmp_path / "cache" / "indexes").glob("*.parquet"))


def _jpeg(n):
    file = io.BytesIO()
    Image.effect_noise((150, 140 + n), 60).convert("RGB").save(file, "JPEG", quality=30) if n < 0 else Image.new(
        "RGB", (150, 140 + n), (n, 9, 9)
    ).save(file, "JPEG")
    return file.getvalue()


def test_shards_are_the_same_whoever_writes_and_wherever_it_was_killed(folder, tmp_path):
    want = shard(folder, tmp_path / "a", per_shard=3)
    script = f"import twoviews as tv; tv.shard({str(folder)!r}, {str(tmp_path / 'b')!r}, per_shard=3)"
    ended = False
    for _ in range(30):
        process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
        while process.poll() is None and not list((tmp_path / "b").glob("*.tar")):
            time.sleep(0.002)
        time.sleep(0.003 * (_ % 4))
        process.send_signal(signal.SIGKILL)
        if process.wait() == 0:
            ended = True
            break
        for path in sorted((tmp_path / "b").glob("*.tar"))[1:]:
            path.unlink()  # so that the next one has work to be killed in
        if _ == 3:
            subprocess.run([sys.executable, "-c", script], check=True, stderr=subprocess.DEVNULL)
            ended = True
            break
    assert ended
    assert json.loads((tmp_path / "b" / "index.json").read_text())["splits"] == want["splits"]
    assert not [p.name for p in (tmp_path / "b").iterdir() if p.name.endswith(".part")]


def test_what_is_no_shard_is_refused(folder, tmp_path):
    for spec, words in {
        f"shards:{tmp_path}": "has no index.json",
        f"shards:{tmp_path}/a-{{0..3}}.tar": "a-0.tar does not exist",
        f"shards:{tmp_path}/*.tar": "no such shards",
        "shards:": "names nothing",
    }.items():
        with pytest.raises(UserError, match=words):
            open_pictures(spec)
    (tmp_path / "x.tar").write_bytes(b"no tar" * 1000)
    with pytest.raises(UserError, match=r"x\.tar cannot be read as a tar file"):
        open_pictures(f"shards:{tmp_path}/x.tar", config=ReadConfig(cache=str(tmp_path / "cache")))
    shard(folder, tmp_path / "out", per_shard=9)
    for text in ("[]", "{", '{"splits": {"all": [{"file": "../../etc/passwd.tar", "count": 1, "sha256": ""}]}, "classes": []}'):
        (tmp_path / "out" / "index.json").write_text(text)
        with pytest.raises(UserError, match=r"cannot be read|is not what"):
            open_pictures(f"shards:{tmp_path / 'out'}")


def test_braces():
    assert list(expand("a-{08..11}-{x,y}.tar")) == [f"a-{n:02d}-{c}.tar" for n in range(8, 12) for c in "xy"]
    with pytest.raises(UserError, match="ten million"):
        list(expand("{0..99999999}"))


def test_a_shard_that_was_cut_loses_its_last_pictures_only(folder, tmp_path):
    shard(folder, tmp_path / "out", per_shard=24)
    path = tmp_path / "out" / "all-000000.tar"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    source = open_pictures(f"shards:{tmp_path / 'out'}", config=ReadConfig(check="none")).training
    loader = Loader(source, Views(size=16).crop_pairs, 0, missing="replace")
    (batch,) = loader([(np.arange(24), np.arange(24, dtype=np.uint64))])
    assert 8 < len({one.id for one in batch.lost}) < 16
    assert {one.instead for one in batch.lost}.isdisjoint(one.id for one in batch.lost)
    assert all("ends before this picture does" in one.reason for one in batch.lost)
    assert batch.images.shape == (24, 2, 3, 16, 16)


@pytest.mark.parametrize("kind", ["shards", "table"])
def test_strict_looks_at_everything(kind, folder, tmp_path):
    """Also at what is no file of its own."""
    (folder / "c0" / "00.png").write_bytes(b"broken")
    if kind == "shards":
        shard(folder, tmp_path / "out", per_shard=7, check="none")
        spec = f"shards:{tmp_path / 'out'}"
    else:
        rows = [{"bytes": path.read_bytes(), "path": path.name} for path in sorted(folder.rglob("*.png"))]
        pq.write_table(pa.table({"image": rows}), tmp_path / "a.parquet")
        spec = str(tmp_path / "a.parquet")
    assert len(open_pictures(spec, config=ReadConfig(check="none")).training) == 24
    with pytest.raises(UserError, match=r"1 pictures .*--strict forbids that.*00\.png"):
        open_pictures(spec, config=ReadConfig(strict=True))
    for check in ("auto", "full", "header"):
        found = open_pictures(spec, config=ReadConfig(check=check))
        assert len(found.training) == 23
        assert [name.rpartition("/")[2] for name, _ in found.skipped] == ["00.png"]


def test_a_table_without_rows(tmp_path):
    write_table(tmp_path / "set" / "a.parquet", 0)
    with pytest.raises(UserError, match="holds no pictures"):
        open_pictures(tmp_path / "set" / "a.parquet")


def test_an_index_that_lies_leads_nowhere(folder, tmp_path):
    shard(folder, tmp_path / "out", per_shard=24)
    beside = tmp_path / "out" / "all-000000.tar.index.parquet"
    sound = pq.read_table(beside)
    for offset, size in ((-5, 10), (0, 10**15), (2**62, 2**62), (0, -1)):
        column = {"offset": [offset] * 24, "size": [size] * 24}
        lying = sound
        for name, values in column.items():
            lying = lying.set_column(lying.column_names.index(name), name, pa.array(values, pa.int64()))
        pq.write_table(lying, beside)
        with pytest.raises(Unreadable, match="ends before this picture does"):
            open_pictures(f"shards:{tmp_path / 'out'}", config=ReadConfig(check="none")).training.bytes(0)
    pq.write_table(sound.slice(0, 5), beside)
    with pytest.raises(RunError, match=r"has 5 pictures, index\.json says 24"):
        open_pictures(f"shards:{tmp_path / 'out'}").training.bytes(0)


class Quiet(http.server.SimpleHTTPRequestHandler):
    fails = 0

    def do_GET(self):
        if self.path.endswith(".tar") and Quiet.fails:
            Quiet.fails -= 1
            self.send_error(503)
            return
        super().do_GET()

    def log_message(self, *args):
        pass


@pytest.fixture
def served(folder, tmp_path):
    """Shards over http."""
    shard(folder, tmp_path / "out", per_shard=5)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), lambda *a: Quiet(*a, directory=str(tmp_path / "out")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_shards_over_http(served, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(shards_module, "PAUSE", 0.01)
    config = ReadConfig(cache=str(tmp_path / "cache"))
    Quiet.fails = 2  # a server that stumbles is asked again
    far, near = open_pictures(f"shards:{served}", config=config).training, open_pictures(f"shards:{tmp_path / 'out'}").training
    assert far.fingerprint == near.fingerprint
    assert [far.bytes(n) for n in range(24)] == [near.bytes(n) for n in range(24)]
    assert far.labels.tolist() == near.labels.tolist()
    for beside in (tmp_path / "out").glob("*.index.parquet"):
        beside.unlink()
    monkeypatch.setattr(shards_module, "PAUSE", 60)  # what is not there is not asked for again
    named = open_pictures(f"shards:{served}/all-{{000000..000004}}.tar", config=ReadConfig(cache=str(tmp_path / "new"))).training
    monkeypatch.setattr(shards_module, "PAUSE", 0.01)
    assert named.bytes(11) == near.bytes(11)
    with pytest.raises(UserError, match=r"has no index\.json"):
        open_pictures(f"shards:{served}/nowhere", config=config)
    Quiet.fails = 99
    try:
        with pytest.raises(RunError, match="could not be fetched in 4 tries"):
            open_pictures(f"shards:{served}", config=ReadConfig(cache=str(tmp_path / "other"))).training.bytes(0)
    finally:
        Quiet.fails = 0


def test_the_cache_keeps_its_size_and_what_it_holds_is_what_the_index_says(served, tmp_path, monkeypatch):
    monkeypatch.setattr(shards_module, "PAUSE", 0.01)
    size = (tmp_path / "out" / "all-000000.tar").stat().st_size
    config = ReadConfig(cache=str(tmp_path / "cache"), cache_gb=2.5 * size / 1e9)
    source = open_pictures(f"shards:{served}", config=config).training
    for n in range(24):
        source.bytes(n)
        held = sum(p.stat().st_size for p in (tmp_path / "cache").glob("*.tar"))
        assert held < 4 * size
    other = tmp_path / "out" / "all-000002.tar"
    other.write_bytes(b"x" + other.read_bytes()[1:])
    with pytest.raises(RunError, match="the index says"):
        open_pictures(f"shards:{served}", config=ReadConfig(cache=str(tmp_path / "third"))).training.bytes(12)


def test_object_stores_through_fsspec(folder, tmp_path):
    """fsspec's memory store stands for an object store: the same calls, no files."""
    import fsspec

    shard(folder, tmp_path / "out", per_shard=5)
    memory = fsspec.filesystem("memory")
    memory.put(str(tmp_path / "out"), "/bucket/set", recursive=True)
    source = open_pictures("shards:memory://bucket/set", config=ReadConfig(cache=str(tmp_path / "cache"))).training
    assert len(source) == 24
    assert source.read(5).shape[0] == 3
    some = open_pictures("shards:memory://bucket/set/all-00000*.tar", config=ReadConfig(cache=str(tmp_path / "cache"))).training
    assert len(some) == 24


# -- Parquet by row groups, and hf: ----------------------------------------------------------------------------------


def write_table(path, count, rows=5):
    info = {"info": {"features": {"image": {"_type": "Image"}, "label": {"names": ["a", "b"], "_type": "ClassLabel"}}}}
    pictures = pa.array([{"bytes": _jpeg(n), "path": None} for n in range(count)], pa.struct({"bytes": pa.binary(), "path": pa.string()}))
    table = pa.table({"image": pictures, "label": pa.array([n % 2 for n in range(count)])})
    path.parent.mkdir(exist_ok=True)
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(info)}), path, row_group_size=rows)


def test_tables_too_large_for_memory_are_read_by_row_groups(tmp_path, monkeypatch):
    write_table(tmp_path / "set" / "train-0.parquet", 23)
    write_table(tmp_path / "set" / "test-0.parquet", 4)
    whole = open_pictures(tmp_path / "set", in_memory=False)
    monkeypatch.setattr(table_module, "IN_MEMORY", 10)
    monkeypatch.setattr(table_module, "GROUPS_BYTES", 4000)
    parts = open_pictures(tmp_path / "set", in_memory=False)
    source = parts.training
    assert isinstance(source, table_module.Groups)
    assert source.blocks.tolist() == [0, 5, 10, 15, 20, 23]
    assert [source.bytes(n) for n in range(23)] == [whole.training.bytes(n) for n in range(23)]
    assert source.labels.tolist() == whole.training.labels.tolist()
    assert source.classes == ["a", "b"]
    assert len(source.held) < 5  # and holds no more than it may
    assert len(parts.test) == 4


def test_hugging_face_sets(tmp_path):
    datasets = pytest.importorskip("datasets")
    write_table(tmp_path / "set" / "train-00000-of-00001.parquet", 12)
    write_table(tmp_path / "set" / "test-00000-of-00001.parquet", 4)
    loaded = datasets.load_dataset("parquet", data_dir=str(tmp_path / "set"), cache_dir=str(tmp_path / "hf"))
    loaded.save_to_disk(str(tmp_path / "arrow"))
    for spec, config in (
        (f"hf:{tmp_path / 'arrow'}", ReadConfig()),
        (f"hf:{tmp_path / 'set'}", ReadConfig(streaming=True)),
    ):
        pictures = open_pictures(spec, config=config, in_memory=False)
        assert {name: len(s) for name, s in pictures.splits.items()} == {"train": 12, "test": 4}
        assert pictures.training.classes == ["a", "b"]
        assert pictures.training.labels.tolist() == [n % 2 for n in range(12)]
        assert pictures.training.bytes(7) == _jpeg(7)
        assert pictures.training.read(7).shape == (3, 147, 150)
    loaded["train"].remove_columns("image").save_to_disk(str(tmp_path / "none"))
    with pytest.raises(UserError, match="has no column of pictures"):
        open_pictures(f"hf:{tmp_path / 'none'}")
    with pytest.raises(UserError, match="cannot be opened"):
        open_pictures(f"hf:{tmp_path / 'nowhere'}")


def test_options_of_images_are_checked(folder):
    with pytest.raises(UserError, match="unknown option 'rot'"):
        images(folder, rot="x")
