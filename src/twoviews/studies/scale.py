"""Three scales at which a study is repeated: which network, pictures and epochs."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..sources.config import READ
from .config import PaperConfig

TINY = 40  # px: up to here pictures lie in memory as they are, and the small stem is right (paper B.9)


@dataclasses.dataclass(frozen=True)
class Scale:
    """`values` are options of training, those of the middle of every study; `labels` of the linear evaluation; `words` say what it is."""

    name: str
    words: str
    values: dict[str, Any]
    labels: str

    def part(self, small: Any, medium: Any, paper: Any) -> Any:
        """What a study takes at this scale."""
        return {"small": small, "medium": medium, "paper": paper}[self.name]


def scale_of(config: PaperConfig, cuda: bool, side: int | None, count: int = 0) -> Scale:
    """The scale that the options name. `side`: that of pictures in memory, None for picture files. `count`: pictures; a batch is no larger."""
    tiny = side is not None and side <= TINY
    name = config.scale if config.scale != "auto" else "medium" if cuda else "small"
    if name == "small":
        values = {
            "recipe": "cifar10" if tiny else "photos",
            "encoder": "convnet",
            "width": 0.5,
            "size": min(side, 24) if tiny and side else 64,
            "head": "mlp2",
            "batch": 256,
            "epochs": 4,
            "optimizer": "adamw",
            "learning_rate": 5e-3 / 16,  # times √256
            "scaling": "sqrt",
            "weight_decay": 1e-4,
            "temperature": 0.5,
        }
        words, labels = "a network of five layers and half width, small pictures, a few epochs", "500"
    elif name == "medium":
        values = {
            "recipe": "cifar10" if tiny else "photos",
            "encoder": "resnet18",
            "stem": "small" if tiny else "imagenet",
            "head": "mlp2",
            "batch": 512,
            "epochs": 100,
            "optimizer": "lars",
            "learning_rate": 1.0,
            "scaling": "linear",
            "weight_decay": 1e-4,
            "temperature": 0.5,
        }
        words, labels = "ResNet-18, 100 epochs", "all"
    else:
        values = {"recipe": "cifar10-paper" if tiny else "paper", "epochs": 100}
        words, labels = "the paper's own network, batch and epochs", "all"
    if count and "batch" in values:
        values["batch"] = min(values["batch"], count)
    own = {n: getattr(config, n) for n in ("epochs", "encoder", "width", "size", "batch") if getattr(config, n)}
    read = {n: getattr(config, n) for n in READ}
    values = {
        **values,
        **own,
        **read,
        "precision": config.precision,
        "monitor_every": own.get("epochs", values["epochs"]),
        "tensorboard": False,
    }
    return Scale(name, words, values, config.labels or labels)
