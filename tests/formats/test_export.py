"""Each export, loaded by the other tool as its README.md says, gives the same numbers."""

from __future__ import annotations

import json
import re
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import twoviews as tv
from twoviews.base.errors import RunError, UserError
from twoviews.formats import write
from twoviews.nets.base import Encoder
from twoviews.nets.batchnorm import norms

from ..conftest import twoviews


def lively(net: Encoder) -> Encoder:
    """Random statistics and gammas, as after a training: at the start they hide mistakes."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for norm in norms(net):
            norm.weight.copy_(0.5 + torch.rand(norm.weight.shape, generator=generator))
            norm.running_mean.copy_(0.1 * torch.randn(norm.running_mean.shape, generator=generator))
            norm.running_var.copy_(0.5 + torch.rand(norm.running_var.shape, generator=generator))
            if norm.bias is not None:
                norm.bias.copy_(0.1 * torch.randn(norm.bias.shape, generator=generator))
    return net.eval()


def made(tmp_path, name, **options):
    tv.save_encoder(tmp_path / "net.safetensors", lively(tv.encoder(name, seed=3, **options)), {})
    return tmp_path / "net.safetensors"


def views(net, count=3):
    return torch.rand(count, net.spec.channels, net.spec.size, net.spec.size, generator=torch.Generator().manual_seed(5))


def h_of(file, x):
    with torch.inference_mode():
        return tv.load_encoder(file)(x)


def near(wanted, got, tolerance=1e-5):
    assert (wanted - got).abs().max() <= tolerance * wanted.abs().max()


def normalised(x, folder):
    about = json.loads((folder / "preprocessing.json").read_text())
    return (x - torch.tensor(about["mean"])[:, None, None]) / torch.tensor(about["std"])[:, None, None]


def as_the_card_says(folder, **names):
    """Run the code of README.md beside the folder, as a reader would."""
    code = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.S)[1].replace(folder.name, str(folder))
    exec(code, names)
    return names


NETS = [
    ("resnet18", {"stem": "torchvision", "size": 64}),
    ("resnet50", {"stem": "torchvision", "size": 64}),
    ("timm:resnet18", {"size": 64}),
    ("torchvision:resnet50", {"size": 64}),
]


@pytest.mark.parametrize(("name", "options"), NETS, ids=lambda v: v if isinstance(v, str) else "")
@pytest.mark.parametrize("to", ["timm", "torchvision"])
def test_state_dicts_load_strictly(tmp_path, name, options, to):
    file = made(tmp_path, name, **options)
    folder = tv.export(file, tmp_path / "out", to=to)
    x = views(tv.load_encoder(file))
    model = as_the_card_says(folder)["model"]
    with torch.inference_mode():
        near(h_of(file, x), model(normalised(x, folder)))


def test_timm_takes_other_channels(tmp_path):
    file = made(tmp_path, "resnet18", stem="torchvision", channels=4, size=64)
    folder = tv.export(file, tmp_path / "out", to="timm")
    x = views(tv.load_encoder(file))
    with torch.inference_mode():
        near(h_of(file, x), as_the_card_says(folder)["model"](x))


@pytest.mark.parametrize(
    ("name", "options", "native"),
    [
        ("resnet18", {"stem": "torchvision", "size": 64, "width": 0.5}, True),
        ("resnet50", {"stem": "torchvision", "size": 64, "width": 0.25}, True),
        ("resnet50", {"size": 64, "width": 0.25}, False),
        ("resnet18", {"stem": "small", "size": 32}, False),
        ("resnet50", {"sk": True, "size": 64, "width": 0.25}, False),
        ("convnet", {"size": 12, "channels": 1}, False),
        ("timm:resnet18", {"size": 64}, False),
    ],
)
def test_hugging_face_folder(tmp_path, name, options, native):
    from transformers import AutoModel

    file = made(tmp_path, name, **options)
    folder = tv.export(file, tmp_path / "out", to="huggingface")
    model = AutoModel.from_pretrained(folder, trust_remote_code=not native).eval()
    assert (type(model).__name__ == "ResNetModel") == native
    x = views(tv.load_encoder(file))
    with torch.inference_mode():
        near(h_of(file, x), model(x).pooler_output.flatten(1))
    assert "pipeline_tag" in (folder / "README.md").read_text()
    near(h_of(file, x), h_of(folder, x))  # the folder is an ENCODER of ours too


def test_the_image_processor_is_close_to_ours(tmp_path):
    """transformers resizes before it crops; ours the other way."""
    from transformers import AutoImageProcessor

    file = made(tmp_path, "resnet18", stem="torchvision", size=64, width=0.25)
    processor = AutoImageProcessor.from_pretrained(tv.export(file, tmp_path / "out", to="huggingface"))
    coarse = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((150, 190), Image.Resampling.BICUBIC)
    theirs = processor(image, return_tensors="pt").pixel_values[0]
    ours = tv.load_encoder(file).preprocess(image)
    assert theirs.shape == ours.shape
    assert (theirs - ours).abs().mean() < 0.04  # half a pixel of shift at steep edges
    assert torch.corrcoef(torch.stack([theirs.flatten(), ours.flatten()]))[0, 1] > 0.99


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet18", {"size": 64, "width": 0.5}),
        ("resnet50", {"size": 64, "width": 0.25}),
        ("resnet18", {"stem": "small", "size": 32, "width": 0.5}),
        ("resnet50", {"sk": True, "size": 64, "width": 0.25}),
        ("convnet", {"size": 12, "channels": 1}),
        ("timm:test_vit", {"size": 32}),
        ("timm:test_resnet", {"size": 32}),
        ("torchvision:resnet18", {"size": 32}),
    ],
)
@pytest.mark.parametrize("to", ["onnx", "torch"])
def test_graphs_take_any_batch(tmp_path, name, options, to):
    file = made(tmp_path, name, **options)
    folder = tv.export(file, tmp_path / "out", to=to)
    net = tv.load_encoder(file)
    for count in (1, 5):
        x = views(net, count)
        got = as_the_card_says(folder, images=x.numpy(), pictures=x)["h"]
        near(h_of(file, x), torch.as_tensor(got), 1e-4 if to == "onnx" else 1e-5)


@pytest.mark.parametrize(("size", "channels", "sides"), [(64, 3, (100, 131)), (64, 1, (65, 64)), (32, 3, (40, 33)), (24, 4, (24, 24))])
def test_onnx_with_preprocessing(tmp_path, size, channels, sides):
    file = made(tmp_path, "resnet18", size=size, channels=channels, width=0.25, stem="small")
    folder = tv.export(file, tmp_path / "out", to="onnx", preprocess=True)
    net = tv.load_encoder(file)
    images = np.random.default_rng(0).integers(0, 256, (2, *sides, channels), dtype=np.uint8)
    got = as_the_card_says(folder, images=images)["h"]
    with torch.inference_mode():
        wanted = torch.stack([net.embed(torch.from_numpy(image).permute(2, 0, 1)) for image in images])
    near(wanted, torch.from_numpy(got), 1e-4)


def test_ours_in_two_lines(tmp_path):
    file = made(tmp_path, "resnet18", width=0.25, stem="small", size=24)
    folder = tv.export(file, tmp_path / "out")
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8))
    names = as_the_card_says(folder, image=image)
    assert torch.equal(names["h"], tv.load_encoder(file).embed(image))


@pytest.mark.parametrize(
    ("name", "options", "to", "words"),
    [
        ("resnet50", {"size": 64}, "timm", "--approximate"),
        ("resnet18", {"size": 64}, "torchvision", "--stem torchvision"),
        ("resnet18", {"size": 32, "stem": "small"}, "timm", "--to onnx"),
        ("resnet50", {"size": 64, "sk": True}, "torchvision", "no network equal"),
        ("resnet50", {"size": 64, "width": 2, "stem": "torchvision"}, "timm", "width 1"),
        ("resnet200", {"size": 64, "stem": "torchvision"}, "timm", "resnet152"),
        ("resnet50", {"size": 64, "channels": 4, "stem": "torchvision"}, "torchvision", "3 channels"),
        ("timm:vit_tiny_patch16_224", {"size": 224}, "torchvision", "--to timm"),
        ("convnet", {"size": 12}, "timm", "no network equal"),
    ],
)
def test_what_a_library_does_not_have_is_refused(tmp_path, name, options, to, words):
    file = made(tmp_path, name, **options)
    with pytest.raises(UserError, match=re.escape(words)):
        tv.export(file, tmp_path / "out", to=to)
    assert not (tmp_path / "out").exists()


def test_approximate_says_by_how_much(tmp_path, capsys):
    file = made(tmp_path, "resnet50", size=64)
    folder = tv.export(file, tmp_path / "out", to="torchvision", approximate=True)
    assert "its cosine is" in capsys.readouterr().err
    card = (folder / "README.md").read_text()
    cosine = float(re.search(r"its cosine is ([\d.]+)", card)[1].rstrip("."))
    assert 0.9 < cosine < 1
    as_the_card_says(folder)


def test_what_computes_something_else_is_not_written(tmp_path, monkeypatch):
    file = made(tmp_path, "resnet18", stem="torchvision", size=64)
    names = write.library_state

    def wrong(*arguments):
        name, state = names(*arguments)
        return name, {key: value * 1.01 if key == "layer2.0.conv1.weight" else value for key, value in state.items()}

    monkeypatch.setattr(write, "library_state", wrong)
    with pytest.raises(RunError, match="nothing was written"):
        tv.export(file, tmp_path / "out", to="timm")
    assert not (tmp_path / "out").exists()


def test_a_card_is_filled_from_the_run(tmp_path):
    run = tv.train("digits", tmp_path / "run", recipe="digits", batch=256, width=0.25, epochs=1, tensorboard=False)
    tv.knn(run.path, "digits", baselines=("untrained",))
    folder = tv.export(run.path)
    assert folder == run.path / "export" / "safetensors"
    text = (folder / "README.md").read_text()
    for words in ("1,257 pictures of `digits`", "knn: twoviews", "knn: untrained", "the set's own test part (540 pictures)", "seed 0"):
        assert words in text
    assert str(tmp_path) not in text
    tv.export(run.path)  # again, over the first


def test_missing_extras_say_how_to_install(tmp_path, monkeypatch):
    file = made(tmp_path, "convnet", size=12, channels=1)
    for module, extra, to in (
        ("onnxruntime", "onnx", "onnx"),
        ("onnxscript", "onnx", "onnx"),
        ("transformers", "transformers", "huggingface"),
    ):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, module, None)
            with pytest.raises(UserError, match=re.escape(f'pip install "twoviews[{extra}]"')):
                tv.export(file, tmp_path / "out", to=to)
            assert not (tmp_path / "out").exists()


def test_command_line(tmp_path):
    file = made(tmp_path, "convnet", size=12, channels=1)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")

    def run(*arguments):
        return twoviews("export", *arguments)

    done = run(file, "--to", "torch", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "compared" in done.stderr
    for arguments, words in (
        ([file, "--to", "tim", "--out", tmp_path / "no"], "timm"),
        ([file], "--out is needed"),
        ([tmp_path / "none.safetensors"], "does not exist"),
        ([file, "--out", tmp_path / "full"], "no export"),
        ([file, "--to", "timm", "--preprocess", "--out", tmp_path / "no"], "preprocessing.json"),
        ([file, "--to", "onnx", "--approximate", "--out", tmp_path / "no"], "changes nothing"),
    ):
        done = run(*arguments)
        assert done.returncode == 2, done.stderr
        assert words in done.stderr
        assert "Traceback" not in done.stderr
    assert (tmp_path / "full" / "thesis.txt").read_text() == "mine"
    assert not (tmp_path / "no").exists()
