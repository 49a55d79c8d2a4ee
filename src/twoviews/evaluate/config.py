"""Every option of the evaluations. The commands' options and their help are derived from these dataclasses. No torch here."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import ClassVar, Literal, get_args, get_type_hints

from ..base.errors import UserError, unknown
from ..views.config import setting

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
class Asking:
    """What every evaluation with labels has: how many, how often drawn, on which pictures and where."""

    labels: tuple[str, ...] = setting(("all",), "amounts of labels: all, 5 (per class), 1%, a .txt of names; several make several columns")
    seeds: int = setting(5, "draws of labels (and of the test part where there is none) that are averaged")
    seed: int = setting(0, "the first of these seeds")
    size: int = setting(0, "side in pixels at which pictures are given to the encoder; 0: that of its training")
    device: str = setting("auto", "auto, cpu, cuda, cuda:N or mps")
    workers: int = setting(-1, "processes that decode picture files; -1: as many as make sense")
    root: str = setting("data", "folder of the files of cifar10, cifar100, stl10, fashion-mnist")
    download: bool = setting(False, "download these files when they are not there")

    LEAST: ClassVar[tuple[str, ...]] = ()
    ABOVE: ClassVar[tuple[str, ...]] = ()
    NOT_BELOW: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        """Raises UserError for values out of range. A subclass names its own bounds in LEAST (at least 1), ABOVE (above 0), NOT_BELOW (at least 0)."""
        for name, low, words in (
            *((n, 1, "at least 1") for n in ("seeds", *self.LEAST)),
            *((n, 0, "not negative") for n in ("size", *self.NOT_BELOW)),
        ):
            if getattr(self, name) < low:
                raise UserError(f"{name} is {getattr(self, name)}; it must be {words}")
        for name in self.ABOVE:
            if getattr(self, name) <= 0:
                raise UserError(f"{name} is {getattr(self, name)}; it must be above 0")
        for name, kind in get_type_hints(type(self)).items():
            choices = get_args(kind)
            if (
                choices
                and choices[-1] is not Ellipsis
                and name not in ("LEAST", "ABOVE", "NOT_BELOW")
                and getattr(self, name) not in choices
            ):
                raise unknown(name, str(getattr(self, name)), choices)
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
class LearnConfig(Asking):
    """How a whole network learns from labels: what `finetune`, `transfer` and `distill` share. Crop and flip only."""

    seeds: int = setting(3, "draws of labels, and of all that is random, that are averaged")
    epochs: int = setting(0, "passes over the labelled pictures; 0: 60 for few labels and up to 5 %, 30 for more (paper B.5)")
    steps: int = setting(400, "updates at least, whatever the epochs: few labels make few steps an epoch")
    batch: int = setting(256, "pictures a step")
    learning_rate: float = setting(0.05, "before scaling by batch/256 (paper B.5)")
    momentum: float = setting(0.9, "Nesterov momentum (paper B.5)")
    weight_decay: float = setting(0.0, "weight decay of all but norms and biases (paper B.5: none)")
    start: Literal["probe", "zero"] = setting(
        "probe",
        "where the linear layer begins: probe, the logistic regression on the frozen features, which few labels need; zero, as in the paper",
    )
    norm: Literal["auto", "moving", "frozen"] = setting(
        "auto",
        "batch norm of the pretrained network: moving, as in the paper, frozen, or auto: frozen where a batch has less than 64 pictures",
    )
    crop_min: float = setting(
        0.0, "smallest share of the picture that a training crop takes; 0: that of the RUN, 0.08 without one; 1: no crop"
    )
    flip: float = setting(-1.0, "probability of a left-right flip; below 0: that of the RUN, 0.5 without one")

    LEAST = ("steps", "batch")
    ABOVE = ("learning_rate",)
    NOT_BELOW = ("epochs", "momentum", "weight_decay", "crop_min")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FinetuneConfig(LearnConfig):
    """Fine-tuning (Chen et al. 2020, B.5; SimCLRv2, section 2): no warm-up, Nesterov, crop and flip, beside the same network from scratch."""

    from_layer: int = setting(0, "layers of the projection head that are kept: 0 takes h, 1 the middle of the head (SimCLRv2); needs a RUN")
    scratch: bool = setting(True, "also train the same network from random weights on the same labels, the supervised baseline")
    scratch_epochs: int = setting(0, "its epochs; 0: twice as many, as it begins from nothing")
    scratch_learning_rate: float = setting(0.1, "its learning rate before scaling, with a tenth of the steps as warm-up")
    scratch_weight_decay: float = setting(5e-4, "its weight decay")

    ABOVE = (*LearnConfig.ABOVE, "scratch_learning_rate")
    NOT_BELOW = (*LearnConfig.NOT_BELOW, "from_layer", "scratch_epochs", "scratch_weight_decay")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DistillConfig(LearnConfig):
    """Distillation (SimCLRv2, section 2.3): a student learns a fine-tuned teacher's labels for all pictures, labelled or not."""

    labels: tuple[str, ...] = setting(("",), "labels that the students may also see; empty: those that the teacher learned from")
    seeds: int = setting(1, "students, with weights and order of their own, that are averaged")
    student: str = setting("", "the student's network: resnet18 …, timm:NAME; empty: the teacher's own (self-distillation)")
    width: float = setting(1.0, "factor on the channels of a student of our own networks")
    stem: Literal["imagenet", "small"] = setting("small", "stem of a student of our own ResNets")
    init: str = setting("", "weights that the student begins from: a RUN or a .safetensors file; empty: random")
    temperature: float = setting(1.0, "temperature of teacher and student (SimCLRv2 uses 1)")
    truth: float = setting(
        0.0, "share of the loss that is cross-entropy to the true labels there are, 0 (none, SimCLRv2's main setting) to 1"
    )
    supervised: bool = setting(True, "also train the same student from the same labels alone")
    epochs: int = setting(30, "passes over all pictures")
    steps: int = setting(100, "updates at least")
    learning_rate: float = setting(0.1, "before scaling by batch/256, with a tenth of the steps as warm-up")
    weight_decay: float = setting(5e-4, "weight decay of all but norms and biases")

    ABOVE = (*LearnConfig.ABOVE, "temperature", "width")
    NOT_BELOW = (*LearnConfig.NOT_BELOW, "truth")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.truth > 1:
            raise UserError(f"truth is {self.truth}; it must be from 0 to 1")
        if len(self.labels) > 1:
            raise UserError("distill takes one amount of labels: that which the teacher learned from")


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

    NOT_BELOW = (*LearnConfig.NOT_BELOW, "limit")

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
class DetectConfig:
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
    device: str = setting("auto", "auto, cpu, cuda, cuda:N or mps")

    def __post_init__(self) -> None:
        """Raises UserError for values out of range."""
        for name in ("epochs", "batch", "side", "channels", "regions", "evaluate_every"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("learning_rate", "anchor"):
            if getattr(self, name) <= 0:
                raise UserError(f"{name} is {getattr(self, name)}; it must be above 0")
        if self.norm not in ("frozen", "moving"):
            raise unknown("norm", self.norm, ("frozen", "moving"))
