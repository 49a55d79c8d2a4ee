"""Every option of the evaluations. The commands' options and their help are derived from these dataclasses. No torch here."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Literal

from ..base.errors import UserError, WrongType, unknown
from ..base.settings import Checked, setting
from ..sources.config import ReadConfig

BASELINES = ("untrained", "pixels", "histogram")


@dataclasses.dataclass(frozen=True)
class Amount:
    """How many labels: `per_class` so many of each class, `share` of all, class-balanced, those of a `file` of names; none of these = all."""

    per_class: int | None = None
    share: float | None = None
    file: str | None = None

    def __str__(self) -> str:
        if self.file:
            return Path(self.file).name
        return f"{self.per_class} per class" if self.per_class else f"{100 * self.share:g} %" if self.share else "all"

    @property
    def all(self) -> bool:
        return self == Amount()

    @property
    def option(self) -> str:
        """The text of --labels that means this."""
        return self.file or (f"{self.per_class}" if self.per_class else f"{100 * self.share:g}%" if self.share else "all")


def amount(text: str) -> Amount:
    """`all`, `5` or `5-per-class`, `1%`, or a text file with the name of one picture a line. Raises UserError for anything else."""
    if text == "all":
        return Amount()
    if match := re.fullmatch(r"(\d+)(-per-class)?", text):
        if int(match[1]) > 0:
            return Amount(per_class=int(match[1]))
    elif (match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", text)) and 0 < float(match[1]) <= 100:
        return Amount(share=float(match[1]) / 100)
    elif text.endswith(".txt"):
        if not Path(text).is_file():
            raise UserError(f"labels {text!r}: there is no such file; it is to hold the name of one picture a line")
        return Amount(file=text)
    raise UserError(
        f"labels {text!r} is not understood: all, a number per class such as 5, a share such as 1%, or a .txt file with the name of one picture a line"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drawing(ReadConfig):
    """What every evaluation has: how often it is drawn, on which pictures and where."""

    seeds: int = setting(5, "draws of labels (and of the test part where there is none) that are averaged")
    seed: int = setting(0, "the first of these seeds")
    size: int = setting(0, "side in pixels at which pictures are given to the encoder; 0: that of its training")
    device: str = setting("auto", "auto, cpu, cuda, cuda:N or mps", free=True)
    workers: int = setting(-1, "processes that decode picture files; -1: as many as make sense", free=True)

    LEAST = ("seeds",)
    NOT_BELOW = ("size", "seed")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asking(Drawing):
    """An evaluation at amounts of labels."""

    labels: tuple[str, ...] = setting(("all",), "amounts of labels: all, 5 (per class), 1%, a .txt of names; several make several columns")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.labels:
            raise UserError("labels is empty; it must be one amount or several: all, 5 (per class), 1%")
        for text in filter(None, self.labels):
            amount(text)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalConfig(Asking):
    """How a frozen encoder is measured: `knn`, `linear`, `compare`."""

    baselines: tuple[str, ...] = setting(("untrained", "pixels"), "what stands beside: untrained, pixels, histogram, none")
    protocol: Literal["lbfgs", "sgd"] = setting(
        "lbfgs", "linear: lbfgs is the paper's transfer protocol (B.8), sgd that with augmentation (B.6)"
    )
    epochs: int = setting(90, "epochs of protocol sgd (paper B.6)")
    batch: int = setting(512, "batch of protocol sgd")
    k: int = setting(20, "neighbours of kNN")
    knn_temperature: float = setting(0.07, "temperature of kNN's votes")

    LEAST = ("epochs", "batch", "k")
    ABOVE = ("knn_temperature",)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.baselines:
            if name not in (*BASELINES, "none"):
                raise unknown("baseline", name, [*BASELINES, "none"])


@dataclasses.dataclass(frozen=True, kw_only=True)
class LearnConfig(Drawing):
    """How a whole network learns from labels: what `finetune`, `transfer` and `distill` share. Crop and flip only."""

    seeds: int = setting(3, "draws of labels, and of all that is random, that are averaged")
    epochs: int = setting(0, "passes over the labelled pictures; 0: 60 for few labels and up to 5 %, 30 for more (paper B.5)")
    steps: int = setting(400, "updates at least, whatever the epochs: few labels make few steps an epoch")
    batch: int = setting(256, "pictures a step")
    momentum: float = setting(0.9, "Nesterov momentum (paper B.5)")
    crop_min: float = setting(
        0.0,
        "smallest share of the picture that a training crop takes; 0: that of the encoder's training, 0.08 where it is not known; 1: no crop",
    )
    flip: float = setting(-1.0, "probability of a left-right flip; below 0: that of the encoder's training, 0.5 where it is not known")

    LEAST = ("steps", "batch")
    NOT_BELOW = ("epochs", "momentum", "crop_min")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FinetuneConfig(LearnConfig, Asking):
    """Fine-tuning (Chen et al. 2020, B.5; SimCLRv2, section 2): no warm-up, Nesterov, crop and flip, beside the same network from scratch."""

    learning_rate: float = setting(0.05, "before scaling by batch/256 (paper B.5)")
    weight_decay: float = setting(0.0, "weight decay of all but norms and biases (paper B.5: none)")
    start: Literal["probe", "zero"] = setting(
        "probe",
        "where the linear layer begins: probe, the logistic regression on the frozen features, which few labels need; zero, as in the paper",
    )
    norm: Literal["auto", "moving", "frozen"] = setting(
        "auto",
        "batch norm of the pretrained network: moving, as in the paper, frozen, or auto: frozen where a batch has less than 64 pictures",
    )
    from_layer: int = setting(0, "layers of the projection head that are kept: 0 takes h, 1 the middle of the head (SimCLRv2); needs a RUN")
    scratch: bool = setting(True, "also train the same network from random weights on the same labels, the supervised baseline")
    scratch_epochs: int = setting(0, "its epochs; 0: twice as many, as it begins from nothing")
    scratch_learning_rate: float = setting(0.1, "its learning rate before scaling, with a tenth of the steps as warm-up")
    scratch_weight_decay: float = setting(5e-4, "its weight decay")

    ABOVE = ("learning_rate", "scratch_learning_rate")
    NOT_BELOW = ("weight_decay", "from_layer", "scratch_epochs", "scratch_weight_decay")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DistillConfig(LearnConfig):
    """Distillation (SimCLRv2, section 2.3): a student learns a fine-tuned teacher's labels for all pictures, labelled or not."""

    labels: str = setting("", "amount of labels that the students may also see; none: those that the teacher learned from")
    seeds: int = setting(1, "students, with weights and order of their own, that are averaged")
    student: str = setting("", "the student's network: resnet18 …, timm:NAME; none: the teacher's own (self-distillation)")
    width: float = setting(1.0, "factor on the channels of a student of our own networks")
    stem: Literal["imagenet", "small", "torchvision"] = setting("small", "stem of a student of our own ResNets")
    init: str = setting("", "weights that the student begins from: a RUN or a .safetensors file; none: random")
    temperature: float = setting(1.0, "temperature of teacher and student (SimCLRv2 uses 1)")
    truth: float = setting(
        0.0, "share of the loss that is cross-entropy to the true labels there are, 0 (none, SimCLRv2's main setting) to 1"
    )
    supervised: bool = setting(True, "also train the same student from the same labels alone")
    epochs: int = setting(30, "passes over all pictures")
    steps: int = setting(100, "updates at least")
    learning_rate: float = setting(0.1, "before scaling by batch/256, with a tenth of the steps as warm-up")
    weight_decay: float = setting(5e-4, "weight decay of all but norms and biases")

    ABOVE = ("learning_rate", "temperature", "width")
    NOT_BELOW = ("weight_decay", "truth")

    def __post_init__(self) -> None:
        if isinstance(self.labels, list | tuple):
            raise WrongType("distill takes one amount of labels: that which the teacher learned from")
        super().__post_init__()
        if self.truth > 1:
            raise UserError(f"truth is {self.truth}; it must be from 0 to 1")
        if self.labels:
            amount(self.labels)


