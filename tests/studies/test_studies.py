"""The paper's experiments: their cells against the paper, and studies that run, are killed, go on, and share trainings."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import twoviews as tv
from twoviews.base.errors import UserError
from twoviews.base.files import write_json
from twoviews.evaluate.intervals import summary
from twoviews.studies.augmentation import MATRIX, NAMES
from twoviews.studies.catalog import ALSO, STUDIES, study_of
from twoviews.studies.config import PaperConfig
from twoviews.studies.costs import cost, operations, resolved
from twoviews.studies.paper import Repeat, judged
from twoviews.studies.report import markdown
from twoviews.studies.scale import scale_of
from twoviews.studies.study import Finding
from twoviews.studies.supervised import supervised

from ..conftest import twoviews

SCALES = {name: scale_of(PaperConfig(scale=name), False, 32 if name == "small" else None) for name in ("small", "medium", "paper")}
QUICK = ("--epochs", "1", "--batch", "256", "--labels", "5")


@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_every_cell_can_be_trained_and_every_finding_names_cells(study, scale):
    cells = study.cells(scale)
    places = [(cell.row, cell.column) for cell in cells]
    assert len(set(places)) == len(places) >= 3
    for cell in cells:
        for alternative in cell.tuned:
            resolved(scale, {**cell.values, **alternative})  # refuses what train would refuse
    for finding in study.findings(scale):
        assert set(finding.more) | set(finding.less) <= set(places), finding.text
        assert not set(finding.more) & set(finding.less)


def test_the_papers_matrix_is_the_papers():
    """Row means of Figure 5, which stand beside it in the paper, to its one digit (the paper rounds from more digits)."""
    assert np.abs(np.mean(MATRIX, axis=1) - [39.2, 29.4, 25.7, 18.8, 15.5, 14.5, 13.8]).max() < 0.1
    best = np.unravel_index(np.argmax(MATRIX), (7, 7))
    assert (NAMES[best[0]], NAMES[best[1]]) == ("crop", "color")


def test_what_the_paper_trained():
    paper = SCALES["paper"]
    assert {c.values["temperature"] for c in STUDIES["table5"].cells(paper)} == {0.05, 0.1, 0.5, 1, 10, 100}
    assert {(c.values["batch"], c.values["epochs"]) for c in STUDIES["figure9"].cells(paper)} == {
        (n, e) for n in (256, 512, 1024, 2048, 4096, 8192) for e in range(100, 1001, 100)
    }
    assert [c.values["strength"] for c in STUDIES["table1"].cells(paper)][:5] == [0.125, 0.25, 0.5, 1.0, 1.0]
    assert {c.values.get("head_features") for c in STUDIES["figure8"].cells(paper)} == {None, 32, 64, 128, 256, 512, 1024, 2048}
    config = resolved(paper, {})
    assert (config.encoder, config.batch, config.temperature, config.learning_rate, config.epochs) == ("resnet50", 4096, 0.1, 0.3, 100)


def test_costs():
    assert operations("resnet50", 1, False, "imagenet", 3, 224) == pytest.approx(2 * 4.09e9, rel=0.01)
    found = cost(STUDIES["figure5"], SCALES["paper"], 1)
    assert (found.trainings, found.epochs) == (49, 4900)
    assert found.work == pytest.approx(4900)
    tuned = cost(STUDIES["table4"], SCALES["small"], 3)
    assert tuned.trainings == 13 + 2 * 5  # alternatives with the first seed only
    assert cost(STUDIES["table8"], SCALES["paper"], 1).work == pytest.approx(1000 * 15.65, rel=0.01)  # ×4 costs nearly sixteen times


def test_names():
    assert {study_of(name).name for name in ALSO} == {"table4", "table6"}
    with pytest.raises(UserError, match="Did you mean figure5"):
        study_of("figure55")


def test_judged():
    def cells(values):
        return {seed: {"top1": v} for seed, v in enumerate(values)}

    by = {
        ("a", "x"): cells([0.60, 0.62, 0.61]),
        ("b", "x"): cells([0.50, 0.51, 0.52]),
        ("c", "x"): cells([0.58, 0.64, 0.60]),
        ("d", "x"): {},
    }
    a, b, c, d = by
    found = judged(Finding("", (a,), (b,)), by)
    assert found["verdict"] == "shows"
    assert found["difference"] == pytest.approx(0.1)
    assert found["half"] == pytest.approx(4.303 * 0.01 / 3**0.5, rel=1e-3)
    assert judged(Finding("", (b,), (a,)), by)["verdict"] == "the opposite shows"
    assert judged(Finding("", (a,), (c,)), by)["verdict"] == "not told apart"
    assert judged(Finding("", (a,), (b, c), best=True), by)["difference"] == pytest.approx(0.61 - 0.6067, abs=1e-3)
    assert judged(Finding("", (a,), (d,)), by)["verdict"] == "not measured"
    alone = {place: {0: found[0]} for place, found in by.items() if found}
    assert judged(Finding("", (a,), (b,)), alone)["verdict"] == "one seed says nothing"


def test_the_table():
    study, about = (
        STUDIES["table4"],
        {"seeds": [0, 1], "trainings": 4, "device": "cpu", "note": "", "images": {"spec": "x/cats", "count": 1234}},
    )
    about["beside"] = {"raw pixels": summary([0.3], 10000, True)}
    about["scale"] = {"name": "small", "words": "few", "labels": "all", "values": {"encoder": "convnet", "width": 0.5, "epochs": 4}}
    figures = {"seeds": [0, 1], "top1": summary([0.4, 0.42], 100, True)}
    rows = [
        {"row": "NT-Xent", "column": "linear", **figures, "paper": {"top1": 63.9}, "chosen": {"temperature": 0.2}},
        {"row": "Margin triplet", "column": "linear", "seeds": [], "paper": {"top1": 50.9}},
    ]
    text = markdown(study, about, rows, [{"text": "it is better", "verdict": "shows", "difference": 0.1, "half": 0.02}])
    assert "| NT-Xent | linear | 41.0 ± 12.7 (63.9) |" in text
    assert "| Margin triplet | linear | – (50.9) |" in text
    assert "NT-Xent: temperature 0.2" in text
    assert "raw pixels 30.0 ± 0.9" in text
    assert "| it is better | shows | +10.0 ± 2.0 |" in text
    assert "1,234 pictures of cats" in text
    assert "linear evaluation on frozen h (labels: all), mean of 2 seeds" in text


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    """Figure 8 with one seed on digits, by the command."""
    out = tmp_path_factory.mktemp("studies")
    done = twoviews("paper", "figure8", "digits", "--out", out, "--seeds", 1, *QUICK, "--json", out / "f8.json")
    assert done.returncode == 0, done.stderr
    return out, done


def test_a_study_by_the_command(studied):
    out, done = studied
    assert "no, linear and nonlinear projection head" in " ".join(done.stdout.split())
    found = json.loads((out / "f8.json").read_text())
    assert [row["row"] for row in found["rows"]] == ["none", *["linear"] * 3, *["nonlinear"] * 3]
    assert all(0.2 < row["top1"]["mean"] < 0.99 for row in found["rows"])
    assert (out / "figure8" / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert len(list((out / "runs").glob("*/encoder.safetensors"))) == 7
    beside = found["beside"]
    assert list(beside) == ["the untrained network", "raw pixels"]
    assert all(0.2 < one["mean"] < 0.95 for one in beside.values())
    assert found["command"][-4:] == ["--labels", "5", "--json", str(out / "f8.json")]


def test_it_is_not_trained_twice_and_shared(studied):
    out, _ = studied
    before = {p: p.stat().st_mtime_ns for p in (out / "runs").rglob("*.safetensors")}
    again = twoviews("paper", "figure8", "digits", "--out", out, "--seeds", 1, *QUICK)
    assert again.returncode == 0
    assert "to go" not in again.stderr
    other = twoviews("paper", "table5", "digits", "--out", out, "--seeds", 1, *QUICK)
    assert other.returncode == 0, other.stderr
    assert "5 trainings to go" in other.stderr  # of six: temperature 0.5 is figure 8's nonlinear head of 128
    assert {p: p.stat().st_mtime_ns for p in before} == before
    rows = json.loads((out / "table5" / "figures.json").read_text())["rows"]
    assert all({"entropy", "contrast_acc", "top1"} <= set(row) for row in rows)


def test_wrong_arguments(tmp_path):
    for arguments, message in (
        (("figure55", "digits"), "Did you mean figure5"),
        (("figure5",), "needs pictures"),
        (("figure5", tmp_path / "nowhere"), "nowhere"),
        (("figure5", "digits", "--scale", "huge"), "huge"),
        (("figure5", "digits", "--seeds", "0"), "at least 1"),
        (("figure5", "digits", "--labels", "few"), "not understood"),
    ):
        done = twoviews("paper", *arguments, cwd=tmp_path)
        assert done.returncode == 2, arguments
        assert message in done.stderr.replace("\n", " "), done.stderr
        assert not list(tmp_path.iterdir())


def test_the_list():
    done = twoviews("paper", "list")
    assert done.returncode == 0
    assert all(name in done.stdout for name in STUDIES)
    timed = twoviews("paper", "list", "digits")
    assert timed.returncode == 0, timed.stderr
    assert re.search(r"figure5 .* (min|s|h|d)$", timed.stdout.replace("  ", " "), re.M)


def test_failed_trainings_are_told_and_tried_again(tmp_path):
    command = ("paper", "table3", "digits", "--out", tmp_path / "s", "--seeds", 1, "--epochs", 1, "--batch", 250, "--labels", 5)
    repeat = Repeat(study_of("table3"), "digits", tmp_path / "s" / "runs", PaperConfig(seeds=1, epochs=1, batch=250, labels="5"))
    run = repeat.part(repeat.cells[0], 0, 0).folder
    run.parent.mkdir(parents=True)
    run.write_text("in the way")
    done = twoviews(*command)
    assert done.returncode == 1
    said = done.stderr.replace("\n", " ")
    assert str(run.name) in said
    assert "tries them again" in said
    text = (tmp_path / "s" / "table3" / "table.md").read_text()
    assert "– (99.3)" in text  # the table stands, with what is missing
    assert "not measured" in text
    run.unlink()
    again = twoviews(*command)
    assert again.returncode == 0, again.stderr
    assert "– (99.3)" not in (tmp_path / "s" / "table3" / "table.md").read_text()


def test_too_few_pictures(tmp_path):
    done = twoviews("paper", "table3", "digits", "--batch", 5000, cwd=tmp_path)
    assert done.returncode == 2
    assert "1,257 pictures to train on: it needs more pictures, or --batch 1257" in done.stderr.replace("\n", " ")
    with pytest.raises(UserError, match="batches of 9999"):
        Repeat(study_of("figure9"), "digits", tmp_path, PaperConfig(batch=9999))
    with pytest.raises(UserError, match="has only"):
        Repeat(study_of("table5"), "digits", tmp_path, PaperConfig(labels="500"))
    assert Repeat(study_of("table5"), "digits", tmp_path, PaperConfig()).scale.labels == "all"  # 500 of each class are not there
    assert Repeat(study_of("table5"), "digits", tmp_path, PaperConfig(scale="medium")).scale.values["batch"] == 512
    assert scale_of(PaperConfig(scale="medium"), False, None, 134).values["batch"] == 134


def started(out: Path, count: int):
    """A study that trains, with `count` trainings or more finished."""
    command = [
        sys.executable,
        "-m",
        "twoviews",
        "paper",
        "table5",
        "digits",
        "--out",
        str(out),
        "--seeds",
        "1",
        "--epochs",
        "12",
        "--labels",
        "5",
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 200
    while len(list((out / "runs").glob("*/eval/study-*.json"))) < count or not alive(out / "runs"):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process


def figures(out: Path):
    rows = json.loads((out / "table6" / "figures.json").read_text())["rows"]
    return [(row["row"], row["column"], row["top1"]["values"], row["parameters"]["values"]) for row in rows]


def alive(folder: Path) -> list[str]:
    """Processes that name this folder, or whose open files lie in it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            opened = [str(link.readlink()) for link in (process / "fd").iterdir()]
        except OSError:
            continue
        if any(str(folder) in place for place in opened):
            found.append(process.name)
    return found


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at processes through /proc")
def test_killed_and_stopped_it_goes_on_to_the_same_figures(tmp_path):
    killed = started(tmp_path / "killed", 1)
    killed.kill()
    killed.wait()
    deadline = time.monotonic() + 20
    while alive(tmp_path / "killed"):
        assert time.monotonic() < deadline, "trainings outlived their study"
        time.sleep(0.1)
    told = started(tmp_path / "killed", 1)  # goes on at once: no lock was left behind
    told.send_signal(signal.SIGTERM)
    _, said = told.communicate(timeout=60)
    assert told.returncode == 143, said
    assert "the same command goes on" in said.replace("\n", " ")
    assert not alive(tmp_path / "killed")
    for out in ("killed", "whole"):
        done = twoviews("paper", "table6", "digits", "--out", tmp_path / out, "--seeds", 1, "--epochs", 6, "--labels", 5)
        assert done.returncode == 0, done.stderr
    assert figures(tmp_path / "killed") == figures(tmp_path / "whole")


