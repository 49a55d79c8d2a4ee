"""Whole runs: what a RUN holds, that it learns, goes on to the same bits after kill -9 and signals, and refuses what it must."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import twoviews as tv
from twoviews.training import checkpoint
from twoviews.training.log import read_log
from twoviews.training.run import checkpoints

SMALL = {"recipe": "digits", "batch": 128, "width": 0.25, "epochs": 3, "monitor_every": 1, "monitor_images": 300, "log_every": 2}


def hashes(run: Path) -> dict[str, str]:
    """sha256 of every tensor file that a run leaves."""
    files = [run / "encoder.safetensors", run / "head.safetensors", *sorted(checkpoints(run)[-1].glob("*.safetensors"))]
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def figures(run: Path) -> list[dict]:
    """The log without what depends on the clock."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in ("images_per_second", "data_wait")} for line in lines]


COMMAND = [sys.executable, "-m", "twoviews", "train", "digits", "--recipe", "digits", "--batch", "128", "--width", "0.25", "--epochs", "3"]
COMMAND += ["--monitor-every", "1", "--monitor-images", "300", "--log-every", "2", "--checkpoint-every", "4"]


@pytest.fixture(scope="module")
def never_killed(tmp_path_factory):
    """In a process of its own, as those that are killed: another number of threads would sum in another order."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    subprocess.run([*COMMAND, "--out", str(run)], check=True, capture_output=True)
    return run


def test_a_run_holds_everything(never_killed):
    run = tv.Run(never_killed)
    assert run.finished()
    assert {p.name for p in never_killed.iterdir()} == {
        "config.json",
        "log.jsonl",
        "checkpoints",
        "encoder.safetensors",
        "head.safetensors",
        "lock",
        "tensorboard",
    }
    assert run.config.batch == 128
    assert run.info["source"]["count"] == 1257
    assert run.info["versions"]["twoviews"] == tv.__version__
    steps, epochs = run.log("step"), run.log("epoch")
    assert [line["step"] for line in steps] == list(range(2, 28, 2))
    assert [line["epoch"] for line in epochs] == [1, 2, 3]
    assert steps[0]["loss_chance"] == pytest.approx(np.log(255), rel=1e-5)
    assert {
        "loss",
        "contrast_acc",
        "contrast_acc_chance",
        "contrast_entropy",
        "alignment",
        "uniformity",
        "learning_rate",
        "images_per_second",
        "data_wait",
    } <= set(steps[0])
    assert {"rank", "std", "probe", "knn", "verdict"} <= set(epochs[-1])
    assert epochs[-1]["loss"] < epochs[0]["loss"] < steps[0]["loss_chance"]
    assert epochs[-1]["knn"] > 0.5
    encoder = run.encoder()
    assert not encoder.training
    assert encoder(torch.rand(2, 1, 12, 12)).shape == (2, encoder.num_features)
    assert len(checkpoints(never_killed)) <= 2


def test_the_same_command_again_does_nothing(never_killed, capfd):
    before = hashes(never_killed)
    tv.train("digits", never_killed, **SMALL)
    assert "finished" in capfd.readouterr().err
    assert hashes(never_killed) == before


def test_killed_at_random_moments_it_ends_in_the_same_bits(never_killed, tmp_path):
    """kill -9 in the first seconds of work, three times, then to the end. Checkpoints lie in the middle of epochs (9 steps each)."""
    out, random_moment, kills = tmp_path / "killed", random.Random(0), 0
    for _ in range(3):
        process = subprocess.Popen([*COMMAND, "--out", str(out)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        began, before = time.time(), len(checkpoints(out)) and checkpoint.number(checkpoints(out)[-1])
        while process.poll() is None and time.time() - began < 90:
            done = checkpoints(out)
            if done and checkpoint.number(done[-1]) > before:
                time.sleep(random_moment.uniform(0, 0.1))
                process.kill()
                break
            time.sleep(0.01)
        kills += process.wait() == -signal.SIGKILL
        process.stderr.close()
    assert kills >= 2
    subprocess.run([*COMMAND, "--out", str(out)], check=True, capture_output=True)
    assert hashes(out) == hashes(never_killed)
    assert figures(out) == figures(never_killed)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_leave_a_checkpoint(never_killed, tmp_path, number, code):
    out = tmp_path / "stopped"
    command = [*COMMAND[:-2], "--checkpoint-every", "1000", "--out", str(out)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    while process.poll() is None and not (out / "log.jsonl").exists():
        time.sleep(0.01)
    while process.poll() is None and not (out / "log.jsonl").read_bytes() and not list(out.glob("tensorboard/*")):
        time.sleep(0.01)
    time.sleep(0.3)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "The same command goes on" in err
    assert len(checkpoints(out)) == 1
    subprocess.run(command, check=True, capture_output=True)
    assert hashes(out) == hashes(never_killed)


def test_another_config_is_refused_with_what_changed(never_killed):
    with pytest.raises(tv.UserError, match=r"temperature: 0.5 → 0.2; learning_rate: 0.01 → 0.5"):
        tv.train("digits", never_killed, **{**SMALL, "temperature": 0.2, "learning_rate": 0.5})


def test_other_pictures_are_refused(never_killed, tmp_path):
    for n in range(200):
        Image.fromarray(np.random.default_rng(n).integers(0, 256, (8, 8), dtype=np.uint8)).save(tmp_path / f"{n}.png")
    with pytest.raises(tv.UserError, match="pictures: 1,257 of digits → 200"):
        tv.train(tmp_path, never_killed, **SMALL)


def test_two_runs_on_one_folder(never_killed, tmp_path):
    from twoviews.base.files import locked

    with locked(tmp_path / "run"), pytest.raises(tv.UserError, match="another process"):
        tv.train("digits", tmp_path / "run", **SMALL)


def test_what_is_refused_leaves_nothing(tmp_path):
    wrong = [
        ({"batch": 5000}, "larger than the set of 1257"),
        ({"batch": 1}, "at least 2"),
        ({"encoder": "resnet19"}, "Did you mean resnet18"),
        ({"recipe": "digit"}, "Did you mean digits"),
        ({"tau": 1}, "unknown option"),
        ({"device": "cuda:99"}, "cannot be used"),
        ({"init": "nowhere"}, "does not exist"),
    ]
    for options, words in wrong:
        with pytest.raises(tv.UserError, match=words):
            tv.train("digits", tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
    with pytest.raises(tv.UserError, match="does not exist"):
        tv.train(tmp_path / "nothing", tmp_path / "out")
    (tmp_path / "one").mkdir()
    Image.new("RGB", (50, 50)).save(tmp_path / "one" / "a.png")
    with pytest.raises(tv.UserError, match="at least 2"):
        tv.train(tmp_path / "one", tmp_path / "out")
    with pytest.raises(tv.UserError, match="not a RUN"):
        tv.train("digits", tmp_path / "one", **SMALL)
    assert [p.name for p in tmp_path.iterdir()] == ["one"]


def test_a_loss_that_is_not_finite_stops(tmp_path):
    def broken(z1, z2):
        return (z1 * z2).sum() * float("inf")

    with pytest.raises(tv.RunError, match=r"step 1: the loss is (nan|inf|-inf), the gradient.s norm nan \(largest: encoder.*pictures \d+"):
        tv.train("digits", tmp_path / "run", loss=broken, **SMALL)
    assert not checkpoints(tmp_path / "run")
    assert not (tmp_path / "run" / "encoder.safetensors").exists()


@pytest.fixture
def photos(tmp_path):
    """24 pictures of two colours and several sizes, one file that is none."""
    generator = np.random.default_rng(0)
    for n in range(24):
        folder = tmp_path / "photos" / ("red" if n % 2 else "blue")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 120, (50 + n, 60, 3), dtype=np.uint8)
        pixels[..., 0 if n % 2 else 2] += 100
        Image.fromarray(pixels).save(folder / f"{n}.jpg")
    (tmp_path / "photos" / "red" / "bad,\nname.jpg").write_bytes(b"no picture")
    return tmp_path / "photos"


PHOTOS = {"encoder": "resnet18", "width": 0.125, "size": 32, "epochs": 2, "batch": 8, "monitor_every": 1}


def test_a_folder_of_photos(photos, tmp_path):
    run = tv.train(photos, tmp_path / "run", workers=2, **PHOTOS)
    import csv

    rows = list(csv.reader((run.path / "skipped.csv").open(newline="")))
    assert rows == [["file", "reason"], ["red/bad,\nname.jpg", "not a picture in a known format, or one with a damaged header"]]
    assert run.config.recipe == "photos"
    again = tv.train(photos, tmp_path / "other", workers=0, **PHOTOS)
    assert hashes(run.path) == hashes(again.path), "the number of workers changes nothing"


def test_a_signal_to_the_whole_group(photos, tmp_path):
    """As schedulers send it: to the workers too."""
    command = [sys.executable, "-m", "twoviews", "train", str(photos), "--out", str(tmp_path / "run"), "--workers", "2", "--epochs", "500"]
    command += ["--encoder", "resnet18", "--width", "0.125", "--size", "32", "--batch", "8", "--log-every", "1"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True)
    board = tmp_path / "run" / "tensorboard"
    while process.poll() is None and not board.exists():
        time.sleep(0.05)
    time.sleep(1.5)
    os.killpg(process.pid, signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert "Traceback" not in err
    assert len(checkpoints(tmp_path / "run")) == 1


def test_init_from_a_run(photos, tmp_path, never_killed):
    first = tv.train(photos, tmp_path / "first", **PHOTOS)
    second = tv.train(
        photos, tmp_path / "second", init=str(first.path), **{k: v for k, v in PHOTOS.items() if k not in ("encoder", "width")}
    )
    assert (second.config.encoder, second.config.width) == ("resnet18", 0.125)
    result = tv.knn(second.path, photos, k=3, seeds=2)
    assert [row["subject"] for row in result.rows] == ["twoviews", "start", "untrained", "pixels"]
    with pytest.raises(tv.UserError, match=r"another encoder: width 0.5 was asked for, it has 0.125"):
        tv.train(photos, tmp_path / "third", init=str(first.path), width=0.5)
    with pytest.raises(tv.UserError, match="channels"):
        tv.train(photos, tmp_path / "third", init=str(never_killed))
    net = tv.load_encoder(first.path)
    tv.save_encoder(tmp_path / "file.safetensors", net, {})
    assert tv.train(photos, tmp_path / "fourth", init=str(tmp_path / "file.safetensors"), size=32, epochs=1, batch=8).finished()


def test_a_foreign_encoder(photos, tmp_path):
    run = tv.train(photos, tmp_path / "run", **{**PHOTOS, "encoder": "timm:resnet10t", "epochs": 1})
    assert run.encoder().num_features == 512


class Mine(nn.Module):
    num_features = 8

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.convolution = nn.Conv2d(1, 8, 3)

    def forward(self, x):
        return self.convolution(x).mean((2, 3))


def test_everything_of_your_own(tmp_path):
    """Encoder, views, loss and source from outside the package."""

    class Squares:
        classes, fingerprint, labels = (), "squares", None

        def __len__(self):
            return 32

        def name(self, index):
            return f"square {index}"

        def read(self, index):
            return torch.full((1, 12, 12), index * 7, dtype=torch.uint8)

    def views(images, keys):
        x = images.float() / 255
        return x, x.flip(3)

    def loss(z1, z2):
        return tv.nt_xent(z1, z2, 1.0)

    run = tv.train(
        Squares(), tmp_path / "run", encoder=Mine(), views=views, loss=loss, channels=1, size=12, epochs=1, batch=8, strength=0.0, workers=0
    )
    again = tv.load_encoder(run.path, module=Mine())
    assert again(torch.rand(2, 1, 12, 12)).shape == (2, 8)


def test_a_learning_rate_of_zero_learns_nothing_and_says_so(tmp_path):
    run = tv.train("digits", tmp_path / "run", **{**SMALL, "epochs": 1, "learning_rate": 0.0, "head": "none", "temperature": 1000.0})
    assert run.log()[-1]["verdict"].startswith("learns nothing yet")


def test_a_collapse_is_called_one(tmp_path):
    def together(z1, z2):
        return (z1 - z2).square().sum(1).mean() + z1.square().mean()

    run = tv.train(
        "digits", tmp_path / "run", loss=together, **{**SMALL, "epochs": 8, "head": "none", "optimizer": "sgd", "learning_rate": 0.1}
    )
    assert run.log()[-1]["verdict"].startswith("collapsed")


@pytest.mark.parametrize("optimizer", ["lars", "sgd", "adamw"])
def test_optimizers_go_on_from_their_state(tmp_path, optimizer):
    from twoviews.training.loop import Trainer

    options = {**SMALL, "epochs": 1, "optimizer": optimizer, "checkpoint_every": 4}
    whole = tv.train("digits", tmp_path / "whole", **options)
    calls = []
    original = Trainer.save

    def stop_after_first(self, log):
        original(self, log)
        calls.append(self.done)
        raise KeyboardInterrupt

    Trainer.save = stop_after_first
    try:
        with pytest.raises(KeyboardInterrupt):
            tv.train("digits", tmp_path / "two", **options)
    finally:
        Trainer.save = original
    assert calls == [4]
    tv.train("digits", tmp_path / "two", **options)
    assert hashes(tmp_path / "two") == hashes(whole.path)


def test_the_checkpoint_of_another_encoder(tmp_path, never_killed):
    """A checkpoint that was put into the wrong RUN."""
    import shutil

    run = tmp_path / "run"
    tv.train("digits", run, **{**SMALL, "width": 0.5, "epochs": 1})
    shutil.rmtree(run / "checkpoints")
    shutil.copytree(never_killed / "checkpoints", run / "checkpoints")
    with pytest.raises(tv.UserError, match="checkpoint of another encoder"):
        tv.train("digits", run, **{**SMALL, "width": 0.5, "epochs": 1})


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path):
    """A real full disk: a file system of 3 MB, where this machine may mount one."""
    small = tmp_path / "small"
    small.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(small)], capture_output=True).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        command = [("1" if part == "0.25" else part) for part in COMMAND] + ["--out", str(small / "run"), "--keep-every", "4"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 1, done.stderr
        assert "No space left" in done.stderr
        assert "Traceback" not in done.stderr
        left = checkpoints(small / "run")
        for path in left:
            assert {p.name for p in path.iterdir()} == {"model.safetensors", "optimizer.safetensors", "state.json"}
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_log_lines_are_json(never_killed):
    assert len(read_log(never_killed, "step")) + len(read_log(never_killed, "epoch")) == len(
        (never_killed / "log.jsonl").read_text().splitlines()
    )