HOW = ("linear", "fine-tuned", "from-scratch")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TransferConfig(LearnConfig):
    """Transfer to other sets (Chen et al. 2020, B.8; Kornblith et al. 2019)."""

    how: tuple[str, ...] = setting(
        ("linear",), "linear (L-BFGS on frozen h), fine-tuned, from-scratch (the same network from random weights)"
    )
    grid: Literal["small", "paper"] = setting(
        "small", "learning rates and weight decays that are tried on validation: small: 2 x 2; paper: 7 x 8 (B.8)"
    )
    seeds: int = setting(1, "seeds of fine-tuning")
    epochs: int = setting(1, "epochs at least")
    steps: int = setting(2000, "updates (paper: 20000)")
    limit: int = setting(0, "at most so many training pictures of each set, class-balanced; 0: all")

    NOT_BELOW = ("limit",)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.how:
            if name not in HOW:
                raise unknown("how", name, HOW)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompareConfig(EvalConfig):
    """Several encoders side by side."""

    labels: tuple[str, ...] = setting(("5", "all"), "amounts of labels for the linear columns: all, 5 (per class), 1%")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DetectConfig(Checked):
    """Detection: Faster R-CNN with a feature pyramid on an encoder."""

    beside: tuple[str, ...] = setting(("untrained",), "what is trained likewise and stands beside: untrained, other encoders, none")
    epochs: int = setting(12, "passes over the training pictures")
    batch: int = setting(8, "pictures a step")
    learning_rate: float = setting(0.02, "before scaling by batch/16, with a twentieth of the steps as warm-up")
    momentum: float = setting(0.9, "momentum of SGD")
    weight_decay: float = setting(1e-4, "weight decay")
    side: int = setting(480, "shorter side of the pictures in pixels, as the detector sees them")
    anchor: float = setting(6.0, "side of the anchors of a level, in strides of that level")
    channels: int = setting(256, "channels of the feature pyramid")
    regions: int = setting(512, "proposed regions of a picture that the box head learns from; fewer are faster on CPUs")
    layers: int = setting(-1, "last stages of the encoder that learn; the others stay as they are; -1: all")
    norm: Literal["frozen", "moving"] = setting(
        "frozen", "batch norm of the encoder: frozen, or moving with each batch's statistics (those of all processes under torchrun)"
    )
    evaluate_every: int = setting(1, "epochs from one look at validation to the next")
    seed: int = setting(0, "what all random numbers are keyed by")
    device: str = setting("auto", "auto, cpu, cuda, cuda:N or mps", free=True)

    LEAST = ("epochs", "batch", "side", "channels", "regions", "evaluate_every")
    ABOVE = ("learning_rate", "anchor")