def test_alternatives_are_chosen_by_the_probe_on_training_pictures(tmp_path):
    """Not by the test figures: those of the chosen one may be worse."""
    config = PaperConfig(seeds=2, epochs=1, labels="5")
    repeat = Repeat(study_of("table4"), "digits", tmp_path / "runs", config)
    cell = repeat.cells[0]
    for number, (probe, top1) in enumerate([(0.3, 0.9), (0.5, 0.1), (0.4, 0.5)]):
        part = repeat.part(cell, number, 0)
        part.found.parent.mkdir(parents=True)
        write_json(part.found, {"probe": probe, "top1": top1, "tested": 100})
    assert repeat.choose(cell) == 1


@pytest.mark.parametrize("files", [False, True], ids=["memory", "files"])
def test_supervised(tmp_path, files):
    """It learns, from pictures in memory and from files of two sizes."""
    from sklearn.datasets import load_digits

    images = "digits"
    if files:
        images = tmp_path / "digits"
        for number, (picture, label) in enumerate(zip(load_digits().images[:600], load_digits().target, strict=False)):
            (images / str(label)).mkdir(parents=True, exist_ok=True)
            larger = np.kron((picture * 15.9).astype(np.uint8), np.ones((2 + number % 2,) * 2, np.uint8))
            Image.fromarray(larger).save(images / str(label) / f"{number}.png")
    own = {"recipe": "cifar10", "encoder": "convnet", "size": 8, "crop_min": 0.5, "flip": 0.0, "workers": 1, "seed": 1}
    values = {**own, "batch": 64, "epochs": 40 if files else 8}
    found = supervised(str(images), tmp_path / "run", values)
    assert found["top1"] > 0.6
    assert found["tested"] > 100
    again = supervised(str(images), tmp_path / "run2", values)
    assert again == found


