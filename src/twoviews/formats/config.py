"""Every option of `export`. No torch here."""

from __future__ import annotations

import dataclasses
from typing import Literal

from ..base.errors import UserError
from ..base.settings import Checked, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportConfig(Checked):
    """What is written for whom."""

    to: Literal["safetensors", "timm", "torchvision", "huggingface", "onnx", "torch"] = setting(
        "safetensors",
        "safetensors: our own file; timm, torchvision: their state dict; huggingface: a folder for from_pretrained; onnx; torch: a torch.export program",
    )
    preprocess: bool = setting(False, "onnx: take uint8 pictures (N, H, W, C) of any side and preprocess inside")
    approximate: bool = setting(
        False, "timm, torchvision, huggingface: write weights whose borders at the pooling differ, and say by how much h then differs"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.preprocess and self.to != "onnx":
            raise UserError(f"--preprocess is for --to onnx; a {self.to} export has preprocessing.json beside it")
        if self.approximate and self.to not in ("timm", "torchvision", "huggingface"):
            raise UserError(f"--approximate changes nothing: --to {self.to} is exact for every encoder")
