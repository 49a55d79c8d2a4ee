"""`export`: an encoder for other tools. What is written is loaded again by the other tool and compared before the folder appears."""

from __future__ import annotations

import dataclasses
import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ..base.console import say
from ..base.errors import UserError
from ..base.files import write_json, write_text, write_whole
from ..base.settings import options_of
from ..evaluate.subjects import Named, named
from ..nets.base import Encoder
from ..nets.encoder import fingerprint, load_encoder, save_encoder, tensors_of
from ..nets.foreign import Foreign
from ..nets.names import WEIGHTS
from .card import card
from .config import ExportConfig
from .preprocessing import normalisation, preprocessing
from .twin import TOLERANCE, agree, difference, library_state, probe, refuse, torchvision_names, transformers_config, transformers_names

ONNX_TOLERANCE = 1e-4


@dataclasses.dataclass
class Written:
    """What a format left: how to load it, how far its h differs (relative), whether mean and deviation are inside, and what to say of it."""

    load: str
    difference: float
    inside: bool = False
    remark: str = ""


def export(encoder: str | Path | nn.Module, out: str | Path | None = None, **options: Any) -> Path:
    """Write an encoder (RUN, file, timm:NAME, torchvision:NAME) for another tool into a folder, with preprocessing.json and a model card.

    `out`: default RUN/export/FORMAT. `options` are fields of ExportConfig. Raises UserError where that tool has no such network or is not
    installed, RunError when what it loads computes something else; nothing is written then.
    """
    config = options_of(ExportConfig, options)
    subject = named(encoder, 0)
    folder = target(subject, config, Path(out) if out is not None else None)
    net = subject.encoder.eval()
    x = probe(net)
    with torch.inference_mode():
        wanted = net(x)
    found: list[Written] = []

    def fill(part: Path) -> None:
        part.mkdir()
        found.append(FORMATS[config.to](net, part, config, x, wanted))
        about = preprocessing(net, found[0].inside)
        write_json(part / "preprocessing.json", about)
        load = found[0].load.replace("FOLDER", folder.name)
        write_text(part / "README.md", card(subject, config.to, load, about, found[0].difference, found[0].remark, fingerprint(net)))

    shutil.rmtree(folder, ignore_errors=True)
    write_whole(folder, fill)
    if found[0].remark:
        say(found[0].remark)
    say(f"loaded again and compared: h differs by at most {found[0].difference:.1g} of its largest value")
    return folder


def target(subject: Named, config: ExportConfig, out: Path | None) -> Path:
    """The folder. Raises UserError for one that holds something else."""
    if out is None:
        if subject.folder is None:
            raise UserError(f"--out is needed: {subject.text} is no RUN, whose folder would take the export")
        out = subject.folder / "export" / config.to
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not (out / "preprocessing.json").is_file()):
        raise UserError(f"--out {out} is there already and no export; choose a new folder")
    return out


def as_safetensors(net: Encoder, part: Path, config: ExportConfig, x: Tensor, wanted: Tensor) -> Written:
    """Our own file."""
    save_encoder(part / WEIGHTS, net, {"exported": True})
    got = _h(load_encoder(part / WEIGHTS, module=None if net.spec.name != "custom" else net.network), x)  # type: ignore[arg-type]
    return Written(
        'import twoviews as tv\nencoder = tv.load_encoder("FOLDER")\nh = encoder.embed(image)',
        agree(wanted, got, TOLERANCE, "the file"),
        True,
    )


def as_timm(net: Encoder, part: Path, config: ExportConfig, x: Tensor, wanted: Tensor) -> Written:
    """timm's state dict, and a config for timm.data."""
    import timm

    name, state = library_state(net, "timm", config.approximate)
    save_file(tensors_of(state), part / "model.safetensors")
    channels = net.spec.channels
    made = timm.create_model(name, num_classes=0, in_chans=channels, checkpoint_path=str(part / "model.safetensors"))
    extra = "" if channels == 3 else f", in_chans={channels}"
    load = f'import timm\nmodel = timm.create_model("{name}", num_classes=0{extra}, checkpoint_path="FOLDER/model.safetensors").eval()'
    return _twin(net, made, x, wanted, config, load, "timm")


