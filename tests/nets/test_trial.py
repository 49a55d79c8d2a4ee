"""What networks are tried for before a RUN is claimed: size, length of h, memory format, whether they learn. Nothing is changed by a trial."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import twoviews as tv
from twoviews.nets.base import Spec
from twoviews.nets.encoder import adopt, from_spec, load_encoder, made, save_encoder
from twoviews.nets.head import head
from twoviews.nets.trial import at_size, place, trial

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("trial") / "pictures"
    path.mkdir()
    for number in range(8):
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (70 + number, 64, 3), np.uint8)).save(path / f"{number}.png")
    return path


def train(folder, out, encoder, **options):
    return tv.train(str(folder), out, encoder=encoder, epochs=1, batch=8, workers=0, tensorboard=False, device="cpu", **options)


def test_a_network_of_one_size_is_built_for_the_one_asked_for(folder, tmp_path, capsys):
    run = train(folder, tmp_path / "run", "timm:test_vit_relpos", size=64)
    net = run.encoder()
    assert (net.spec.size, net.spec.built, run.config.size) == (64, 64, 64)
    assert "built for 64 pixels" in capsys.readouterr().err
    x = torch.rand(2, 3, 64, 64)
    assert torch.equal(net(x), load_encoder(run.path)(x))
    again = train(folder, tmp_path / "run", "timm:test_vit_relpos", size=64)
    assert again.finished()


def test_a_network_at_its_own_size_is_what_older_files_hold(tmp_path):
    net = made(Spec("timm:test_vit", size=160))
    assert net.spec.built == 0
    save_encoder(tmp_path / "net.safetensors", net, {})
    assert load_encoder(tmp_path / "net.safetensors").spec == net.spec


def test_without_a_size_a_network_takes_the_recipes_or_its_own():
    assert tv.encoder("timm:test_vit").spec.size == 224
    assert made(Spec("timm:efficientformerv2_s0", size=96), any_size=True).spec.size in (96, 224)


def test_a_size_that_does_not_fit_is_one_message_with_sizes_that_do(folder, tmp_path):
    with pytest.raises(tv.UserError, match=r"timm:test_vit takes no pictures of 7 pixels: .* --size 16 or 32 or 160 works"):
        train(folder, tmp_path / "run", "timm:test_vit", size=7)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["timm:mobilenetv3_small_050", "timm:lcnet_035"])
def test_the_length_of_h_is_measured(name):
    net = tv.encoder(name, size=32)
    assert net.num_features != net.network.num_features  # what the network says of itself is another layer's
    assert net.eval()(torch.rand(2, 3, 32, 32)).shape == (2, net.num_features)


@pytest.mark.parametrize("start", [64, 224])
def test_pictures_of_another_size_are_taken_by_a_copy_that_is_resized(start):
    net = tv.encoder("timm:vit_tiny_patch16_224", size=start).eval()
    other = at_size(net, 96)
    assert (net.spec.size, other.spec.size, other.spec.built) == (start, 96, 96)
    assert net(torch.rand(1, 3, start, start)).shape == other(torch.rand(1, 3, 96, 96)).shape == (1, 192)
    fresh = from_spec(other.spec)
    fresh.load_state_dict(other.state_dict())
    x = torch.rand(1, 3, 96, 96)
    assert torch.equal(fresh.eval()(x), other(x))


def test_a_network_that_cannot_be_resized_says_its_size():
    net = tv.wrap_encoder(nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 5)), size=8)
    with pytest.raises(tv.UserError, match=r"takes no pictures of 16 pixels.* It takes --size 8"):
        at_size(net, 16)


class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 6, 3, 2)

    def forward(self, x):
        return self.convolution(x).mean((2, 3))


class NoWay(Base):
    def forward(self, x):
        return super().forward(x).detach()


class Frozen(Base):
    def __init__(self):
        super().__init__()
        self.requires_grad_(False)


class Endless(Base):
    def forward(self, x):
        return super().forward(x) / 0.0


class OnlyAsked(Base):
    def forward(self, x):
        with torch.inference_mode():
            return super().forward(x)


class InPlace(Base):
    def forward(self, x):
        y = self.convolution(x).exp()
        z = y * 2
        y.add_(1)
        return z.mean((2, 3)) * y.mean((2, 3))


class TwoWidths(Base):
    def forward(self, x):
        h = super().forward(x)
        return torch.cat([h, h], 1) if self.training else h


class NormOfOne(Base):
    def __init__(self):
        super().__init__()
        self.norm = nn.InstanceNorm2d(6)

    def forward(self, x):
        return self.norm(self.convolution(x).mean((2, 3), keepdim=True)).flatten(1)


WRONG = {
    NoWay: "no gradient reaches",
    Frozen: "no gradient reaches",
    Endless: "not finite",
    OnlyAsked: "cannot be trained",
    InPlace: "modified by an inplace operation",
    TwoWidths: "it gives 12 numbers a picture in training and 6 in evaluation",
    NormOfOne: "Expected more than 1 spatial element|no encoder",
}


@pytest.mark.parametrize("kind", WRONG, ids=lambda kind: kind.__name__)
def test_what_cannot_be_trained_is_one_message_and_leaves_no_run(kind, folder, tmp_path):
    with pytest.raises(tv.UserError, match=WRONG[kind]) as caught:
        train(folder, tmp_path / "run", kind(), size=16)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_weights_that_nothing_uses_are_no_obstacle():
    class Spare(Base):
        def __init__(self):
            super().__init__()
            self.spare = nn.Linear(2, 2)

    net = adopt(Spare(), 3, 16, "antialias")
    trial(net, head("mlp2", net.num_features, 4), 4, CPU, "fp32")


@pytest.mark.parametrize("name", ["convnet", "resnet18", "timm:test_resnet", "mine"])
def test_a_trial_changes_nothing(name):
    class Counting(Base):
        calls = 0

        def __init__(self):
            super().__init__()
            self.drop, self.norm = nn.Dropout(0.5), nn.BatchNorm2d(6)

        def forward(self, x):
            self.calls += 1
            return self.drop(self.norm(self.convolution(x)).mean((2, 3)))

    net = adopt(Counting(), 3, 32, "antialias") if name == "mine" else tv.encoder(name, size=32, stem="small")
    projection = head("mlp2", net.num_features, 8)
    net.train()
    projection.eval()
    calls = net.network.calls if name == "mine" else 0
    before = [{k: v.clone() for k, v in module.state_dict().items()} for module in (net, projection)]
    torch.manual_seed(7)
    random.seed(7)
    drawn = torch.rand(3), random.random()
    torch.manual_seed(7)
    random.seed(7)
    trial(net, projection, 4, CPU, "fp32")
    assert torch.equal(torch.rand(3), drawn[0])
    assert random.random() == drawn[1]
    for module, state in zip((net, projection), before, strict=True):
        assert all(torch.equal(state[key], value) for key, value in module.state_dict().items())
        assert all(parameter.grad is None for parameter in module.parameters())
    assert net.training
    assert not projection.training
    if name == "mine":
        assert net.network.calls == calls


def test_channels_last_is_taken_only_where_it_computes_the_same():
    class Viewing(Base):
        def forward(self, x):
            return self.convolution(x).view(len(x), -1)[:, :5]  # raises for strides of channels_last

    class Wrong(Base):
        def forward(self, x):
            return super().forward(x) * (2 if x.is_contiguous() else 1)

    for kind, usual in ((Base, False), (Viewing, True), (Wrong, True)):
        net = place(adopt(kind(), 3, 16, "antialias"), CPU, learns=True)
        assert net.contiguous is usual
        x = torch.rand(2, 3, 16, 16)
        assert torch.allclose(net(x.contiguous(memory_format=torch.channels_last)), net.network(x).reshape(2, -1), atol=1e-6)


@pytest.mark.parametrize(("net", "narrow"), [("timm:repvgg_a0", True), ("resnet18", False), ("timm:test_resnet", False)])
def test_processors_get_no_channels_last_where_pytorchs_kernel_writes_past_its_end(net, narrow):
    """Strided 1×1 convolutions of fewer than 16 channels: the process ends with a corrupted heap, sooner or later."""
    found = place(tv.encoder(net, size=32), CPU)
    assert found.contiguous is narrow
    thin = place(tv.encoder("resnet18", width=0.125, size=32), CPU)
    assert thin.contiguous
    assert all(p.is_contiguous() for p in thin.parameters())


def test_torchvisions_networks_with_classifiers_on_the_way_give_one_vector():
    net = tv.encoder("torchvision:googlenet", size=64)
    assert net.train()(torch.rand(2, 3, 64, 64)).shape == (2, net.num_features) == (2, 1024)


def test_networks_whose_parts_ask_for_their_version_are_loaded_again(tmp_path):
    net = tv.encoder("torchvision:mnasnet0_5", size=32).eval()
    save_encoder(tmp_path / "net.safetensors", net, {})
    x = torch.rand(2, 3, 32, 32)
    assert torch.equal(load_encoder(tmp_path / "net.safetensors")(x), net(x))
