"""The Triton kernels, in Triton's interpreter (no GPU is needed): the tiles' numbers; and that they compile for GPUs."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip("triton", reason="Triton is not installed")

INTERPRETED = """
import torch
from twoviews.losses import tiled
from twoviews.losses.nt_xent import definition, nt_xent

assert not tiled.fused_fits(torch.zeros(4, 8))  # on processors the tiles are faster
generator = torch.Generator().manual_seed(0)
for n, d in ((1, 4), (5, 16), (33, 20), (80, 128)):
    u = torch.nn.functional.normalize(torch.randn(2 * n, d, generator=generator)) * 3
    ours, tiles = tiled.Fused(u, None), tiled.Tiles(u, 2 * n, True, None)
    assert torch.allclose(ours.totals(), tiles.totals(), rtol=1e-5), (n, d)
    weight = tiles.totals()[: 2 * n].reciprocal()
    tiles = tiled.Tiles(u, 2 * n, True, None)
    tiles.totals()
    assert torch.allclose(ours.slopes(weight), tiles.slopes(weight), rtol=1e-4, atol=1e-6), (n, d)
    parts = tiled.Fused(u, None)
    parts.rows = [(0, n), (n, n)]  # as two processes have them
    assert torch.allclose(parts.totals(), ours.totals(), rtol=1e-6)
    assert torch.allclose(parts.slopes(weight), ours.slopes(weight), rtol=1e-5, atol=1e-7)

tiled.fused_fits = lambda u: True
z = torch.randn(2, 70, 24, generator=generator, requires_grad=True)
loss = nt_xent(z[0], z[1], 0.2)
want = definition(z[0].double(), z[1].double(), 0.2)
(got,), (slope,) = torch.autograd.grad(loss, z), torch.autograd.grad(want, z)
assert abs(loss.item() - want.item()) < 1e-5
assert (got - slope).abs().max() < 1e-6
assert tiled._proved(torch.device("cpu"), 32)
print("equal")
"""

COMPILED = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from twoviews.losses import fused

for capability in (80, 90):
    for width in (64, 128, 256):
        constants = fused.blocks(width)
        sums = {"u": "*fp32", "sums": "*fp32", "positives": "*fp32", "start": "i32", "count": "i32", "total": "i32", "half": "i32", "width": "i32"}
        slopes = {"u": "*fp32", "weight": "*fp32", "du": "*fp32", "start": "i32", "count": "i32", "total": "i32", "width": "i32"}
        for kernel, signature in ((fused.sums_kernel, sums), (fused.slopes_kernel, slopes)):
            made = triton.compile(
                ASTSource(kernel, {**signature, **dict.fromkeys(constants, "constexpr")}, constants), target=GPUTarget("cuda", capability, 32), options=fused.LAUNCH
            )
            assert made.metadata.shared <= 99 * 1024, (capability, width, made.metadata.shared)  # what every GPU of these kinds has
print("compiled")
"""


def run(script: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300, env={**os.environ, **environment}, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_interpreter_computes_the_tiles_numbers():
    assert "equal" in run(INTERPRETED, TRITON_INTERPRET="1")


@pytest.mark.soak
def test_they_compile_for_gpus(tmp_path):
    assert "compiled" in run(COMPILED, TRITON_CACHE_DIR=str(tmp_path))