def test_another_question_gets_no_old_answer(tmp_path):
    """Figures of a RUN are kept by what was asked: labels, raw pixels beside, sets."""

    def found(**config):
        repeat = Repeat(study_of("table5"), "digits", tmp_path, PaperConfig(**config))
        return [part.found for part in (repeat.part(repeat.cells[0], 0, 0), *repeat.untrained())]

    few, all_, later = found(labels="5"), found(labels="all"), found(labels="5", seed=1)
    assert not set(few) & set(all_)
    assert few[2] != later[1]  # of seed 1, which is asked for pixels too where it is the first
    assert few[1:] == found(labels="5", epochs=2)[1:]  # the untrained network is the same after any number of epochs


def test_from_python_and_transformations(tmp_path, shared_data):
    flowers = shared_data / "flowers128"
    outcome = tv.paper("table3", flowers, tmp_path / "s", seeds=1, epochs=3, size=24, batch=64, labels="all")
    by = {(row["row"], row["column"]): row["top1"]["mean"] for row in outcome.rows}
    assert len(by) == 12
    assert by["colour or gray", "guessing"] == pytest.approx(0.8, abs=0.12)
    assert by["original or Sobel", "h"] > 0.9
    assert all(finding["verdict"] == "one seed says nothing" for finding in outcome.findings)


