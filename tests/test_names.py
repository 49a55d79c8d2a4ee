"""Names may be any bytes: how they are shown, found again, drawn and written; and where commands write when nobody says where."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import twoviews as tv
from twoviews.base.console import err, out, plain, say
from twoviews.base.errors import UserError
from twoviews.base.files import finite, read_json, to_json, write_json, write_whole
from twoviews.base.names import default_out, lines_of, meant, name_of, one_line, path_of, printed, reachable, spelled, utf8
from twoviews.base.work import slug
from twoviews.cli.main import main
from twoviews.evaluate.intervals import bootstrap, summary
from twoviews.evaluate.labels import listed
from twoviews.evaluate.metrics import map11, per_class, top1
from twoviews.evaluate.protocol import Result
from twoviews.evaluate.table import cell, table
from twoviews.pages.config import ServeConfig
from twoviews.pages.explore import Explorer
from twoviews.pages.facts import facts
from twoviews.pages.page import results
from twoviews.pages.runs import runs
from twoviews.pages.runs import table as runs_table
from twoviews.training.log import Log, read_log

LATIN = os.fsdecode(b"B\xe4r")
ODD = (
    LATIN,
    os.fsdecode(b"\xff\xfe.png"),
    "line\nbreak\ttab",
    "\x1b[31mred",
    "next\x85line",
    "right\u202eleft",
    "👨‍👩‍👧 é e\u0301",
    "[/red] [bold]:cat:",
    " spaces ",
    "%#?&<b>\"'",
    "-dash",
)


@pytest.mark.parametrize("name", ODD)
def test_a_name_is_shown_in_utf8_and_found_again_by_that(name):
    assert meant(one_line(name)) == meant(utf8(name)) == name
    assert "\n" not in one_line(name)
    for shown in (one_line(name), utf8(name)):
        shown.encode("utf-8")
    assert json.loads(to_json({name: [name]})) == {utf8(name): [utf8(name)]}
    assert utf8(utf8(name)) == utf8(name)


def test_names_of_utf8_stay_as_they_are():
    for name in ("Bär/e\u0301.png", "👨‍👩‍👧", "a\\xe4", "日本 語", "[x] %#?"):
        assert utf8(name) == name == one_line(name)
    assert utf8(LATIN) == one_line(LATIN) == "B\\xe4r"
    assert one_line("\x85") == "\\u0085", "\\x85 is a byte"
    assert plain(f"{LATIN}\nsecond\r") == "B\\xe4r\nsecond\\r"
    assert meant("a\\ud800") == "a\\ud800", "no file is called so"


def test_paths_are_found_by_their_escaped_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (LATIN, "a\\xe5", os.fsdecode(b"a\xe5"), "two\nlines"):
        Path(name).mkdir()
    assert path_of("B\\xe4r") == LATIN
    assert path_of("lance:B\\xe4r") == f"lance:{LATIN}"
    assert path_of("two\\nlines") == "two\nlines"
    assert path_of("a\\xe5") == "a\\xe5", "what stands there by that very name comes first"
    assert path_of("C\\xe4r") == "C\\xe4r"
    assert path_of(f"{'x' * 5000}\\xe4") == f"{'x' * 5000}\\xe4"


@pytest.mark.parametrize("name", [LATIN, f"{LATIN}.parquet", "plain.parquet", "x" * 250, "ä" * 120])
def test_any_library_writes_and_reads_at_any_name(tmp_path, name):
    folder = tmp_path / LATIN

    def fill(part):
        os.fsencode(part).decode("utf-8")
        part.write_bytes(b"1")

    write_whole(folder / name, fill)
    assert (folder / name).read_bytes() == b"1"
    assert [path.name for path in folder.iterdir()] == [name]
    os.fsencode(reachable(folder / name)).decode("utf-8")
    assert reachable(folder / name).read_bytes() == b"1"
    assert reachable(folder / name).suffix == utf8(Path(name).suffix)


def test_long_and_odd_names_make_short_folders():
    assert len({slug("x" * 300), slug("x" * 301)}) == 2
    assert max(len(slug(name * 99).encode()) for name in ("ä", "x", LATIN)) <= 100
    assert slug(LATIN) == "b-r"


@pytest.mark.parametrize(
    "data",
    [
        b"B\xe4r/0.png\nKuh/1.png\n",
        b"B\\xe4r/0.png\r\nKuh/1.png",
        b"\xef\xbb\xbfB\\xe4r/0.png\n\n  Kuh/1.png  \n",
        "B\\xe4r/0.png\nKuh/1.png\n".encode("utf-16"),
    ],
    ids=["bytes", "escaped", "a BOM and spaces", "UTF-16"],
)
def test_lists_name_pictures_by_bytes_and_by_escapes(tmp_path, data):
    (tmp_path / "list.txt").write_bytes(data)
    assert listed(tmp_path / "list.txt", [f"{LATIN}/0.png", f"{LATIN}/2.png", "Kuh/1.png"]).tolist() == [0, 2]
    assert listed(tmp_path / "list.txt", ["B\\xe4r/0.png", "Kuh/1.png"]).tolist() == [0, 1], "the names of vectors are escaped already"


def test_lists_name_pictures_with_spaces_breaks_and_other_composition(tmp_path):
    names = [" a .png", "a .png", "line\nbreak.png", "e\u0301.png", "deep/é2.png", "page\x0cfeed.png", "u\u2028.png"]
    (tmp_path / "list.txt").write_text(" a .png\nline\\nbreak.png\né.png\ne\u03012.png\npage\x0cfeed.png\nu\u2028.png\n", encoding="utf-8")
    assert listed(tmp_path / "list.txt", names).tolist() == [0, 2, 3, 4, 5, 6]
    (tmp_path / "list.txt").write_text("x.png\n")
    with pytest.raises(UserError, match="matches several pictures"):
        listed(tmp_path / "list.txt", ["a/x.png", "b/x.png"])
    with pytest.raises(UserError, match="match no picture"):
        listed(tmp_path / "list.txt", [])
    (tmp_path / "list.txt").write_text(" \n\n")
    with pytest.raises(UserError, match="is empty"):
        lines_of(tmp_path / "list.txt") or listed(tmp_path / "list.txt", ["x.png"])


def test_terminals_get_text_as_it_is(capsys):
    """Neither markup nor emoji codes nor bytes of a name do anything, in messages and in tables."""
    out.cache_clear()
    say("[/red] :cat: \x1b[31m" + LATIN)
    figure = {"mean": 0.5, "low": 0.4, "high": 0.6}
    result = Result("knn", {}, [{"subject": f"[/x] :cat: {LATIN}\x1b", "labels": "all", "top1": figure}])
    out().print(table(result))
    printed = capsys.readouterr()
    out.cache_clear()
    assert printed.err == "[/red] :cat: \\x1b[31mB\\xe4r\n" or "[/red] :cat: \\x1b[31mB\\xe4r" in printed.err
    assert "[/x] :cat: B\\xe4r\\x1b" in printed.out


SPECS = {
    ".": True,
    "..": True,
    "./": True,
    "../photos": True,
    "/": True,
    "../link": True,
    "shards:.": True,
    "../other": False,
    "digits": False,
}


@pytest.mark.parametrize("spec", SPECS)
def test_default_places_never_lie_among_the_pictures(tmp_path, monkeypatch, spec):
    (tmp_path / "photos").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "link").symlink_to("photos")
    monkeypatch.chdir(tmp_path / "photos")
    if SPECS[spec]:
        with pytest.raises(UserError, match=r"inside the folder of images.*give --out"):
            default_out(spec, "runs/x")
    else:
        assert default_out(spec, "runs/x") == Path("runs/x")


@pytest.mark.parametrize(
    "arguments", [["train"], ["views"], ["embed", "untrained:convnet"], ["search", "untrained:convnet", "--query", "0.png"]]
)
@pytest.mark.parametrize("spec", [".", "..", "../photos/"])
def test_commands_refuse_to_write_among_their_pictures(tmp_path, monkeypatch, capsys, arguments, spec):
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (40, 36)).save(tmp_path / "photos" / "0.png")
    monkeypatch.chdir(tmp_path / "photos")
    assert main([*arguments[:2], spec, *arguments[2:]]) == 2
    assert "give --out" in capsys.readouterr().err
    assert [path.name for path in tmp_path.rglob("*")] == ["photos", "0.png"]


def test_a_run_is_called_after_its_pictures(tmp_path, monkeypatch):
    (tmp_path / "photos" / "deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "photos")
    found = {
        spec: name_of(spec)
        for spec in (".", "./", "deep/..", "..", "deep", "deep/", "../photos", "digits", "hf:user/set", "a/list.csv", "/")
    }
    assert found == {
        ".": "photos", "./": "photos", "deep/..": "photos", "..": tmp_path.name, "deep": "deep", "deep/": "deep", "../photos": "photos",
        "digits": "digits", "hf:user/set": "set", "a/list.csv": "list.csv", "/": "root",
    }  # fmt: skip


def test_no_json_of_ours_holds_what_is_no_number(tmp_path):
    for value in (float("nan"), float("inf"), [1.0, -float("inf")], {"a": {"b": float("nan")}}):
        with pytest.raises(ValueError, match="not JSON compliant"):
            write_json(tmp_path / "x.json", value)
        write_json(tmp_path / "x.json", finite(value))
    assert finite({"a": (1.0, float("nan"), "x", None, 3)}) == {"a": [1.0, None, "x", None, 3]}
    log = Log(tmp_path, 0)
    log.write({"kind": "step", "step": 1, "loss": float("nan"), "deep": {"x": [float("inf")]}, "pictures": [LATIN]})
    log.close()
    assert read_log(tmp_path, "step") == [{"kind": "step", "step": 1, "loss": None, "deep": {"x": [None]}, "pictures": ["B\\xe4r"]}]


def test_figures_that_cannot_be_computed_are_nothing_and_say_why():
    for values, tested, one_split in (([float("nan")], 0, True), ([float("nan")] * 2, 0, False), ([None], 5, True)):
        found = summary(values, tested, one_split)
        assert (found["mean"], found["low"], found["high"]) == (None, None, None)
        assert found["interval"].startswith("none: ")
        assert cell(found) == "–"
        to_json(found)
    one = summary([0.5], 100, False)
    assert one == {"mean": 0.5, "low": None, "high": None, "interval": "none: one draw", "values": [0.5]}
    assert cell(one) == "50.0 ± –"
    wilson = summary([0.5], 100, True)
    assert (round(wilson["low"], 4), round(wilson["high"], 4)) == (0.4038, 0.5962)


def test_metrics_without_pictures_are_none():
    import torch

    nobody, logits = torch.zeros(0, dtype=torch.long), torch.zeros(0, 3)
    assert top1(logits, nobody) is None
    assert per_class(logits, nobody) is None
    assert map11(torch.randn(4, 2), torch.zeros(4, 2, dtype=torch.long)) is None, "no picture shows any class"
    assert map11(torch.tensor([[1.0, 0], [0, 0]]), torch.tensor([[1, 0], [0, 0]])) == 1.0, "classes that no picture shows do not count"
    assert bootstrap(map11, torch.randn(4, 2), torch.zeros(4, 2, dtype=torch.long), 5) is None


@pytest.fixture(scope="module")
def latin(tmp_path_factory):
    """Labelled pictures in folders of any bytes, and a RUN of them that is called so too."""
    root = tmp_path_factory.mktemp("names") / LATIN
    generator = np.random.default_rng(0)
    for number, folder in enumerate((LATIN, "[/red] :cat: %#?", "line\nbreak")):
        (root / "pictures" / folder).mkdir(parents=True)
        for i, name in enumerate(("0.png", os.fsdecode(b"\xff1.png"), "tab\t2.png", "-3.png", "4 .png", "é5<b>.png", "\u202e6.png")):
            array = (np.full((36, 40 + i, 3), 80 * number) + generator.integers(0, 60, (36, 40 + i, 3))).astype("u1")
            Image.fromarray(array).save(root / "pictures" / folder / name, "PNG")
    (root / "pictures" / LATIN / os.fsdecode(b"broken\xdf.png")).write_bytes(b"no picture")
    options = {"encoder": "convnet", "size": 32, "epochs": 1, "batch": 8, "workers": 0, "device": "cpu"}
    tv.train(root / "pictures", root / f"run[x]{LATIN}", **options)
    return root, root / f"run[x]{LATIN}"


OPTIONS = {"workers": 0, "device": "cpu"}


def all_text_is_whole(folder):
    """Every text file that was written is UTF-8, and every JSON is strict."""

    def refuse(name):
        raise AssertionError(f"{name} in JSON")

    for file in folder.rglob("*"):
        if file.is_file() and file.suffix in (".json", ".jsonl", ".csv", ".html", ".md"):
            text = file.read_bytes().decode("utf-8")
            for part in {".json": [text], ".jsonl": text.splitlines()}.get(file.suffix, []):
                to_json(json.loads(part, parse_constant=refuse)).encode("utf-8")


def test_a_run_of_any_bytes_is_whole(latin):
    root, run = latin
    assert "B\\xe4r/broken\\xdf.png" in (run / "skipped.csv").read_text("utf-8")
    assert read_json(run / "config.json")["source"]["spec"] == utf8(str(root / "pictures"))
    assert list((run / "tensorboard").iterdir())
    assert pq.read_table(reachable(run / "pictures.parquet")).num_rows == 21
    all_text_is_whole(run)
    again = tv.train(root / "pictures", run, encoder="convnet", size=32, epochs=1, batch=8, **OPTIONS)
    assert again.finished()
    (line,) = runs(root)
    assert line["verdict"]
    out.cache_clear()
    text = io.StringIO()
    console = out()
    console.file, console.width = text, 200
    console.print(runs_table([line]))
    out.cache_clear()
    assert "run[x]B\\xe4r" in text.getvalue()


@pytest.mark.parametrize("target", ["v\udce4.parquet", "v\udce4.npz", "v\udce4", "lance:v\udce4.lance"])
def test_vectors_of_any_bytes_are_written_and_found_again(latin, tmp_path, monkeypatch, target):
    if target.startswith("lance"):
        pytest.importorskip("lancedb")
    root, run = latin
    monkeypatch.chdir(tmp_path)
    assert main(["embed", str(run), str(root / "pictures"), "--out", target, "--workers", "0", "--device", "cpu"]) == 0
    query = root / "pictures" / LATIN / os.fsdecode(b"\xff1.png")
    index = ["--index", "lance"] if target.startswith("lance") else []
    for encoder, vectors, file in ((str(run), target, str(query)), (utf8(str(run)), utf8(target), one_line(str(query)))):
        line = [
            "search",
            encoder,
            vectors,
            "--query",
            file,
            "-k",
            "2",
            "--out",
            "n\udce4.json",
            "--workers",
            "0",
            "--device",
            "cpu",
            *index,
        ]
        assert main(line) == 0
        (asked,) = read_json(tmp_path / "n\udce4.json")["queries"]
        assert asked["neighbours"][0]["path"] == "B\\xe4r/\\xff1.png"
        assert asked["neighbours"][0]["label"] == "B\\xe4r"
    assert main(["search", utf8(str(run)), utf8(target), "--query", asked["query"], "--out", "page.html", "--workers", "0"]) == 0
    assert "B\\xe4r/\\xff1.png" in (tmp_path / "page.html").read_text("utf-8")
    all_text_is_whole(tmp_path)


def test_choices_groups_and_labels_are_found_again_by_what_is_printed(latin, tmp_path, monkeypatch, capsys):
    root, run = latin
    monkeypatch.chdir(tmp_path)
    assert main(["select", str(run), str(root / "pictures"), "-n", "9", "--out", "s.png", "--json", "s.json", "--workers", "0"]) == 0
    printed = capsys.readouterr().out
    assert len(printed.splitlines()) == 9, "one a line, whatever they are called"
    (tmp_path / "given.txt").write_text(printed, encoding="utf-8")
    rest, _ = tv.select(run, root / "pictures", 12, given="given.txt", **OPTIONS)
    assert not {p["path"] for p in rest} & {p["path"] for p in read_json(tmp_path / "s.json")}
    assert main(["duplicates", str(run), str(root / "pictures"), "--threshold", "0.01", "--out", "d.html", "--workers", "0"]) == 0
    raw = [os.fsencode(f"{folder}/{name}") for folder in (LATIN, "[/red] :cat: %#?") for name in ("0.png", "-3.png")]
    (tmp_path / "l\udce4.txt").write_bytes(b"\n".join([*raw, b"line\\nbreak/0.png", b"line\\nbreak/\\xff1.png"]))
    found = tv.linear(run, root / "pictures", labels=("l\udce4.txt",), seeds=1, baselines=("none",), **OPTIONS)
    assert found.rows[0]["labels_used"] == 6
    found.write(tmp_path / "linear.json")
    all_text_is_whole(tmp_path)
    all_text_is_whole(run)


def test_a_page_of_any_bytes_is_whole(latin, tmp_path):
    root, run = latin
    tv.knn(run, root / "pictures", seeds=1, baselines=("none",), **OPTIONS)
    for options in ({}, {"images": utf8(str(root / "pictures"))}):
        page = tv.report(run, tmp_path / "r\udce4.html", map="pca", points=12, **options, **OPTIONS)
        text = page.read_text("utf-8")
        assert "B\\xe4r" in text
        assert "é5<b>" not in text
    assert "line\\nbreak" in text


def test_the_local_page_names_pictures_by_their_escapes(latin, tmp_path):
    root, run = latin
    explorer = Explorer(run, str(root / "pictures"), tmp_path / "labels\udce4", ServeConfig(**OPTIONS))
    explorer.label(0, "x")
    explorer.label(20, "y")
    explorer.save()
    again = Explorer(run, str(root / "pictures"), tmp_path / "labels\udce4", ServeConfig(**OPTIONS))
    assert again.given == {0: "x", 20: "y"}
    all_text_is_whole(tmp_path)


@pytest.mark.parametrize("to", ["safetensors", "torch"])
def test_exports_go_to_places_of_any_bytes(latin, tmp_path, to):
    _, run = latin
    folder = tv.export(run, tmp_path / LATIN / to, to=to)
    assert (folder / "README.md").is_file()
    all_text_is_whole(tmp_path)


def test_sheets_and_plots_take_any_name(latin, tmp_path):
    root, run = latin
    assert (
        main(
            [
                "views",
                str(root / "pictures"),
                "--out",
                str(tmp_path / "v\udce4.png"),
                "--json",
                str(tmp_path / "v.json"),
                "--count",
                "8",
                "--size",
                "32",
            ]
        )
        == 0
    )
    assert Image.open(tmp_path / "v\udce4.png").size[0] > 300
    tv.compare(root / "pictures", [run], tmp_path / "c\udce4.png", labels=("all",), seeds=1, baselines=("none",), **OPTIONS)
    all_text_is_whole(tmp_path)


def test_pages_show_what_could_not_be_measured_as_a_dash(latin):
    _, run = latin
    nothing = summary([float("nan")], 0, True)
    one = facts(run)
    one.evaluations = {"knn": {"verb": "knn", "rows": [{"subject": "twoviews", "labels": "all", "top1": nothing}]}}
    assert one.best() is None
    (found,) = results([one])
    assert found["rows"] == [
        {"subject": "twoviews", "labels": "all", "mean": None, "low": None, "high": None, "why": "none: no test picture"}
    ]
    from twoviews.pages.page import render

    assert '<td class="number" title="none: no test picture">–</td>' in render([one], None, "")


def test_a_real_process_takes_bytes_and_prints_what_an_ascii_terminal_can_show(latin, tmp_path):
    root, _ = latin
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LC_") and k not in ("LANG", "PYTHONUTF8")}
    line = [sys.executable, "-m", "twoviews", "runs", os.fsencode(root), "--json", os.fsencode(tmp_path / "r\udce4.json")]
    done = subprocess.run(line, capture_output=True, env={**environment, "PYTHONIOENCODING": "ascii", "LANG": "C", "COLUMNS": "200"})
    assert done.returncode == 0, done.stderr
    assert b"run[x]B\\xe4r" in done.stdout
    assert read_json(tmp_path / "r\udce4.json")[0]["run"] == "run[x]B\\xe4r"


LISTED = {
    "list.csv": "path,label\n0.png,a\n",
    "list.CSV": "path,label\n0.png,a\n",
    "semi.tsv": "label\tpath\na\t0.png\n",
    "quoted.csv": 'label;path\na;"0.png"\n',
    "list.jsonl": '{"path": "0.png"}\n',
    "classes.csv": "path\na/1.png\nb/2.png\n",
    "windows.csv": "path\na\\1.png\nb\\2.png\n",
    "bom.csv": "\ufeffpath\n0.png\n",
}


@pytest.mark.parametrize("name", LISTED)
@pytest.mark.parametrize("where", [".", "a", ".."])
def test_default_places_never_lie_among_the_images_of_a_list(tmp_path, monkeypatch, name, where):
    """Wherever the list lies and whatever form it has; beside a folder that holds all its images there is room."""
    photos = tmp_path / "home" / "photos"
    for file in ("0.png", "a/1.png", "b/2.png"):
        (photos / file).parent.mkdir(parents=True, exist_ok=True)
        (photos / file).write_bytes(b"x")
    (photos / name).write_text(LISTED[name], encoding="utf-8")
    monkeypatch.chdir(photos / where)
    spec = os.path.relpath(photos / name)
    if where == "..":
        assert default_out(spec, "runs/x") == Path("runs/x")
        return
    with pytest.raises(UserError, match=r"inside the folder of images.*give --out"):
        default_out(spec, "runs/x")


def test_a_list_beside_the_folder_of_its_images_leaves_room(tmp_path, monkeypatch):
    (tmp_path / "images" / "a").mkdir(parents=True)
    for file in ("a/1.png", "2.png"):
        (tmp_path / "images" / file).write_bytes(b"x")
    (tmp_path / "list.csv").write_text("path\nimages/a/1.png\nimages/2.png\n", encoding="utf-8")
    (tmp_path / "elsewhere.csv").write_text("path\nnot/there.png\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert default_out("list.csv", "runs/x") == default_out("elsewhere.csv", "runs/x") == Path("runs/x")
    monkeypatch.chdir(tmp_path / "images")
    with pytest.raises(UserError, match="give --out"):
        default_out("../list.csv", "views.png")


def test_a_path_that_stands_for_several_images_means_all_of_them(tmp_path):
    """As in a Parquet file whose rows name one path four times; a file name alone that occurs in several folders is still asked about."""
    names = ["a/x.png", "a/x.png", "b/y.png", "a/x.png", "b/x.png"]
    (tmp_path / "list.txt").write_text("a/x.png\ny.png\ntrain: b/x.png\n")
    assert listed(tmp_path / "list.txt", names, [f"train: {name}" for name in names]).tolist() == [0, 1, 2, 3, 4]
    (tmp_path / "list.txt").write_text("x.png\n")
    assert listed(tmp_path / "list.txt", names[:2]).tolist() == [0, 1]
    with pytest.raises(UserError, match=r"matches several pictures: give its path as in 'a/x\.png'"):
        listed(tmp_path / "list.txt", names)


def test_draws_that_are_alike_have_the_interval_of_their_test_images():
    """Not one of no width: that five draws of the same labels agree says nothing of the figure."""
    for value in (0.0, 0.5, 1.0):
        for one_split in (True, False):
            several, one = summary([value] * 5, 2, one_split), summary([value], 2, True)
            assert (several["low"], several["high"]) == (one["low"], one["high"])
            assert several["high"] - several["low"] > 0.5
            assert several["interval"] == "Wilson, 2 test pictures; all 5 draws are alike"
    assert summary([0.5, 1.0], 2, True)["interval"] == "Student t over 2 draws"


@pytest.mark.parametrize("name", [LATIN, "line\nbreak", "[/red] %"])
def test_shards_of_any_bytes_are_written_and_read(tmp_path, monkeypatch, name):
    for n in range(4):
        (tmp_path / "set" / "ab"[n % 2]).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 36 + n), (60 * n, 0, 0)).save(tmp_path / "set" / "ab"[n % 2] / f"{n}.png")
    monkeypatch.chdir(tmp_path)
    assert main(["shard", "set", "--out", name, "--json", "s.json"]) == 0
    for spec in (f"shards:{name}", f"shards:{utf8(name)}", f"shards:{name}/*.tar"):
        source = tv.images(spec)
        assert (len(source), list(source.classes)) == (4, ["a", "b"])
    (tmp_path / name / "all-000000.tar").rename(tmp_path / f"{name}.tar")
    assert len(tv.images(f"shards:{name}.tar")) == 4
    assert tv.images(f"shards:{name}.tar").fingerprint
    all_text_is_whole(tmp_path)


@settings(max_examples=300)
@given(
    st.lists(
        st.sampled_from([b"a", b"x", b"n", b"0", b"e4", b"\\", b"\n", b"\t", b"\xe4", b"\xc3\xa9", b"u00e9", b"\x1b", b" ", b"/"]),
        max_size=8,
    )
)
def test_a_name_is_meant_by_what_is_printed_and_by_nothing_else(parts):
    name = os.fsdecode(b"".join(parts))
    assert meant(spelled(name)) == name
    assert meant(printed(name)) == name
    assert "\n" not in printed(name)
    printed(name).encode("utf-8")
    if "\\" not in name:
        assert printed(name) == one_line(name), "nothing is doubled where nothing need be"


TWINS = {
    "a line break": ("a\nb.png", "a\\nb.png"),
    "a byte": ("B\udce4r.png", "B\\xe4r.png"),
    "both": ("B\udce4\\xe4.png", "B\\xe4\udce4.png"),
    "a backslash": ("a\\\\nb.png", "a\\nb.png"),
}


@pytest.mark.parametrize("twins", TWINS.values(), ids=TWINS)
def test_files_whose_names_look_alike_are_told_apart(tmp_path, twins):
    """Each is named by what is printed of it, in lists and in the paths of vectors, and given raw it is itself."""
    for name in twins:
        (tmp_path / name).write_bytes(b"x")
        assert path_of(str(tmp_path / name)) == str(tmp_path / name)
    assert len({printed(name) for name in twins}) == 2
    for at, name in enumerate(twins):
        (tmp_path / "list.txt").write_text(printed(name) + "\n", encoding="utf-8")
        assert listed(tmp_path / "list.txt", list(twins)).tolist() == [at]
        assert listed(tmp_path / "list.txt", [f"train/{one}" for one in twins]).tolist() == [at]
        (tmp_path / twins[1 - at]).unlink()
        assert path_of(printed(str(tmp_path / name))) == str(tmp_path / name)
        (tmp_path / twins[1 - at]).write_bytes(b"x")


def test_queries_and_choices_with_escapes_in_their_names(tmp_path, monkeypatch):
    (tmp_path / "set").mkdir()
    monkeypatch.chdir(tmp_path)
    names = ["B\udce4\\xe4.png", "a\nb.png", "a\\nb.png", "plain.png"]
    for n, name in enumerate(names):
        array = np.random.default_rng(n).integers(0, 256, (40, 36 + n, 3), dtype=np.uint8)
        Image.fromarray(array).save(reachable(tmp_path / "set") / name, "PNG")
    tail = ["--size", "32", "--workers", "0", "--device", "cpu"]
    for name in names:
        assert (
            main(["search", "untrained:convnet", "set", "--query", f"set/{name}", "--out", "n.html", "--json", "n.json", "-k", "1", *tail])
            == 0
        )
        (asked,) = read_json(tmp_path / "n.json")["queries"]
        assert asked["neighbours"][0]["path"] == spelled(name)
        assert asked["query"] == spelled(f"set/{name}")
    for name in names:
        (tmp_path / "given.txt").write_text(f"{printed(name)}\n", encoding="utf-8")
        rest, _ = tv.select("untrained:convnet", "set", 3, given="given.txt", size=32, **OPTIONS)
        assert {meant(p["path"]) for p in rest} == {*names} - {name}


def test_messages_are_one_line_whatever_a_run_is_called(tmp_path, monkeypatch, capsys):
    out.cache_clear()
    err.cache_clear()
    say("10 images → runs/a\nb")
    assert capsys.readouterr().err == "10 images → runs/a\\nb\n"
    err.cache_clear()


def test_the_list_of_studies_is_shown_inside_a_folder_of_images(tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (40, 36)).save(tmp_path / "photos" / "0.png")
    monkeypatch.chdir(tmp_path / "photos")
    shown = []
    monkeypatch.setattr("twoviews.studies.costs.show", lambda images, config: shown.append(images))
    assert main(["paper", "list", "."]) == 0
    assert shown == ["."]
    assert main(["paper", "table1", "."]) == 2, "studies are not written among the images"
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["0.png"]
