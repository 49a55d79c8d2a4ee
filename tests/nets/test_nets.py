"""Encoders by name, heads, batch norm, files."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from twoviews.base.errors import RunError, UserError
from twoviews.nets.batchnorm import BatchNorm1d, BatchNorm2d
from twoviews.nets.encoder import adopt, encoder, fingerprint, load_encoder, load_weights, save_encoder
from twoviews.nets.head import HEADS, head
from twoviews.nets.resnet import ResNet, SamePool, variance_scaling_


@pytest.mark.parametrize(
    ("name", "options", "features"),
    [
        ("resnet18", {"stem": "small", "width": 0.25}, 128),
        ("resnet34", {"width": 0.125}, 64),
        ("resnet50", {"width": 0.125, "sk": True}, 256),
        ("resnet50", {"width": 0.25, "stem": "small", "channels": 1}, 512),
        ("convnet", {"channels": 1}, 128),
        ("timm:resnet10t", {}, 512),
        ("timm:resnet10t", {"channels": 1}, 512),
        ("torchvision:resnet18", {}, 512),
        ("torchvision:mobilenet_v3_small", {"channels": 1}, 1024),
    ],
)
def test_by_name(name, options, features):
    net = encoder(name, **options).eval()
    assert net.num_features == features
    x = torch.rand(2, options.get("channels", 3), 64, 64)
    with torch.no_grad():
        assert net(x).shape == (2, features)
        assert torch.equal(encoder(name, **options).eval()(x), net(x)), "the weights are keyed by the seed"
        assert not torch.equal(encoder(name, seed=1, **options).eval()(x), net(x))


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("resnet5", {}, "Did you mean resnet50"),
        ("timm:resnet5", {}, "Did you mean resnet5"),
        ("torchvision:resnet1", {}, "Did you mean resnet1"),
        ("resnet18", {"stem": "smal"}, "Did you mean small"),
        ("resnet18", {"width": 0}, "above 0"),
        ("torchvision:resnet18", {"channels": 4}, "3 channels"),
    ],
)
def test_wrong_names(name, options, words):
    with pytest.raises(UserError, match=words):
        encoder(name, **options)


def test_weights_that_cannot_be_had(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def refuse(*a, **k):
        raise OSError("no route")

    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    for name in ("timm:resnet10t", "torchvision:resnet18"):
        with pytest.raises(UserError, match="could not be loaded"):
            load_encoder(name)


def test_torchvisions_pretrained_weights(monkeypatch, tmp_path):
    """The real loading code on a file that this test makes where torchvision looks for its download."""
    from torchvision.models import ResNet18_Weights, resnet18

    made = resnet18()
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(made.state_dict(), folder / ResNet18_Weights.DEFAULT.url.rpartition("/")[2])
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    net = load_encoder("torchvision:resnet18")
    assert torch.equal(net.network.conv1.weight, made.conv1.weight)
    x = torch.rand(2, 3, 64, 64)
    made.fc = nn.Identity()
    mean, std = torch.tensor([0.485, 0.456, 0.406])[:, None, None], torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    with torch.no_grad():
        assert torch.allclose(net(x), made.eval()((x - mean) / std), atol=1e-5), "[0, 1] goes in: the normalisation is inside"


def test_files_are_whole_encoders(tmp_path):
    net = encoder("resnet18", width=0.25, stem="small", size=32, seed=3).eval()
    save_encoder(tmp_path / "e.safetensors", net, {"epoch": 1})
    again = load_encoder(tmp_path / "e.safetensors")
    assert again.spec == net.spec
    assert fingerprint(again) == fingerprint(net)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8))
    x = again.preprocess(picture)
    assert x.shape == (3, 32, 32)
    assert torch.equal(again.preprocess(np.asarray(picture)), x)
    assert again.embed(picture).shape == (128,)


def test_wrong_files(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        load_encoder(tmp_path / "none")
    with pytest.raises(UserError, match="not a RUN folder"):
        load_encoder(tmp_path)
    (tmp_path / "x.safetensors").write_bytes(b"\x80\x04 a pickle")
    with pytest.raises(UserError, match="not a safetensors file"):
        load_encoder(tmp_path / "x.safetensors")
    from safetensors.torch import save_file

    save_file({"a": torch.ones(1)}, tmp_path / "y.safetensors")
    with pytest.raises(UserError, match="not an encoder of twoviews"):
        load_encoder(tmp_path / "y.safetensors")
    save_encoder(tmp_path / "z.safetensors", encoder("resnet18", width=0.25), {})
    with pytest.raises(UserError, match="something else than resnet18"):
        load_weights(encoder("resnet18", width=0.5), tmp_path / "z.safetensors", "resnet18")


def test_your_own_module(tmp_path):
    class Mine(nn.Module):
        num_features = 7

        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 7)

        def forward(self, x):
            return self.linear(x.mean((2, 3)))

    net = adopt(Mine(), 3, 16, "antialias")
    assert net(torch.rand(2, 3, 16, 16)).shape == (2, 7)
    save_encoder(tmp_path / "mine.safetensors", net, {})
    with pytest.raises(UserError, match="module of your own"):
        load_encoder(tmp_path / "mine.safetensors")
    assert fingerprint(load_encoder(tmp_path / "mine.safetensors", module=Mine())) == fingerprint(net)
    with pytest.raises(UserError, match="num_features"):
        adopt(nn.Linear(2, 2), 3, 16, "antialias")


def test_a_broken_encoder_has_no_fingerprint():
    net = encoder("convnet", channels=1)
    with torch.no_grad():
        next(net.parameters()).fill_(float("nan"))
    with pytest.raises(RunError, match="not finite"):
        fingerprint(net)


@pytest.mark.parametrize("name", HEADS)
def test_heads(name):
    g = head(name, 16, 8)
    z = g(torch.rand(10, 16))
    assert z.shape == (10, 16 if name == "none" else 8)
    assert len(g.dense) == HEADS.index(name)
    assert not [n for n, p in g.named_parameters() if n.startswith("dense") and n.endswith("bias")]
    if g.dense:
        assert g.norms[-1].bias is None
        assert all(norm.bias is not None for norm in g.norms[:-1])
    assert torch.equal(g(torch.ones(4, 16), layers=0), torch.ones(4, 16))


def test_the_papers_head():
    g, h = head("mlp2", 6, 4, norm=False), torch.rand(5, 6)
    assert torch.allclose(g(h), torch.relu(h @ g.dense[0].weight.T) @ g.dense[1].weight.T, atol=1e-6)
    with pytest.raises(UserError, match="Did you mean mlp2"):
        head("mlp22", 4)


@pytest.mark.parametrize("make", [lambda: BatchNorm2d(3), lambda: BatchNorm1d(3)])
def test_moving_variance_is_biased(make):
    bn = make().double()
    x = torch.randn(8, 3, 5, 4, dtype=torch.float64) if isinstance(bn, BatchNorm2d) else torch.randn(8, 3, dtype=torch.float64)
    rows = x.movedim(1, 0).flatten(1)
    y = bn(x)
    assert bn.running_mean.tolist() == pytest.approx((0.1 * rows.mean(1)).tolist(), abs=1e-12)
    assert bn.running_var.tolist() == pytest.approx((0.9 + 0.1 * rows.var(1, unbiased=False)).tolist(), abs=1e-12)
    assert torch.allclose(y.movedim(1, 0).flatten(1).mean(1), torch.zeros(3, dtype=torch.float64), atol=1e-12)
    assert bn.num_batches_tracked == 1
    before = bn.running_var.clone()
    bn.eval()(x)
    assert torch.equal(bn.running_var, before)


def test_pool_borders():
    pool = SamePool()
    for side in (6, 7, 8, 9):
        x = torch.arange(side * side, dtype=torch.float32).view(1, 1, side, side)
        got, before = pool(x), side % 2
        assert got.shape[2] == -(-side // 2)
        for i in range(got.shape[2]):
            window = range(max(0, 2 * i - before), min(side, 2 * i - before + 3))
            assert got[0, 0, i, 0] == max(x[0, 0, k, j] for k in window for j in range(max(0, -before), min(side, 3 - before)))


def test_initial_weights():
    net = ResNet(18, 0.5, stem="small")
    kernel = net.groups[3][1].main[0].conv.weight
    assert kernel.var().item() == pytest.approx(1 / kernel[0].numel(), rel=0.05)
    assert kernel.abs().max() <= 2.01 * (kernel[0].numel() ** -0.5) / 0.8796
    assert all((block.main[-1].bn.weight == 0).all() for group in net.groups for block in group), "the last gamma of each block starts at 0"
    again = torch.empty_like(kernel)
    torch.manual_seed(0)
    variance_scaling_(again)
    assert again.mean().abs() < 1e-3
