"""The numbers of the views: where to crop, how much to jitter. NumPy on the host, keyed: no state, no device (docs/architecture.md).

One key is one view of one picture. Each purpose has a stream of its own, so a new setting does not move the others' numbers.
The crop boxes follow TensorFlow's sample_distorted_bounding_box as the official code calls it; `torchvision_boxes` is the other rule.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from ..base.draws import Keys, extend, normal, uniform
from .config import ViewConfig

Float = NDArray[np.float64]
Int = NDArray[np.int64]
OPERATIONS = ("brightness", "contrast", "saturation", "hue")
WARP_GRID = 4


@dataclasses.dataclass
class Draws:
    """The numbers of m views; every array has m rows."""

    box: Int  # (m, 4): top, left, height, width in pixels of the picture
    flip: NDArray[np.bool_]  # (m,)
    jitter: NDArray[np.bool_]  # (m,)
    order: Int  # (m, 4): which of OPERATIONS comes first, second, …
    factors: Float  # (m, 4): factor of brightness, contrast, saturation; shift of hue as a share of the circle
    gray: NDArray[np.bool_]  # (m,)
    sigma: Float  # (m,): 0 where the view is not blurred
    affine: Float  # (m, 2, 3): output → input coordinates in [-1, 1]
    warp: Float  # (m, 2, WARP_GRID, WARP_GRID): displacement at the knots, share of the side
    stroke: Float  # (m,): exponent
    noise: Float  # (m,): standard deviation


def view_keys(keys: Keys) -> Keys:
    """Keys of both views, all first views before all second ones. Shape (n,) → (2n,)."""
    return np.concatenate([extend(keys, 0), extend(keys, 1)])


def draw(keys: Keys, heights: Int, widths: Int, config: ViewConfig) -> Draws:
    """All numbers of m views of pictures with these sizes. Each row depends on its key and its picture's size only."""
    m, c = len(keys), config

    def one(purpose: str, count: int = 1) -> Float:
        return uniform(extend(keys, purpose), count)

    if c.crop_min >= 1:
        box = np.stack([np.zeros_like(heights), np.zeros_like(widths), heights, widths], axis=1)
    else:
        boxes = official_boxes if c.crop == "official" else torchvision_boxes
        box = boxes(extend(keys, "crop"), heights, widths, c.crop_min)
    s, u = c.strength, one("factors", 4)
    low = np.array([max(1 - 0.8 * s, 0), 1 - 0.8 * s, 1 - 0.8 * s, -0.2 * s])
    high = np.array([1 + 0.8 * s, 1 + 0.8 * s, 1 + 0.8 * s, 0.2 * s])
    blurred = one("blur")[:, 0] < c.blur
    return Draws(
        box=box,
        flip=one("flip")[:, 0] < c.flip,
        jitter=(one("jitter")[:, 0] < c.jitter) & (s > 0),
        order=np.argsort(one("order", 4), axis=1),
        factors=low + (high - low) * u,
        gray=(one("gray")[:, 0] < c.gray) & (s > 0),
        sigma=np.where(blurred, 0.1 + 1.9 * one("sigma")[:, 0], 0.0),
        affine=_affine(2 * one("affine", 6) - 1, c),
        warp=c.warp * normal(extend(keys, "warp"), 2 * WARP_GRID**2).reshape(m, 2, WARP_GRID, WARP_GRID)
        if c.warp
        else np.zeros((m, 2, 0, 0)),
        stroke=np.exp(c.stroke * (2 * one("stroke")[:, 0] - 1)),
        noise=c.noise * one("noise")[:, 0],
    )


