"""Transfer to other sets (Chen et al. 2020, B.8; Kornblith et al. 2019): linear on frozen h, fine-tuned, and from scratch, by each set's metric.

l2, learning rate and weight decay are chosen on a validation part, then all of training and validation is learned; the test part is looked
at once.
"""

from __future__ import annotations

import dataclasses
import itertools
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..base import draws as rng
from ..base import processes
from ..base.console import say
from ..base.device import reuse_memory
from ..base.errors import UserError
from ..base.settings import options_of, several
from ..base.work import Work, slug, working
from ..nets.classifier import Classifier
from ..nets.encoder import from_spec
from ..nets.trial import place
from ..probes.features import features
from ..probes.logistic import Logistic
from ..probes.ridge import L2
from ..sources.files import Files
from ..sources.names import TRANSFER_SETS
from ..sources.source import ImageSource, Joined, part
from ..sources.transfer import TransferSet, held_out, open_set
from ..training.run import versions
from .config import Amount, TransferConfig
from .intervals import bootstrap, over_seeds
from .labels import choose
from .learn import Criterion, labels_criterion, learn, logits_of, views_of
from .linear import prepared
from .metrics import METRICS
from .protocol import Result
from .subjects import Named, named, where, workers_for

VALIDATION = 0.2
GRIDS = {
    "small": ((0.01, 0.1), (0.0, 1e-4)),
    "paper": (tuple(np.logspace(-4, -1, 7).tolist()), (0.0, *np.logspace(-6, -3, 7).tolist())),
}
# Chen et al. 2020, Table 8 (ResNet-50 of width 4, pretrained on ImageNet), in the order of TRANSFER_SETS.
PAPER = {
    ("linear", "SimCLR (paper)"): (76.9, 95.3, 80.2, 48.4, 65.9, 60.0, 61.2, 84.2, 78.9, 89.2, 93.9, 95.0),
    ("linear", "supervised (paper)"): (75.2, 95.7, 81.2, 56.4, 64.9, 68.8, 63.8, 83.8, 78.7, 92.3, 94.1, 94.2),
    ("fine-tuned", "SimCLR (paper)"): (89.4, 98.6, 89.0, 78.2, 68.1, 92.1, 87.0, 86.6, 77.8, 92.1, 94.1, 97.6),
    ("fine-tuned", "supervised (paper)"): (88.7, 98.3, 88.7, 77.8, 67.0, 91.4, 88.0, 86.5, 78.8, 93.2, 94.2, 98.0),
    ("from-scratch", "random (paper)"): (88.3, 96.0, 81.9, 77.0, 53.7, 91.3, 84.8, 69.4, 64.1, 82.7, 72.5, 92.5),
}


def transfer(encoder: str | Path | nn.Module, sets: Sequence[str] = ("all",), out: str | Path | None = None, **options: Any) -> Result:
    """Measure an encoder on other sets. `sets`: names of the paper's twelve, `all` of them that are below `root`, or folders of class folders.

    `options` are fields of TransferConfig. `out` keeps what is finished. Raises UserError for sets that are not there.
    """
    config, sets = options_of(TransferConfig, options), several("sets", sets)
    subject = named(encoder, config.size)
    joined = processes.join()
    every, found, absent = sets == ["all"], [], []
    for name in TRANSFER_SETS if every else sets:
        try:
            found.append(open_set(name, config, subject.encoder.spec.channels))
        except UserError as error:
            if not every:
                raise
            absent.append(f"{name}: {error}")
    if not found:
        raise UserError(f"none of the sets is below --root {config.root}; the first: {absent[0]}")
    for line in absent:
        say(f"left out: {line}")
    folder = Path(out) if out is not None else (subject.folder or Path("runs") / slug(subject.text)) / "transfer"
    result = Transferring(subject, config).measure(found, folder, absent)
    if joined:
        processes.leave()
    return result


