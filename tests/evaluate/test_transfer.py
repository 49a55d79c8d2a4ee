"""Transfer: metrics by loops, each of the twelve sets in its own file format (tiny, made here), choices on validation only."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image

import twoviews as tv
from twoviews.base.work import Work
from twoviews.evaluate.config import TransferConfig
from twoviews.evaluate.intervals import bootstrap, wilson
from twoviews.evaluate.metrics import average_precision_11, map11, per_class, top1
from twoviews.evaluate.subjects import named
from twoviews.evaluate.transfer import PAPER, Transferring, binary_criterion, paper_rows
from twoviews.nets.encoder import encoder, save_encoder
from twoviews.probes.logistic import Logistic
from twoviews.sources.config import ReadConfig
from twoviews.sources.names import TRANSFER_SETS
from twoviews.sources.source import Joined
from twoviews.sources.transfer import METRICS, VOC_CLASSES, TransferSet, open_set

from .test_evaluate import colored

CLASSES = ("alpha", "beta")


def picture(path, number=0):
    """A picture whose colour is its class."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(str(path))).integers(0, 60, (16, 18, 3), dtype=np.uint8)
    pixels[..., number % 3] += 150
    Image.fromarray(pixels).save(path)


def lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{row}\n" for row in rows))


def food101(root):
    import json

    for split, names in (("train", "01"), ("test", "2")):
        lines(root / "food-101/meta" / f"{split}.txt", [f"{c}/{n}" for c in CLASSES for n in names])
        (root / "food-101/meta" / f"{split}.json").write_text(json.dumps({c: [f"{c}/{n}" for n in names] for c in CLASSES}))
    lines(root / "food-101/meta/classes.txt", CLASSES)
    for i, c in enumerate(CLASSES):
        for n in "012":
            picture(root / f"food-101/images/{c}/{n}.jpg", i)
    return 4, 2


def birdsnap(root):
    for i, c in enumerate(CLASSES):
        for n in range(3):
            picture(root / f"birdsnap/images/{c}/{n}.jpg", i)
    lines(root / "birdsnap/test_images.txt", ["path", "alpha/0.jpg", "beta/1.jpg"])
    return 4, 2


def sun397(root):
    names = ["/a/abbey", "/b/bar/indoor"]
    lines(root / "SUN397/ClassName.txt", names)
    for split, ns in (("Training_01", "01"), ("Testing_01", "2")):
        lines(root / "SUN397" / f"{split}.txt", [f"{c}/sun_{n}.jpg" for c in names for n in ns])
    for i, c in enumerate(names):
        for n in "012":
            picture(root / f"SUN397{c}/sun_{n}.jpg", i)
    return 4, 2


