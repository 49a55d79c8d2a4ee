"""Tables as people bring them: dialects and encodings of text, label columns of every type, images in several columns, parts by names of files."""

from __future__ import annotations

import io
import json
import os
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from twoviews.base.errors import UserError
from twoviews.sources import table as table_module
from twoviews.sources.config import ReadConfig
from twoviews.sources.names import series
from twoviews.sources.source import labelled
from twoviews.sources.spec import open_pictures

NAMES = ["a.png", "b,c.png", "p.png", "Bär.png", "train/cat/1.png", 'x "y".png']
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def png(shade: int = 0) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (10, 9), (shade, 0, 0)).save(file, "PNG")
    return file.getvalue()


def pictures(count: int, kind: pa.DataType = IMAGE, first: int = 0) -> pa.Array:
    return pa.array([{"bytes": png(first + n), "path": f"{first + n}.png"} for n in range(count)], kind)


def write(path, columns, **features):
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    if features:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, path)
    return path


def class_label(*names):
    return {"_type": "ClassLabel", "names": list(names)}


def read(spec, **options):
    return open_pictures(spec, config=ReadConfig(check="none", **options), in_memory=False)


def named(source):
    """[(name, class or None)] of a source."""
    labels = [-1] * len(source) if source.labels is None else source.labels.tolist()
    return [(source.name(i), None if n < 0 else source.classes[n]) for i, n in enumerate(labels)]


def first_reds(source):
    return [int(source.read(i)[0, 0, 0]) for i in range(len(source))]


@pytest.fixture
def folder(tmp_path):
    for n, name in enumerate(NAMES):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(png(n))
    return tmp_path


# -- text ------------------------------------------------------------------------------------------------------------

TWO = [("a.png", "x"), ("p.png", "y")]


@pytest.mark.parametrize(
    ("text", "want"),
    {
        "quotes doubled": ('path,label\n"x ""y"".png","5"" disk"\np.png,x\n', [('x "y".png', '5" disk'), ("p.png", "x")]),
        "quotes and commas": ('path,label\na.png,"5"", red"\np.png,x\n', [("a.png", '5", red'), ("p.png", "x")]),
        "quotes escaped": ('path,label\na.png,"5\\" disk"\np.png,x\n', [("a.png", '5" disk'), ("p.png", "x")]),
        "semicolons and decimal commas": ("path;label;score\na.png;x;0,5\np.png;y;1,5\n", TWO),
        "semicolons within quotes": ('"path";"label"\n"a.png";"x;1"\n"p.png";"y"\n', [("a.png", "x;1"), ("p.png", "y")]),
        "tabs": ("path\tlabel\na.png\tx\np.png\ty\n", TWO),
        "Excel's own line": ("sep=;\r\npath;label\r\na.png;x\r\np.png;y\r\n", TWO),
        "pipes": ("path|label\na.png|x\np.png|y\n", TWO),
        "tabs and commas": ("path\tlabel\nb,c.png\tx\np.png\ty\n", [("b,c.png", "x"), ("p.png", "y")]),
        "spaces": ('path, label\na.png, "x"\n p.png, y \n', TWO),
        "pandas' index": (",path,label\n0,a.png,x\n1,p.png,y\n", TWO),
        "empty columns and lines at the end": ("path,label,,\na.png,x,,\n\np.png,y,,\n,,,\n\n", TWO),
        "one delimiter more": ("path,label\na.png,x,\np.png,y,\n", TWO),
        "lines of old Macs": ("path,label\ra.png,x\rp.png,y\r", TWO),
        "lines of Windows": ("path,label\r\na.png,x\r\np.png,y\r\n", TWO),
        "paths of Windows": ("path,label\ntrain\\cat\\1.png,x\n.\\p.png,y\n", [("train/cat/1.png", "x"), ("./p.png", "y")]),
        "capitals": ("File Name,Class\na.png,x\np.png,y\n", TWO),
        "one column": ("path\na.png\nb,c.png\n", [("a.png", None), ("b,c.png", None)]),
        "a long field": (f"path,label,rle\na.png,x,{'1 ' * 100_000}\np.png,y,\n", TWO),
        "a label that is missing": ("path,label\na.png,x\np.png,y\nBär.png,\n", [*TWO, ("Bär.png", None)]),
        "codes with zeros": ("path,label\na.png,007\np.png,7\n", [("a.png", "007"), ("p.png", "7")]),
        "numbers of pandas": ("path,label\na.png,0.0\np.png,1.0\nBär.png,\n", [("a.png", "0"), ("p.png", "1"), ("Bär.png", None)]),
        "minus one among others": ("path,label\na.png,-1\np.png,0\nBär.png,1\n", [("a.png", None), ("p.png", "0"), ("Bär.png", "1")]),
        "minus one and one": ("path,label\na.png,-1\np.png,1\n", [("a.png", "-1"), ("p.png", "1")]),
    }.values(),
)  # fmt: skip
def test_text_tables_are_read_in_the_dialect_they_are_written_in(folder, text, want):
    (folder / "LIST.CSV").write_text(text, newline="")
    assert named(read(folder / "LIST.CSV").training) == want


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_encodings_are_told_apart(folder, encoding):
    (folder / "list.csv").write_bytes("path,label\na.png,ä–\nBär.png,b\n".encode(encoding))
    source = read(folder / "list.csv").training
    assert named(source) == [("a.png", "ä–"), ("Bär.png", "b")]
    said = [remark for remark in source.remarks if "as" in remark.split() and "list.csv" in remark]
    assert bool(said) == (not encoding.startswith("utf-8"))
    if encoding == "cp1252":
        assert "first in line 2" in said[0]


