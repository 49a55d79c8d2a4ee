"""Our networks against the official ones, float64, in both modes, with gradients and moving statistics."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from tests.golden.official import close, fill, to_official, variables
from twoviews.losses.nt_xent import nt_xent
from twoviews.nets.head import head
from twoviews.nets.resnet import ResNet

NETS = {
    "resnet18_cifar": {"depth": 18, "stem": "small"},
    "resnet18": {"depth": 18},
    "resnet18_odd": {"depth": 18},
    "resnet18_cifar_w2": {"depth": 18, "width": 2, "stem": "small"},
    "resnet18_sk": {"depth": 18, "sk": 0.0625},
    "resnet34": {"depth": 34},
    "resnet50": {"depth": 50},
    "resnet50_sk": {"depth": 50, "sk": 0.0625},
    "resnet50_cifar": {"depth": 50, "stem": "small"},
    "resnet50_sk_cifar": {"depth": 50, "sk": 0.0625, "stem": "small"},
    "resnet50_sk_odd": {"depth": 50, "sk": 0.0625},
    "resnet50_se": {"depth": 50, "se": 0.25},
}


class Both(nn.Module):
    def __init__(self, **net):
        super().__init__()
        self.encoder = ResNet(**net)
        self.head = head("mlp3", self.encoder.num_features)

    def points(self, x):
        """The official code's named points."""
        out = {"stem": (x := self.encoder.stem(x))}
        for number, group in enumerate(self.encoder.groups, 1):
            out[f"group{number}"] = (x := group(x))
        out["h"] = h = x.mean((2, 3))
        out["z"] = self.head(h)
        return out


def build(tag, golden_folder, make):
    model = Both(**NETS[tag]).double()
    rows = variables(golden_folder / f"names_{tag}.txt")
    return model, rows, fill(model, rows, make)


@pytest.mark.parametrize("tag", NETS)
def test_hash_weights(tag, golden, golden_folder, generator):
    gen, want = generator("gen_weights_hash"), golden(f"hash_{tag}")
    model, _, found = build(tag, golden_folder, gen.make)
    n, size = want["n_size"]
    x = torch.from_numpy(gen.images(int(n), int(size)).transpose(0, 3, 1, 2).copy())
    for mode in ("inference", "training"):
        model.train(mode == "training")
        points = model.points(x)
        for name, value in points.items():
            if value.ndim == 4:
                width = want[f"{mode}|{name}"].shape[1]
                close(value.mean((2, 3))[:, :width], want[f"{mode}|{name}"], 1e-9)
                close(value[:, :8, 0, 0], want[f"{mode}|{name}_corner"], 1e-9)
                close(value[:, :8, -1, -1], want[f"{mode}|{name}_end"], 1e-9)
                if name != "stem":
                    close([value.shape[2], value.norm().item()], want[f"{mode}|{name}_size_norm"], 1e-9)
        close(points["h"][:, :256], want[f"{mode}|h"], 1e-9)
        close(points["h"].norm(dim=1), want[f"{mode}|h_norm"], 1e-9)
        close(points["z"], want[f"{mode}|z"], 1e-9)
    for name, value in want.items():
        if name.startswith("after_training_pass|"):
            close(found[int(name.split("|")[1])], value, 1e-9)
    z = points["z"]  # of the training pass
    loss = nt_xent(z[:4], z[4:], 0.5, official=True)
    close(loss, want["gradient|loss"], 1e-9)
    loss.backward()
    for place, number in enumerate(want["gradient|index"]):
        gradient = to_official(found[int(number)].grad)
        close(
            np.linalg.norm(gradient),
            want["gradient|norm"][place],
            1e-9 * max(1, want["gradient|norm"].max() / want["gradient|norm"][place]),
        )
        scale = np.abs(gradient).max()
        got = gradient.ravel()[:4]
        assert np.abs(got - want["gradient|first4"][place][: len(got)]).max() <= 1e-8 * scale + 1e-9 * want["gradient|norm"].max()


@pytest.mark.parametrize("tag", ["resnet18_cifar", "resnet18", "resnet18_odd", "resnet18_cifar_w2"])
def test_sine_weights(tag, golden, golden_folder, generator):
    gen, want = generator("gen_weights"), golden(tag)
    model, rows, found = build(tag, golden_folder, gen.make)
    n, size = want["input_formula_n_size"]
    x = torch.from_numpy(gen.images(int(n), int(size)).transpose(0, 3, 1, 2).copy())
    for mode in ("inference", "training"):
        model.train(mode == "training")
        for name, value in model.points(x).items():
            # noise of 1e-15 on the input moves this one array by 8.5e-7 (measured): it cannot hold to 1e-8 anywhere
            limit = 1e-5 if (tag, mode, name) == ("resnet18_cifar_w2", "training", "z") else 1e-8
            close(value.mean((2, 3)) if value.ndim == 4 else value, want[f"{mode}|{name}"], limit)
            if f"{mode}|{name}_corner" in want:
                close(value[:, :8, 0, 0], want[f"{mode}|{name}_corner"], 1e-8)
    numbers = {name: number for number, name, _, _ in rows}
    moved = [kind for kind in want if kind.startswith("after_training_pass|") and not kind.endswith("indices")]
    assert len(moved) == 4
    for kind in moved:
        close(found[numbers[kind.split("|", 1)[1]]], want[kind], 1e-7)


def test_parameter_counts(golden_folder):
    expected = json.loads((golden_folder / "params.json").read_text())
    for name, counts in expected.items():
        depth, width = int(name.split("_")[0][6:]), int(name.split("_")[1][0])
        with torch.device("meta"):
            net = ResNet(depth, width, sk=0.0625 if "_sk" in name else 0.0, stem="small" if "cifar" in name else "imagenet")
            modules = {"encoder": net, "head2": head("mlp2", net.num_features), "head3": head("mlp3", net.num_features)}
        for part, module in modules.items():
            if part in counts:
                assert sum(p.numel() for p in module.parameters()) == counts[part], (name, part)
            if f"{part}_moving" in counts:
                assert sum(b.numel() for n, b in module.named_buffers() if "running" in n) == counts[f"{part}_moving"], (name, part)
        assert net.num_features == counts.get("features", net.num_features)
