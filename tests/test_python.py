"""Calls from Python: pictures in any form, modules of any kind, and words for what is neither."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import twoviews as tv
from twoviews.views.evaluation import evaluation_view

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (36, 40, 3), np.uint8)
GRAY = RNG.integers(0, 256, (36, 40), np.uint8)
RGBA = RNG.integers(0, 256, (36, 40, 4), np.uint8)
LA = RNG.integers(0, 256, (36, 40, 2), np.uint8)


@pytest.fixture(scope="module")
def encoders():
    return {channels: tv.encoder("convnet", channels=channels, size=24) for channels in (1, 3, 5)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("python") / "pictures"
    for number in range(12):
        place = path / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        pixels = RNG.integers(0, 100, (30 + number, 34, 3), dtype=np.uint8)
        pixels[..., number % 2] += 150
        Image.fromarray(pixels).save(place / f"{number}.png")
    return path


def tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array[..., None] if array.ndim == 2 else array).permute(2, 0, 1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("pixels", [RGB, GRAY, RGBA, LA], ids=["rgb", "gray", "rgba", "la"])
def test_a_picture_is_the_same_as_file_image_array_and_tensor(encoders, tmp_path, channels, pixels):
    net, image = encoders[channels], Image.fromarray(pixels, "LA" if pixels.shape[2:] == (2,) else None)
    image.save(tmp_path / "picture.png")
    want = net.preprocess(image)
    assert want.shape == (channels, 24, 24)
    for given in (tmp_path / "picture.png", str(tmp_path / "picture.png"), pixels, tensor(pixels), tensor(pixels).to("cpu", torch.uint8)):
        assert torch.equal(net.preprocess(given), want)
    for exact in (pixels / 255, (pixels / 255).astype(np.float32)):
        assert (net.preprocess(exact) - want).abs().max() < 1 / 255  # alpha is rounded once, or not at all
    assert (net.preprocess(tensor(pixels).float() / 255) - want).abs().max() < 1.1 / 255


def test_gray_has_as_many_axes_as_one_likes(encoders):
    want = encoders[3].preprocess(GRAY)
    for given in (GRAY[..., None], torch.from_numpy(GRAY), torch.from_numpy(GRAY)[None]):
        assert torch.equal(encoders[3].preprocess(given), want)


def test_floats_of_a_tensor_are_not_rounded(encoders):
    x = torch.rand(3, 24, 24, generator=torch.Generator().manual_seed(0))
    assert torch.equal(encoders[3].preprocess(x), evaluation_view(x[None], 24)[0])
    assert encoders[3].preprocess(x.double()).dtype == encoders[3].preprocess(x.half()).dtype == torch.float32


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.bool_])
def test_other_numbers_are_scaled_by_their_type(encoders, dtype):
    top = np.iinfo(dtype).max if dtype != np.bool_ else 1
    pixels = (GRAY > 99).astype(dtype) * dtype(top)
    want = encoders[1].preprocess((GRAY > 99).astype(np.uint8) * np.uint8(255))
    assert torch.equal(encoders[1].preprocess(pixels), want)
    assert torch.equal(encoders[1].preprocess(torch.from_numpy(pixels)), want)


def test_five_channels_stay_five(encoders):
    pixels = RNG.integers(0, 256, (30, 30, 5), np.uint8)
    assert torch.equal(encoders[5].embed(pixels), encoders[5].embed(tensor(pixels)))
    with pytest.raises(ValueError, match="3 channels cannot be made one of 5"):
        encoders[5].embed(RGB)


def test_one_picture_gives_a_vector_and_several_give_rows(encoders, tmp_path):
    net = encoders[3]
    Image.fromarray(RGB).save(tmp_path / "picture.png")
    one = net.embed(RGB)
    assert one.shape == (128,)
    several = [RGB, Image.fromarray(RGB), tensor(RGB), tmp_path / "picture.png", GRAY, RGB[:20]]
    for given in (several, tuple(several), iter(several)):
        h = net.embed(given)
        assert h.shape == (6, 128)
        for row in h[:4]:
            assert torch.allclose(row, one, atol=1e-5)
    for batch in (np.stack([RGB, RGB[::-1]]), torch.stack([tensor(RGB), tensor(RGB[::-1].copy())])):
        assert torch.allclose(net.embed(batch), torch.stack([one, net.embed(RGB[::-1])]), atol=1e-5)
    assert net.embed([]).shape == net.embed(np.zeros((0, 9, 9, 3), np.uint8)).shape == (0, 128)
    assert net.embed([RGB[:9, :9]] * 131).shape == (131, 128)  # in several chunks


def test_embed_leaves_modes_and_gives_vectors_that_may_be_learned_on(encoders):
    net = tv.encoder("convnet", channels=3, size=24).train()
    net.layers[1].eval()
    h = net.embed([RGB, RGB])
    assert torch.equal(h[0], net.embed(RGB)) or torch.allclose(h[0], net.embed(RGB), atol=1e-5)  # no batch's statistics
    assert net.training
    assert net.layers[0].training
    assert not net.layers[1].training
    nn.Linear(128, 2)(h).sum().backward()


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        (None, TypeError, "None is no picture"),
        (3, TypeError, "type int is no picture"),
        ({"a": 1}, TypeError, "type dict is no picture"),
        ([None], TypeError, "None is no picture"),
        (np.zeros((3, 3), object), TypeError, "an array of object"),
        (np.zeros((3, 3), complex), TypeError, "an array of complex128"),
        (torch.zeros(3, 9, 9, dtype=torch.complex64), TypeError, "a tensor of complex64"),
        (np.zeros(3, np.uint8), TypeError, "shape \\(3,\\) is none"),
        (torch.zeros(1, 2, 3, 4, 5), TypeError, "shape \\(1, 2, 3, 4, 5\\) is none"),
        ([np.zeros((2, 9, 9, 3), np.uint8)], TypeError, "none of a picture"),
        ("no such file.png", ValueError, "no such file.png"),
        (Path(__file__), ValueError, "not a picture in a known format"),
        (np.full((9, 9, 3), 2.0), ValueError, "from 2 to 2"),
        (torch.full((3, 9, 9), -0.1), ValueError, "floats lie in \\[0, 1\\]"),
        (torch.full((3, 9, 9), torch.nan), ValueError, "floats lie in \\[0, 1\\]"),
        (np.zeros((3, 36, 40), np.uint8), ValueError, r"give x.transpose\(1, 2, 0\)"),
        (torch.zeros(36, 40, 3), ValueError, r"give x.permute\(2, 0, 1\)"),
        (np.zeros((0, 9, 3), np.uint8), ValueError, "no pixels"),
        (np.zeros((9, 9, 7), np.uint8), ValueError, "7 channels"),
    ],
)
def test_what_is_no_picture_is_refused_in_words(encoders, given, kind, words):
    for call in (encoders[3].embed, encoders[3].preprocess):
        if call == encoders[3].preprocess and isinstance(given, list):
            continue
        with pytest.raises(kind, match=words) as caught:
            call(given)
        assert isinstance(caught.value, tv.UserError)


class Plain(nn.Module):
    """A network as one writes it: no num_features, another length than its last attribute would say, feature maps out."""

    def __init__(self, channels: int = 3, out: int = 7):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(channels, out, 5, 4), nn.BatchNorm2d(out), nn.ReLU())

    def forward(self, x):
        return self.body(x)


def test_every_call_takes_a_plain_module_and_leaves_it_as_it_was(folder, tmp_path):
    net = Plain().train().to(memory_format=torch.channels_last)
    net.body[0].requires_grad_(False)
    net.body[1].eval()
    state = {key: value.clone() for key, value in net.state_dict().items()}
    about = [(m.training, [p.requires_grad for p in m.parameters()]) for m in net.modules()]
    images, fast = str(folder), {"workers": 0, "seeds": 1, "device": "cpu", "size": 16}
    assert tv.knn(net, images, k=3, baselines=("none",), **fast).rows[0]["features"] == 7
    assert tv.linear(net, images, baselines=("none",), **fast).rows[0]["features"] == 7
    assert len(tv.compare(images, [net, net], labels=("all",), baselines=("none",), **fast).rows) == 4
    assert tv.finetune(net, images, tmp_path / "f", epochs=1, steps=1, labels=("all",), **fast).rows[0]["subject"] == "twoviews"
    tv.embed(net, images, tmp_path / "v.npz", workers=0, size=16)
    assert tv.read_vectors(tmp_path / "v.npz").h.shape == (12, 7)
    assert tv.search(net, images, [str(folder / "a" / "0.png")], k=2, workers=0, size=16)
    tv.duplicates(net, images, workers=0, size=16)
    tv.select(net, images, 2, workers=0, size=16)
    tv.export(net, tmp_path / "exported", to="safetensors")
    assert about == [(m.training, [p.requires_grad for p in m.parameters()]) for m in net.modules()]
    assert all(torch.equal(state[key], value) for key, value in net.state_dict().items())


def test_an_encoder_in_memory_keeps_its_own_size(folder):
    net = tv.encoder("convnet", channels=3, size=24)
    tv.knn(net, str(folder), k=3, size=16, baselines=("none",), workers=0, seeds=1)
    assert net.spec.size == 24


def test_a_plain_module_trains_and_is_loaded_again(folder, tmp_path):
    net = Plain()
    before = net.body[0].weight.detach().clone()
    run = tv.train(str(folder), tmp_path / "run", encoder=net, size=32, epochs=1, batch=6, workers=0, tensorboard=False, device="cpu")
    assert not torch.equal(before, net.body[0].weight)
    again = tv.load_encoder(run.path, module=Plain())
    assert again.num_features == 7
    x = torch.rand(2, 3, 32, 32)
    assert torch.allclose(again(x), net.eval()(x).mean((2, 3)), atol=1e-5)


def test_an_encoder_of_twoviews_trains_on_and_keeps_its_name(folder, tmp_path):
    net = tv.encoder("convnet", channels=3, size=24)
    run = tv.train(str(folder), tmp_path / "run", encoder=net, size=24, epochs=1, batch=6, workers=0, tensorboard=False, device="cpu")
    assert run.config.encoder == "convnet"
    assert run.encoder().spec.name == "convnet"


def test_a_module_brings_its_preprocessing():
    timm = pytest.importorskip("timm")
    from torchvision import models

    ours = tv.wrap_encoder(timm.create_model("test_vit", num_classes=0))
    assert (ours.spec.size, ours.spec.channels, ours.spec.mean, ours.num_features) == (160, 3, (0.5, 0.5, 0.5), 64)
    gray = tv.wrap_encoder(timm.create_model("test_resnet", num_classes=0, in_chans=1))
    assert (gray.spec.channels, len(gray.spec.mean)) == (1, 1) or gray.spec.channels == 3
    theirs = tv.wrap_encoder(models.squeezenet1_1(num_classes=5))
    assert (theirs.spec.size, theirs.num_features) == (224, 5)
    assert theirs.spec.mean == pytest.approx((0.485, 0.456, 0.406))
    plain = tv.wrap_encoder(Plain(2))
    assert (plain.spec.channels, plain.spec.mean, plain.spec.std) == (2, (0.0, 0.0), (1.0, 1.0))
    said = tv.wrap_encoder(Plain(), size=40, mean=(0.1, 0.2, 0.3), std=[0.5])
    x = torch.rand(1, 3, 40, 40)
    by_hand = said.network.eval()((x - torch.tensor([0.1, 0.2, 0.3])[:, None, None]) / 0.5).mean((2, 3))
    assert torch.allclose(said.eval()(x), by_hand, atol=1e-6)


def test_mean_and_deviation_of_a_module_are_kept_in_its_file(tmp_path):
    net = tv.wrap_encoder(Plain(), size=40, mean=(0.1, 0.2, 0.3), std=(0.5, 0.5, 0.5)).eval()
    tv.save_encoder(tmp_path / "net.safetensors", net, {})
    again, x = tv.load_encoder(tmp_path / "net.safetensors", module=Plain()), torch.rand(1, 3, 40, 40)
    assert again.spec == net.spec
    assert torch.equal(again(x), net(x))


OUTPUTS = {
    "maps": (lambda h: h[:, :, None, None].expand(-1, -1, 2, 2), None),
    "tokens": (lambda h: h[:, None].expand(-1, 4, -1), None),
    "one of a tuple": (lambda h: (h,), None),
    "logits in a dict": (lambda h: {"other": 1, "logits": h}, None),
    "an object's pooler_output": (lambda h: type("Out", (), {"pooler_output": h})(), None),
    "two of a tuple": (lambda h: (h, h), "2 outputs"),
    "a dict": (lambda h: {"a": h}, "a dict of a"),
    "one number": (lambda h: h.sum(), r"the shape \(\)"),
    "one a batch": (lambda h: h.mean(0, keepdim=True), r"the shape \(1, 7\) for 2"),
    "integers": (lambda h: h.long(), "int64, which carries no gradient"),
    "nothing": (lambda h: None, "NoneType"),
}


@pytest.mark.parametrize("kind", OUTPUTS)
def test_outputs_of_other_forms_are_pooled_or_refused(kind):
    change, words = OUTPUTS[kind]

    class Other(Plain):
        def forward(self, x):
            return change(self.body(x).mean((2, 3)))

    if words:
        with pytest.raises(tv.UserError, match=words):
            tv.wrap_encoder(Other(), size=20)
        return
    net, x = tv.wrap_encoder(Other(), size=20).eval(), torch.rand(3, 3, 20, 20)
    assert torch.allclose(net(x), net.network.body(x).mean((2, 3)), atol=1e-6)


CALLS = ["knn", "linear", "embed", "search", "duplicates", "select", "finetune", "export", "transfer"]


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("wrong", [None, 3, ["runs/a"]], ids=["None", "3", "a list"])
def test_what_is_no_encoder_is_a_type_error(name, wrong, folder, tmp_path):
    call = getattr(tv, name)
    given = {"images": str(folder), "out": tmp_path / "out.npz", "queries": ["a"], "n": 2, "sets": (str(folder),)}
    needed = [given[p.name] for p in list(inspect.signature(call).parameters.values())[1:] if p.name in given and p.default is p.empty]
    with pytest.raises(TypeError, match="an encoder is loaded from a path or a name"):
        call(wrong, *needed)


@pytest.mark.parametrize("name", ["knn", "linear", "embed", "duplicates"])
@pytest.mark.parametrize("wrong", [None, 3, {"a": 1}], ids=["None", "3", "a dict"])
def test_what_is_no_images_is_a_type_error(name, wrong, encoders, tmp_path):
    rest = [tmp_path / "out.npz"] if name == "embed" else []
    with pytest.raises(TypeError, match="the images are a path"):
        getattr(tv, name)(encoders[3], wrong, *rest)


@pytest.mark.parametrize("name", ["knn", "embed", "search", "duplicates", "select"])
def test_an_unknown_option_names_the_nearest(name, encoders, folder, tmp_path):
    rest = {"embed": [tmp_path / "out.npz"], "search": [["a"]], "select": [2]}.get(name, [])
    with pytest.raises(ValueError, match="Did you mean device"):
        getattr(tv, name)(encoders[3], str(folder), *rest, devise="cpu")


def test_every_user_error_is_a_value_error():
    assert issubclass(tv.UserError, ValueError)
    assert not issubclass(tv.RunError, ValueError)


class Broken(Plain):
    def forward(self, x):
        return super().forward(x) * float("nan")


FAST = {"workers": 0, "seeds": 1, "device": "cpu", "baselines": ("none",)}


@pytest.mark.parametrize("name", ["knn", "linear", "compare"])
def test_features_that_are_not_finite_give_no_figures(name, folder):
    net = tv.wrap_encoder(Broken(), size=16)
    given = (str(folder), [net]) if name == "compare" else (net, str(folder))
    with pytest.raises(tv.RunError, match=r"features that are not finite for 12 of 12"):
        getattr(tv, name)(*given, **FAST)
    with pytest.raises(tv.RunError, match="not finite"):
        net.embed(RGB)


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({"std": (0, 0, 0)}, ValueError, "each must be above 0"),
        ({"std": (float("nan"),) * 3}, ValueError, "finite"),
        ({"mean": 0.5}, TypeError, "a number for each channel"),
        ({"mean": (0.5, 0.5)}, ValueError, "2 numbers, and the pictures have 3 channels"),
        ({"range": "x"}, ValueError, "LOW:HIGH"),
        ({"resize": "bogus"}, ValueError, "antialias"),
        ({"size": "3"}, TypeError, "size is '3'"),
        ({"channels": 0}, ValueError, "channels is 0"),
    ],
)
def test_what_feeds_no_module_is_refused_in_words(given, kind, words):
    with pytest.raises(kind, match=words):
        tv.wrap_encoder(Plain(), **{"size": 24, **given})


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"name": None}, TypeError),
        ({"width": "2"}, TypeError),
        ({"width": float("nan")}, ValueError),
        ({"size": "3"}, TypeError),
        ({"channels": 0}, ValueError),
        ({"resize": "bogus"}, ValueError),
        ({"seed": 0.5}, TypeError),
    ],
)
def test_an_encoder_of_wrong_types_is_refused_in_words(given, kind):
    with pytest.raises(kind) as caught:
        tv.encoder(**{"name": "convnet", **given})
    assert isinstance(caught.value, tv.UserError)
    assert next(iter(given)) in str(caught.value)


@pytest.mark.parametrize("wrong", [Plain, 3, ["convnet"], object()], ids=["class", "number", "list", "object"])
def test_a_wrong_encoder_is_no_training_of_the_default(wrong, folder, tmp_path):
    with pytest.raises(TypeError, match="encoder is"):
        tv.train(str(folder), tmp_path / "run", encoder=wrong)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda net, images: tv.train(["a.png"]), "ImageSource"),
        (lambda net, images: tv.train(RGB), "ImageSource"),
        (lambda net, images: tv.train(None), "None"),
        (lambda net, images: tv.train(images, 3), "out is 3"),
        (lambda net, images: tv.images(None), "None"),
        (lambda net, images: tv.embed(net, images, None), "out is None"),
        (lambda net, images: tv.embed(net, images, 3), "out is 3"),
        (lambda net, images: tv.read_vectors(None), "vectors is None"),
        (lambda net, images: tv.Run(None), "path is None"),
        (lambda net, images: tv.report(None), "runs is None"),
        (lambda net, images: tv.transfer(net, None), "sets is None"),
        (lambda net, images: tv.select(net, images, n="3"), "n is '3'"),
        (lambda net, images: tv.select(net, images, n=3.0), "n is 3.0"),
        (lambda net, images: tv.compare(images, None), "encoders is None"),
    ],
)
def test_arguments_of_a_wrong_type_are_refused_in_words(call, words, encoders, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TypeError, match=words) as caught:
        call(encoders[3], str(folder))
    assert isinstance(caught.value, tv.UserError)
    assert not list(tmp_path.iterdir())


def test_one_alone_needs_no_list(encoders, folder):
    net, images = encoders[3], str(folder)
    assert tv.compare(images, net, labels="all", **FAST).rows
    assert tv.search(net, images, folder / "a" / "0.png", k=2, workers=0).queries == [str(folder / "a" / "0.png")]
    assert tv.knn(net, folder, k=np.int64(3), **{**FAST, "device": torch.device("cpu"), "baselines": "none"}).rows


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (Image.new("RGB", (0, 4)), "no pixels"),
        (torch.zeros(3, 4, 4).to_sparse(), "to_dense"),
        (torch.zeros(3, 4, 4, device="meta"), "meta"),
        (np.ma.masked_equal(RGB, RGB[0, 0, 0]), "masked"),
    ],
    ids=["empty", "sparse", "meta", "masked"],
)
def test_pictures_without_all_values_are_refused_in_words(encoders, given, words):
    with pytest.raises(tv.UserError, match=words):
        encoders[3].embed(given)


def test_premultiplied_gray_is_gray_with_alpha(encoders):
    image = Image.fromarray(LA, "LA")
    assert (encoders[3].preprocess(image.convert("La")) - encoders[3].preprocess(image.convert("La").convert("LA"))).abs().max() == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_modules_of_another_precision_compute_in_their_own(dtype):
    torch.manual_seed(0)
    plain = Plain().eval()
    want = tv.wrap_encoder(plain, size=24).embed(RGB)
    got = tv.wrap_encoder(plain.to(dtype), size=24).embed(RGB)
    assert got.dtype == torch.float32
    assert torch.allclose(got, want, atol=0.02)


class Shared(Plain):
    """Parts that are shared or views of each other, and a mask as attention has it."""

    def __init__(self):
        super().__init__()
        self.again = self.body[0]
        self.register_buffer("mask", torch.full((2, 2), -torch.inf))
        self.register_buffer("part", torch.arange(6.0)[:3])
        self.register_buffer("whole", torch.arange(6.0))
        self.part = self.whole[:3]


def test_a_run_of_a_module_says_so_and_goes_on_with_it_alone(folder, tmp_path):
    about = {"size": 32, "epochs": 1, "batch": 6, "workers": 0, "tensorboard": False, "device": "cpu"}
    run = tv.train(str(folder), tmp_path / "run", encoder=Shared(), **about)
    assert run.config.encoder == "custom"
    assert tv.train(str(folder), tmp_path / "run", encoder=Shared(), **about).finished()
    with pytest.raises(tv.UserError, match="a module of yours: give it again"):
        tv.train(str(folder), tmp_path / "run", **about)
    net = tv.load_encoder(run.path, module=Shared())
    assert tv.knn(net, str(folder), k=3, **FAST).rows
    assert (tv.export(net, tmp_path / "exported", to="safetensors") / "encoder.safetensors").is_file()
    (tmp_path / "run" / "config.json").write_text((tmp_path / "run" / "config.json").read_text().replace('"custom"', '"resnet50"'))
    assert tv.train(str(folder), tmp_path / "run", encoder=Shared(), **about).finished()  # as older versions recorded it
