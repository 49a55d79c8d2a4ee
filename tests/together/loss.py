"""Run by torchrun in several processes: NT-Xent across them is the one of a single process, value and gradient."""

from __future__ import annotations

import torch
import torch.distributed as dist

from twoviews.base import processes
from twoviews.losses import tiled
from twoviews.losses.compared import decoupled, margin_triplet, nt_logistic
from twoviews.losses.nt_xent import definition, nt_xent


class Computed(torch.utils._python_dispatch.TorchDispatchMode):
    """Counts the multiplications of matrix products and the largest tensor."""

    def __init__(self):
        super().__init__()
        self.products, self.largest = 0, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        if function.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm_):
            left, right = args[-2:]
            self.products += left.shape[0] * left.shape[1] * right.shape[1]
        if isinstance(out, torch.Tensor):
            self.largest = max(self.largest, out.numel())
        return out


def main() -> None:
    assert processes.join()
    world, rank, group = processes.world(), processes.rank(), processes.everyone()
    n, d = 48, 16
    every = torch.randn(2, n * world, d, dtype=torch.float64, generator=torch.Generator().manual_seed(world))
    own = slice(rank * n, (rank + 1) * n)
    for normalize in (True, False):
        for tile in (5, 20, "auto", None):
            whole = every.clone().requires_grad_()
            want = definition(whole[0], whole[1], 0.3, normalize)
            (slope,) = torch.autograd.grad(want, whole)
            z = every[:, own].clone().requires_grad_()
            loss = nt_xent(z[0], z[1], 0.3, normalize=normalize, tile=tile, group=group)
            loss.backward()
            assert abs(loss - want) < 1e-10, (normalize, tile, loss.item(), want.item())
            assert (z.grad - slope[:, own]).abs().max() < 1e-10, (normalize, tile)

    for other in (
        lambda a, b, g: nt_logistic(a, b, 0.3, group=g, tile=5),
        lambda a, b, g: nt_logistic(a, b, 0.3, semi_hard=True, group=g),
        lambda a, b, g: margin_triplet(a, b, 0.5, group=g, tile=7),
        lambda a, b, g: decoupled(a, b, 0.3, group=g),
    ):
        whole = every.clone().requires_grad_()
        want = other(whole[0], whole[1], None)
        (slope,) = torch.autograd.grad(want, whole)
        z = every[:, own].clone().requires_grad_()
        loss = other(z[0], z[1], group)
        loss.backward()
        assert abs(loss - want) < 1e-10
        assert (z.grad - slope[:, own]).abs().max() < 1e-10

    z = torch.randn(2, 256 // world, 8)
    for keep in (0, tiled.KEEP_BYTES):
        tiled.KEEP_BYTES = keep
        with Computed() as here:
            nt_xent(z[0].requires_grad_(), z[1].requires_grad_(), tile=32 if world < 8 else 16, group=group).backward()
        work = processes.gathered(torch.tensor([here.products]), group).flatten().tolist()
        assert max(work) < 1.25 * sum(work) / world, work  # a fair share each
        assert sum(work) < (2.3 if keep == 0 else 1.8) * 512**2 * 8, work  # and together what one process computes
        assert here.largest < 512**2 / world + 512 * 8

    z = every[:, own]  # without the group each process stands alone
    assert abs(nt_xent(z[0], z[1], 0.3) - definition(z[0], z[1], 0.3)) < 1e-10

    # a parameter's gradient, summed over the processes, is that of the whole loss
    weight = torch.randn(d, d, dtype=torch.float64, generator=torch.Generator().manual_seed(7), requires_grad=True)
    (slope,) = torch.autograd.grad(definition(every[0] @ weight, every[1] @ weight, 0.3), weight)
    nt_xent(every[0, own] @ weight, every[1, own] @ weight, 0.3, group=group).backward()
    dist.all_reduce(weight.grad)
    assert (weight.grad - slope).abs().max() < 1e-10
    if rank == 0:
        print("equal")
    processes.leave()


if __name__ == "__main__":
    main()