def test_paths_of_other_bytes_are_found_as_they_lie_on_the_disk(folder):
    raw = os.fsencode(folder) + b"/K\xe4se.png"
    with open(raw, "wb") as file:  # noqa: PTH123 (bytes)
        file.write(png(99))
    (folder / "list.csv").write_bytes(b"path,label\nK\xe4se.png,K\xe4se\na.png,x\n")
    source = read(folder / "list.csv").training
    assert named(source) == [("K\udce4se.png", "Käse"), ("a.png", "x")]
    assert first_reds(source) == [99, 0]
    (folder / "escaped.csv").write_text("path,label\nK\\xe4se.png,b\na.png,x\n")  # as our own lists write such a name
    assert first_reds(read(folder / "escaped.csv").training) == [99, 0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"a.png,x\np.png,y\n", r"no line of column names: its first is already an image \('a\.png'\)"),
        (b"path,label,label\na.png,x,y\n", "two columns 'label'"),
        (b"path,label\na.png,x\np.png,y,z\n", "row 3 has 3 fields"),
        ("path,label\na.png,x".encode("utf-16") + b"\x00", "begins as utf-16 and is damaged at byte 38"),
    ],
)
def test_what_is_wrong_with_a_text_table_is_named(folder, text, words):
    (folder / "list.csv").write_bytes(text)
    with pytest.raises(UserError, match=words):
        read(folder / "list.csv")


def test_backslashes_lead_no_further_than_slashes(folder):
    (folder.parent / "out.png").write_bytes(png())
    (folder / "list.csv").write_text("path\ntrain\\..\\..\\out.png\n")
    with pytest.raises(UserError, match="outside its folder"):
        read(folder / "list.csv", root_only=True)


