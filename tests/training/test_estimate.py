"""`twoviews plan`, and what it is for: runs that do not fit are told what does."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import twoviews as tv
from twoviews.base.errors import UserError
from twoviews.training import estimate as module
from twoviews.training.estimate import estimate, predicted, span


def test_the_plan_of_a_run(monkeypatch, capsys):
    monkeypatch.setattr(module, "SECONDS", 3)
    found = estimate("digits", batch=64, width=0.25, epochs=10)
    assert (found.batch, found.epochs, found.images, found.steps) == (64, 10, 1257, 190)
    assert [row.pairs for row in found.rows] == [4, 8, 16, 32, 64]
    assert found.chunk == 0
    assert found.rows[-1].whole
    for row in found.rows:
        assert row.fits
        assert row.seconds == pytest.approx(190 * 64 / row.images_per_second)
    memory = [row.memory for row in found.rows]
    assert memory == sorted(memory)
    module.show(found)
    assert "no --chunk is needed" in capsys.readouterr().out


def test_a_batch_that_does_not_fit_gets_a_chunk(monkeypatch):
    monkeypatch.setattr(module, "SECONDS", 20)
    monkeypatch.setattr(module, "memory_limit", lambda device: int((module.peak_memory(device) + 250e6) / 0.9))
    found = estimate("digits", encoder="resnet18", stem="small", batch=512, epochs=1)
    assert found.chunk
    assert found.rows[-1].fits is False
    assert all(row.memory <= 0.9 * found.available for row in found.rows if row.pairs <= found.chunk)


def test_memory_grows_by_a_constant_a_pair():
    assert predicted([(4, 100.0, 0, 0)], 8) == 200
    assert predicted([(4, 100.0, 0, 0), (8, 120.0, 0, 0)], 16) == 160
    assert predicted([(4, 100.0, 0, 0), (8, 99.0, 0, 0)], 16) == 99


@pytest.mark.parametrize(("seconds", "words"), [(5, "5 s"), (150, "2.5 min"), (9000, "2.5 h"), (260000, "3.0 d")])
def test_times_in_words(seconds, words):
    assert span(seconds) == words


def test_what_train_refuses_is_refused():
    with pytest.raises(UserError, match="larger than the set"):
        estimate("digits", batch=5000)


@pytest.mark.parametrize(
    ("chunk", "words"),
    [(64, "chunk 64 would change nothing"), (100, "at most 32"), (7, "does not divide the batch of 64 pairs: --chunk 8")],
)
def test_chunks_that_cannot_be(tmp_path, chunk, words):
    with pytest.raises(UserError, match=words):
        tv.train("digits", tmp_path / "run", batch=64, chunk=chunk)
    assert not (tmp_path / "run").exists()


def test_out_of_memory_says_what_to_do(tmp_path):
    """A real refusal: the process may not grow by more than a gigabyte."""
    script = f"""
import resource, sys
import torch, torch._dynamo, timm, sklearn.datasets, tensorboard.summary.writer.record_writer
from twoviews.training import loop
from twoviews.cli.main import main
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30), resource.RLIM_INFINITY))
sys.exit(main(["train", "digits", "--out", {str(tmp_path / "run")!r}, "--encoder", "resnet18", "--stem", "small", "--batch", "1000", "--epochs", "1"]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 1, done.stderr
    message = done.stderr.strip().splitlines()[-1]
    assert "out of memory with 1000 pairs of 12 px at a time" in message
    assert "--chunk 500" in message
    assert "twoviews plan digits" in message


def test_a_chunk_trains_to_the_end(tmp_path):
    run = tv.train("digits", tmp_path / "run", batch=240, chunk=60, width=0.25, epochs=2, monitor_images=200)
    assert run.finished()
    assert run.config.chunk == 60
    whole = tv.train("digits", tmp_path / "whole", batch=240, width=0.25, epochs=2, monitor_images=200)
    losses = [json.loads(line)["loss"] for r in (run, whole) for line in (r.path / "log.jsonl").read_text().splitlines()]
    assert losses[0] == pytest.approx(losses[len(losses) // 2], rel=0.05)
    with pytest.raises(UserError, match="chunk: 60 → 0"):
        tv.train("digits", run.path, batch=240, width=0.25, epochs=2, monitor_images=200)