def cars(root):
    base = root / "stanford_cars"
    for split, count in (("train", 4), ("test", 2)):
        rows = np.array(
            [
                (np.array([[1]]), np.array([[1]]), np.array([[9]]), np.array([[9]]), np.array([[1 + n % 2]]), np.array([f"{n:05}.jpg"]))
                for n in range(count)
            ],
            dtype=[(k, object) for k in ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname")],
        )
        (base / "devkit").mkdir(parents=True, exist_ok=True)
        target = base / "devkit/cars_train_annos.mat" if split == "train" else base / "cars_test_annos_withlabels.mat"
        scipy.io.savemat(target, {"annotations": rows})
        for n in range(count):
            picture(base / f"cars_{split}/{n:05}.jpg", n % 2)
    scipy.io.savemat(base / "devkit/cars_meta.mat", {"class_names": np.array(CLASSES, object)})
    return 4, 2


def aircraft(root):
    base = root / "fgvc-aircraft-2013b/data"
    lines(base / "variants.txt", CLASSES)
    for split, ns in (("train", "01"), ("val", "2"), ("test", "3")):
        lines(base / f"images_variant_{split}.txt", [f"{i}{n} {c}" for i, c in enumerate(CLASSES) for n in ns])
        for i, _ in enumerate(CLASSES):
            for n in ns:
                picture(base / f"images/{i}{n}.jpg", i)
    return 4, 2


def voc2007(root):
    base = root / "VOCdevkit/VOC2007"
    for split, ns in (("train", (0, 1, 2, 3)), ("val", (4, 5)), ("test", (6, 7))):
        for k, c in enumerate(VOC_CLASSES):
            lines(base / f"ImageSets/Main/{c}_{split}.txt", [f"{n:06} {1 if n % 2 == k % 2 else -1 if n != 1 else 0:2d}" for n in ns])
        for n in ns:
            picture(base / f"JPEGImages/{n:06}.jpg", n % 2)
    return 4, 2


def dtd(root):
    base = root / "dtd/dtd"
    for split, ns in (("train", "01"), ("val", "2"), ("test", "3")):
        lines(base / f"labels/{split}1.txt", [f"{c}/{c}_{n}.jpg" for c in CLASSES for n in ns])
        for i, c in enumerate(CLASSES):
            for n in ns:
                picture(base / f"images/{c}/{c}_{n}.jpg", i)
    return 4, 2


def pets(root):
    base = root / "oxford-iiit-pet"
    for split, ns in (("trainval", "01"), ("test", "2")):
        lines(base / f"annotations/{split}.txt", [f"{c}_{n} {i + 1} 1 1" for i, c in enumerate(("Alpha_cat", "beta_dog")) for n in ns])
        for i, c in enumerate(("Alpha_cat", "beta_dog")):
            for n in ns:
                picture(base / f"images/{c}_{n}.jpg", i)
    return 4, 2


def caltech101(root):
    for i, c in enumerate(("BACKGROUND_Google", "accordion")):
        for n in range(32):
            picture(root / f"caltech101/101_ObjectCategories/{c}/image_{n:04}.jpg", i)
    return 60, 4


def flowers(root):
    base = root / "flowers-102"
    for n in range(1, 9):
        picture(base / f"jpg/image_{n:05}.jpg", n % 2)
    scipy.io.savemat(base / "imagelabels.mat", {"labels": np.array([1 + n % 2 for n in range(1, 9)])})
    scipy.io.savemat(base / "setid.mat", {"trnid": np.array([1, 2, 3, 4]), "valid": np.array([5, 6]), "tstid": np.array([7, 8])})
    return 4, 2


MADE = {f.__name__: f for f in (food101, birdsnap, sun397, cars, aircraft, voc2007, dtd, pets, caltech101, flowers)}


@pytest.mark.parametrize("name", MADE)
def test_each_set_in_its_own_format(name, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "torchvision.datasets.Flowers102._check_integrity", lambda self: self._images_folder.is_dir()
    )  # it knows the real files' hashes
    train, test = MADE[name](tmp_path)
    found = open_set(name, ReadConfig(root=str(tmp_path)))
    assert (len(found.train), len(found.test)) == (train, test)
    assert found.metric == METRICS[name]
    assert (found.validation is not None) == (name in ("aircraft", "voc2007", "dtd", "flowers"))
    if name == "voc2007":
        assert found.train.targets.shape == (4, 20)
        assert set(np.unique(found.train.targets)) == {-1, 0, 1}
    else:
        assert len(found.train.classes) == (2 if name != "flowers" else len(found.train.classes))
        assert set(np.unique(found.train.labels)) == {0, 1}
    for source in (found.train, found.test):
        assert source.read(0).shape[0] == 3
        for i in range(len(source)):
            if source.labels is not None and name not in ("flowers",):
                assert source.read(i).float().mean((1, 2)).argmax().item() == source.labels[i], "the label is the picture's"
    (tmp_path / "other").mkdir()
    with pytest.raises(tv.UserError, match=rf"{name} (is not|could not)"):
        open_set(name, ReadConfig(root=str(tmp_path / "other")))


def test_all_twelve_have_a_reader_a_metric_and_the_papers_figures():
    assert set(METRICS) == set(TRANSFER_SETS) == {*MADE, "cifar10", "cifar100"}
    assert all(len(values) == 12 for values in PAPER.values())
    assert paper_rows(["pets", "mine"], "linear")[0] == ("SimCLR (paper)", ["89.2", ""])


def test_metrics_by_loops():
    g = np.random.default_rng(0)
    logits, y = torch.from_numpy(g.normal(size=(50, 4))), torch.from_numpy(g.integers(0, 3, 50))
    guess = logits.argmax(1)
    assert top1(logits, y) == pytest.approx(sum(int(a == b) for a, b in zip(guess, y, strict=True)) / 50)
    each = [np.mean([int(guess[i] == c) for i in range(50) if y[i] == c]) for c in range(3)]
    assert per_class(logits, y) == pytest.approx(np.mean(each))
    scores, truth = g.normal(size=40), g.integers(-1, 2, 40)
    order = [i for i in np.argsort(-scores) if truth[i] >= 0]
    total, points = 0.0, []
    positives = sum(truth[i] == 1 for i in order)
    for rank in range(1, len(order) + 1):
        hits = sum(truth[i] == 1 for i in order[:rank])
        points.append((hits / positives, hits / rank))
    for level in range(11):
        total += max([p for r, p in points if r >= level / 10 - 1e-9], default=0.0) / 11
    assert average_precision_11(scores, truth) == pytest.approx(total)
    perfect = torch.tensor([[3.0, -1], [2, -2], [-1, 4]])
    assert map11(perfect, torch.tensor([[1, 0], [1, 0], [0, 1]])) == 1.0


def test_bootstrapped_intervals():
    """Of an accuracy they are those of Wilson, about."""
    y = torch.arange(400) % 2
    logits = torch.nn.functional.one_hot(torch.where(torch.arange(400) < 300, y, 1 - y), 2).double()
    low, high = bootstrap(top1, logits, y)
    assert (low, high) == pytest.approx(wilson(0.75, 400), abs=0.015)
    assert bootstrap(top1, logits, y) == (low, high), "keyed"


def test_binary_regressions_are_the_minimum():
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(60, 5, generator=g), torch.randint(-1, 2, (60, 3), generator=g)
    w, b = Logistic(x, y, 3).fit(0.01)
    w, b = w.double().requires_grad_(True), b.double().requires_grad_(True)
    logits, counts = x.double() @ w + b, (y >= 0).double()
    loss = (counts * torch.nn.functional.binary_cross_entropy_with_logits(logits, y.clamp(min=0).double(), reduction="none")).sum() / 60
    (loss + 0.005 * w.square().sum()).backward()
    assert w.grad.abs().max() < 1e-5
    assert b.grad.abs().max() < 1e-5


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    path = tmp_path_factory.mktemp("net") / "net.safetensors"
    save_encoder(path, encoder("resnet18", width=0.25, stem="small", size=12), {})
    return path


def test_linear_fine_tuned_and_from_scratch_on_formats_and_folders(net, tmp_path):
    aircraft(tmp_path)
    for i, c in enumerate(CLASSES):
        for n in range(10):
            picture(tmp_path / "mine" / c / f"{n}.png", i)
    result = tv.transfer(
        net, ["aircraft", str(tmp_path / "mine")], tmp_path / "out", root=str(tmp_path), how=("linear", "fine-tuned", "from-scratch"),
        steps=2, batch=4, device="cpu", workers=0,
    )  # fmt: skip
    assert len(result.rows) == 6
    by = {(row["set"], row["how"]): row for row in result.rows}
    assert by["aircraft", "linear"]["labels_used"] == 6, "training and validation together"
    assert by["aircraft", "linear"]["metric"] == "per-class"
    assert by["mine", "linear"]["value"]["mean"] == 1.0, "colours are classes"
    assert by["mine", "from-scratch"]["subject"] == "from scratch"
    assert set(by["mine", "fine-tuned"]["chosen"][0]) == {"learning_rate", "weight_decay", "validation"}
    again = tv.transfer(net, ["aircraft"], tmp_path / "out", root=str(tmp_path), steps=2, batch=4, device="cpu", workers=0)
    assert again.rows[0]["value"] == by["aircraft", "linear"]["value"], "finished parts are read"


def test_pictures_of_several_classes(net, tmp_path):
    voc2007(tmp_path)
    result = tv.transfer(net, ["voc2007"], tmp_path / "out", root=str(tmp_path), device="cpu", workers=0)
    assert result.rows[0]["metric"] == "map11"
    assert result.rows[0]["value"]["mean"] == 1.0, "each class is there where the colour is"
    loss = binary_criterion(torch.tensor([[1, 0], [-1, 1]]))(torch.zeros(2), torch.tensor([[0.0, 0.0], [9.0, 0.0]]), torch.arange(2))
    assert float(loss) == pytest.approx(1.5 * np.log(2))


def test_the_test_part_decides_nothing(net, tmp_path):
    """With another test part the same l2, rate and decay are chosen."""
    config = TransferConfig(steps=4, batch=8, device="cpu")
    chosen = []
    for seed in (1, 2):
        found = TransferSet("x", "top1", colored(60), None, colored(30, seed=seed))
        chosen.append(Transferring(named(net), config).row(Work(tmp_path / str(seed)), found, "linear")["chosen"])
    assert chosen[0] == chosen[1]


def test_joined_sources():
    a, b = colored(6), colored(4, seed=1)
    both = Joined(a, b)
    assert len(both) == 10
    assert torch.equal(both.read(7), b.read(1))
    assert both.labels.tolist() == [*a.labels, *b.labels]


def test_wrong_sets(tmp_path, net):
    with pytest.raises(tv.UserError, match="Did you mean pets"):
        tv.transfer(net, ["petz"])
    with pytest.raises(tv.UserError, match="none of the sets is below --root"):
        tv.transfer(net, ["all"], tmp_path / "o", root=str(tmp_path))
    picture(tmp_path / "flat" / "a.png")
    picture(tmp_path / "flat" / "b.png")
    with pytest.raises(tv.UserError, match="transfer needs labels"):
        tv.transfer(net, [str(tmp_path / "flat")], tmp_path / "o")