def test_parts_of_a_list_are_read_as_everywhere(folder):
    (folder / "list.csv").write_text("path,label,split\na.png,x,Training\np.png,y,valid\nBär.png,x,TEST\na.png,y,foo\na.png,y,\n")
    found = read(folder / "list.csv")
    assert {part: named(source) for part, source in found.splits.items()} == {
        "train": [("a.png", "x")], "val": [("p.png", "y")], "test": [("Bär.png", "x")],
    }  # fmt: skip
    assert list(found.training.beside) == ["1 row of the split foo", "1 row without a split"]
    (folder / "list.csv").write_text("path,label,fold\na.png,x,1\np.png,y,2\nBär.png,x,3\n")
    found = read(folder / "list.csv", split_column="fold", parts=("train=1", "val=2", "test=3"))
    assert {part: len(source) for part, source in found.splits.items()} == {"train": 1, "val": 1, "test": 1}
    with pytest.raises(UserError, match=r"row 1 is of the split '1'.*--parts none"):
        read(folder / "list.csv", split_column="fold")
    assert list(read(folder / "list.csv", split_column="fold", parts=("none",)).splits) == ["all"]
    (folder / "list.csv").write_text("path,label,part\na.png,x,hand\np.png,y,foot\n")  # parts of a body
    assert named(read(folder / "list.csv").training) == TWO
    (folder / "list.csv").write_text("path,label\na.png,x\np.png,y\n")
    with pytest.raises(UserError, match="has no column that says what is which part"):
        read(folder / "list.csv", parts=("train=x",))


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
@pytest.mark.parametrize("where", ["root", "parts", "data"])
def test_a_folder_with_metadata_is_read_by_it(tmp_path, kind, where):
    base = tmp_path / "data" if where == "data" else tmp_path
    rows = {part: [(f"{n}.png", "xy"[n % 2]) for n in range(count)] for part, count in (("train", 3), ("validation", 2))}
    for part, own in rows.items():
        for name, _ in own:
            (base / part).mkdir(parents=True, exist_ok=True)
            (base / part / name).write_bytes(png())
    lists = {base / part: own for part, own in rows.items()}
    if where == "root":
        lists = {base: [(f"{part}/{name}", label) for part, own in rows.items() for name, label in own]}
    for at, own in lists.items():
        if kind == "parquet":
            write(at / "metadata.parquet", {"file_name": [name for name, _ in own], "label": [label for _, label in own]})
        elif kind == "csv":
            (at / "metadata.csv").write_text("file_name,label\n" + "".join(f"{name},{label}\n" for name, label in own))
        else:
            (at / "metadata.jsonl").write_text("".join(json.dumps({"file_name": name, "label": label}) + "\n" for name, label in own))
    found = read(tmp_path)
    assert {part: named(source) for part, source in found.splits.items()} == {
        "train": [("train/0.png", "x"), ("train/1.png", "y"), ("train/2.png", "x")],
        "val": [("validation/0.png", "x"), ("validation/1.png", "y")],
    }
    assert found.training.read(1).shape == (3, 9, 10)


