"""NT-Xent tile by tile: the 2n × 2n similarities are never whole, and as they are symmetric each pair of tiles is computed once.

With unit vectors and the logits in base 2, no logit is above log2(e)/τ, so exponentials need no running maximum: each tile's are added to the
sums of its rows and of its columns. Gradients are computed in the same call, so that nothing is kept for the backward pass but dz itself.
The definition is in nt_xent.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..base.console import say
from ..base.processes import Group, gathered, rank, summed, world
from .rows import EPSILON

HOTTEST = 1 / 60  # below this temperature exponentials could leave float32's range
KEEP_BYTES = 160 << 20  # exponentials stay from one sweep to the next while they fit in this


def tiles(low: int, high: int, tile: int) -> Iterator[tuple[int, int, int, int]]:
    """Row and column ranges that hold each unordered pair of low … high-1 once; those on the diagonal hold both orders of theirs."""
    if high - low <= max(1, tile // 2):
        yield low, high, low, high
        return
    middle = (low + high) // 2
    yield from tiles(low, middle, tile)
    yield from tiles(middle, high, tile)
    for top in range(low, middle, tile):
        for left in range(middle, high, tile):
            yield top, min(top + tile, middle), left, min(left + tile, high)


def value_and_gradient(
    z1: Tensor, z2: Tensor, temperature: float, tile: int, gradient: bool = True, group: Group | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """NT-Xent of this process's n pairs among those of all, and its gradients by them. Shapes (n, d), (n, d) → scalar, (n, d), (n, d).

    Each process computes 1/world of the work; what crosses are z, the row sums and dz. Without `gradient` the last two are empty.
    """
    u = gathered(torch.stack([z1, z2]), group).transpose(0, 1).flatten(0, 2)  # (N, d), N = 2n·world; all first views before all second
    half = len(u) // 2
    norm = torch.linalg.vecdot(u, u)[:, None]
    inverse = norm.clamp(min=EPSILON).rsqrt_()
    scale = math.sqrt(math.log2(math.e) / temperature)
    u.mul_(inverse * scale)  # in place, as all that follows: u_i · u_j is the logit in base 2
    sweeps = Fused(u, group) if fused_fits(u) else Tiles(u, tile, gradient, group)
    totals = summed(sweeps.totals(), group)
    sums, positives = totals[: len(u)], totals[len(u) :]
    loss = (sums / positives.repeat(2)).log().mean()  # one rounding for both: small losses stay exact
    if not gradient:
        return loss, z1.new_empty(0), z2.new_empty(0)
    du = summed(sweeps.slopes(sums.reciprocal()), group)
    du[:half].sub_(u[half:], alpha=2)
    du[half:].sub_(u[:half], alpha=2)
    n, at = len(z1), rank(group)
    if group is not None:
        own = torch.cat([torch.arange(begin, begin + n, device=u.device) for begin in (at * n, half + at * n)])
        du, u, inverse, norm = (x[own] for x in (du, u, inverse, norm))
    along = torch.where(norm > EPSILON, torch.linalg.vecdot(u, du)[:, None], 0.0)  # what would change a length has no effect
    du.addcmul_(u, along, value=-1 / scale**2).mul_(inverse * (math.log(2) * scale / (2 * half)))
    dz1, dz2 = du.split(n)
    return loss, dz1, dz2


class Tiles:
    """The two sweeps over this process's share of the tiles of u (N, d): what they add to the sums, and to the gradient."""

    def __init__(self, u: Tensor, tile: int, gradient: bool, group: Group | None):
        self.u, self.parts = u, list(tiles(0, len(u), tile))[rank(group) :: world(group)]
        room = sum((b - a) * (d - c) for a, b, c, d in self.parts) * u.element_size()
        self.keep = gradient and room <= KEEP_BYTES
        self.kept: list[Tensor] = []
        self.scratch, self.other = u.new_empty(0 if self.keep else tile * tile), u.new_empty(tile * tile if gradient else 0)

    def exponential(self, a: int, b: int, c: int, d: int) -> Tensor:
        """2^(u_i · u_j) of a tile, without the view itself."""
        shape = (b - a, d - c)
        e = self.u.new_empty(shape) if self.keep else self.scratch[: shape[0] * shape[1]].view(shape)
        torch.mm(self.u[a:b], self.u[c:d].T, out=e)
        e.exp2_()
        return e.fill_diagonal_(0) if a == c else e

    def totals(self) -> Tensor:
        """(N + N/2,): row sums of the exponentials, then the exponential of each pair."""
        half = len(self.u) // 2
        out = self.u.new_zeros(3 * half)
        sums, positives = out[: 2 * half], out[2 * half :]
        for a, b, c, d in self.parts:
            e = self.exponential(a, b, c, d)
            sums[a:b] += e.sum(1)
            if a != c:
                sums[c:d] += e.sum(0)
            shift = a + half - c  # row r's partner is column r + half
            partners = e.diagonal(shift)
            positives[a + max(0, -shift) :][: len(partners)] += partners
            if self.keep:
                self.kept.append(e)
        return out

    def slopes(self, weight: Tensor) -> Tensor:
        """(N, d): Σ_k (w_i + w_k) · 2^(u_i · u_k) · u_k."""
        du, u = torch.zeros_like(self.u), self.u
        for number, (a, b, c, d) in enumerate(self.parts):
            e = self.kept[number] if self.keep else self.exponential(a, b, c, d)
            both = torch.add(weight[a:b, None], weight[c:d], out=self.other[: e.numel()].view(e.shape))
            g = torch.mul(e, both, out=both)
            du[a:b].addmm_(g, u[c:d])
            if a != c:
                du[c:d].addmm_(g.T, u[a:b])
        return du


