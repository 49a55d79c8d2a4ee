"""twoviews: SimCLR for people who have many pictures and few labels.

    import twoviews as tv
    run = tv.train("photos/", out="runs/photos")
    encoder = tv.load_encoder("runs/photos")

Names load when they are first used (PEP 562), so that `import twoviews` costs no torch.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .base.draws import key as draw_keys
    from .base.errors import RunError, TwoviewsError, UserError
    from .evaluate.finetune import finetune
    from .evaluate.protocol import Result, knn, linear
    from .losses.nt_xent import contrastive_metrics, nt_xent
    from .nets.encoder import encoder, load_encoder, save_encoder
    from .nets.head import head
    from .optim.lars import LARS
    from .optim.schedule import Schedule
    from .sources.source import ImageSource
    from .sources.spec import images
    from .training.config import TrainConfig
    from .training.loop import train
    from .training.run import Run
    from .views.evaluation import evaluation_view
    from .views.pipeline import Views

__version__ = _version("twoviews")
_WHERE = {
    "LARS": "optim.lars",
    "ImageSource": "sources.source",
    "Result": "evaluate.protocol",
    "Run": "training.run",
    "RunError": "base.errors",
    "Schedule": "optim.schedule",
    "TrainConfig": "training.config",
    "TwoviewsError": "base.errors",
    "UserError": "base.errors",
    "Views": "views.pipeline",
    "contrastive_metrics": "losses.nt_xent",
    "draw_keys": "base.draws",
    "encoder": "nets.encoder",
    "evaluation_view": "views.evaluation",
    "finetune": "evaluate.finetune",
    "head": "nets.head",
    "images": "sources.spec",
    "knn": "evaluate.protocol",
    "linear": "evaluate.protocol",
    "load_encoder": "nets.encoder",
    "nt_xent": "losses.nt_xent",
    "save_encoder": "nets.encoder",
    "train": "training.loop",
}
__all__ = [
    "LARS",
    "ImageSource",
    "Result",
    "Run",
    "RunError",
    "Schedule",
    "TrainConfig",
    "TwoviewsError",
    "UserError",
    "Views",
    "contrastive_metrics",
    "draw_keys",
    "encoder",
    "evaluation_view",
    "finetune",
    "head",
    "images",
    "knn",
    "linear",
    "load_encoder",
    "nt_xent",
    "save_encoder",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'twoviews' has no attribute {name!r}")
    value = getattr(import_module(f".{_WHERE[name]}", __name__), "key" if name == "draw_keys" else name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