class Transferring:
    """An encoder on one set after the other."""

    def __init__(self, subject: Named, config: TransferConfig):
        if "from-scratch" in config.how and subject.encoder.spec.name == "custom":
            raise UserError(
                "from-scratch needs the architecture by name, and a module of your own cannot be made anew: leave it out of --how"
            )
        self.subject, self.config = subject, views_of(config, *subject.trained_views)
        self.spec = subject.encoder.spec
        self.device, self.precision = where(config.device)
        if self.device.type == "cpu":
            reuse_memory()

    def measure(self, sets: list[TransferSet], folder: Path, absent: list[str]) -> Result:
        """All sets by all ways that were asked for; the table has the paper's lines beside."""
        c, began = self.config, time.perf_counter()
        settings = {"encoder": self.subject.describe(), **{k: v for k, v in c.deciding().items() if k != "how"}}
        with working(folder, "transfer", settings) as work:
            rows = [self.row(work, found, how) for found in sets for how in c.how]
            result = Result("transfer", self.about(sets, absent, began), rows)
            processes.first(lambda: result.write(folder / "transfer.json"))
        return result

    def row(self, work: Work, found: TransferSet, how: str) -> dict[str, Any]:
        """One set, one way. The interval is over seeds where there are several, else over resampled test pictures."""
        measured = []
        for seed in range(self.config.seed, self.config.seed + (1 if how == "linear" else self.config.seeds)):
            key = f"{found.name} {found.train.fingerprint[:6]} {how} seed {seed}"
            compute = self.linear if how == "linear" else self.learned
            measured.append(work.part(key, lambda to, s=seed, f=compute: f(found, how, s, to)))
            value = measured[-1]["value"]
            say(f"{found.name}, {how}: {'– (no test picture counts)' if value is None else f'{100 * value:.1f}'} ({found.metric})")
        values = [m["value"] for m in measured]
        known = [value for value in values if value is not None]
        low, high = over_seeds(values) if len(known) == len(values) and len(set(values)) > 1 else measured[0]["interval"] or (None, None)
        return {
            "subject": self.subject.title if how != "from-scratch" else "from scratch",
            "set": found.name,
            "how": how,
            "metric": found.metric,
            "value": {"mean": float(np.mean(values)) if len(known) == len(values) else None, "low": low, "high": high, "values": values},
            "labels_used": measured[0]["labels_used"],
            "tested": len(found.test),
            "chosen": [m["chosen"] for m in measured],
        }

    def tested(self, found: TransferSet, logits: Tensor) -> dict[str, Any]:
        """The metric on the test part, and its interval."""
        y = truth(found.test).to(logits.device)
        return {"value": METRICS[found.metric](logits, y), "interval": bootstrap(METRICS[found.metric], logits, y)}

    def parts(self, found: TransferSet, seed: int) -> tuple[ImageSource, ImageSource, ImageSource]:
        """Training, validation and both together."""
        c, train = self.config, found.train
        if c.limit and train.labels is not None and len(train) > c.limit:
            each = max(2, c.limit // len(train.classes))
            rarest = int(np.bincount(train.labels, minlength=len(train.classes)).min())
            train = part(train, choose(train.labels, len(train.classes), Amount(per_class=min(each, rarest)), "transfer", seed))
        if found.validation is not None:
            return train, found.validation, Joined(train, found.validation)
        first, second = held_out(train, VALIDATION, "transfer validation", seed)
        return first, second, train

    def linear(self, found: TransferSet, how: str, seed: int, folder: Path) -> dict[str, Any]:
        """Logistic regression on frozen h: l2 of 45 values on validation, refitted on all."""
        classes, metric = len(found.train.classes), METRICS[found.metric]
        net = place(self.subject.encoder.eval(), self.device)

        def seen(source: ImageSource) -> tuple[Tensor, Tensor]:
            h = features(net, source, self.spec.size, self.spec.resize, self.device, self.precision, self.workers(source), what=found.name)
            return h, truth(source).to(self.device)

        first, second, _ = self.parts(found, seed)
        (h, y), (held, held_y) = seen(first), seen(second)
        queries = prepared(held, h)
        tried = [(metric(queries @ w + b, held_y) or 0.0, l2) for l2, w, b in Logistic(prepared(h, h), y, classes).path(list(L2))]
        best = max(value for value, _ in tried)
        l2 = next(l2 for value, l2 in tried if value == best)  # the strongest of the best
        both = torch.cat([h, held])
        w, b = Logistic(prepared(both, both), torch.cat([y, held_y]), classes).fit(l2)
        logits = prepared(seen(found.test)[0], both) @ w + b
        return {**self.tested(found, logits), "labels_used": len(both), "chosen": {"l2": l2, "validation": best}}

    def learned(self, found: TransferSet, how: str, seed: int, folder: Path) -> dict[str, Any]:
        """The whole network: rate and weight decay on validation, then learned anew on all."""
        first, second, both = self.parts(found, seed)
        inner, metric, tried = Work(folder), METRICS[found.metric], []
        for rate, decay in itertools.product(*GRIDS[self.config.grid]):

            def attempt(to: Path, r: float = rate, d: float = decay) -> dict[str, Any]:
                net = self.fit(first, how, r, d, seed, to, f"{found.name}, {how}, rate {r:g}, weight decay {d:g}")
                return {"value": metric(self.logits(net, second), truth(second).to(self.device)) or 0.0}

            tried.append((inner.part(f"rate {rate:g} decay {decay:g}", attempt)["value"], -rate, decay))
        best, rate, decay = max(tried)
        net = self.fit(both, how, -rate, decay, seed, folder, f"{found.name}, {how}, on all")
        chosen = {"learning_rate": -rate, "weight_decay": decay, "validation": best}
        return {**self.tested(found, self.logits(net, found.test)), "labels_used": len(both), "chosen": chosen}

    def fit(self, source: ImageSource, how: str, rate: float, decay: float, seed: int, folder: Path, what: str) -> Classifier:
        c = self.config
        encoder = from_spec(self.spec, seed) if how == "from-scratch" else self.subject.fresh()
        net = Classifier(encoder, len(source.classes))
        y = truth(source).to(self.device)
        learn(
            net, source, np.arange(len(source)), labels_criterion(y) if y.ndim == 1 else binary_criterion(y),
            size=self.spec.size, resize=self.spec.resize, config=c, epochs=c.epochs, rate=rate, weight_decay=decay, warmup=0.0,
            device=self.device, precision=self.precision, workers=self.workers(source), frozen=False, clip=0.0,
            seed=int(rng.key("transfer fit", seed)[0] >> 1) % 2**31, folder=folder, what=what,
        )  # fmt: skip
        return net

    def logits(self, net: Classifier, source: ImageSource) -> Tensor:
        return logits_of(net, [source], self.spec.size, self.spec.resize, self.device, self.precision, self.workers(source))

    def workers(self, source: ImageSource) -> int:
        return workers_for(self.config.workers, source)

    def about(self, sets: list[TransferSet], absent: list[str], began: float) -> dict[str, Any]:
        c = self.config
        return {
            "subject": self.subject.describe(),
            "sets": {
                s.name: {"train": len(s.train), "test": len(s.test), "metric": s.metric, "fingerprint": s.train.fingerprint} for s in sets
            },
            "absent": absent,
            "tested_on": "each set's own test part",
            "protocol": (
                "linear: L-BFGS on frozen h, l2 of 45 values on validation, refitted on training and validation; fine-tuned and from scratch: "
                f"{c.steps} updates, batch {c.batch}, Nesterov {c.momentum:g}, cosine, crop and flip, rate and weight decay ({c.grid} grid) on validation"
            ),
            "config": dataclasses.asdict(c),
            "versions": versions(),
            "command": sys.argv,
            "seconds": round(time.perf_counter() - began, 1),
        }


def truth(source: ImageSource) -> Tensor:
    """Labels (n,), or targets (n, classes) where a picture may show several classes."""
    if isinstance(source, Joined):
        return torch.cat([truth(source.first), truth(source.second)])
    if isinstance(source, Files) and source.targets is not None:
        return torch.from_numpy(source.targets)
    assert source.labels is not None
    return torch.from_numpy(source.labels)


def binary_criterion(y: Tensor) -> Criterion:
    """Binary cross-entropy to targets (n, classes) of 1, 0 and −1, which does not count."""

    def criterion(x: Tensor, logits: Tensor, at: Tensor) -> Tensor:
        wanted = y[at]
        loss = F.binary_cross_entropy_with_logits(logits, wanted.clamp(min=0).float(), reduction="none")
        return (loss * (wanted >= 0)).sum(1).mean()

    return criterion


def paper_rows(names: Sequence[str], how: str) -> list[tuple[str, list[str]]]:
    """The paper's lines for these sets, as cells; empty for sets it does not have."""
    at = {name: i for i, name in enumerate(TRANSFER_SETS)}
    return [(label, [f"{values[at[n]]:.1f}" if n in at else "" for n in names]) for (way, label), values in PAPER.items() if way == how]
