"""The two sweeps of NT-Xent as one Triton kernel each, for GPUs: no similarity leaves the chip, so memory is that of z.

Rows of this process against all columns; each row block is computed whole, which needs no sums across blocks and gives the same bits each time.
The definition is in nt_xent.py; the tests run these kernels in Triton's interpreter.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

LAUNCH = {"num_stages": 1}  # more would not fit into the shared memory of small GPUs


@triton.jit
def sums_kernel(u, sums, positives, start, count, total, half, width, WIDTH: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Σ_k 2^(u_i·u_k) over k ≠ i, and 2^(u_i·u_partner), for rows start … start + count - 1 of u (total, width)."""
    row = start + tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    feature = tl.arange(0, WIDTH)
    here = row < start + count
    own = tl.load(u + row[:, None] * width + feature[None, :], mask=here[:, None] & (feature[None, :] < width), other=0.0)
    partner = (row + half) % total
    sum_ = tl.zeros([ROWS], tl.float32)
    positive = tl.zeros([ROWS], tl.float32)
    for begin in range(0, total, COLUMNS):
        column = begin + tl.arange(0, COLUMNS)
        other = tl.load(
            u + column[:, None] * width + feature[None, :], mask=(column[:, None] < total) & (feature[None, :] < width), other=0.0
        )
        e = tl.exp2(tl.dot(own, tl.trans(other), input_precision="tf32x3"))
        e = tl.where((column[None, :] < total) & (column[None, :] != row[:, None]), e, 0.0)
        sum_ += tl.sum(e, 1)
        positive += tl.sum(tl.where(column[None, :] == partner[:, None], e, 0.0), 1)
    tl.store(sums + row, sum_, mask=here)
    tl.store(positives + row, positive, mask=here)


@triton.jit
def slopes_kernel(u, weight, du, start, count, total, width, WIDTH: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Σ_k (w_i + w_k)·2^(u_i·u_k)·u_k over k ≠ i, for rows start … start + count - 1."""
    row = start + tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    feature = tl.arange(0, WIDTH)
    here = row < start + count
    own = tl.load(u + row[:, None] * width + feature[None, :], mask=here[:, None] & (feature[None, :] < width), other=0.0)
    weight_own = tl.load(weight + row, mask=here, other=0.0)
    sum_ = tl.zeros([ROWS, WIDTH], tl.float32)
    for begin in range(0, total, COLUMNS):
        column = begin + tl.arange(0, COLUMNS)
        inside = column < total
        other = tl.load(u + column[:, None] * width + feature[None, :], mask=inside[:, None] & (feature[None, :] < width), other=0.0)
        e = tl.exp2(tl.dot(own, tl.trans(other), input_precision="tf32x3"))
        e = tl.where(inside[None, :] & (column[None, :] != row[:, None]), e, 0.0)
        g = e * (weight_own[:, None] + tl.load(weight + column, mask=inside, other=0.0)[None, :])
        sum_ += tl.dot(g, other, input_precision="tf32x3")
    tl.store(du + row[:, None] * width + feature[None, :], sum_, mask=here[:, None] & (feature[None, :] < width))


def sums(u: Tensor, start: int, count: int) -> tuple[Tensor, Tensor]:
    """Row sums of the exponentials and the exponential of each view and its partner: (total,) each, zero but in the rows asked for."""
    total, width = u.shape
    out = u.new_zeros(2, total)
    block = blocks(width)
    sums_kernel[(triton.cdiv(count, block["ROWS"]),)](u, out[0], out[1], start, count, total, total // 2, width, **block, **LAUNCH)  # type: ignore[arg-type]
    return out[0], out[1]


def slopes(u: Tensor, weight: Tensor, start: int, count: int) -> Tensor:
    """Gradient sums (total, width), zero but in the rows asked for."""
    total, width = u.shape
    out = torch.zeros_like(u)
    block = blocks(width)
    slopes_kernel[(triton.cdiv(count, block["ROWS"]),)](u, weight, out, start, count, total, width, **block, **LAUNCH)  # type: ignore[arg-type]
    return out


def blocks(width: int) -> dict[str, int]:
    """Sizes of a block for this many features: powers of two, as the chip multiplies them."""
    wide = max(16, triton.next_power_of_2(width))
    return {"WIDTH": wide, "ROWS": 64 if wide <= 128 else 32, "COLUMNS": 64 if wide <= 64 else 32}
