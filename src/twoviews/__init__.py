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
    from .evaluate.compare import compare
    from .evaluate.detect import detect
    from .evaluate.distill import distill
    from .evaluate.finetune import finetune
    from .evaluate.protocol import Result, knn, linear
    from .evaluate.transfer import transfer
    from .formats.official import from_tf
    from .formats.write import export
    from .losses.compared import decoupled, margin_triplet, multi_view, nt_logistic, supervised_contrastive
    from .losses.nt_xent import contrastive_metrics, nt_xent
    from .nets.encoder import encoder, load_encoder, save_encoder, wrap_encoder
    from .nets.head import head
    from .optim.lars import LARS
    from .optim.schedule import Schedule
    from .pages.page import report
    from .pages.serve import serve
    from .sklearn import SimCLRTransformer
    from .sources.shard import shard
    from .sources.source import ImageSource
    from .sources.spec import images
    from .studies.paper import paper
    from .training.config import TrainConfig
    from .training.loop import train
    from .training.run import Run
    from .vectors.duplicates import duplicates
    from .vectors.search import search
    from .vectors.select import select
    from .vectors.sinks import read as read_vectors
    from .vectors.write import embed
    from .views.evaluation import evaluation_view
    from .views.pipeline import Views

__version__ = _version("twoviews")
_WHERE = {
    "ImageSource": "sources.source",
    "LARS": "optim.lars",
    "Result": "evaluate.protocol",
    "Run": "training.run",
    "RunError": "base.errors",
    "Schedule": "optim.schedule",
    "SimCLRTransformer": "sklearn",
    "TrainConfig": "training.config",
    "TwoviewsError": "base.errors",
    "UserError": "base.errors",
    "Views": "views.pipeline",
    "compare": "evaluate.compare",
    "contrastive_metrics": "losses.nt_xent",
    "decoupled": "losses.compared",
    "detect": "evaluate.detect",
    "distill": "evaluate.distill",
    "draw_keys": "base.draws",
    "duplicates": "vectors.duplicates",
    "embed": "vectors.write",
    "encoder": "nets.encoder",
    "evaluation_view": "views.evaluation",
    "export": "formats.write",
    "finetune": "evaluate.finetune",
    "from_tf": "formats.official",
    "head": "nets.head",
    "images": "sources.spec",
    "knn": "evaluate.protocol",
    "linear": "evaluate.protocol",
    "load_encoder": "nets.encoder",
    "margin_triplet": "losses.compared",
    "multi_view": "losses.compared",
    "nt_logistic": "losses.compared",
    "nt_xent": "losses.nt_xent",
    "paper": "studies.paper",
    "read_vectors": "vectors.sinks",
    "save_encoder": "nets.encoder",
    "report": "pages.page",
    "search": "vectors.search",
    "select": "vectors.select",
    "serve": "pages.serve",
    "shard": "sources.shard",
    "supervised_contrastive": "losses.compared",
    "train": "training.loop",
    "transfer": "evaluate.transfer",
    "wrap_encoder": "nets.encoder",
}
_CALLED = {"draw_keys": "key", "read_vectors": "read"}  # where a name here is another there
__all__ = [
    "LARS",
    "ImageSource",
    "Result",
    "Run",
    "RunError",
    "Schedule",
    "SimCLRTransformer",
    "TrainConfig",
    "TwoviewsError",
    "UserError",
    "Views",
    "compare",
    "contrastive_metrics",
    "decoupled",
    "detect",
    "distill",
    "draw_keys",
    "duplicates",
    "embed",
    "encoder",
    "evaluation_view",
    "export",
    "finetune",
    "from_tf",
    "head",
    "images",
    "knn",
    "linear",
    "load_encoder",
    "margin_triplet",
    "multi_view",
    "nt_logistic",
    "nt_xent",
    "paper",
    "read_vectors",
    "report",
    "save_encoder",
    "search",
    "select",
    "serve",
    "shard",
    "supervised_contrastive",
    "train",
    "transfer",
    "wrap_encoder",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'twoviews' has no attribute {name!r}")
    value = getattr(import_module(f".{_WHERE[name]}", __name__), _CALLED.get(name, name))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