def test_metadata_that_says_no_labels_or_no_files(tmp_path):
    for name in ("cat/0.png", "dog/1.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(png())
    (tmp_path / "metadata.csv").write_text("image_id,age\n1,2\n")  # another table
    assert read(tmp_path).training.classes == ["cat", "dog"]
    (tmp_path / "metadata.csv").write_text("file_name,text\ncat/0.png,a cat\ndog/1.png,a dog\n")
    source = read(tmp_path).training
    assert named(source) == [("cat/0.png", None), ("dog/1.png", None)]
    with pytest.raises(UserError, match=r"metadata\.csv has no column of labels.*--label-column"):
        labelled(source, "an evaluation")


# -- labels are values -----------------------------------------------------------------------------------------------

VALUES = {
    **{f"int{bits}": (pa.array([1, -1, 0, 1], f"int{bits}"), ["1", None, "0", "1"]) for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": (pa.array([10, 9, None, 10], f"uint{bits}"), ["10", "9", None, "10"]) for bits in (8, 16, 32, 64)},
    "large uint64": (pa.array([2**63 + 5, 1, 2, 1], pa.uint64()), ["9223372036854775813", "1", "2", "1"]),
    "IDs": (pa.array([2_084_071, 10**12, 5, 5]), ["2084071", "1000000000000", "5", "5"]),
    "other negatives": (pa.array([-2, -1, 3, 3]), ["-2", None, "3", "3"]),
    "floats": (pa.array([0.0, 1.0, float("nan"), None]), ["0", "1", None, None]),
    "fractions": (pa.array([0.1, 0.5, 0.1, 0.1], pa.float32()), ["0.1", "0.5", "0.1", "0.1"]),
    "bool": (pa.array([True, False, None, True]), ["True", "False", None, "True"]),
    "string": (pa.array(["b", "a", "", None]), ["b", "a", None, None]),
    "large_string": (pa.array(["b", "a", "b", "a"], pa.large_string()), ["b", "a", "b", "a"]),
    "string_view": (pa.array(["b", "a", "b", "a"], pa.string_view()), ["b", "a", "b", "a"]),
    "categories": (pa.array(["b", "a", None, "a"]).dictionary_encode(), ["b", "a", None, "a"]),
    "categories of integers": (pa.array([10**12, 5, 5, 7]).dictionary_encode(), ["1000000000000", "5", "5", "7"]),
    "decimals": (pa.array([Decimal(2), Decimal(1)] * 2, pa.decimal128(5, 2)), ["2", "1", "2", "1"]),
    "text of numbers": (pa.array(["10", "9", "10", "9"]), ["10", "9", "10", "9"]),
    "lists of one": (pa.array([[7], [5], [], None]), ["7", "5", None, None]),
}  # fmt: skip


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("where", ["images", "row groups", "list"])
def test_labels_are_values_of_any_type(folder, monkeypatch, kind, where):
    values, want = VALUES[kind]
    first = {"path": ["a.png", "p.png", "Bär.png", "b,c.png"]} if where == "list" else {"image": pictures(4)}
    monkeypatch.setattr(table_module, "IN_MEMORY", 0 if where == "row groups" else 1 << 30)
    source = read(write(folder / "set" / "TABLE.PARQUET" if where != "list" else folder / "l.parquet", {**first, "Label": values})).training
    assert [label for _, label in named(source)] == want
    assert isinstance(source, table_module.Groups) == (where == "row groups")
    numbers = [text for text in source.classes if text.lstrip("-").isdecimal()]
    assert numbers == sorted(numbers, key=int)


@pytest.mark.parametrize("values", [[0, 1, -1, None], [0.0, 1.0, None, float("nan")]])
def test_numbers_of_named_classes_are_called_by_their_names(tmp_path, values):
    source = read(write(tmp_path / "a.parquet", {"image": pictures(4), "species": values}, species=class_label("zebra", "ant"))).training
    assert [label for _, label in named(source)] == ["zebra", "ant", None, None]
    assert source.classes == ["zebra", "ant"]


@pytest.mark.parametrize("value", [2, -2, 0.5])
def test_labels_above_the_names_are_refused(tmp_path, value):
    path = write(tmp_path / "a.parquet", {"image": pictures(2), "label": [0, value]}, label=class_label("a", "b"))
    with pytest.raises(
        UserError, match=rf"a\.parquet: the label {value} in the column 'label' is not one of the 2 classes.*above the names"
    ):
        read(path)


def test_several_labels_an_image_are_for_training_only(tmp_path):
    source = read(write(tmp_path / "a.parquet", {"image": pictures(3), "label": [[1], [1, 2], []]})).training
    assert source.labels is None
    for wanted in (source, open_pictures(tmp_path / "a.parquet").training):  # also where it lies in memory
        with pytest.raises(UserError, match=r"several labels an image in the column 'label' of .*a\.parquet"):
            labelled(wanted, "an evaluation")


def test_columns_that_are_no_labels_are_not_taken_for_some(tmp_path):
    path = write(tmp_path / "a.parquet", {"image": pictures(2), "label": [{"x": 1}] * 2, "category": ["a", "b"]})
    assert read(path).training.classes == ["a", "b"]
    with pytest.raises(UserError, match=r"the column 'label' holds struct<x: int64>, which are no labels"):
        read(path, label_column="label")


# -- files that do not agree -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_memory", [0, 1 << 30])
def test_files_of_one_set_are_brought_together(tmp_path, monkeypatch, in_memory):
    monkeypatch.setattr(table_module, "IN_MEMORY", in_memory)
    large = pa.struct([("path", pa.large_string()), ("bytes", pa.large_binary())])
    view = pa.struct([("bytes", pa.binary_view()), ("path", pa.string_view())])
    write(tmp_path / "0.parquet", {"image": pictures(2), "label": pa.array([5, 300], pa.int32())})
    write(tmp_path / "1.parquet", {"label": pa.array([300.0]), "other": [1], "image": pictures(1, large, 2)})
    write(tmp_path / "2.parquet", {"label": pa.array(["5"]).dictionary_encode(), "image": pictures(1, view, 3)})
    write(tmp_path / "3.parquet", {"image": pictures(1, first=4)})
    source = read(tmp_path).training
    assert named(source) == [("0.png", "5"), ("1.png", "300"), ("2.png", "300"), ("3.png", "5"), ("4.png", None)]
    assert first_reds(source) == [0, 1, 2, 3, 4]
    assert any("3.parquet has no column 'label'" in remark for remark in source.remarks)


def test_names_of_classes_count_and_not_their_numbers(tmp_path):
    write(tmp_path / "0.parquet", {"image": pictures(2), "label": [0, 1]}, label=class_label("a", "b"))
    write(tmp_path / "1.parquet", {"image": pictures(2, first=2), "label": [0, 1]}, label=class_label("b", "c"))
    assert named(read(tmp_path).training) == [("0.png", "a"), ("1.png", "b"), ("2.png", "b"), ("3.png", "c")]


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ({"image": "pictures", "label": ["cat"]}, r"'label' holds numbers in .*0\.parquet and text in .*1\.parquet"),
        ({"image": "pictures", "label": [True]}, r"'label' holds numbers in .*0\.parquet and true and false in .*1\.parquet"),
        ({"img": "pictures", "label": [1]}, r"1\.parquet has no column 'image' of images"),
    ],
)
def test_files_that_cannot_be_brought_together_are_named(tmp_path, second, words):
    write(tmp_path / "0.parquet", {"image": pictures(1), "label": [1]})
    write(tmp_path / "1.parquet", {name: pictures(1) if value == "pictures" else value for name, value in second.items()})
    with pytest.raises(UserError, match=words):
        read(tmp_path)


