"""The command line as a user meets it: speed of help and errors, messages, exit codes, nothing half-written."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from twoviews.cli.main import main

from ..conftest import twoviews

VERBS = (
    *("train", "plan", "knn", "linear", "compare", "finetune", "transfer", "detect", "distill", "embed", "search", "duplicates", "select"),
    *("views", "bench", "demo"),
)


QUICK = [
    ["--help"],
    ["--version"],
    *([verb, "--help"] for verb in VERBS),
    ["trian", "digits"],
    ["train"],
    ["train", "digits", "--bach", "5"],
    ["train", "digits", "--batch", "many"],
    ["train", "digits", "--optimizer", "lar"],
    ["knn", "a", "b", "c"],
    ["train", "digits", "--temperature", "0"],
    ["train", "digits", "--recipe", "digts"],
    ["train", "digits", "--encoder", "resnet5"],
    ["train", "nowhere"],
    ["train", "digits", "--init", "nowhere"],
    ["knn", "nowhere", "digits"],
    ["linear", "timm:resnet50", "digits", "--labels", "few"],
    ["linear", "timm:resnet50", "nowhere"],
    ["views", "digits", "--strength", "-1"],
    ["plan", "nowhere"],
    ["plan", "digits", "--chunk", "-1"],
    ["finetune", "timm:resnet50", "digits", "--steps", "0"],
    ["transfer", "timm:resnet50", "--sets", "petz"],
    ["detect", "timm:resnet50", "nowhere"],
    ["distill", "nowhere", "digits"],
    ["compare", "digits"],
    ["embed", "nowhere", "digits"],
    ["search", "timm:resnet50", "digits", "--query", "nowhere.jpg"],
    ["duplicates", "timm:resnet50", "lance:nowhere"],
    ["select", "timm:resnet50", "digits", "-n", "0"],
    ["train", "digits", "--device", "cdua"],
    ["bench", "los"],
    ["bench", "loss", "nowhere"],
    ["bench", "views", "nowhere"],
    ["bench", "loss", "--sizes", "1"],
]


CODE = """
import io, json, sys
from twoviews.cli.main import main
for arguments in json.loads(sys.argv[1]):
    sys.stdout, out = io.StringIO(), sys.stdout
    code = main(arguments)
    sys.stdout = out
    print(json.dumps([code, [name for name in ("torch", "numpy", "pyarrow", "PIL", "scipy", "sklearn") if name in sys.modules]]), flush=True)
