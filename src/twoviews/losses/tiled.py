"""NT-Xent tile by tile: the 2n × 2n similarities are never whole, and as they are symmetric each pair of tiles is computed once.

With unit vectors and the logits in base 2, no logit is above log2(e)/τ, so exponentials need no running maximum: each tile's are added to the
sums of its rows and of its columns. Gradients are computed in the same call, so that nothing is kept for the backward pass but dz itself.
The definition is in nt_xent.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..base.processes import Group, gathered, rank, summed, world

HOTTEST = 1 / 60  # below this temperature exponentials could leave float32's range
KEEP_BYTES = 160 << 20  # exponentials stay from one sweep to the next while they fit in this
EPSILON = 1e-12  # of the squared norm, as official


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

    Each process computes 1/world of the tiles; what crosses are z, the row sums and dz. Without `gradient` the last two are empty.
    """
    z = gathered(torch.stack([z1, z2]), group).transpose(0, 1).flatten(0, 2)  # (N, d), N = 2n·world; all first views before all second
    half = len(z) // 2
    norm = z.square().sum(1, keepdim=True)
    inverse = norm.clamp(min=EPSILON).rsqrt_()
    scale = math.sqrt(math.log2(math.e) / temperature)
    u = z * (inverse * scale)  # u_i · u_j is the logit in base 2
    totals = u.new_zeros(len(u) + half)
    sums, positives = totals[: len(u)], totals[len(u) :]  # row sums of the exponentials; the exponential of each view and its partner
    mine = list(tiles(0, len(u), tile))[rank(group) :: world(group)]
    room = sum((b - a) * (d - c) for a, b, c, d in mine) * u.element_size()
    keep = gradient and room <= KEEP_BYTES
    exponentials: list[Tensor] = []
    scratch, other = u.new_empty(0 if keep else tile * tile), u.new_empty(tile * tile if gradient else 0)

    def exponential(a: int, b: int, c: int, d: int) -> Tensor:
        """2^(u_i · u_j) of a tile, without the view itself."""
        e = u.new_empty(b - a, d - c) if keep else scratch[: (b - a) * (d - c)].view(b - a, d - c)
        torch.mm(u[a:b], u[c:d].T, out=e)
        e.exp2_()
        return e.fill_diagonal_(0) if a == c else e

    for a, b, c, d in mine:
        e = exponential(a, b, c, d)
        sums[a:b] += e.sum(1)
        if a != c:
            sums[c:d] += e.sum(0)
        shift = a + half - c  # row r's partner is column r + half
        partners = e.diagonal(shift)
        positives[a + max(0, -shift) :][: len(partners)] += partners
        if keep:
            exponentials.append(e)
    summed(totals, group)
    loss = (sums / positives.repeat(2)).log().mean()  # one rounding for both: small losses stay exact
    if not gradient:
        return loss, z1.new_empty(0), z2.new_empty(0)

    weight = sums.reciprocal()
    du = torch.zeros_like(u)
    for number, (a, b, c, d) in enumerate(mine):
        e = exponentials[number] if keep else exponential(a, b, c, d)
        both = torch.add(weight[a:b, None], weight[c:d], out=other[: e.numel()].view(e.shape))
        g = torch.mul(e, both, out=both)
        du[a:b].addmm_(g, u[c:d])
        if a != c:
            du[c:d].addmm_(g.T, u[a:b])
    summed(du, group)
    n, at = len(z1), rank(group)
    own = (
        torch.cat([torch.arange(at * n, (at + 1) * n), torch.arange(half + at * n, half + (at + 1) * n)])
        if group is not None
        else slice(None)
    )
    partner = u.roll(half, 0)
    du, u, inverse, norm = (x[own] for x in (du.sub_(partner, alpha=2), u, inverse, norm))
    du = du.mul_(math.log(2) * scale / len(z))  # by the unit vector
    unit = u / scale
    along = (unit * du).sum(1, keepdim=True)
    dz1, dz2 = torch.addcmul(du, unit, torch.where(norm > EPSILON, along, 0.0), value=-1).mul_(inverse).split(n)
    return loss, dz1, dz2


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