# -- parts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        ("train-00000-of-00002", "train-00001-of-00002", "validation-00000-of-00001", "test-00000-of-00001"),
        ("data/train-0-of-2-0123456789abcdef", "data/train-1-of-2-fedcba9876543210", "data/val-0-of-1-0123456789abcdef", "data/test-0"),
        ("train/0000", "train/0001", "validation/0000", "test/0000"),
        ("Training", "training_1", "dev", "testing"),
    ],
)
def test_parts_of_parquet_files_go_by_their_names(tmp_path, names):
    for n, name in enumerate(names):
        write(tmp_path / f"{name}.parquet", {"image": pictures(n + 1), "label": [7, 8, 9, 5][: n + 1]})
    found = read(tmp_path)
    assert {part: len(source) for part, source in found.splits.items()} == {"train": 3, "val": 3, "test": 4}
    assert found.training.classes == found.splits["val"].classes == ["5", "7", "8", "9"]  # the same numbers in each part
    assert found.test.labels.tolist() == [1, 2, 3, 0]
    streamed = read(f"hf:{tmp_path}", streaming=True)
    assert {part: source.labels.tolist() for part, source in streamed.splits.items()} == {
        part: source.labels.tolist() for part, source in found.splits.items()
    }


def test_series():
    assert series("data/train-00000-of-00002.parquet") == "train"
    assert series("train/0000.parquet") == "train"
    assert series("imagenet1k-train-0003.tar") == "imagenet1k-train"
    assert series("fold_1.parquet") == "fold"
    assert series("fold_1.parquet", ["train=fold_1"]) == "fold_1"
    assert series("a/b.PARQUET") == "b"


def test_parts_by_a_column_of_a_table_with_images(tmp_path):
    path = write(tmp_path / "a.parquet", {"image": pictures(4), "label": [0, 1, 0, 1], "split": ["train", "val", "train", "test"]})
    assert {part: named(source) for part, source in read(path).splits.items()} == {
        "train": [("0.png", "0"), ("2.png", "0")], "val": [("1.png", "1")], "test": [("3.png", "1")],
    }  # fmt: skip


def test_a_split_column_that_is_asked_for_goes_before_the_names_of_files(tmp_path):
    for n, name in enumerate(("train-0", "extra-0")):
        write(tmp_path / f"{name}.parquet", {"image": pictures(2, first=2 * n), "split": ["train", "test"], "fold": [1, 2]})
    found = read(tmp_path)
    assert {part: first_reds(source) for part, source in found.splits.items()} == {"train": [0], "test": [1]}
    assert list(found.training.beside) == ["1 file extra"]
    for options in ({"split_column": "split"}, {"split_column": "fold", "parts": ("train=1", "test=2")}):
        found = read(tmp_path, **options)
        assert {part: first_reds(source) for part, source in found.splits.items()} == {"train": [2, 0], "test": [3, 1]}
    found = read(tmp_path, parts=("test=extra",))
    assert {part: first_reds(source) for part, source in found.splits.items()} == {"train": [0, 1], "test": [2, 3]}


def test_files_of_no_part_beside_parts_are_told(tmp_path):
    for name in ("train-0", "test-0", "extra-0", "extra-1"):
        write(tmp_path / f"{name}.parquet", {"image": pictures(1)})
    write(tmp_path / "stats.parquet", {"x": [1]})
    found = read(tmp_path)
    assert list(found.splits) == ["train", "test"]
    assert list(found.training.beside) == ["2 files extra", "1 Parquet file without images"]


