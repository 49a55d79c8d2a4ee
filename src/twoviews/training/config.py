"""TrainConfig: every option of training, its type, default and one line of help. The Python API, the command's options, config.json
and the table in the documentation are all derived from it; a recipe is a named set of its values. No torch here.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from ..base.errors import UserError, unknown
from ..base.settings import setting
from ..sources.config import ReadConfig
from ..views.config import ViewConfig
from .tracking import names as tracked


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig(ViewConfig, ReadConfig):
    """All options of training. The defaults are the paper's (Chen et al. 2020) for ImageNet; recipes change them by name."""

    recipe: str = setting("auto", "named set of values for the options not given; auto chooses by the pictures (docs/recipes.md)")
    seed: int = setting(0, "what all random numbers are keyed by")
    encoder: str = setting("resnet50", "resnet18 … resnet200, convnet, timm:NAME or torchvision:NAME (paper 2.1)")
    width: float = setting(1.0, "factor on all channels of our own networks; 1, 2, 4 in the paper")
    sk: bool = setting(False, "selective kernels (SimCLRv2)")
    stem: Literal["imagenet", "small", "torchvision"] = setting(
        "imagenet",
        "imagenet: 7x7 stride 2 and pooling; small: 3x3 stride 1, for pictures up to 64 px (paper B.9); torchvision: as imagenet, with the borders and "
        "shortcuts of torchvision's networks, so that these and timm's and transformers' read the weights (docs/export.md)",
    )
    init: str = setting("", "go on from weights: a RUN, a .safetensors file, timm:NAME or torchvision:NAME")
    head: Literal["none", "linear", "mlp2", "mlp3"] = setting("mlp2", "projection head: mlp2 in SimCLR (paper 4.2), mlp3 in SimCLRv2")
    head_features: int = setting(128, "length of z (paper 4.2)")
    head_norm: bool = setting(True, "batch norm in the head, as in the official code; off is the paper's formula (docs/fidelity.md)")
    loss: Literal["nt-xent", "nt-logistic", "margin", "decoupled"] = setting(
        "nt-xent",
        "nt-xent is the paper's; those it is compared with (Table 2): nt-logistic, margin (triplet); decoupled: DCL (Yeh et al. 2022)",
    )
    margin: float = setting(0.8, "margin of the triplet loss, and the reach of semi_hard")
    semi_hard: bool = setting(False, "nt-logistic and margin: of the negatives only the semi-hardest one (paper 5.1)")
    temperature: float = setting(0.1, "temperature of the loss (paper 5.1)")
    normalize: bool = setting(True, "l2-normalise z before the loss (paper 5.1)")
    batch: int = setting(4096, "pairs a step (paper 2.2)")
    chunk: int = setting(
        0,
        "pairs that a process holds at a time: the exact loss of the whole batch in the memory of a chunk, for a second forward pass "
        "(gradient cache, docs/scaling.md); 0: the whole batch at once",
    )
    epochs: int = setting(100, "passes over the pictures (paper: 100 to 1000)")
    optimizer: Literal["lars", "sgd", "adamw"] = setting("lars", "lars is the paper's")
    learning_rate: float = setting(0.3, "before scaling (paper: 0.3 · batch/256)")
    scaling: Literal["linear", "sqrt", "none"] = setting("linear", "linear: · batch/256; sqrt: · √batch (paper B.1)")
    momentum: float = setting(0.9, "momentum of LARS and SGD (paper 2.2)")
    weight_decay: float = setting(1e-6, "weight decay of all but norms and biases (paper 2.2)")
    warmup_epochs: float = setting(10.0, "epochs of linear warm-up (paper 2.2)")
    precision: Literal["auto", "fp32", "bf16"] = setting("auto", "auto: bf16 on GPUs, fp32 on CPUs, where it was measured to be faster")
    device: str = setting("auto", "auto, cpu, cuda, cuda:N or mps", free=True)
    compile: bool = setting(
        False, "torch.compile the network: most of a minute at the start, then some per cent faster (docs/scaling.md)", free=True
    )
    workers: int = setting(-1, "processes that decode picture files; -1: one a core", free=True)
    shuffle_window: int = setting(
        16, "shards or row groups whose pictures are mixed at a time (docs/scale.md); other pictures are mixed all at once"
    )
    skip_nonfinite: int = setting(0, "steps with a loss or gradient that is not finite that are left out before the run stops")
    log_every: int = setting(10, "steps from one line of log.jsonl to the next")
    monitor_every: int = setting(0, "epochs from one look at the representation to the next; 0: about twenty looks a run")
    monitor_images: int = setting(2000, "pictures that are looked at (never test pictures)")
    checkpoint_every: int = setting(0, "steps from one checkpoint to the next; 0: about every five minutes", free=True)
    keep_every: int = setting(0, "keep checkpoints at multiples of this step for good; 0: only the newest two", free=True)
    tensorboard: bool = setting(True, "write TensorBoard files into the RUN", free=True)
    track: str = setting(
        "", "where the log's figures go besides: wandb, mlflow, or both with a comma (extras; docs/run-folder.md)", free=True
    )

    LEAST = ("batch", "epochs", "log_every", "monitor_images", "head_features", "shuffle_window")
    ABOVE = ("temperature", "width")
    NOT_BELOW = (
        "learning_rate",
        "weight_decay",
        "warmup_epochs",
        "monitor_every",
        "checkpoint_every",
        "keep_every",
        "chunk",
        "skip_nonfinite",
        "margin",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        tracked(self.track)
        if not 0 <= self.momentum < 1:
            raise UserError(f"momentum is {self.momentum}; it must be from 0 to below 1")


def options() -> dict[str, dataclasses.Field]:
    """The options by name."""
    return {field.name: field for field in dataclasses.fields(TrainConfig)}


def resolve(recipe_values: dict[str, Any], given: dict[str, Any]) -> TrainConfig:
    """The given options, over the recipe's values, over the defaults. Raises UserError for an option that does not exist."""
    valid = options()
    for name in given:
        if name not in valid:
            raise unknown("option", name, valid)
    return TrainConfig(**{**recipe_values, **given})


def differences(old: dict[str, Any], new: TrainConfig) -> list[str]:
    """« name: old → new » for all options that decide what is computed."""
    known = {**{name: field.default for name, field in options().items()}, **old}  # an option that is newer than the run had its default
    return [f"{name}: {known[name]!r} → {value!r}" for name, value in new.deciding().items() if _plain(known[name]) != _plain(value)]


def _plain(value: Any) -> Any:
    """A value as JSON gives it back."""
    return list(value) if isinstance(value, tuple) else value
