"""Learning from labels: what is learned, how it continues, what it leaves, and what is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

import twoviews as tv
from twoviews.evaluate.config import Amount, FinetuneConfig, LearnConfig, amount
from twoviews.evaluate.finetune import epochs_for, frozen
from twoviews.evaluate.labels import Questions, listed, questions
from twoviews.evaluate.learn import labels_criterion, learn
from twoviews.evaluate.linear import layer
from twoviews.nets.classifier import Classifier, load_classifier, load_head
from twoviews.nets.encoder import encoder, fingerprint, save_encoder
from twoviews.sources.spec import Pictures

from .test_evaluate import blobs, colored


def small(**options):
    return encoder("resnet18", width=0.25, stem="small", size=12, **options)


QUICK = {"steps": 20, "epochs": 1, "batch": 30, "device": "cpu"}


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory):
    """A RUN on digits, a handful of steps."""
    return tv.train("digits", tmp_path_factory.mktemp("runs") / "digits", epochs=2, tensorboard=False, device="cpu", head="mlp3")


def test_both_learn_colours_and_the_result_is_whole(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_encoder(tmp_path / "net.safetensors", small(), {})
    pictures = colored(90)
    result = tv.finetune("net.safetensors", pictures, tmp_path / "out", labels=("5", "all"), seeds=2, **QUICK)
    assert [(row["subject"], row["labels"]) for row in result.rows] == [
        ("twoviews", "5 per class"),
        ("twoviews", "all"),
        ("from scratch", "5 per class"),
        ("from scratch", "all"),
    ]
    for row in result.rows:
        assert len(row["top1"]["values"]) == 2, "pictures without a test part are split anew for each seed"
        assert row["tested"] == 18
        assert row["top1"]["mean"] > (0.8 if row["labels"] == "all" else 0.4), row
    written = json.loads((tmp_path / "out" / "finetune.json").read_text())
    assert written["rows"] == json.loads(json.dumps(result.rows))
    net, classes = load_classifier(tmp_path / "out" / "all-seed-0")
    assert classes == ["a", "b", "c"]
    assert tv.load_encoder(tmp_path / "out" / "all-seed-0").num_features == net.encoder.num_features
    assert not list((tmp_path / "out").rglob("checkpoints")), "finished parts need none"
    with monkeypatch.context() as nothing_is_computed_twice:
        nothing_is_computed_twice.setattr("twoviews.evaluate.finetune.learn", None)
        again = tv.finetune("net.safetensors", pictures, tmp_path / "out", labels=("5", "all"), seeds=2, **QUICK)
    assert again.rows == result.rows
    with pytest.raises(tv.UserError, match=r"steps: 20 → 21"):
        tv.finetune("net.safetensors", pictures, tmp_path / "out", labels=("5", "all"), seeds=2, **{**QUICK, "steps": 21})


def test_the_layer_that_begins_at_the_probe_is_the_logistic_regression():
    h, y = blobs(spread=1.0)
    weight, bias = layer(h * 3 + 1, y, 4, 0)
    assert weight.shape == (4, 10)
    assert ((h * 3 + 1) @ weight.T + bias).argmax(1).eq(y).float().mean() > 0.95


def test_the_papers_passes():
    config = FinetuneConfig()
    assert epochs_for(config, Amount(share=0.01), 12_811, 1_281_167) == 60
    assert epochs_for(config, Amount(share=0.1), 128_116, 1_281_167) == 30
    assert epochs_for(config, Amount(), 100, 100) == 30
    assert epochs_for(LearnConfig(epochs=7), Amount(), 100, 100) == 7
    assert frozen(config, 30)
    assert not frozen(config, 5000)
    assert not frozen(FinetuneConfig(norm="moving"), 30)


def test_norms_keep_their_statistics_when_frozen():
    for keep in (True, False):
        net = Classifier(small(), 3)
        before = net.encoder.stem[0].bn.running_mean.clone()
        learn_colours(net, keep)
        assert torch.equal(before, net.encoder.stem[0].bn.running_mean) == keep


def learn_colours(net, frozen=False, folder=None, **options):
    pictures = colored(60)
    return learn(
        net, pictures, np.arange(60), labels_criterion(torch.from_numpy(pictures.labels)),
        size=12, resize="antialias", config=LearnConfig(**{"steps": 12, "batch": 15, "crop_min": 0.5, "flip": 0.5, **options}), epochs=1, rate=0.1,
        weight_decay=0.0, warmup=0.0, device=torch.device("cpu"), precision="fp32", workers=0, frozen=frozen, clip=0.0, seed=3, folder=folder, what="colours",
    )  # fmt: skip


def test_stopped_and_continued_gives_the_same_bits(tmp_path, monkeypatch):
    whole = Classifier(small(), 3)
    history = learn_colours(whole)
    monkeypatch.setattr("twoviews.training.fit.CHECKPOINT_SECONDS", -1)  # a checkpoint after each step
    seen, plain = [], labels_criterion

    def die(at):
        def criterion_that_dies(y):
            inner = plain(y)

            def criterion(x, logits, positions):
                seen.append(1)
                if len(seen) == at:
                    raise KeyboardInterrupt
                return inner(x, logits, positions)

            return criterion

        return criterion_that_dies

    for at in (3, 5, 9):
        monkeypatch.setattr(sys.modules[__name__], "labels_criterion", die(at))
        with pytest.raises(KeyboardInterrupt):
            learn_colours(Classifier(small(), 3), folder=tmp_path)
    net = Classifier(small(), 3)
    assert learn_colours(net, folder=tmp_path) == history
    assert fingerprint(net) == fingerprint(whole)


def test_from_the_middle_of_the_head(digits_run, tmp_path):
    head = load_head(digits_run.path, 128)
    assert len(head.dense) == 3
    result = tv.finetune(
        digits_run.path, "digits", tmp_path / "out", labels=("2",), seeds=1, from_layer=1, scratch=False, steps=3, epochs=1
    )
    assert "layer 1 of the head" in result.about["protocol"]
    net, _ = load_classifier(tmp_path / "out" / "2-per-class-seed-0")
    assert net.layers == 1
    assert net.last.in_features == 128
    x = torch.rand(2, 1, 12, 12)
    h = net.encoder(x)
    assert torch.allclose(net.represent(x), torch.relu(net.projection.norms[0](net.projection.dense[0](h))), atol=1e-6)
    assert (digits_run.path / "eval" / "finetune-digits-2.json").is_file()
    for layer_, words in ((4, "has 3 layers"), (-1, "not be negative")):
        with pytest.raises(tv.UserError, match=words):
            tv.finetune(digits_run.path, "digits", tmp_path / "other", labels=("2",), from_layer=layer_)
    with pytest.raises(tv.UserError, match="only a RUN has one"):
        tv.finetune(digits_run.weights, "digits", tmp_path / "other", labels=("2",), from_layer=1)
    with pytest.raises(tv.UserError, match="2-per-class-seed-0"):
        load_classifier(tmp_path)


def test_lists_of_names(tmp_path, shared_data):
    names = [f"{n // 3:03}/n{n:04}.JPEG" for n in range(9)]
    file = tmp_path / "list.txt"
    file.write_text("n0004.JPEG\n002/n0007.JPEG\n\nn0000.JPEG\n")
    assert listed(file, names).tolist() == [0, 4, 7]
    asked = Questions(np.arange(9) // 3, 3, None, names.__getitem__)
    train, test = asked.draw(amount(str(file)), 0)
    assert train.tolist() == [0, 4, 7]
    assert sorted([*train, *test]) == list(range(9))
    assert asked.draws(amount(str(file)), 5) == 1
    fixed = Questions(np.arange(9) // 3, 3, 6, names.__getitem__)
    with pytest.raises(tv.UserError, match=r"1 of the 3 names in .* match no picture, the first: '002/n0007.JPEG'"):
        fixed.draw(amount(str(file)), 0)
    file.write_text("n0001.JPEG\n")
    with pytest.raises(tv.UserError, match="several pictures"):
        listed(file, ["a/n0001.JPEG", "b/n0001.JPEG"])
    file.write_text("\n")
    with pytest.raises(tv.UserError, match="is empty"):
        listed(file, names)
    with pytest.raises(tv.UserError, match="no such file"):
        amount(str(tmp_path / "none.txt"))
    official = shared_data / "imagenet_subsets" / "1percent.txt"
    lines = official.read_text().split()
    assert len(listed(official, [f"{line.split('_')[0]}/{line}" for line in reversed(lines)])) == len(lines) == 12_811


def test_a_test_class_that_training_lacks():
    train, test = colored(30), colored(30, seed=1)
    test.classes = ["a", "b", "d"]
    with pytest.raises(tv.UserError, match="class 'd' of the test part is absent from the training part"):
        questions(Pictures("x", {"train": train, "test": test}, []))
    test.classes = ["b", "a", "c"]  # the same classes in another order: names decide
    asked = questions(Pictures("x", {"train": train, "test": test}, []))
    assert asked.labels[30:33].tolist() == [1, 0, 2]


def test_wrong_options():
    for options, words in [
        ({"steps": 0}, "at least 1"),
        ({"learning_rate": 0}, "above 0"),
        ({"norm": "frosen"}, "Did you mean frozen"),
        ({"start": "prob"}, "Did you mean probe"),
    ]:
        with pytest.raises(tv.UserError, match=words):
            FinetuneConfig(**options)


def test_killed_and_terminated_it_goes_on(digits_run, tmp_path):
    """Real processes: SIGKILL in the middle, then SIGTERM, then to the end; the weights are those of a run never stopped."""
    line = [
        *(sys.executable, "-m", "twoviews", "finetune", str(digits_run.path), "digits", "--labels", "all", "--seeds", "1", "--epochs", "3"),
        *("--steps", "1", "--batch", "32", "--scratch=False", "--device", "cpu"),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*line, "--out", str(tmp_path / "whole")], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    code = "import sys, twoviews.training.fit as fit\nfit.CHECKPOINT_SECONDS = 0.3\nfrom twoviews.cli.main import main\nsys.exit(main(sys.argv[1:]))"
    out = tmp_path / "killed"
    for number in (signal.SIGKILL, signal.SIGTERM):
        process = subprocess.Popen(
            [sys.executable, "-c", code, *line[3:], "--out", str(out)], stderr=subprocess.PIPE, text=True, env=environment
        )
        had = len(list(out.rglob("step-*")))
        limit = time.monotonic() + 60
        while (len(list(out.rglob("step-*"))) <= had or had == 0) and process.poll() is None and time.monotonic() < limit:
            if had == 0 and list(out.rglob("step-*")):
                break
            time.sleep(0.02)
            if number == signal.SIGTERM and list(out.rglob("step-*")):
                break
        time.sleep(1.5 if number == signal.SIGTERM else 0)
        process.send_signal(number)
        _, words = process.communicate()
        if number == signal.SIGTERM and process.returncode == 143:
            assert "The same command goes on from here" in words
    done = subprocess.run([*line, "--out", str(out)], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    same = [(tmp_path / name / "all-seed-0" / "classifier.safetensors").read_bytes() for name in ("whole", "killed")]
    assert same[0] == same[1]