def test_a_folder_of_image_files_stays_one_whatever_parquet_lies_beside(tmp_path):
    for name in ("a/0.png", "b/1.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(png())
    write(tmp_path / "stats.parquet", {"x": [1]})
    assert named(read(tmp_path).training) == [("a/0.png", "a"), ("b/1.png", "b")]


# -- columns of images -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_memory", [0, 1 << 30])
def test_the_usual_column_of_images_is_taken_and_others_by_name(tmp_path, monkeypatch, in_memory):
    monkeypatch.setattr(table_module, "IN_MEMORY", in_memory)
    columns = {name: pictures(1, first=n) for n, name in enumerate(("mask", "depth_map", "photo_left", "Image", "thumbnail"))}
    path = write(tmp_path / "a.parquet", columns)
    source = read(path).training
    assert first_reds(source) == [3]
    assert source.remarks[0].startswith("images: the column 'Image' of 'mask', 'depth_map'")
    assert first_reds(read(path, image_column="mask").training) == [0]
    with pytest.raises(UserError, match=r"no column 'imge'\. Did you mean Image"):
        read(path, image_column="imge")
    del columns["Image"]
    assert first_reds(read(write(path, columns)).training) == [2]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()])
@pytest.mark.parametrize("name", ["jpg", "content"])
def test_columns_of_plain_bytes_hold_images(tmp_path, kind, name):
    columns = {"id": pa.array([b"x", b"y"]), name: pa.array([png(1), png(2)], kind), "label": [0, 1]}
    source = read(write(tmp_path / "a.parquet", columns)).training
    assert first_reds(source) == [1, 2]
    assert named(source) == [("row 0", "0"), ("row 1", "1")]


def test_paths_without_bytes_are_looked_for_beside_the_table(tmp_path):
    (tmp_path / "set" / "img").mkdir(parents=True)
    (tmp_path / "set" / "img" / "1.png").write_bytes(png(5))
    (tmp_path / "out.png").write_bytes(png(6))
    rows = [{"bytes": None, "path": path} for path in ("img/1.png", "../out.png", "gone.png")]
    path = write(tmp_path / "set" / "a.parquet", {"image": pa.array(rows, IMAGE)})
    assert first_reds(open_pictures(path, in_memory=False, config=ReadConfig(check="full")).training) == [5, 6]
    found = open_pictures(path, in_memory=False, config=ReadConfig(check="full", root_only=True))
    assert first_reds(found.training) == [5]
    assert [why.split("and ")[-1] for _, why in found.skipped] == ["--root-only forbids that", "there is no file 'gone.png' beside it"]


LISTS = {
    "categories": lambda p: {"path": pa.array(p).dictionary_encode(), "label": ["a", "b"]},
    "string_view": lambda p: {"path": pa.array(p, pa.string_view()), "label": ["a", "b"]},
    "large_string": lambda p: {"Path": pa.array(p, pa.large_string()), "Label": ["a", "b"]},
    "bytes": lambda p: {"path": pa.array([os.fsencode(x) for x in p]), "label": ["a", "b"]},
    "nested beside": lambda p: {"path": p, "label": ["a", "b"], "meta": [{"k": 1}] * 2, "boxes": [[1.0]] * 2},
    "structs called as labels": lambda p: {"path": p, "category": [{"k": 1}] * 2, "target": ["a", "b"]},
    "a thumbnail beside": lambda p: {"path": p, "label": ["a", "b"], "thumbnail": pictures(2)},
}


@pytest.mark.parametrize("kind", LISTS)
def test_lists_in_parquet_have_paths_of_any_type(folder, kind):
    path = write(folder / "list.parquet", LISTS[kind](["a.png", "Bär.png"]))
    source = read(path).training
    assert named(source) == [("a.png", "a"), ("Bär.png", "b")]
    assert first_reds(source) == [0, 3]


# -- hf: -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path):
    """Save splits of columns as datasets does; returns the SPEC."""
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()

    def save(splits, **features):
        features = {name: getattr(datasets, kind)() if isinstance(kind, str) else kind(datasets) for name, kind in features.items()}
        made = {name: datasets.Dataset.from_dict(columns, features=datasets.Features(features)) for name, columns in splits.items()}
        datasets.DatasetDict(made).save_to_disk(str(tmp_path / "hf"))
        return f"hf:{tmp_path / 'hf'}"

    return save


def shades(*reds):
    return [{"bytes": png(red), "path": None} for red in reds]