class Fused:
    """The same sweeps by the Triton kernels of fused.py: this process's rows against all columns."""

    def __init__(self, u: Tensor, group: Group | None):
        half, n = len(u) // 2, len(u) // 2 // world(group)
        at = rank(group) * n
        self.u, self.rows = u, [(0, 2 * half)] if world(group) == 1 else [(at, n), (half + at, n)]

    def totals(self) -> Tensor:
        """As `Tiles.totals`."""
        from . import fused

        sums, positives = (torch.stack(parts).sum(0) for parts in zip(*(fused.sums(self.u, *rows) for rows in self.rows), strict=True))
        return torch.cat([sums, positives[: len(self.u) // 2]])

    def slopes(self, weight: Tensor) -> Tensor:
        """As `Tiles.slopes`."""
        from . import fused

        return torch.stack([fused.slopes(self.u, weight, *rows) for rows in self.rows]).sum(0)


def fused_fits(u: Tensor) -> bool:
    """Whether the kernels are for this tensor: float32 on an NVIDIA GPU, up to 256 features, and they have proved themselves there."""
    return u.is_cuda and torch.version.cuda is not None and u.dtype == torch.float32 and u.shape[1] <= 256 and _proved(u.device, u.shape[1])


@cache
def _proved(device: torch.device, width: int) -> bool:
    """Try the kernels once on this device against the tiles; where they do not compile or differ, the tiles are used."""
    u = torch.nn.functional.normalize(torch.randn(140, width, generator=torch.Generator().manual_seed(0))).to(device) * 3
    try:
        ours, tiled = Fused(u, None), Tiles(u, 140, True, None)
        got, want = ours.totals(), tiled.totals()
        weight = want[:140].reciprocal()
        if torch.allclose(got, want, rtol=1e-4) and torch.allclose(ours.slopes(weight), tiled.slopes(weight), rtol=1e-3, atol=1e-5):
            return True
        reason = "they computed something else"
    except Exception as error:  # a compiler, driver or GPU that Triton does not get on with: the tiles need none of them
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    say(f"NT-Xent runs in tiles on {device}: its Triton kernels are of no use here ({reason})")
    return False


class Tiled(torch.autograd.Function):
    """`value_and_gradient` as a differentiable function of z1 and z2."""

    @staticmethod
    def forward(ctx: Any, z1: Tensor, z2: Tensor, temperature: float, tile: int, group: Group | None) -> Tensor:
        wanted = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        loss, dz1, dz2 = value_and_gradient(z1, z2, temperature, tile, wanted, group)
        ctx.save_for_backward(dz1, dz2)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        dz1, dz2 = ctx.saved_tensors
        return upstream * dz1, upstream * dz2, None, None, None


@torch.library.custom_op("twoviews::nt_xent", mutates_args=())
def compiled(z1: Tensor, z2: Tensor, temperature: float, tile: int) -> tuple[Tensor, Tensor, Tensor]:
    """The same as one opaque operation, for torch.compile: thousands of tiles are no graph to be traced."""
    loss, dz1, dz2 = value_and_gradient(z1, z2, temperature, tile)
    return loss, dz1.clone(), dz2.clone()  # an operation's results may not share memory


@compiled.register_fake
def _(z1: Tensor, z2: Tensor, temperature: float, tile: int) -> tuple[Tensor, Tensor, Tensor]:
    return z1.new_empty(()), torch.empty_like(z1), torch.empty_like(z2)


def _keep(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor, Tensor]) -> None:
    ctx.save_for_backward(*output[1:])


def _backward(ctx: Any, upstream: Tensor, *unused: Tensor) -> tuple[Tensor | None, ...]:
    dz1, dz2 = ctx.saved_tensors
    return upstream * dz1, upstream * dz2, None, None


compiled.register_autograd(_backward, setup_context=_keep)