def as_torchvision(net: Encoder, part: Path, config: ExportConfig, x: Tensor, wanted: Tensor) -> Written:
    """torchvision's state dict; the classifier is left away."""
    from torchvision import models

    name, state = library_state(net, "torchvision", config.approximate)
    save_file(tensors_of(state), part / "model.safetensors")
    made: Any = models.get_model(name, weights=None)
    last = [path for path, module in made.named_modules() if isinstance(module, nn.Linear)][-1]
    parent, _, child = last.rpartition(".")
    setattr(made.get_submodule(parent), child, nn.Identity())
    made.load_state_dict(state, strict=True)
    load = (
        f"import torch, torchvision\nfrom safetensors.torch import load_file\nmodel = torchvision.models.{name}()\nmodel.{last} = torch.nn.Identity()\n"
        'model.load_state_dict(load_file("FOLDER/model.safetensors"), strict=True)\nmodel.eval()'
    )
    return _twin(net, made, x, wanted, config, load, "torchvision")


def as_huggingface(net: Encoder, part: Path, config: ExportConfig, x: Tensor, wanted: Tensor) -> Written:
    """A folder for from_pretrained: transformers' own ResNet where it computes the same, else a model whose code asks twoviews."""
    transformers = _library("transformers", "transformers")
    transformers.utils.logging.disable_progress_bar()
    save_encoder(part / WEIGHTS, net, {"exported": True})
    _image_processor(net, part, transformers)
    try:
        refuse(net, "transformers", config.approximate)
        own = True
    except UserError:
        own = False
    if own:
        made = transformers.ResNetModel(transformers.ResNetConfig(**transformers_config(net)))  # type: ignore[arg-type]
        state = transformers_names(torchvision_names(net))  # type: ignore[arg-type]
        made.load_state_dict(state, strict=True)
        made.save_pretrained(part)
        again = transformers.AutoModel.from_pretrained(part).eval()
        load = (
            "from transformers import AutoImageProcessor, AutoModel\n"
            'processor, model = AutoImageProcessor.from_pretrained("FOLDER"), AutoModel.from_pretrained("FOLDER")\n'
            'h = model(**processor(image, return_tensors="pt")).pooler_output.flatten(1)'
        )
        return _twin(net, lambda v: again(v).pooler_output.flatten(1), x, wanted, config, load, "transformers")
    write_text(part / "modeling_twoviews.py", REMOTE)
    write_json(
        part / "config.json",
        {
            "model_type": "twoviews",
            "architectures": ["TwoviewsModel"],
            "auto_map": {"AutoConfig": "modeling_twoviews.TwoviewsConfig", "AutoModel": "modeling_twoviews.TwoviewsModel"},
            "spec": dataclasses.asdict(net.spec),
            "num_features": net.num_features,
        },
    )
    save_file(
        {f"encoder.{key}": value for key, value in tensors_of(net.state_dict()).items()}, part / "model.safetensors", {"format": "pt"}
    )
    with torch.inference_mode():
        again = transformers.AutoModel.from_pretrained(part, trust_remote_code=True).eval()
        got = again(x).pooler_output
    load = (
        "from transformers import AutoModel  # transformers has no such network: its code in the folder asks twoviews (pip install twoviews)\n"
        'model = AutoModel.from_pretrained("FOLDER", trust_remote_code=True)\nh = model(model.encoder.preprocess(image)[None]).pooler_output'
    )
    return Written(load, agree(wanted, got, TOLERANCE, "transformers"), True)


def as_onnx(net: Encoder, part: Path, config: ExportConfig, x: Tensor, wanted: Tensor) -> Written:
    """An ONNX graph with any batch; with `preprocess` from uint8 pictures on."""
    onnx, runtime = _library("onnx", "onnx"), _library("onnxruntime", "onnx")
    _library("onnxscript", "onnx")
    from .onnx import preprocessing_graph

    file = part / "model.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            net, (x,), input_names=["pictures"], output_names=["h"], dynamic_shapes=({0: torch.export.Dim("batch")},), dynamo=True, verbose=False
        )  # fmt: skip
    assert program is not None
    program.save(str(file), external_data=False)
    if config.preprocess:
        whole = onnx.compose.merge_models(preprocessing_graph(net.spec, onnx.load(file)), onnx.load(file), [("x", "pictures")])
        onnx.checker.check_model(whole)
        onnx.save(whole, file)
        pictures = torch.from_numpy((probe_pictures(net) * 255).round().to(torch.uint8).numpy())
        fed = pictures.permute(0, 2, 3, 1).contiguous()
        with torch.inference_mode():
            wanted = torch.cat([net(net.preprocess(picture)[None]) for picture in pictures])
        name, shape = "images", "uint8, (N, H, W, C)"
    else:
        fed, name, shape = torch.cat([x, x[:1]]), "pictures", "float32, (N, C, S, S)"
        wanted = torch.cat([wanted, wanted[:1]])
    session = runtime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    got = torch.from_numpy(session.run(None, {name: fed.numpy()})[0])
    load = f'import onnxruntime\nsession = onnxruntime.InferenceSession("FOLDER/model.onnx")\nh = session.run(None, {{"{name}": images}})[0]  # {shape}'
    return Written(load, agree(wanted, got, ONNX_TOLERANCE, "onnxruntime"), True)