@pytest.mark.parametrize("order", [("train", "val", "test"), ("train", "test", "val"), ("test", "val", "train")])
def test_the_order_of_splits_does_not_matter(saved, order):
    rows = {"train": [9, 8, 9], "val": [8], "test": [7, 8]}
    spec = saved(
        {name: {"image": shades(*rows[name]), "label": rows[name]} for name in order}, image="Image", label=lambda d: d.Value("int64")
    )
    found = read(spec)
    assert list(found.splits) == ["train", "val", "test"]
    assert {part: (first_reds(source), [source.classes[n] for n in source.labels]) for part, source in found.splits.items()} == {
        name: (reds, [str(red) for red in reds]) for name, reds in rows.items()
    }


def test_columns_of_hf_sets(saved):
    splits = {
        "train": {"mask": shades(1, 2, 3), "image": shades(4, 5, 6), "label": [0, 1, 1]},
        "extra": {"mask": shades(1), "image": shades(4), "label": [0]},
        "test": {"mask": shades(1), "image": shades(9), "label": [-1]},
    }
    spec = saved(splits, mask="Image", image="Image", label=lambda d: d.ClassLabel(names=["b", "a"]))
    found = read(spec)
    assert (first_reds(found.training), found.training.classes, found.training.labels.tolist()) == ([4, 5, 6], ["b", "a"], [0, 1, 1])
    assert found.test.labels.tolist() == [-1]
    assert list(found.training.beside) == ["1 row of the split extra"]
    assert found.training.remarks[0] == "images: the column 'image' of 'mask', 'image' (--image-column chooses)"
    assert first_reds(read(spec, image_column="mask").training) == [1, 2, 3]


def test_bytes_of_hf_sets_are_images(saved):
    spec = saved(
        {"train": {"img": [png(3), png(4)], "label": ["a", "b"]}}, img=lambda d: d.Value("binary"), label=lambda d: d.Value("string")
    )
    assert first_reds(read(spec).training) == [3, 4]


def test_several_labels_an_image_of_hf_sets(saved):
    spec = saved(
        {"train": {"image": shades(1, 2), "labels": [[0], [0, 1]]}},
        image="Image",
        labels=lambda d: d.Sequence(d.ClassLabel(names=["a", "b"])),
    )
    source = read(spec).training
    assert source.labels is None
    with pytest.raises(UserError, match="several labels an image in the column 'labels' of the split train"):
        labelled(source, "an evaluation")


def test_numbers_of_labels_cost_nothing():
    """A billion is one class, not a billion."""
    from twoviews.sources.labels import Column, numbered

    found = numbered([Column("a", "label", 3, pa.chunked_array([pa.array([10**18, 1, 10**18])]))])
    assert found.classes == ["1", str(10**18)]
    assert np.array_equal(found.numbers[0], [1, 0, 1])


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize(
    ("column", "values", "options"),
    [
        ("split", pa.array(["train"] * 4 + ["test"] * 2), {}),
        ("split", pa.array(["train"] * 4 + ["test"] * 2).dictionary_encode(), {}),
        ("split", pa.array(["synthetic_train"] * 4 + ["real_test"] * 2), {}),
        ("split", pa.array(["train_full"] * 4 + ["test_small"] * 2), {}),
        ("split", pa.array(["tr"] * 4 + ["te"] * 2), {}),
        ("split", pa.array([b"train"] * 4 + [b"test"] * 2), {}),
        ("fold", pa.array([0] * 4 + [1] * 2), {"split_column": "fold", "parts": ("train=0", "test=1")}),
    ],
)
def test_rows_with_images_are_parted_by_a_column(tmp_path, in_memory, column, values, options):
    write(tmp_path / "s.parquet", {"image": pictures(6), "label": ["a", "b"] * 3, column: values})
    found = open_pictures(tmp_path / "s.parquet", config=ReadConfig(**options), in_memory=in_memory)
    assert {part: first_reds(source) for part, source in found.splits.items()} == {"train": [0, 1, 2, 3], "test": [4, 5]}
    assert [source.labels.tolist() for source in found.splits.values()] == [[0, 1, 0, 1], [0, 1]]
    assert found.understood == "6 images, 2 classes (a, b) in train 4 · test 2"