"""


@pytest.fixture(scope="module")
def quick():
    """Exit code and loaded libraries after each of these, all in one process."""
    done = subprocess.run([sys.executable, "-c", CODE, json.dumps(QUICK)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(zip(map(" ".join, QUICK), map(json.loads, done.stdout.splitlines()), strict=True))


@pytest.mark.parametrize("arguments", QUICK, ids=" ".join)
def test_help_and_argument_errors_load_no_torch(quick, arguments):
    code, loaded = quick[" ".join(arguments)]
    assert code == (0 if "--help" in arguments or "--version" in arguments else 2)
    assert loaded == []


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with what commands are wrongly given."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "empty").mkdir()
    (folder / "unreadable").mkdir()
    (folder / "unreadable" / "a.jpg").write_bytes(b"no picture")
    (folder / "one").mkdir()
    Image.new("RGB", (40, 40)).save(folder / "one" / "a.png")
    (folder / "few").mkdir()
    for n in range(6):
        Image.fromarray(np.random.default_rng(n).integers(0, 256, (20 + n, 24, 3), dtype=np.uint8)).save(folder / "few" / f"{n}.png")
    (folder / "file.txt").write_text("x")
    (folder / "pickle.safetensors").write_bytes(b"\x80\x04\x95 not safetensors")
    return folder


BAD = [
    ("train nowhere --out out", "nowhere does not exist"),
    ("train empty --out out", "no pictures in empty"),
    ("train unreadable --out out", "none of the 1 pictures of unreadable can be read; the first: 'a.jpg': not a picture"),
    ("train one --out out", "1 picture; contrastive learning needs at least 2"),
    ("train few --out out --batch 7", "batch 7 is larger than the set of 6 pictures: --batch 6 at most"),
    ("train digits --out out --recipe digts", "unknown recipe 'digts'. Did you mean digits?"),
    ("train digits --out out --encoder resnet5", "Did you mean resnet50?"),
    ("train digits --out out --encoder timm:resnet5O", "Did you mean resnet50"),
    ("train digits --out out --temprature 1", "unknown option --temprature. Did you mean --temperature?"),
    ("train digits --out out --temperature 0", "temperature is 0.0; it must be above 0"),
    ("train digits --out out --device cdua", "device 'cdua' cannot be used"),
    ("train digits --out file.txt", "is a file; a RUN is a folder"),
    ("train digits --out few", "exists and is not a RUN"),
    ("train digits --out out --init few", "few is not a RUN folder"),
    ("train cifar10 --root empty --out out", "cifar10 is not below --root empty"),
    ("train file.txt --out out", "is a file; pictures come from"),
    ("knn few digits", "few is not a RUN folder"),
    ("knn nowhere digits", "nowhere does not exist. An encoder is"),
    ("linear pickle.safetensors digits", "is not a safetensors file"),
    ("linear torchvision:resnet1 digits", "Did you mean resnet1"),
    ("knn digits", "requires an argument"),
    ("views digits --out sheet.jpg", "the sheet is a .png file"),
    ("views digits --count 0", "it must be at least 1"),
    ("views empty", "no pictures in empty"),
    ("train digits --out out --batch 64 --chunk 64", "chunk 64 would change nothing: it must be smaller than the batch of 64 pairs"),
    ("train digits --out out --batch 64 --chunk 9", "chunk 9 does not divide the batch of 64 pairs: --chunk 8"),
    ("plan digits --batch 64 --chunk 64", "chunk 64 would change nothing"),
    ("plan one", "1 picture; contrastive learning needs at least 2"),
    ("finetune nowhere digits", "nowhere does not exist. An encoder is"),
    ("finetune untrained:convnet digits --labels 1000", "only"),
    ("finetune untrained:convnet digits --labels list.txt", "there is no such file"),
    ("finetune untrained:convnet digits --out file.txt", "is a file; it is to be a folder"),
    ("transfer untrained:convnet --sets petz", "Did you mean pets?"),
    ("transfer untrained:convnet --sets pets --root empty", "pets is not below --root empty"),
    ("detect untrained:convnet empty", "empty holds no boxes"),
    ("detect untrained:resnet18 file.txt", "file.txt"),
    ("distill few digits", "few holds no classifier.safetensors: it is written by twoviews finetune"),
    ("compare digits", "compare needs at least one encoder"),
    ("compare digits untrained:resnet19", "Did you mean resnet18?"),
    ("embed untrained:convnet digits --out vectors.csv", "vectors are written to a folder, FILE.parquet, FILE.npz, or lance:DIR"),
    ("embed untrained:convnet digits --layer z --out v.parquet", "needs the projection head"),
    ("search untrained:resnet18 few --query file.txt --out n.json", "file.txt is no picture that can be read"),
    ("search untrained:resnet18 few --query nowhere.jpg", "--query nowhere.jpg: there is no such file"),
    ("search untrained:resnet18 few --query few/0.png --out n.gif", "it is to end in .png, .html or .json"),
    ("duplicates untrained:resnet18 few --threshold 2", "threshold is 2.0"),
    ("select untrained:resnet18 few -n 50", "there are 6 pictures to choose from"),
    ("bench loss few", "bench loss takes no pictures"),
    ("bench views file.txt", "file.txt is not a folder of picture files"),
    ("bench lo", "loss"),
    ("bench loss --sizes 2", "--sizes must be whole numbers from 4 on"),
    ("trian digits", "unknown verb 'trian'. Did you mean train?"),
]


@pytest.mark.parametrize(("line", "words"), BAD, ids=[line for line, _ in BAD])
def test_bad_input_is_one_clear_message(place, monkeypatch, capsys, line, words):
    """In this process: what the exit of a real one looks like is tested below."""
    monkeypatch.chdir(place)
    before = sorted(place.rglob("*"))
    code, err = main(line.split()), capsys.readouterr().err
    assert code == 2, err
    assert words in err
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("twoviews: ")
    assert sorted(place.rglob("*")) == before, "nothing half-written"


def test_a_real_process_ends_with_the_code_and_one_message(place):
    line = [sys.executable, "-m", "twoviews", "train", "empty", "--out", "out"]
    done = subprocess.run(line, capture_output=True, text=True, cwd=place)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("twoviews: no pictures in empty")
    assert "Traceback" not in done.stderr


def test_debug_shows_where(place):
    done = subprocess.run([sys.executable, "-m", "twoviews", "train", "nowhere", "--debug"], capture_output=True, text=True, cwd=place)
    assert "Traceback" in done.stderr
    assert "UserError" in done.stderr


def test_a_learning_rate_that_breaks_ends_with_1(place, tmp_path):
    line = (
        "train digits --recipe digits --batch 64 --width 0.25 --epochs 3 --optimizer sgd --learning-rate 1e30 --warmup-epochs 0 --head none"
    )
    done = twoviews(*line.split(), "--out", tmp_path / "run")
    assert done.returncode == 1, done.stderr
    assert "the loss is" in done.stderr or "not finite" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "run" / "checkpoints").glob("*"))


def test_the_whole_trip(place, tmp_path):
    """train → knn and linear with JSON, as the README has it, on a tiny encoder."""
    line = "train digits --recipe digits --batch 256 --width 0.25 --epochs 2 --no-tensorboard"
    done = twoviews(*line.split(), "--out", tmp_path / "run", "--json", tmp_path / "train.json")
    assert done.returncode == 0, done.stderr
    assert "Knowing nothing, the loss is log(2n − 1) = 6.24" in done.stderr
    assert json.loads((tmp_path / "train.json").read_text())["epochs"][-1]["epoch"] == 2
    assert not (tmp_path / "run" / "tensorboard").exists()
    done = twoviews("knn", tmp_path / "run", "digits", "--json", tmp_path / "knn.json", "--k", 5)
    assert done.returncode == 0, done.stderr
    assert "untrained" in done.stdout
    assert "k = 5" in done.stderr
    figures = json.loads((tmp_path / "knn.json").read_text())
    assert [row["subject"] for row in figures["rows"]] == ["twoviews", "untrained", "pixels"]
    assert json.loads((tmp_path / "run" / "eval" / "knn-digits-all.json").read_text()) == figures
    done = twoviews(
        "linear", tmp_path / "run", "digits", "--labels-per-class", "1", "5", "--labels", "10%", "--seeds", "2", "--baselines", "none"
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "run" / "eval" / "linear-lbfgs-digits-1-5-10percent.json").read_text())
    assert [row["labels"] for row in figures["rows"]] == ["1 per class", "5 per class", "10 %"]


@pytest.mark.parametrize("images", ["digits", "few"])
def test_the_sheet(place, tmp_path, images):
    done = twoviews("views", images, "--out", tmp_path / "views.png", "--count", 3, "--json", tmp_path / "draws.json", cwd=place)
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "views.png") as sheet:
        assert sheet.width > 500
        assert len(sheet.convert("RGB").getcolors(1 << 24)) > 50
    draws = json.loads((tmp_path / "draws.json").read_text())
    assert len(draws) == 3
    assert {"box", "flip", "order", "factors", "sigma"} <= set(draws[0]["views"][0])
    again = twoviews("views", images, "--out", tmp_path / "again.png", "--count", 3, cwd=place)
    assert again.returncode == 0
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "views.png").read_bytes(), "draws are keyed"


def test_plan_and_bench_print_and_write(place, tmp_path):
    """Small sizes, so that it takes seconds; what is not installed is named and left out."""
    planned = twoviews("plan", "digits", "--batch", "32", "--width", "0.25", "--json", str(tmp_path / "plan.json"))
    assert planned.returncode == 0, planned.stderr
    assert "the whole batch" in planned.stdout
    assert "no --chunk is needed" in planned.stdout
    assert json.loads((tmp_path / "plan.json").read_text())["batch"] == 32
    for what, sizes in (("loss", ["8", "64"]), ("views", ["16", "32"])):
        file = tmp_path / f"{what}.json"
        done = twoviews("bench", what, "--sizes", *sizes, "--seconds", "0.1", "--json", str(file))
        assert done.returncode == 0, done.stderr
        figures = json.loads(file.read_text())
        assert set(figures["seconds" if what == "loss" else "images_per_second"]["twoviews"]) == set(sizes)
        assert figures["machine"]["torch"] in done.stdout