@pytest.mark.soak
def test_transfer_to_other_sets(tmp_path):
    """Rows and columns are those of the sets that were measured."""
    other, rng = tmp_path / "textures", np.random.default_rng(0)
    for label in range(3):
        (other / f"class{label}").mkdir(parents=True)
        for number in range(14):
            stripes = np.kron(rng.integers(0, 256, (1, 8 >> label)), np.ones((8, 1 << label)))
            Image.fromarray(stripes.astype(np.uint8)).save(other / f"class{label}" / f"{number}.png")
    outcome = tv.paper("table8", "digits", tmp_path / "s", seeds=1, epochs=1, sets=(str(other),))
    assert [row["row"] for row in outcome.rows] == ["linear", "fine-tuned", "from-scratch"]
    assert {Path(row["column"]).name for row in outcome.rows} == {"textures"}
    assert all(0 <= row["top1"]["mean"] <= 1 for row in outcome.rows)
    assert (tmp_path / "s" / "table8" / "figure.png").is_file()


@pytest.mark.soak
def test_few_labels(tmp_path):
    outcome = tv.paper("table7", "digits", tmp_path / "s", seeds=1, epochs=2)
    by = {(row["row"], row["column"]): row["top1"]["mean"] for row in outcome.rows}
    assert len(by) == 8
    assert by["SimCLR ×1", "10 %"] > by["SimCLR ×1", "1 %"] > 0.15
