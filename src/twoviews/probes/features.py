"""h of many pictures: an encoder in evaluation mode, the evaluation view, no gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ..base import device as devices
from ..base.console import track
from ..base.draws import Keys
from ..base.errors import RunError
from ..sources.errors import Unreadable
from ..sources.loader import Loader, Lost, Missing
from ..sources.source import ImageSource, Picture, Small
from ..views.evaluation import evaluation_view
from ..views.pipeline import as_float, as_uint8

BATCH = 256


class Cut:
    """The evaluation views of pictures as uint8, for worker processes (a class, so that it can be sent to them)."""

    def __init__(self, size: int, resize: str):
        self.size, self.resize = size, resize

    def __call__(self, pictures: Sequence[Picture], keys: Keys) -> Tensor:
        return torch.cat([as_uint8(evaluation_view(picture.read()[None], self.size, self.resize)) for picture in pictures])


def evaluation_batches(
    source: ImageSource,
    size: int,
    resize: str,
    workers: int = 0,
    ids: np.ndarray | None = None,
    what: str = "",
    missing: Missing = "refuse",
    lost: list[Lost] | None = None,
):
    """Evaluation views (n, C, S, S) float32 of a source's pictures, in order, batch by batch.

    `missing` as for Loader; `lost` takes the list of what could not be read. Raises RunError for it where `missing` refuses.
    """
    ids = np.arange(len(source)) if ids is None else ids
    batches = [(part, np.zeros(len(part), np.uint64)) for part in np.array_split(ids, range(BATCH, len(ids), BATCH))]
    loader = Loader(source, Cut(size, resize), workers, missing=missing)
    loaded = loader(batches)
    try:
        for batch in track(loaded, what, len(batches)) if what else loaded:
            if lost is not None:
                lost.extend(batch.lost)
            yield evaluation_view(batch.images, size, resize) if isinstance(source, Small) else as_float(batch.images)
    except Unreadable as error:
        raise RunError(f"{error}. It was not looked at before, or has changed: --check full leaves such pictures out") from error
    finally:
        loader.close()


@torch.inference_mode()
def features(
    net: nn.Module | Callable[[Tensor], Tensor],
    source: ImageSource,
    size: int,
    resize: str = "antialias",
    device: torch.device | None = None,
    precision: str = "fp32",
    workers: int = 0,
    ids: np.ndarray | None = None,
    what: str = "",
    missing: Missing = "refuse",
) -> Tensor:
    """`net` of each picture's evaluation view: (n, d) float32 on the device. A module is put into evaluation mode for it and back.

    `ids` takes only these pictures; `what` names the progress bar; `missing` is for pictures that cannot be read.
    Raises RunError, naming the encoder, for features that are not finite.
    """
    device = device or torch.device("cpu")
    training = isinstance(net, nn.Module) and net.training
    if isinstance(net, nn.Module):
        net.eval()
    out = []
    for x in evaluation_batches(source, size, resize, workers, ids, what, missing):
        with devices.autocast(device, precision):
            out.append(net(x.to(device).contiguous(memory_format=torch.channels_last)).float())
    if isinstance(net, nn.Module):
        net.train(training)
    h = torch.cat(out)
    if not h.isfinite().all():
        rows = int((~h.isfinite().all(1)).sum())
        kind = type(getattr(net, "network", net)).__name__
        whose = f"{what} ({kind})" if what else kind
        raise RunError(
            f"{whose} gives features that are not finite for {rows:,} of {len(h):,} pictures: no figure could be computed from them"
        )
    return h
