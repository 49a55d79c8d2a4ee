"""The views of small uint8 pictures on processors: each view's whole way, from crop to blur, while it lies in the caches.

The definition is the batched one of crop.py, color.py and blur.py, which devices compute; this is the same, compiled by Numba, without the
moves, stroke and noise of drawings. Threads share the views of a batch; no number depends on how.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from .color import GRAY, meaning
from .config import ViewConfig
from .draw import Draws

FILTERS = {"antialias": 0, "official": 1, "official-v1": 2}
CHUNK = 16  # views that a thread takes at a time
f32 = np.float32
ZERO, HALF, ONE, TWO, THREE, FOUR, FIVE, SIX = (f32(v) for v in (0, 0.5, 1, 2, 3, 4, 5, 6))
RED, GREEN, BLUE = (f32(v) for v in GRAY)
TINY, BYTES, STEPS = f32(1e-12), f32(255), f32(1024)
compiled = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz"})


def covers(config: ViewConfig) -> bool:
    """Whether views of this config are made here: without moves, stroke and noise."""
    c = config
    return not (c.rotate or c.zoom or c.shear or c.shift or c.warp or c.stroke or c.noise)


def render(images: Tensor, draws: Draws, config: ViewConfig, cut: bool) -> Tensor:
    """The views of pictures on the host: (n, C, H, W) uint8 with the draws of n or 2n views, or of views already `cut`, (m, C, S, S) uint8.

    Returns (m, C, S, S) float32 in [0, 1], one for each draw.
    """
    c, d, views = config, draws, len(draws.flip)
    out = torch.empty(views, c.channels, c.size, c.size)
    official = c.color == "official"
    order = np.where(d.jitter[:, None], d.order, -1)
    if c.channels != 3:
        order = np.where(order < len(meaning(c.color, c.channels)), order, -1)  # what needs colours comes last in OPERATIONS
    gray = d.gray & (c.channels == 3)
    numbers = (d.box, d.flip, order, d.factors.astype(f32), gray, d.sigma.astype(f32))
    where = (images.contiguous().numpy(), cut, *numbers, FILTERS[c.resize], official, c.size // 10 // 2, out.numpy())

    def part(start: int) -> None:
        _views(*where, start, min(start + CHUNK, views))

    starts, threads = range(0, views, CHUNK), torch.get_num_threads()
    if threads == 1 or len(starts) == 1:
        _views(*where, 0, views)
    else:
        list(_pool(threads).map(part, starts))
    return out


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="views")


@compiled
def _views(
    images: Any, cut: bool, box: Any, flip: Any, order: Any, factors: Any, gray: Any, sigma: Any,
    filter: int, official: bool, radius: int, out: Any, start: int, stop: int,
) -> None:  # fmt: skip
    channels, size = out.shape[1], out.shape[2]
    for view in range(start, stop):
        x = out[view]
        whole = images.shape[2] == size and images.shape[3] == size and box[view, 2] == size and box[view, 3] == size
        if cut or whole:
            for c in range(channels):
                for i in range(size):
                    row, line = x[c, i], images[view % len(images), c, i]
                    if flip[view] and not cut:
                        line = line[::-1]
                    for j in range(size):
                        row[j] = f32(line[j]) / BYTES
        else:
            _crop(images[view % len(images)], box[view], flip[view], filter, x)
        planes = x.reshape(channels, size * size)
        jittered = False
        for place in range(4):
            operation, factor = order[view, place], factors[view, order[view, place]]
            if operation == 0:
                _brightness(planes, factor)
            elif operation == 1:
                _contrast(planes, factor, official)
            elif operation == 2:
                _saturation(planes, factor, official)
            elif operation == 3:
                _hue(planes, factor)
            jittered = jittered or operation >= 0
        if gray[view]:
            r, g, b = planes[0], planes[1], planes[2]
            for i in range(size * size):
                r[i] = g[i] = b[i] = RED * r[i] + GREEN * g[i] + BLUE * b[i]
        if not (cut or whole) or jittered or gray[view]:
            for c in range(channels):
                plane = planes[c]
                for i in range(size * size):
                    plane[i] = min(max(plane[i], ZERO), ONE)
        if sigma[view] > 0 and radius > 0:
            _blur(x, sigma[view], radius)


@compiled
def _cubic(distance: Any, a: Any) -> Any:
    x = abs(distance)
    if x < ONE:
        return ((a + TWO) * x - (a + THREE)) * x * x + ONE
    if x < TWO:
        return ((a * x - FIVE * a) * x + (FOUR + FOUR) * a) * x - FOUR * a
    return ZERO


@compiled
def _taps(start: int, length: int, size: int, filter: int, first: Any, count: Any, weight: Any) -> None:
    """Where each output begins to read, how many pixels, and their weights; crop.resize_weights without its zeros."""
    scale = f32(length) / f32(size)
    wide = max(scale, ONE) if filter == 0 else ONE
    for o in range(size):
        position = f32(o) * scale if filter == 2 else (f32(o) + HALF) * scale - HALF
        center = position
        if filter > 0:
            whole = f32(np.floor(position))
            center = whole + f32(np.round((position - whole) * STEPS)) / STEPS
        low, high = int(np.ceil(center - TWO * wide)), int(np.floor(center + TWO * wide))
        if filter == 2:  # pixels beyond the edge repeat it: their weights go to the edge
            low, high = int(whole) - 1, int(whole) + 2
            begin, end = min(max(low, 0), length - 1), min(max(high, 0), length - 1)
            for k in range(end - begin + 1):
                weight[o, k] = ZERO
            for j in range(low, high + 1):
                weight[o, min(max(j, 0), length - 1) - begin] += _cubic(f32(j) - center, f32(-0.75))
        else:
            begin, end = max(low, 0), min(high, length - 1)
            total = ZERO
            for j in range(begin, end + 1):
                w = _cubic((f32(j) - center) / wide, -HALF)
                weight[o, j - begin] = w
                total += w
            for k in range(end - begin + 1):
                weight[o, k] /= total
        first[o], count[o] = start + begin, end - begin + 1


@compiled
def _crop(image: Any, box: Any, flip: bool, filter: int, x: Any) -> None:
    """One picture (C, H, W) uint8 cut at `box`, resized into x (C, S, S), mirrored."""
    channels, size = x.shape[0], x.shape[1]
    top, left, height, width = box[0], box[1], box[2], box[3]
    most = 4 * (max(height, width) // size + 1) + 2
    first, count, weight = np.empty(size, np.int64), np.empty(size, np.int64), np.empty((size, most), np.float32)
    rows = np.empty((channels, size, width), np.float32)
    _taps(top, height, size, filter, first, count, weight)
    for c in range(channels):
        for o in range(size):
            row = rows[c, o]
            row[:] = ZERO
            for k in range(count[o]):
                w, line = weight[o, k] / BYTES, image[c, first[o] + k, left : left + width]
                for j in range(width):
                    row[j] += w * f32(line[j])
    _taps(0, width, size, filter, first, count, weight)
    for o in range(size):
        at = size - 1 - o if flip else o
        for c in range(channels):
            for i in range(size):
                value = ZERO
                for k in range(count[o]):
                    value += weight[o, k] * rows[c, i, first[o] + k]
                x[c, i, at] = value


@compiled
def _brightness(planes: Any, factor: Any) -> None:
    for c in range(len(planes)):
        plane = planes[c]
        for i in range(len(plane)):
            plane[i] = min(max(plane[i] * factor, ZERO), ONE)


@compiled
def _contrast(planes: Any, factor: Any, official: bool) -> None:
    channels = len(planes)
    means = np.zeros(channels, np.float32)
    for c in range(channels):
        total, plane = ZERO, planes[c]
        for i in range(len(plane)):
            total += plane[i]
        means[c] = total / f32(len(plane))
    if channels == 3 and not official:
        means[:] = RED * means[0] + GREEN * means[1] + BLUE * means[2]
    elif not official:
        means[:] = means.sum() / f32(channels)
    for c in range(channels):
        mean, plane = means[c], planes[c]
        for i in range(len(plane)):
            plane[i] = min(max(mean + (plane[i] - mean) * factor, ZERO), ONE)


@compiled
def _saturation(planes: Any, factor: Any, official: bool) -> None:
    r, g, b = planes[0], planes[1], planes[2]
    for i in range(len(r)):
        x, y, z = r[i], g[i], b[i]
        if official:
            base, low = max(max(x, y), z), min(min(x, y), z)
            ratio = min(factor, base / max(base - low, TINY))
        else:
            base, ratio = RED * x + GREEN * y + BLUE * z, factor
        r[i] = min(max(base + (x - base) * ratio, ZERO), ONE)
        g[i] = min(max(base + (y - base) * ratio, ZERO), ONE)
        b[i] = min(max(base + (z - base) * ratio, ZERO), ONE)


@compiled
def _hue(planes: Any, shift: Any) -> None:
    r, g, b = planes[0], planes[1], planes[2]
    turn = SIX * shift
    for i in range(len(r)):
        x, y, z = r[i], g[i], b[i]
        high, low = max(max(x, y), z), min(min(x, y), z)
        chroma = high - low
        unit = ONE / max(chroma, TINY)
        sixth = (y - z) * unit if high == x else ((z - x) * unit + TWO if high == y else (x - y) * unit + FOUR)
        sixth += turn
        r[i] = _corner(high, chroma, sixth + FIVE)
        g[i] = _corner(high, chroma, sixth + THREE)
        b[i] = _corner(high, chroma, sixth + ONE)


@compiled
def _corner(high: Any, chroma: Any, k: Any) -> Any:
    k -= SIX * f32(np.floor(k * (ONE / SIX)))
    return min(max(high - chroma * min(max(min(k, FOUR - k), ZERO), ONE), ZERO), ONE)


@compiled
def _blur(x: Any, sigma: Any, radius: int) -> None:
    """In place; zeros beyond the edges, as blur.blur. Weights below 1e-7 of the middle one are left out."""
    channels, size = x.shape[0], x.shape[1]
    weight = np.zeros(radius + 2, np.float32)
    for k in range(radius + 1):
        weight[k] = np.exp(-HALF * f32(k * k) / (sigma * sigma))
    weight /= TWO * weight.sum() - ONE
    radius = min(radius, int(np.ceil(f32(5.7) * sigma)))
    radius += radius % 2  # the last weight may be a zero
    padded = np.zeros((size + 2 * radius, size), np.float32)
    line = np.zeros(size + 2 * radius, np.float32)
    for c in range(channels):
        plane = x[c]
        padded[radius : radius + size] = plane
        for i in range(size):
            middle, row = line[radius : radius + size], plane[i]
            for j in range(size):
                middle[j] = weight[0] * padded[radius + i, j]
            for k in range(1, radius + 1, 2):  # two at a time: half the traffic
                v, w, m = weight[k], weight[k + 1], radius + i
                above, below, higher, lower = padded[m - k], padded[m + k], padded[m - k - 1], padded[m + k + 1]
                for j in range(size):
                    middle[j] += v * (above[j] + below[j]) + w * (higher[j] + lower[j])
            for j in range(size):
                row[j] = weight[0] * middle[j]
            for k in range(1, radius + 1, 2):
                v, w, m = weight[k], weight[k + 1], radius
                before, after = line[m - k : m - k + size], line[m + k : m + k + size]
                earlier, later = line[m - k - 1 : m - k - 1 + size], line[m + k + 1 : m + k + 1 + size]
                for j in range(size):
                    row[j] += v * (before[j] + after[j]) + w * (earlier[j] + later[j])
            for j in range(size):
                row[j] = min(max(row[j], ZERO), ONE)