def as_torch(net: Encoder, part: Path, config: ExportConfig, x: Tensor, wanted: Tensor) -> Written:
    """A torch.export program with any batch. PyTorch's own archive: the only export that is not safetensors or ONNX."""
    with torch.no_grad():
        program = torch.export.export(net, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, part / "model.pt2")
    got = torch.export.load(part / "model.pt2").module()(torch.cat([x, x[:1]]))
    load = 'import torch\nmodel = torch.export.load("FOLDER/model.pt2").module()\nh = model(pictures)  # float32, (N, C, S, S), any N'
    return Written(load, agree(torch.cat([wanted, wanted[:1]]), got.detach(), TOLERANCE, "torch.export"), True)


FORMATS: dict[str, Callable[[Encoder, Path, ExportConfig, Tensor, Tensor], Written]] = {
    "safetensors": as_safetensors,
    "timm": as_timm,
    "torchvision": as_torchvision,
    "huggingface": as_huggingface,
    "onnx": as_onnx,
    "torch": as_torch,
}

REMOTE = '''"""An encoder of twoviews for transformers' AutoModel.from_pretrained(FOLDER, trust_remote_code=True)."""

from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling
from twoviews.nets.base import Spec
from twoviews.nets.encoder import from_spec


class TwoviewsConfig(PretrainedConfig):
    model_type = "twoviews"

    def __init__(self, spec=None, num_features=0, **rest):
        self.spec, self.num_features = spec or {}, num_features
        super().__init__(**rest)


class TwoviewsModel(PreTrainedModel):
    config_class = TwoviewsConfig
    main_input_name = "pixel_values"

    def __init__(self, config):
        super().__init__(config)
        self.encoder = from_spec(Spec(**config.spec))
        self.post_init()

    @classmethod
    def from_pretrained(cls, *arguments, **options):
        model = super().from_pretrained(*arguments, **options)
        fresh = from_spec(Spec(**model.config.spec))  # mean and deviation are no weights: transformers leaves them empty
        for name, buffer in fresh.named_buffers():
            if name not in fresh.state_dict():
                model.encoder.get_buffer(name).data = buffer.to(model.device)
        return model

    def _init_weights(self, module):
        pass

    def forward(self, pixel_values, **rest):
        return BaseModelOutputWithPooling(pooler_output=self.encoder(pixel_values))
'''


def probe_pictures(net: Encoder) -> Tensor:
    """Pictures larger than the network's side and not square, as the preprocessing inside gets them."""
    side = net.spec.size + net.spec.size // 3
    coarse = probe(net)
    return nn.functional.interpolate(coarse, (side, side + 5), mode="bicubic").clamp(0, 1)


def _twin(net: Encoder, made: Any, x: Tensor, wanted: Tensor, config: ExportConfig, load: str, library: str) -> Written:
    """Compare another library's network, fed with its own mean and deviation."""
    mean, std = (torch.tensor(values)[:, None, None] for values in normalisation(net))
    if isinstance(made, nn.Module):
        made.eval()
    got = _h(made, (x - mean) / std)
    if config.approximate and not isinstance(net, Foreign) and net.spec.stem == "imagenet":
        cosine = nn.functional.cosine_similarity(wanted, got).mean()
        far = difference(wanted, got)
        remark = f"{library}'s pooling borders are other than the official ones: on noise h differs by {far:.2g} of its largest value, its cosine is {cosine:.5f}"
        return Written(load, far, False, remark)
    return Written(load, agree(wanted, got, TOLERANCE, library), False)


@torch.inference_mode()
def _h(made: Any, x: Tensor) -> Tensor:
    return made(x)


def _image_processor(net: Encoder, part: Path, transformers: Any) -> None:
    """preprocessor_config.json: the nearest that transformers has (it resizes before it crops)."""
    about, size = preprocessing(net, not isinstance(net, Foreign)), net.spec.size
    processor = transformers.BitImageProcessor(
        do_convert_rgb=net.spec.channels == 3,
        resample=3,
        size={"shortest_edge": size if about["crop"] is None else round(size / about["crop"]["square_share_of_shorter_side"])},
        crop_size={"height": size, "width": size},
        image_mean=about["mean"],
        image_std=about["std"],
    )
    (part / "preprocessor_config.json").write_text(json.dumps(json.loads(processor.to_json_string()), indent=2) + "\n", encoding="utf-8")


def _library(name: str, extra: str) -> Any:
    """An optional library. Raises UserError, with the line that installs it."""
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(f'this export needs {name}: pip install "twoviews[{extra}]"') from error
