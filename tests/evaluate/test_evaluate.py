"""Protocols: labels, intervals, frozen encoders, baselines; on pictures that are easy, hopeless, or split by hand."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import binomtest

import twoviews as tv
from twoviews.evaluate import labels as labelling
from twoviews.evaluate import protocol
from twoviews.evaluate.config import Amount, EvalConfig, amount
from twoviews.evaluate.intervals import over_seeds, summary, wilson
from twoviews.evaluate.linear import FIXED, choose_l2, lbfgs
from twoviews.evaluate.protocol import evaluate
from twoviews.evaluate.subjects import Named, histogram, named
from twoviews.nets.encoder import adopt, encoder, save_encoder
from twoviews.probes.ridge import L2
from twoviews.sources.source import Small
from twoviews.sources.spec import Pictures


def test_intervals():
    assert wilson(0.5, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    assert wilson(1.0, 10)[1] == 1.0
    for right, n in ((0, 1), (1, 1), (0, 7), (3, 7), (7, 7), (41, 97), (9999, 10000)):
        assert wilson(right / n, n) == pytest.approx(tuple(binomtest(right, n).proportion_ci(0.95, "wilson")), abs=1e-12)
    low, high = over_seeds([0.5, 0.6, 0.7])
    assert (low, high) == pytest.approx((0.6 - 4.3027 * 0.1 / 3**0.5, 0.6 + 4.3027 * 0.1 / 3**0.5), abs=1e-4)
    assert over_seeds([0.4]) == (0.4, 0.4)
    assert summary([0.5], 100, True)["interval"] == "Wilson, 100 test pictures"
    assert summary([0.5, 0.6], 100, True)["interval"] == "Student t over 2 draws"


@pytest.mark.parametrize(
    ("text", "want"), [("all", "all"), ("5", "5 per class"), ("2-per-class", "2 per class"), ("1%", "1 %"), ("12.5 %", "12.5 %")]
)
def test_amounts(text, want):
    assert str(amount(text)) == want


@pytest.mark.parametrize("text", ["0", "-1", "x", "0%", "101%", "1.5"])
def test_wrong_amounts(text):
    with pytest.raises(tv.UserError, match="not understood"):
        amount(text)


@given(st.integers(2, 6), st.integers(1, 8), st.integers(0, 50))
def test_chosen_labels_are_balanced_and_keyed(classes, count, seed):
    y = np.arange(60) % classes
    chosen = labelling.choose(y, classes, Amount(per_class=count), "labels", seed)
    assert np.bincount(y[chosen], minlength=classes).tolist() == [count] * classes
    assert (chosen == labelling.choose(y, classes, Amount(per_class=count), "labels", seed)).all()
    more = labelling.choose(y, classes, Amount(per_class=count + 1), "labels", seed)
    assert set(chosen) < set(more), "more labels include the fewer"


def test_too_few_labels():
    with pytest.raises(tv.UserError, match="class 1 has only 2"):
        labelling.choose(np.array([0, 0, 0, 1, 1]), 2, Amount(per_class=3), 0)


def blobs(n=200, d=10, classes=4, spread=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % classes
    return 2 * torch.randn(classes, d, generator=generator)[y] + spread * torch.randn(n, d, generator=generator), y


def test_the_strength_is_one_of_the_papers_and_depends_on_the_labels_only():
    x, y = blobs(spread=3.0)
    l2 = choose_l2(x, y, 4, 0)
    assert l2 in L2
    noise = choose_l2(torch.randn(200, 10, generator=torch.Generator().manual_seed(1)), y, 4, 0)
    assert noise > l2, "where there is nothing to learn the strongest is taken"


def test_the_strength_is_chosen_on_the_validation_part_where_there_is_one():
    x, y = blobs(spread=3.0)
    held = blobs(n=80, spread=3.0)
    l2 = lbfgs(x, y, x, 4, 0)[1]
    assert lbfgs(x, y, x, 4, 0, held)[1] == lbfgs(x, y, x, 4, 1, held)[1], "no draw decides"
    assert lbfgs(x, y, x, 4, 0, (held[0], held[1].roll(1)))[1] > l2, (
        "labels of the validation part that nothing explains ask for the strongest"
    )
    few = torch.cat([torch.nonzero(y == number)[:3, 0] for number in range(4)])  # too few to be divided
    assert lbfgs(x[few], y[few], x, 4, 0)[1] == FIXED
    assert lbfgs(x[few], y[few], x, 4, 0, (held[0], held[1].roll(1)))[1] > FIXED


def test_linear_chooses_on_the_validation_part_and_tests_on_the_test_part(tmp_path, monkeypatch):
    held = []
    monkeypatch.setattr(protocol, "lbfgs", lambda *args: (held.append(args[5] and len(args[5][1])), lbfgs(*args))[1])
    for part, count in (("train", 24), ("val", 9), ("test", 6)):
        for n in range(count):
            folder = tmp_path / part / "abc"[n % 3]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(colored(count, seed=count).images[n].permute(1, 2, 0).numpy()).save(folder / f"{n}.png")
    result = tv.linear("untrained:convnet", tmp_path, size=16, labels=("all", "2"), seeds=1, baselines=("none",), workers=0)
    assert held == [9, None]
    assert [row["tested"] for row in result.rows] == [6, 6]
    assert "on the val part (9 images) where all labels are used" in result.about["protocol"]
    tested = tv.knn("untrained:convnet", tmp_path, size=16, seeds=1, baselines=("none",), workers=0, test_on="val")
    assert (tested.rows[0]["tested"], tested.about["tested_on"]) == (9, "the set's own val part (9 pictures)")


def test_scale_and_shift_of_h_do_not_matter():
    x, y = blobs()
    queries, truth = blobs(seed=0, spread=1.2)
    one, l2 = lbfgs(x, y, queries, 4, 0)
    other, again = lbfgs(100 * x + 7, y, 100 * queries + 7, 4, 0)
    assert l2 == again
    assert (one - other).abs().max() < 0.05
    assert (one.argmax(1) == truth).float().mean() > 0.9


def colored(n, classes=3, seed=0, size=12):
    """Pictures whose class is their colour."""
    generator = np.random.default_rng(seed)
    y = np.arange(n) % classes
    pixels = generator.integers(0, 120, (n, 3, size, size), dtype=np.uint8)
    pixels[np.arange(n), y] += 100
    return Small(torch.from_numpy(pixels), y.astype(np.int64), list("abc")[:classes], f"colored{n}{seed}")


@pytest.fixture(scope="module")
def subject():
    net = encoder("resnet18", width=0.125, stem="small", size=12).eval()
    return Named("resnet18", net, None)


class Described(Named):
    def describe(self):
        return {"encoder": self.text}


def measure(verb, net, **options):
    pictures = Pictures("colours", {"train": colored(90), "test": colored(60, seed=1)}, [])
    return evaluate(verb, Described("colours", net, None), pictures, EvalConfig(**options))


@pytest.mark.parametrize(
    "options", [{"verb": "knn"}, {"verb": "linear"}, {"verb": "linear", "protocol": "sgd", "epochs": 20, "batch": 30}], ids=str
)
def test_colours_are_found(options):
    net = encoder("resnet18", width=0.125, stem="small", size=12)
    result = measure(net=net, labels=("all",), baselines=("pixels", "histogram", "untrained"), **options)
    by = {row["subject"]: row for row in result.rows}
    assert by["pixels"]["top1"]["mean"] > 0.9
    assert by["twoviews"]["weights_unchanged"]
    assert by["untrained"]["weights_sha256"]
    assert all(row["tested"] == 60 and row["labels_used"] == 90 for row in result.rows)
    assert "top5" not in by["pixels"], "three classes have no top-5"
    assert result.top1("pixels") == by["pixels"]["top1"]["mean"]


def test_few_labels_average_over_seeds():
    net = encoder("resnet18", width=0.125, stem="small", size=12)
    result = measure("linear", net, labels=("1", "10%", "all"), seeds=3, baselines=("pixels",))
    rows = {row["labels"]: row for row in result.rows if row["subject"] == "pixels"}
    assert len(rows["1 per class"]["top1"]["values"]) == 3
    assert rows["1 per class"]["labels_used"] == 3
    assert rows["10 %"]["labels_used"] == 9
    assert len(rows["all"]["top1"]["values"]) == 1
    assert rows["all"]["top1"]["interval"].startswith("Wilson")


def test_an_encoder_that_changes_while_it_is_measured_is_refused():
    class Moving(torch.nn.Module):
        num_features = 3

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(3))

        def forward(self, x):
            self.weight.data += 0.1
            return x.mean((2, 3)) * self.weight

    with pytest.raises(tv.RunError, match="changed while it was evaluated"):
        measure("knn", adopt(Moving(), 3, 12, "antialias"), baselines=())


def test_an_encoder_and_a_source_in_memory():
    net = encoder("resnet18", width=0.125, stem="small", size=12)
    result = tv.knn(net, colored(60), seeds=2, k=3)
    assert [row["subject"] for row in result.rows] == ["twoviews", "untrained", "pixels"]
    assert result.about["images"]["spec"] == "a source of your own"


def test_batch_norm_is_in_evaluation_mode():
    """A picture's h does not depend on what is beside it (other tools' published figures fell to this)."""
    seen = []

    class Asks(torch.nn.Module):
        num_features = 3

        def __init__(self):
            super().__init__()
            self.bn = torch.nn.BatchNorm2d(3)

        def forward(self, x):
            seen.append((self.bn.training, torch.is_grad_enabled()))
            return self.bn(x).mean((2, 3))

    net = adopt(Asks(), 3, 12, "antialias")
    net.train()
    measure("linear", net, protocol="sgd", epochs=2, batch=30, baselines=())
    assert set(seen) == {(False, False)}


def test_a_folder_without_a_test_part_is_split_anew_for_each_seed(tmp_path):
    for n in range(30):
        folder = tmp_path / "pictures" / "abc"[n % 3]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.zeros((20 + n % 5, 25, 3), np.uint8)
        pixels[..., n % 3] = 200
        Image.fromarray(pixels).save(folder / f"{n}.png")
    net = encoder("resnet18", width=0.125, stem="small", size=16)
    save_encoder(tmp_path / "net.safetensors", net, {})
    result = tv.linear(tmp_path / "net.safetensors", tmp_path / "pictures", seeds=3, baselines=("pixels", "histogram"))
    row = next(r for r in result.rows if r["subject"] == "histogram")
    assert row["top1"]["mean"] == 1.0
    assert len(row["top1"]["values"]) == 3
    assert row["tested"] == 6
    assert "drawn anew" in result.about["tested_on"]
    json.dumps({**result.about, "rows": result.rows})


def test_splits_never_overlap():
    asked = labelling.Questions(np.arange(50) % 5, 5, None)
    for seed in range(5):
        train, test = asked.split(seed)
        assert sorted([*train, *test]) == list(range(50))
        assert np.bincount(asked.labels[test]).tolist() == [2] * 5
    assert (asked.split(0)[1] != asked.split(1)[1]).any()
    fixed = labelling.Questions(np.zeros(10, np.int64), 1, 7)
    assert fixed.split(3)[0].tolist() == list(range(7))


def test_histogram_by_loops():
    x = torch.rand(2, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    got = histogram(x, 4).square()
    for n in range(2):
        want = np.zeros((4, 4, 4))
        for i in range(5):
            for j in range(5):
                want[tuple(int(v) for v in (x[n, :, i, j] * 4).tolist())] += 1 / 25
        assert got[n].tolist() == pytest.approx(want.ravel().tolist(), abs=1e-6)
    assert histogram(torch.ones(1, 1, 3, 3)).shape == (1, 16)


def test_wrong_questions(tmp_path, subject):
    flat = Pictures("flat", {"all": dataclasses.replace(colored(9), labels=None)}, [])
    with pytest.raises(tv.UserError, match="needs labels"):
        evaluate("knn", subject, flat, EvalConfig())
    pictures = Pictures("colours", {"all": colored(9)}, [])
    for options, words in [
        ({"baselines": ("pixel",)}, "Did you mean pixels"),
        ({"labels": ("50",)}, "has only"),
        ({"labels": ("few",)}, "not understood"),
    ]:
        with pytest.raises(tv.UserError, match=words):
            evaluate("knn", subject, pictures, EvalConfig(**options))
    for options, words in [({"k": 0}, "at least 1"), ({"protocol": "sdg"}, "Did you mean sgd"), ({"knn_temperature": 0}, "above 0")]:
        with pytest.raises(tv.UserError, match=words):
            EvalConfig(**options)
    with pytest.raises(tv.UserError, match="Did you mean labels"):
        tv.knn("x", "y", label=("all",))


def test_named(tmp_path):
    save_encoder(tmp_path / "net.safetensors", encoder("convnet", channels=1, size=12), {})
    subject = named(str(tmp_path / "net.safetensors"))
    assert subject.run is None
    assert subject.describe()["spec"]["name"] == "convnet"
    assert len(subject.describe()["file_sha256"]) == 64