@pytest.mark.parametrize(
    ("train", "test"), [("synthetic_train", "real_test"), ("train_full", "test_small"), ("tr", "te"), ("Xtrain", "Xtest")]
)
def test_files_of_other_words_are_parts_too(tmp_path, train, test):
    for n, name in enumerate((train, test)):
        write(tmp_path / f"{name}.parquet", {"image": pictures(2, first=2 * n), "label": ["a", "b"]})
    assert {part: first_reds(source) for part, source in read(tmp_path).splits.items()} == {"train": [0, 1], "test": [2, 3]}


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (pa.array(np.array([0.5, 1.5] * 3, "f2")), ["0.5", "1.5"]),
        (pa.array([1.0, None, 2.0, 1.0, 2.0, 1.0], pa.float16()), ["1", "2"]),
        (pa.array([b"cat", b"d\xf6g"] * 3), ["cat", "d\udcf6g"]),
        (pa.array([b"cat", b"dog"] * 3, pa.large_binary()), ["cat", "dog"]),
        (pa.array([b"cat", b"dog"] * 3, pa.binary(3)), ["cat", "dog"]),
    ],
)
@pytest.mark.parametrize("kind", ["parquet", "hf"])
def test_labels_of_rare_types(tmp_path, values, classes, kind):
    write(tmp_path / "set" / "s.parquet", {"image": pictures(6), "label": values})
    source = read(tmp_path / "set" if kind == "parquet" else f"hf:{tmp_path / 'set'}").training
    assert list(source.classes) == classes
    want = [value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value for value in values.to_pylist()]
    assert [None if n < 0 else classes[n] for n in source.labels.tolist()] == [
        v if v is None or isinstance(v, str) else f"{v:g}" for v in want
    ]


def test_images_in_a_column_called_label_are_no_names(tmp_path):
    masks = pa.array([png(n) for n in range(2)])
    assert read(write(tmp_path / "s.parquet", {"image": pictures(2), "label": masks})).training.labels is None


@pytest.mark.parametrize("kind", ["parquet", "hf"])
def test_an_image_may_say_more_than_bytes_and_path(tmp_path, kind):
    wide = pa.struct([("bytes", pa.binary()), ("path", pa.string()), ("height", pa.int32())])
    rows = pa.array([{"bytes": png(n), "path": f"{n}.png", "height": 9} for n in range(2)], wide)
    write(tmp_path / "set" / "s.parquet", {"image": rows, "label": ["a", "b"]})
    source = read(tmp_path / "set" if kind == "parquet" else f"hf:{tmp_path / 'set'}").training
    assert named(source) == [("0.png", "a"), ("1.png", "b")]
    assert first_reds(source) == [0, 1]


@pytest.mark.parametrize("kind", ["parquet", "hf"])
def test_rows_of_several_sizes_are_looked_at_before_a_run(tmp_path, kind):
    large = io.BytesIO()
    Image.new("RGB", (20, 30)).save(large, "PNG")
    rows = pa.array([{"bytes": data, "path": f"{n}.png"} for n, data in enumerate((png(), large.getvalue(), None, png()))], IMAGE)
    write(tmp_path / "set" / "s.parquet", {"image": rows, "label": list("abab")})
    spec = tmp_path / "set" if kind == "parquet" else f"hf:{tmp_path / 'set'}"
    found = open_pictures(spec)
    assert len(found.training) == 3
    assert [name for name, _ in found.skipped] == ["2.png"]
    assert found.training.labels.tolist() == [0, 1, 1]
    assert len(open_pictures(spec, config=ReadConfig(check="none")).training) == 4


def test_labels_of_several_types_are_named(folder):
    rows = [{"path": "a.png", "label": "x"}, {"path": "p.png", "label": 3}]
    (folder / "list.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UserError, match="'label' holds values of several types, such as 'x' in row 1 and 3 in row 2"):
        read(folder / "list.jsonl")


@pytest.mark.parametrize(
    ("train", "test"), [("synthetic_train", "real_test"), ("train_full", "test_small"), ("TR", "TE"), ("Xtrain", "Xtest")]
)
def test_values_of_other_words_are_parts_too(folder, train, test):
    (folder / "list.csv").write_text(f"path,label,split\na.png,x,{train}\np.png,y,{train}\nBär.png,x,{test}\n")
    assert {part: named(source) for part, source in read(folder / "list.csv").splits.items()} == {"train": TWO, "test": [("Bär.png", "x")]}
