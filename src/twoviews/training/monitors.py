"""What is looked at while training goes on: measures that need no labels, and with labels a ridge probe and kNN.

Everything is a function of the weights and of keyed pictures, so a run that goes on logs what the run never stopped would have logged.
Labels and pictures are those of training: test pictures are never opened here.
"""

from __future__ import annotations

import torch

from ..nets.base import Encoder
from ..probes.features import features
from ..probes.knn import knn_votes
from ..probes.quality import effective_rank
from ..probes.ridge import ridge_accuracy
from ..sources.order import some
from ..sources.source import ImageSource, labels_at
from .config import TrainConfig


class Monitor:
    """Looks at a fixed, keyed choice of pictures: four fifths of them teach the probe and are kNN's neighbours, one fifth is asked."""

    def __init__(self, config: TrainConfig, source: ImageSource, device: torch.device, precision: str, workers: int):
        self.config, self.source, self.device, self.precision, self.workers = config, source, device, precision, workers
        self.ids = some(source, config.monitor_images, config.seed, "monitor")
        labels = labels_at(source, self.ids) if len(source.classes) > 1 and len(self.ids) >= 5 else None
        self.labels = None if labels is None or (labels < 0).any() else torch.from_numpy(labels).to(device)

    def __call__(self, encoder: Encoder) -> dict[str, float | None]:
        """`rank` (RankMe of h), `std` (mean deviation of l2-normalised h times √d, 1 = spread; None of one picture), and with labels `probe` and `knn` (top-1)."""
        c = self.config
        h = features(encoder, self.source, c.size, c.resize, self.device, self.precision, self.workers, self.ids, missing="replace")
        unit = torch.nn.functional.normalize(h, dim=1)
        out = {"rank": effective_rank(h), "std": unit.std(0).mean().item() * h.shape[1] ** 0.5 if len(h) > 1 else None}
        if self.labels is not None:
            cut, classes = len(h) - max(1, len(h) // 5), len(self.source.classes)
            train, asked, y, truth = h[:cut], h[cut:], self.labels[:cut], self.labels[cut:]
            out["probe"] = ridge_accuracy(train, y, asked, truth, classes)
            out["knn"] = (knn_votes(train, y, asked, classes).argmax(1) == truth).float().mean().item()
        return out


def looks(config: TrainConfig) -> set[int]:
    """The epochs (counted from 1) after which to look: every `monitor_every`, or about twenty of them; always the last."""
    every = config.monitor_every or max(1, config.epochs // 20)
    return {*range(every, config.epochs + 1, every), config.epochs}
