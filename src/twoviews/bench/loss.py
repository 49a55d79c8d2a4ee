"""NT-Xent, forward and backward: time and memory against the number of pairs, beside other implementations and bare matrix products."""

# What is compared with comes with the extra `bench`, which need not be there.
# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..base import processes
from ..losses.nt_xent import auto_tile, nt_xent
from ..losses.tiled import KEEP_BYTES, tiles
from .measure import Series, installed, machine, peak, turns

SIZES = (64, 128, 256, 512, 1024, 2048, 4096, 8192, 32768)
FEATURES = 128
MOST = {"definition": 8192, "lightly": 8192, "pytorch-metric-learning": 128}  # pairs: beyond them memory or patience ends


def products(n: int) -> Callable[[], Any]:
    """The matrix products of the tiles alone: those of the value, and those of the gradient."""
    u = torch.randn(2 * n, FEATURES)
    du = torch.zeros_like(u)
    tile = auto_tile(u.device)
    parts = list(tiles(0, len(u), tile))
    kept = sum((b - a) * (d - c) for a, b, c, d in parts) * 4 <= KEEP_BYTES  # then each tile is made once, else again for the gradient
    made = [u.new_empty(b - a, d - c) for a, b, c, d in parts] if kept else []
    one = u.new_zeros(tile * tile)

    def call() -> None:
        for sweep in range(2):
            for number, (a, b, c, d) in enumerate(parts):
                e = made[number] if kept else one[: (b - a) * (d - c)].view(b - a, d - c)
                if not (sweep and kept):
                    torch.mm(u[a:b], u[c:d].T, out=e)
                if sweep:
                    du[a:b].addmm_(e, u[c:d])
                    if a != c:
                        du[c:d].addmm_(e.T, u[a:b])

    return call


def candidates(n: int) -> dict[str, Callable[[], Any]]:
    """Forward and backward of n pairs by each implementation that is installed and can."""
    group, share = processes.everyone(), n // processes.world()
    z1, z2 = (z.requires_grad_() for z in torch.randn(2, share, FEATURES).unbind())

    def run(loss: Callable[[Tensor, Tensor], Tensor]) -> Callable[[], None]:
        def call() -> None:
            z1.grad = z2.grad = None
            loss(z1, z2).backward()

        return call

    out = {"twoviews": run(lambda a, b: nt_xent(a, b, 0.1, group=group))}
    if group is not None:
        return out
    out["definition"] = run(lambda a, b: nt_xent(a, b, 0.1, tile=None))
    if installed("lightly"):
        from lightly.loss import NTXentLoss

        out["lightly"] = run(NTXentLoss(temperature=0.1))
    if installed("pytorch_metric_learning"):
        from pytorch_metric_learning.losses import NTXentLoss as Metric
        from pytorch_metric_learning.losses import SelfSupervisedLoss

        out["pytorch-metric-learning"] = run(SelfSupervisedLoss(Metric(temperature=0.1)))
    out = {name: call for name, call in out.items() if n <= MOST.get(name, n)}
    out["matrix products alone"] = products(n)
    return out


def bench(sizes: tuple[int, ...] = SIZES, seconds: float = 4.0) -> dict[str, Any]:
    """Seconds and peak bytes by name and number of pairs."""
    times: Series = {}
    memory: Series = {}
    for n in sizes:
        ready = candidates(n)
        for name, call in ready.items():
            call()
            if "alone" not in name and (found := peak(call)) is not None:
                memory.setdefault(name, {})[n] = found
        slow = {name: ready.pop(name) for name in ("pytorch-metric-learning",) if name in ready}  # it would empty the others' caches
        for name, value in {**turns(ready, seconds), **turns(slow, seconds)}.items():
            times.setdefault(name, {})[n] = value
    return {"machine": machine(), "features": FEATURES, "processes": processes.world(), "seconds": times, "bytes": memory}
