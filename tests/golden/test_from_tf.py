"""Checkpoints that TensorFlow wrote, from the golden weights at the official names: converted, and equal to what the official code computes with them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import twoviews as tv
from tests.golden.official import close, variables
from twoviews.base.errors import UserError
from twoviews.formats import official
from twoviews.formats.bundle import Bundle, find_prefix
from twoviews.nets.classifier import load_classifier, load_head

from ..conftest import twoviews

NETS = {  # name in the golden numbers → what is to be found out from the shapes
    "resnet18_cifar": ("resnet18", 1, False, "small"),
    "resnet18_cifar_w2": ("resnet18", 2, False, "small"),
    "resnet34": ("resnet34", 1, False, "imagenet"),
    "resnet50": ("resnet50", 1, False, "imagenet"),
    "resnet50_sk": ("resnet50", 1, True, "imagenet"),
}


def v1_name(name):
    """The name that the v1 code gives a variable which the v2 code calls so."""
    name = name.split(":")[0].replace("sync_", "")
    layer, leaf = name.split("/")[-2:]
    if name.startswith("projection_head"):
        number = re.search(r"nl_(\d+)", name)[1]
        return f"head_contrastive/nl_{number}/{re.sub(r'_[0-9]+$', '', layer)}/{leaf}"
    return f"base_model/{layer}/{leaf}"


def written(folder, golden_folder, make, tag, kind, dtype=np.float32, linear=10, change=None):
    """A checkpoint with the golden weights of a network, written by TensorFlow."""
    arrays = {}
    for number, name, shape, _ in variables(golden_folder / f"names_{tag}.txt"):
        arrays[v1_name(name) if kind == "tf1" else name.split(":")[0]] = make(number, name, shape).astype(dtype)
    if linear:
        features = next(value.shape[0] for name, value in arrays.items() if "nl_0/dense" in name)
        kernel = np.random.default_rng(0).normal(0, 0.01, (features, linear)).astype(dtype)
        arrays["head_supervised/linear_layer/dense/kernel"] = kernel
        arrays["head_supervised/linear_layer/dense/bias"] = np.arange(linear).astype(dtype)
    if change:
        change(arrays)
    np.savez(folder / "arrays.npz", **arrays)
    out = folder / ("model.ckpt" if kind == "tf1" else "saved" if kind == "savedmodel" else "ckpt")
    script = Path(__file__).with_name("write_tf.py")
    subprocess.run([sys.executable, str(script), str(folder / "arrays.npz"), str(out), kind], check=True, capture_output=True, timeout=300)
    return out.with_name("model.ckpt-250228") if kind == "tf1" else out


@pytest.mark.parametrize(
    ("tag", "kind"),
    [
        pytest.param("resnet18_cifar_w2", "tf1", marks=pytest.mark.soak),
        ("resnet34", "tf2"),
        ("resnet50", "savedmodel"),
        ("resnet50_sk", "tf1"),
    ],
)
def test_converted_networks_compute_what_the_official_ones_do(tag, kind, golden, golden_folder, generator, tmp_path):
    gen, want = generator("gen_weights_hash"), golden(f"hash_{tag}")
    run = tv.from_tf(written(tmp_path, golden_folder, gen.make, tag, kind), tmp_path / "run")
    net = tv.load_encoder(run.path)
    assert (net.spec.name, net.spec.width, net.spec.sk, net.spec.stem) == NETS[tag]
    n, size = want["n_size"]
    x = torch.from_numpy(gen.images(int(n), int(size)).transpose(0, 3, 1, 2).copy())
    with torch.inference_mode():
        h = net(x.float())
        close(h[:, :256], want["inference|h"], 3e-4)  # float32 rounds differently on each processor; in float64 they are equal (test_nets)
        z = load_head(run.path, net.num_features).eval()(h)
        close(z, want["inference|z"], 3e-4)
        classifier, classes = load_classifier(run.path / "linear")
        kernel = torch.from_numpy(np.random.default_rng(0).normal(0, 0.01, (net.num_features, 10)).astype(np.float32))
        assert torch.allclose(classifier(x.float()), h @ kernel + torch.arange(10), atol=1e-3)
    assert classes == [str(number) for number in range(10)]
    found = json.loads((run.path / "conversion.json").read_text())
    names = len(variables(golden_folder / f"names_{tag}.txt"))
    assert len(found["placed"]) == names + 2
    assert len({one["to"] for one in found["placed"]}) == names + 2
    assert bool(found["left_out"]) == (kind != "savedmodel")  # slots and the step


RELEASED = [(50, width, False) for width in (1, 2, 4)] + [
    (depth, width, sk) for depth in (50, 101, 152) for width in (1, 2) for sk in (False, True)
]


@pytest.mark.parametrize(("depth", "width", "sk"), [*RELEASED, (152, 3, True)])
def test_every_released_size_is_recognised(depth, width, sk):
    """By its shapes alone: v1's three, v2's thirteen."""
    with torch.device("meta"):
        net = tv.encoder(f"resnet{depth}", width, sk)
    shapes = [tuple(module.weight.shape) for module in net.modules() if isinstance(module, torch.nn.Conv2d)]
    assert official.architecture(shapes) == (f"resnet{depth}", width, sk, "imagenet")
    shapes[-1] = (*shapes[-1][:3], 3)
    assert official.architecture(shapes) is None


@pytest.mark.parametrize("tag", ["resnet18_cifar", pytest.param("resnet50_sk", marks=pytest.mark.soak)])
def test_in_float64_to_1e_9(tag, golden, golden_folder, generator, tmp_path):
    gen, want = generator("gen_weights_hash"), golden(f"hash_{tag}")
    bundle = Bundle(find_prefix(written(tmp_path, golden_folder, gen.make, tag, "tf1", np.float64)))
    parts, _ = official.variables(bundle)
    net = official.network(bundle, parts["encoder"], 64, "antialias").double()
    official.fill(net, parts["encoder"], bundle)
    n, size = want["n_size"]
    x = torch.from_numpy(gen.images(int(n), int(size)).transpose(0, 3, 1, 2).copy())
    with torch.inference_mode():
        close(net.eval()(x)[:, :256], want["inference|h"], 1e-9)


def test_every_verb_takes_it(golden_folder, generator, tmp_path):
    """kNN, vectors, a report and exports of a converted RUN; without heads too."""
    make = generator("gen_weights_hash").make

    def bare(arrays):
        for name in [name for name in arrays if name.startswith("head_")]:
            del arrays[name]

    run = tv.from_tf(written(tmp_path, golden_folder, make, "resnet18_cifar", "tf1", linear=0, change=bare), tmp_path / "run", size=32)
    assert not (run.path / "head.safetensors").exists()
    result = tv.knn(run.path, "digits", size=8)
    assert 0 < result.top1() <= 1
    tv.export(run.path, to="onnx")
    page = tv.report(run.path)
    assert "cannot be shown" in page.read_text()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a.pop("base_model/batch_normalization_3/moving_mean"), "lacks"),
        (lambda a: a.update({"base_model/conv2d_99/kernel": np.zeros((3, 3, 4, 4), np.float32)}), "no official SimCLR ResNet"),
        pytest.param(
            lambda a: a.update({"base_model/conv2d_4/kernel": np.zeros((3, 3, 64, 65), np.float32)}),
            "no official SimCLR ResNet",
            marks=pytest.mark.soak,
        ),
        pytest.param(
            lambda a: a.update({"base_model/batch_normalization_4/gamma": np.zeros(65, np.float32)}), "there is", marks=pytest.mark.soak
        ),
        pytest.param(
            lambda a: a.update({"discriminator/weights": np.zeros(3, np.float32)}), "no SimCLR network has", marks=pytest.mark.soak
        ),
    ],
)
def test_what_fits_nowhere_is_refused(golden_folder, generator, tmp_path, change, words):
    checkpoint = written(tmp_path, golden_folder, generator("gen_weights_hash").make, "resnet18_cifar", "tf1", change=change)
    with pytest.raises(UserError, match=words):
        tv.from_tf(checkpoint, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_wrong_files(golden_folder, generator, tmp_path):
    checkpoint = written(tmp_path, golden_folder, generator("gen_weights_hash").make, "resnet18_cifar", "tf1")

    def run(*arguments):
        return twoviews("from-tf", *arguments)

    done = run(tmp_path, "--out", tmp_path / "run")  # the folder, with one checkpoint in it
    assert done.returncode == 0, done.stderr
    assert "resnet18 (small stem)" in done.stderr
    index = checkpoint.with_name(f"{checkpoint.name}.index")
    data = checkpoint.with_name(f"{checkpoint.name}.data-00000-of-00001")
    whole, bytes_ = index.read_bytes(), data.read_bytes()
    for arguments, words in (
        ([tmp_path / "nothing"], "no TensorFlow checkpoint"),
        ([tmp_path / "arrays.npz"], "no TensorFlow checkpoint"),
        ([checkpoint, "--size", "1"], "at least 4"),
    ):
        done = run(*arguments, "--out", tmp_path / "other")
        assert (done.returncode, words in done.stderr) == (2, True), done.stderr
    data.write_bytes(bytes_[: len(bytes_) // 3])
    assert "cut short" in run(checkpoint, "--out", tmp_path / "other").stderr
    data.unlink()
    assert "all its .data files" in run(checkpoint, "--out", tmp_path / "other").stderr
    data.write_bytes(bytes_)
    done = run(checkpoint, "--out", tmp_path / "run")
    assert "RUN already" in done.stderr
    generator = np.random.default_rng(0)
    for _ in range(300):  # damaged at random places: refused in words, or read
        damaged = bytearray(whole)
        for place in generator.integers(0, len(whole), 3):
            damaged[place] = generator.integers(0, 256)
        index.write_bytes(bytes(damaged[: generator.integers(10, len(whole) + 1)]))
        try:
            bundle = Bundle(checkpoint)
            official.variables(bundle)
        except UserError:
            continue
    assert not (tmp_path / "other").exists()
