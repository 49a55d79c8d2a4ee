"""What a run survives: pictures that vanish or break, steps that are not finite, disks that fill, clocks that jump; and other kinds of pictures."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

import twoviews as tv
from twoviews.sources.shard import shard
from twoviews.training import checkpoint
from twoviews.training.log import read_log
from twoviews.training.run import checkpoints
from twoviews.training.skipped import write_skipped
from twoviews.views.pipeline import Views

TINY = {
    "recipe": "photos", "encoder": "convnet", "width": 0.25, "size": 16, "batch": 16, "epochs": 3, "log_every": 1, "monitor_images": 20,
    "monitor_every": 3, "tensorboard": False, "workers": 1,
}  # fmt: skip


@pytest.fixture
def photos(tmp_path):
    """40 pictures, too large to live in memory."""
    made = np.random.default_rng(1)
    for n in range(40):
        path = tmp_path / "photos" / f"{n:02d}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(made.integers(0, 256, (9, 10, 3), np.uint8)).resize((150 + n % 5, 140)).save(path)
    return tmp_path / "photos"


def weights(run) -> bytes:
    return (run.path / "encoder.safetensors").read_bytes()


def skipped(run) -> dict[str, str]:
    with (run.path / "skipped.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return dict(list(csv.reader(file))[1:])


def stop_at(monkeypatch, step):
    """SIGTERM arrives in the middle of this step."""
    from twoviews.training.step import Step

    original = Step.__call__

    def call(self, batch, number):
        if number + 1 == step:
            os.kill(os.getpid(), 15)
        return original(self, batch, number)

    monkeypatch.setattr(Step, "__call__", call)


# -- pictures that cannot be read ------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 1])
def test_pictures_that_vanish_or_break_are_stood_in_for_and_listed(photos, tmp_path, workers):
    """With `check none` nobody looks before: what is broken is met on the way, and the number of workers changes nothing."""
    (photos / "03.jpg").write_bytes((photos / "03.jpg").read_bytes()[:900])
    (photos / "07.jpg").write_bytes(b"")
    (photos / "09.jpg").unlink()
    (photos / "09.jpg").symlink_to("nowhere.jpg")
    run = tv.train(photos, tmp_path / f"run{workers}", **{**TINY, "check": "none", "workers": workers})
    assert set(skipped(run)) == {"03.jpg", "07.jpg", "09.jpg"}
    assert all(reason.startswith("during the run: ") for reason in skipped(run).values())
    assert run.finished()
    other = tv.train(photos, tmp_path / "other", **{**TINY, "check": "none", "workers": 2})
    assert weights(run) == weights(other)


def test_a_run_goes_on_with_the_pictures_it_began_with(photos, tmp_path, monkeypatch, capfd):
    """One file is removed while the run is stopped: it is stood in for, and the rest stays as it was numbered."""
    whole = tv.train(photos, tmp_path / "whole", **TINY)
    with monkeypatch.context() as patch:
        stop_at(patch, 2)
        with pytest.raises(tv.RunError, match="stopped by SIGTERM after step 2"):
            tv.train(photos, tmp_path / "run", **TINY)
    (photos / "11.jpg").unlink()
    run = tv.train(photos, tmp_path / "run", **TINY)
    assert "the run goes on with these" in capfd.readouterr().err
    assert set(skipped(run)) == {"11.jpg"}
    assert run.finished()
    assert [line["step"] for line in run.log("step")] == [line["step"] for line in whole.log("step")]
    with monkeypatch.context() as patch:
        stop_at(patch, 2)
        with pytest.raises(tv.RunError):
            tv.train(photos, tmp_path / "third", **TINY)
    for n in range(10):
        (photos / f"{n:02d}.jpg").unlink()
    with pytest.raises(tv.UserError, match=r"pictures: 39 .* → 29"):
        tv.train(photos, tmp_path / "third", **TINY)


def test_when_nothing_can_be_read_any_more_the_run_ends(photos, tmp_path):
    for path in photos.glob("*.jpg"):
        path.write_bytes(b"gone")
    with pytest.raises(tv.RunError, match="nor can 100 others") as caught:
        tv.train(photos, tmp_path / "run", **{**TINY, "check": "none"})
    assert "Traceback" not in str(caught.value)


def test_evaluations_name_what_they_cannot_read(photos, tmp_path):
    for n in range(40):
        (photos / "ab"[n % 2]).mkdir(exist_ok=True)
        (photos / f"{n:02d}.jpg").rename(photos / "ab"[n % 2] / f"{n:02d}.jpg")
    (photos / "a" / "04.jpg").write_bytes(b"broken")
    for workers in (0, 1):
        with pytest.raises(tv.RunError, match=r"^a/04\.jpg: not a picture.*--check full leaves such pictures out$"):
            tv.knn("untrained:convnet", photos, check="none", size=16, workers=workers, seeds=1)


def test_a_killed_run_goes_on_at_once(photos, tmp_path):
    """Its readers outlive it by some seconds, and must not hold its lock."""
    line = (
        f"train {photos} --out {tmp_path}/run --recipe photos --encoder convnet --width 0.25 --size 16 --batch 8 --epochs 400 --workers 2"
    )
    command = [sys.executable, "-m", "twoviews", *line.split(), "--checkpoint-every", "2"]
    with (tmp_path / "said").open("w") as said:
        first = subprocess.Popen(command, stderr=said)
        try:
            deadline = time.monotonic() + 120
            while not checkpoints(tmp_path / "run"):
                assert time.monotonic() < deadline
                assert first.poll() is None
                time.sleep(0.05)
            readers = psutil.Process(first.pid).children()
            assert readers
            for reader in readers:
                reader.suspend()  # as one that hangs in a read
        finally:
            first.kill()
            first.wait()
        again = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            said = [again.stderr.readline() for _ in range(2)]  # what was understood of the images, and where it goes on
            assert "going on from step" in said[1], said
        finally:
            again.kill()
            again.wait()
            for reader in readers:
                reader.kill()


def test_a_folder_that_is_half_ugly(shared_data, photos, tmp_path, capfd):
    for path in (shared_data / "ugly").iterdir():
        if path.is_file() and path.suffix in (".jpg", ".png", ".tif", ".gif", ".npy"):
            (photos / f"u-{path.name}"[-200:]).write_bytes(path.read_bytes())
    run = tv.train(photos, tmp_path / "run", **{**TINY, "epochs": 1})
    assert len(skipped(run)) > 25
    assert all(skipped(run).values())
    assert "left out (skipped.csv)" in capfd.readouterr().err
    with pytest.raises(tv.UserError, match=r"cannot be read, and --strict forbids that; the first"):
        tv.train(photos, tmp_path / "strict", **{**TINY, "strict": True})
    assert not (tmp_path / "strict").exists()


def test_a_reader_that_is_killed_ends_the_run_with_words(photos, tmp_path):
    script = (
        "import os, sys, twoviews as tv\n"
        "from twoviews.training.step import Step\n"
        "first = Step.__call__\n"
        "def call(self, batch, number):\n"
        "    import psutil\n"
        "    if number == 1: psutil.Process().children()[0].kill()\n"
        "    return first(self, batch, number)\n"
        "Step.__call__ = call\n"
        "from twoviews.cli.main import main\n"
        f"line = ['train', {str(photos)!r}, '--out', {str(tmp_path / 'run')!r}]\n"
        "options = '--recipe photos --encoder convnet --width 0.25 --size 16 --batch 4 --epochs 9 --workers 1'\n"
        "sys.exit(main([*line, *options.split()]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "a process that reads pictures ended" in done.stderr


def test_embed_leaves_out_what_it_cannot_read(photos, tmp_path, capfd):
    (photos / "05.jpg").write_bytes(b"broken")
    for target in ("vectors.parquet", "vectors.npz"):
        tv.embed("untrained:convnet", photos, tmp_path / target, check="none", size=16, workers=0)
        found = tv.read_vectors(str(tmp_path / target))
        assert len(found) == 39
        assert "05.jpg" not in found.paths
        assert found.ids.tolist() == [n for n in range(40) if n != 5]
        assert "05.jpg" in capfd.readouterr().err
    twins = tv.search("untrained:convnet", str(tmp_path / "vectors.parquet"), [photos / "09.jpg"], k=1, size=16, workers=0).as_json()
    assert twins["queries"][0]["neighbours"][0]["path"] == "09.jpg"


# -- steps that are not finite -----------------------------------------------------------------------------------------


class Poisoned(Views):
    """Views that are infinite for picture keys of one batch."""

    poison: frozenset[int] = frozenset()

    def __call__(self, images, keys):
        x1, x2 = super().__call__(images, keys)
        for row, key in enumerate(keys.tolist()):
            if key in self.poison:
                x1[row] = float("inf")
        return x1, x2


def poisoned(*pictures: int, epoch: int = 1) -> Poisoned:
    views = Poisoned(size=16)
    views.poison = frozenset(int(key) for key in tv.draw_keys(0, "views", epoch, np.array(pictures)))
    return views


def test_a_poisoned_batch_stops_before_anything_is_saved(photos, tmp_path):
    with pytest.raises(tv.RunError) as caught:
        tv.train(photos, tmp_path / "run", views=poisoned(7), **{**TINY, "checkpoint_every": 1})
    text = str(caught.value)
    assert "the loss is nan, the gradient's norm nan" in text
    assert "views that are not finite of the pictures 07.jpg." in text
    assert "encoder." in text
    run = tv.Run(tmp_path / "run")
    step = int(text.split("step ")[1].split(":")[0])
    assert checkpoint.number(checkpoints(run.path)[-1]) == step - 1  # the good one is there, and goes on
    again = tv.train(photos, tmp_path / "run", views=Views(size=16), **{**TINY, "checkpoint_every": 1})
    assert again.finished()


def test_steps_that_are_not_finite_may_be_left_out(photos, tmp_path, capfd):
    with pytest.raises(tv.RunError, match="--skip-nonfinite 2"):
        tv.train(photos, tmp_path / "few", views=poisoned(*range(40)), **{**TINY, "skip_nonfinite": 1})
    run = tv.train(photos, tmp_path / "run", views=poisoned(7), **{**TINY, "skip_nonfinite": 3, "checkpoint_every": 2})
    (line,) = read_log(run.path, "skip")
    assert line["pictures"] == ["07.jpg"]
    assert f"step {line['step']} left out" in capfd.readouterr().err
    assert run.finished()
    assert {entry["step"] for entry in run.log("step")} == set(range(1, 7)) - {line["step"]}
    for tensor in run.encoder().state_dict().values():
        assert torch.isfinite(tensor.float()).all()
    state = json.loads((checkpoints(run.path)[-1] / "state.json").read_text())
    assert state["left_out"] == 1


def test_a_run_that_leaves_out_a_step_goes_on_to_the_same_bits(photos, tmp_path, monkeypatch):
    options = {**TINY, "skip_nonfinite": 3, "checkpoint_every": 100}
    whole = tv.train(photos, tmp_path / "whole", views=poisoned(7, 8, 9), **options)
    with monkeypatch.context() as patch:
        stop_at(patch, 3)
        with pytest.raises(tv.RunError, match="stopped"):
            tv.train(photos, tmp_path / "run", views=poisoned(7, 8, 9), **options)
    run = tv.train(photos, tmp_path / "run", views=poisoned(7, 8, 9), **options)
    assert weights(run) == weights(whole)


def test_a_rate_of_a_million_stops_and_leaves_no_broken_checkpoint(photos, tmp_path):
    options = {
        **TINY,
        "epochs": 30,
        "learning_rate": 1e12,
        "optimizer": "sgd",
        "scaling": "none",
        "warmup_epochs": 0,
        "checkpoint_every": 1,
    }
    with pytest.raises(tv.RunError, match=r"not finite|the loss is"):
        tv.train(photos, tmp_path / "run", **{**options, "monitor_every": 30})
    for saved in checkpoints(tmp_path / "run"):
        from safetensors.torch import load_file

        assert all(torch.isfinite(t.float()).all() for t in load_file(saved / "model.safetensors").values())


# -- disks, clocks -----------------------------------------------------------------------------------------------------


def test_a_disk_that_is_really_full(photos, tmp_path):
    """A file system of six megabytes: the last good checkpoint stays, the message says why, exit code 1; with room the run goes on."""
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(small)], capture_output=True).returncode:
        pytest.skip("this user may not mount a file system")
    try:
        line = f"train {photos} --out {small}/run --recipe photos --encoder convnet --width 0.75 --size 16 --batch 16 --epochs 3 --workers 0 --checkpoint-every 1 --no-tensorboard"
        command = [sys.executable, "-m", "twoviews", *line.split()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 1, done.stderr
        assert "could not write" in done.stderr
        assert "No space left" in done.stderr
        assert "Traceback" not in done.stderr
        saved = checkpoints(small / "run")
        assert saved
        assert not list((small / "run").rglob(".*.part"))
        subprocess.run(["mount", "-o", "remount,size=50m", str(small)], check=True)
        assert subprocess.run(command, capture_output=True, timeout=120).returncode == 0
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_clocks_may_jump(tmp_path):
    """time.time goes to and fro by years: nothing of ours looks at it."""
    script = (
        "import random, time, twoviews as tv\n"
        "true = time.time\n"
        "time.time = lambda: true() + random.uniform(-1e9, 1e9)\n"
        f"tv.train('digits', {str(tmp_path / 'run')!r}, recipe='digits', batch=256, width=0.25, epochs=2, tensorboard=False)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, timeout=120)
    assert tv.Run(tmp_path / "run").finished()
    package = Path(tv.__file__).parent
    stamps = {"tracking.py"}  # MLflow wants a time beside each figure
    assert {p.name for p in package.rglob("*.py") if "time.time()" in p.read_text()} == stamps


def test_the_list_of_skipped_pictures_grows_and_keeps_any_name(tmp_path):
    names = ["a\nb.jpg", 'c"d,e.jpg', "\udcff\udcfe.jpg", "=cmd|' /C calc'!A0.jpg", "😀.jpg"]
    write_skipped(tmp_path, {names[0]: "first", names[1]: "second"})
    write_skipped(tmp_path, dict.fromkeys(names, "later"))
    with (tmp_path / "skipped.csv").open(newline="", encoding="utf-8") as file:
        found = dict(list(csv.reader(file))[1:])
    assert set(found) == {*names[:2], "\\xff\\xfe.jpg", *names[3:]}, "bytes that are no UTF-8 are escaped"
    assert found[names[0]] == "first"


# -- other kinds of pictures -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 2, 5, 12])
def test_pictures_of_other_channels_train(channels, tmp_path, capfd):
    made = np.random.default_rng(2)
    for n in range(24):
        (tmp_path / "set" / "ab"[n % 2]).mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / "set" / "ab"[n % 2] / f"{n}.npy", made.integers(0, 65536, (30 + n % 3, 30, channels), np.uint16))
    run = tv.train(tmp_path / "set", tmp_path / "run", **{**TINY, "batch": 8, "channels": channels, "epochs": 1})
    said = capfd.readouterr().err
    assert ("saturation, hue and gray make no sense" in said) == (channels not in (1, 3))
    encoder = run.encoder()
    assert encoder.spec.channels == channels
    assert encoder.embed(made.integers(0, 65536, (40, 40, channels), np.uint16)).shape == (encoder.num_features,)
    result = tv.linear(run.path, tmp_path / "set", seeds=2, labels=("4",), baselines=("untrained", "pixels", "histogram"))
    assert {row["subject"] for row in result.rows} == {"twoviews", "untrained", "pixels", "histogram"}
    with pytest.raises(tv.UserError, match=f"--channels {channels}"):
        tv.train(tmp_path / "set", tmp_path / "other", **{**TINY, "channels": 7})


def test_a_range_goes_with_the_encoder(tmp_path):
    made = np.random.default_rng(3)
    for n in range(20):
        (tmp_path / "ct").mkdir(exist_ok=True)
        np.save(tmp_path / "ct" / f"{n}.npy", made.uniform(-1000, 400, (30, 31 + n % 2)).astype(np.float32))
    options = {**TINY, "batch": 8, "channels": 1, "epochs": 1}
    with pytest.raises(tv.UserError, match=r"none of the 20 pictures .*--range LOW:HIGH"):
        tv.train(tmp_path / "ct", tmp_path / "no", **options)
    run = tv.train(tmp_path / "ct", tmp_path / "run", **options, range="-1000:400")
    assert run.encoder().spec.range == "-1000:400"
    tv.embed(run.path, tmp_path / "ct", tmp_path / "v.npz", workers=0)  # read as the training read them
    own = run.encoder().embed(np.load(tmp_path / "ct" / "0.npy"))
    kept = tv.read_vectors(str(tmp_path / "v.npz")).h[0]
    assert torch.nn.functional.cosine_similarity(own, kept, dim=0) > 0.9999


def test_shards_train_like_any_pictures_and_go_on_in_the_middle_of_an_epoch(photos, tmp_path, monkeypatch):
    shard(photos, tmp_path / "shards", per_shard=6)
    spec, options = f"shards:{tmp_path / 'shards'}", {**TINY, "batch": 8, "shuffle_window": 2}
    whole = tv.train(spec, tmp_path / "whole", **options)
    with monkeypatch.context() as patch:
        stop_at(patch, 7)  # 5 steps an epoch
        with pytest.raises(tv.RunError, match="after step 7"):
            tv.train(spec, tmp_path / "run", **options)
    run = tv.train(spec, tmp_path / "run", **{**options, "workers": 2})
    assert weights(run) == weights(whole)
    with pytest.raises(tv.UserError, match="shuffle_window: 2 → 3"):
        tv.train(spec, tmp_path / "run", **{**options, "shuffle_window": 3})


def test_shards_over_http_train_through_readers(photos, tmp_path):
    """The readers fetch the shards themselves, after the main process has talked to the same server: the same weights as from the disk."""
    import functools
    import http.server
    import threading

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    shard(photos, tmp_path / "shards", per_shard=6)
    handler = functools.partial(Quiet, directory=str(tmp_path / "shards"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        options = {**TINY, "epochs": 1, "workers": 2}
        far = tv.train(f"shards:http://127.0.0.1:{server.server_port}", tmp_path / "far", **options, cache=str(tmp_path / "cache"))
        near = tv.train(f"shards:{tmp_path / 'shards'}", tmp_path / "near", **options)
        assert [line["loss"] for line in far.log("step")] == [line["loss"] for line in near.log("step")]
        assert len(list((tmp_path / "cache").glob("*.tar"))) == 7
    finally:
        server.shutdown()