def official_boxes(keys: Keys, heights: Int, widths: Int, area_min: float, attempts: int = 100) -> Int:
    """Crop boxes by TensorFlow's rule (docs/fidelity.md): whole-number heights drawn uniformly, aspect 3/4 to 4/3, effective area
    at least a tenth, the last offset never drawn, the whole picture after 100 failures. Shape (m, 4): top, left, height, width."""
    box = np.stack([np.zeros_like(heights), np.zeros_like(widths), heights, widths], axis=1)
    pending = np.arange(len(keys))
    for attempt in range(attempts):
        u = uniform(keys[pending], 4, start=4 * attempt)
        h, w = heights[pending], widths[pending]
        aspect = 3 / 4 + (4 / 3 - 3 / 4) * u[:, 0]
        area_low, area_high = area_min * h * w, 1.0 * h * w
        lowest, highest = np.rint(np.sqrt(area_low / aspect)), np.rint(np.sqrt(area_high / aspect))
        wide = np.rint(highest * aspect) > w
        narrowed = np.floor((w + 0.5 - 1e-7) / aspect)
        narrowed -= np.rint(narrowed * aspect) > w
        highest = np.minimum(np.where(wide, narrowed, highest), h)
        lowest = np.minimum(lowest, highest)
        height = lowest + np.floor(u[:, 1] * (highest - lowest + 1))
        width = np.rint(height * aspect)
        height = height + (height * width < area_low)
        width = np.rint(height * aspect)
        height = height - (height * width > area_high)
        width = np.rint(height * aspect)
        area = height * width
        good = (area >= max(area_min, 0.1) * h * w) & (area <= area_high) & (width <= w) & (height <= h) & (area > 0)
        top, left = np.floor(u[:, 2] * (h - height)), np.floor(u[:, 3] * (w - width))  # never the last place, as there
        box[pending[good]] = np.stack([top, left, height, width], axis=1)[good].astype(np.int64)
        pending = pending[~good]
        if not len(pending):
            break
    return box


def torchvision_boxes(keys: Keys, heights: Int, widths: Int, area_min: float, attempts: int = 10) -> Int:
    """Crop boxes by torchvision's RandomResizedCrop: area uniform, aspect log-uniform, the central crop after 10 failures."""
    ratio = np.clip(widths / heights, 3 / 4, 4 / 3)
    width = np.where(widths / heights > 4 / 3, np.rint(heights * ratio), widths).astype(np.int64)
    height = np.where(widths / heights < 3 / 4, np.rint(widths / ratio), heights).astype(np.int64)
    box = np.stack([(heights - height) // 2, (widths - width) // 2, height, width], axis=1)
    pending = np.arange(len(keys))
    for attempt in range(attempts):
        u = uniform(keys[pending], 4, start=4 * attempt)
        h, w = heights[pending], widths[pending]
        area = h * w * (area_min + (1 - area_min) * u[:, 0])
        aspect = np.exp(np.log(3 / 4) + np.log(16 / 9) * u[:, 1])
        width, height = np.rint(np.sqrt(area * aspect)), np.rint(np.sqrt(area / aspect))
        good = (width > 0) & (width <= w) & (height > 0) & (height <= h)
        top, left = np.floor(u[:, 2] * (h - height + 1)), np.floor(u[:, 3] * (w - width + 1))
        box[pending[good]] = np.stack([top, left, height, width], axis=1)[good].astype(np.int64)
        pending = pending[~good]
        if not len(pending):
            break
    return box


def _affine(u: Float, c: ViewConfig) -> Float:
    """Matrices (m, 2, 3) from m rows of six numbers in [-1, 1): rotation, two zooms, shear, two shifts."""
    angle = np.deg2rad(c.rotate) * u[:, 0]
    zoom = (1 + c.zoom) ** u[:, 1:3]
    cos, sin, shear = np.cos(angle), np.sin(angle), c.shear * u[:, 3]
    linear = np.stack([np.stack([cos, -sin + shear * cos], 1), np.stack([sin, cos + shear * sin], 1)], 1)  # rotation · shear
    return np.concatenate([linear * zoom[:, None, :], 2 * c.shift * u[:, 4:6, None]], axis=2)
