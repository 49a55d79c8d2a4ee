"""What a sample of the pictures says about the views: which of them would destroy what matters. Each piece of advice has its evidence.

Nothing here is tuned on labels of a test part, and nothing is changed by itself: the user decides.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..base import draws as rng
from ..probes.knn import knn_votes
from ..probes.wilson import wilson
from ..sources.errors import Unreadable
from ..sources.order import some
from ..sources.source import ImageSource, labels_at
from ..views.config import ViewConfig
from ..views.draw import draw
from ..views.pipeline import as_float
from .config import TrainConfig

SAMPLE, DRAWS = 600, 24  # pictures; crops of each
SIDE, GRID = 32, 32  # pixels at which pictures are compared; cells of the map of detail
GRAY = 0.02  # mean difference of the channels, below which a picture has no colour
NEAR = 0.985  # correlation of two pictures of SIDE px, both with some contrast, from which they count as the same
SIDED = 0.60  # share of pictures told from their mirror image, lower end of its 95 % interval, from which flips are advised against
BARE = 0.10  # share of a picture's detail below which a crop shows nearly nothing
EMPTY = 0.10  # share of such crops from which larger ones are advised
FEW = 1000
MIRRORED = 8  # cells a side of the map that is compared with its mirror image


@dataclasses.dataclass(frozen=True)
class Advice:
    """One piece: options to give (may be none), what to do in words, and the evidence."""

    options: dict[str, Any]
    text: str
    evidence: str


@dataclasses.dataclass
class Sample:
    """Keyed pictures: `small` (n, C, SIDE, SIDE) in [0, 1] squeezed to a square, `detail` (n, GRID, GRID) shares, `sizes` (n, 2) height and width."""

    ids: np.ndarray
    small: Tensor
    detail: Tensor
    sizes: np.ndarray
    spread: np.ndarray  # (n,): share of the range 0 to 255 that the middle 98 % of the pixels take


def take(source: ImageSource, seed: int, count: int = SAMPLE) -> Sample:
    """Read a keyed sample; what cannot be read is left out."""
    ids, small, detail, sizes, spread = [], [], [], [], []
    for index in some(source, count, seed, "advice"):
        try:
            image = as_float(source.read(int(index)))
        except Unreadable:
            continue
        sizes.append(image.shape[1:])
        small.append(F.interpolate(image[None], (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)[0])
        detail.append(details(image))
        low, high = np.percentile(image.mean(0).numpy()[::4, ::4] if min(image.shape[1:]) > 64 else image.mean(0).numpy(), (1, 99))
        spread.append(high - low)
        ids.append(int(index))
    return Sample(np.array(ids), torch.stack(small), torch.stack(detail), np.array(sizes), np.array(spread))


def details(image: Tensor) -> Tensor:
    """Where a picture has edges: shares of its gradient in GRID × GRID cells, which add up to 1. Shape (C, H, W) → (GRID, GRID)."""
    gray = image.mean(0)
    gray = F.interpolate(gray[None, None], (4 * GRID, 4 * GRID), mode="bilinear", antialias=True, align_corners=False)[0, 0]
    dy, dx = (gray[1:, :-1] - gray[:-1, :-1]), (gray[:-1, 1:] - gray[:-1, :-1])
    strong = (dy.square() + dx.square()).sqrt()
    strong = F.pad((strong - 0.02).clamp(min=0), (0, 1, 0, 1))  # below: noise of sensors and of JPEG
    cells = F.avg_pool2d(strong[None, None], 4)[0, 0]
    return cells / cells.sum().clamp(min=1e-9)


def advise(source: ImageSource, config: TrainConfig) -> list[Advice]:
    """Advice for training on these pictures with these options, the most important first."""
    sample = take(source, config.seed)
    if len(sample.ids) < 3:
        return []
    found = [colour(sample, config), mirror(sample, config), crops(sample, config), duplicates(sample, len(source)), sides(sample, config)]
    found += [blurred(config), dark(sample, config), tells(sample, source, config), few(len(source), config)]
    return [one for one in found if one is not None]


def colour(sample: Sample, config: TrainConfig) -> Advice | None:
    """Gray pictures in colour files."""
    if config.channels != 3:
        return None
    share = gray_share(sample)
    if share > 0.95:
        return Advice(
            {"channels": 1},
            "The pictures are gray: one channel says all, and colour operations would do nothing.",
            f"{100 * share:.0f} % of {len(sample.ids)} pictures have channels that differ by less than {GRAY:g}",
        )
    if share > 0.1:
        return Advice(
            {},
            "Gray and coloured pictures are mixed: that they are gray may become the easiest thing to tell. The gray operation (--gray) works against it: keep it.",
            f"{100 * share:.0f} % of {len(sample.ids)} pictures are gray",
        )
    return None


def gray_share(sample: Sample) -> float:
    """Share of pictures without colour."""
    apart = (sample.small.amax(1) - sample.small.amin(1)).mean((1, 2))
    return float((apart < GRAY).double().mean())


def mirror(sample: Sample, config: TrainConfig) -> Advice | None:
    """Pictures that can be told from their mirror image: then left and right may matter, as in text, digits and anatomy."""
    if not config.flip:
        return None
    share, low, high = sidedness(sample.small)
    if low <= SIDED:
        return None
    return Advice(
        {"flip": 0.0},
        "Left and right may matter here, as they do in text, digits and anatomy: flips would make mirrored things the same. If it is only that the light comes from "
        "one side, or that all cars drive one way, keep flips.",
        f"a linear classifier tells {100 * share:.0f} % of held-out pictures from their mirror image (95 % interval {100 * low:.0f} to {100 * high:.0f}; chance is 50)",
    )


def sidedness(small: Tensor) -> tuple[float, float, float]:
    """How often held-out pictures are told from their mirror images, with its 95 % interval. Shape (n, C, SIDE, SIDE).

    A linear classifier on φ(x) − φ(mirrored x), by five folds; φ is coarse brightness and the directions of edges in coarse cells. For
    visual chirality in general: Lin et al. 2020.
    """
    x = traits(small) - traits(small.flip(3))
    x = x / x.std(0).clamp(min=1e-6)
    n = len(x)
    right = 0
    fold = torch.from_numpy(rng.permutation(n, 0, "mirror") % 5)
    for number in range(5):
        own = x[fold != number]
        # ridge towards +1 for all differences: antisymmetric, so the mirrored pictures are the other class and need no rows of their own
        gram = own @ own.T + 0.3 * own.square().sum(1).mean().clamp(min=1e-9) * torch.eye(len(own), dtype=x.dtype)
        weight = own.T @ torch.linalg.solve(gram, torch.ones(len(own), dtype=x.dtype))
        right += int((x[fold == number] @ weight > 0).sum())
    return right / n, *wilson(right / n, n)


def traits(small: Tensor) -> Tensor:
    """Coarse brightness, and the strength of eight directions of edges in coarse cells. Shape (n, C, S, S) → (n, d) float64."""
    gray = small.mean(1, keepdim=True).double()
    gray = (gray - gray.mean((2, 3), keepdim=True)) / gray.std((2, 3), keepdim=True).clamp(min=1e-3)
    dy = gray[:, :, 2:, 1:-1] - gray[:, :, :-2, 1:-1]
    dx = gray[:, :, 1:-1, 2:] - gray[:, :, 1:-1, :-2]
    angle = torch.atan2(dy, dx)
    strength = (dy.square() + dx.square()).sqrt()
    directions = [strength * torch.cos(angle - number * torch.pi / 4).clamp(min=0).square() for number in range(8)]
    parts = [F.adaptive_avg_pool2d(gray, MIRRORED)] + [F.adaptive_avg_pool2d(one, MIRRORED // 2) for one in directions]
    return torch.cat([part.flatten(1) for part in parts], 1)


def crops(sample: Sample, config: TrainConfig) -> Advice | None:
    """Small things on plain ground: crops that show nearly nothing of what the picture shows."""
    if config.crop_min >= 1:
        return None
    bare = bareness(sample, config)
    if bare <= EMPTY:
        return None
    for larger in (0.15, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8):
        if larger > config.crop_min and (left := bareness(sample, dataclasses.replace(config, crop_min=larger))) <= EMPTY / 2:
            break
    else:
        larger, left = 0.8, bareness(sample, dataclasses.replace(config, crop_min=0.8))
    return Advice(
        {"crop_min": larger},
        "What the pictures show is small: two crops often have nothing in common but the ground. Larger ones do.",
        f"{100 * bare:.0f} % of crops hold less than {100 * BARE:.0f} % of their picture's edges; with --crop-min {larger:g} {100 * left:.0f} %",
    )


def bareness(sample: Sample, config: ViewConfig) -> float:
    """Share of crops, drawn as training draws them, that hold less than BARE of their picture's detail."""
    n = len(sample.ids)
    rows = np.tile(np.arange(n), DRAWS)
    keys = rng.key("advice", np.repeat(np.arange(DRAWS), n), rows)
    heights, widths = sample.sizes[rows, 0].astype(np.int64), sample.sizes[rows, 1].astype(np.int64)
    box = draw(keys, heights, widths, config).box
    share = np.stack([box[:, 0] / heights, box[:, 1] / widths, (box[:, 0] + box[:, 2]) / heights, (box[:, 1] + box[:, 3]) / widths], 1)
    edge = np.rint(share * GRID).astype(int)
    total = np.zeros((n, GRID + 1, GRID + 1))
    total[:, 1:, 1:] = sample.detail.double().cumsum(1).cumsum(2).numpy()
    top, left, bottom, right = edge.T
    held = total[rows, bottom, right] - total[rows, top, right] - total[rows, bottom, left] + total[rows, top, left]
    some_detail = sample.detail.sum((1, 2)).numpy()[rows] > 0.5
    return float((held < BARE)[some_detail].mean()) if some_detail.any() else 0.0


def duplicates(sample: Sample, count: int) -> Advice | None:
    """Pictures that are there several times: negatives that are no negatives."""
    x = sample.small.mean(1).flatten(1)
    x = x - x.mean(1, keepdim=True)
    lively = x.std(1) > 0.02
    x = F.normalize(x[lively], dim=1)
    if len(x) < 3:
        return None
    alike = (x @ x.T).fill_diagonal_(0) > NEAR
    share = float(alike.any(1).float().mean())
    if share < 0.05:
        return None
    return Advice(
        {},
        "Many pictures are nearly the same, as frames of a film are: as negatives they push equal things apart. `twoviews duplicates` lists them; keep one of "
        "each, and keep copies out of test parts.",
        f"{100 * share:.0f} % of {len(x)} pictures{f' (of {count:,})' if count > len(x) else ''} have a twin among these (correlation above {NEAR:g} at {SIDE} px)",
    )


def sides(sample: Sample, config: TrainConfig) -> Advice | None:
    """Views that are larger than the pictures."""
    shorter = int(np.median(sample.sizes.min(1)))
    if config.size <= 1.15 * shorter:
        return None
    return Advice(
        {"size": max(8, shorter)},
        "Views are larger than the pictures: that costs time and shows nothing more.",
        f"half of the pictures have a shorter side of {shorter} px or less, views have {config.size}",
    )


def blurred(config: TrainConfig) -> Advice | None:
    """Blur on small views."""
    if not config.blur or config.size > 64:
        return None
    return Advice(
        {"blur": 0.0}, "Blur takes away what small pictures show (paper, B.9: no blur on CIFAR-10).", f"views have {config.size} px"
    )


def dark(sample: Sample, config: TrainConfig) -> Advice | None:
    """Values that use a small part of their range, as 16-bit pictures often do."""
    if config.range != "auto":
        return None
    spread = float(np.median(sample.spread))
    if spread > 0.2:
        return None
    return Advice(
        {"range": "data"},
        "The pictures use a small part of their range: they are nearly one shade. For pictures of more than 8 bits, --range data (each picture's own) or LOW:HIGH "
        "shows what is in them; 8-bit pictures are taken as they are.",
        f"the middle 98 % of the pixels take {100 * spread:.0f} % of the range in half of the pictures",
    )


def tells(sample: Sample, source: ImageSource, config: TrainConfig) -> Advice | None:
    """Classes that colour alone tells: then strong colour distortion takes away what matters."""
    if config.channels != 3 or config.strength <= 0.5 or len(source.classes) < 2 or gray_share(sample) > 0.95:
        return None
    y = labels_at(source, sample.ids)
    if y is None or (y < 0).any() or len(y) < 50:
        return None
    means = torch.cat([sample.small.mean((2, 3)), sample.small.std((2, 3))], 1)
    x = (means - means.mean(0)) / means.std(0).clamp(min=1e-6)
    truth = torch.from_numpy(y)
    fold = torch.from_numpy(rng.permutation(len(y), 0, "colour") % 5)
    right = sum(
        int((knn_votes(x[fold != f], truth[fold != f], x[fold == f], len(source.classes)).argmax(1) == truth[fold == f]).sum())
        for f in range(5)
    )
    chance = float(np.bincount(y).max() / len(y))
    if right / len(y) < chance + 0.35 * (1 - chance):
        return None
    return Advice(
        {"strength": 0.5},
        "Colour tells much about the classes; the full distortion teaches the encoder not to see it. Half of it is a compromise: compare both.",
        f"mean and spread of the colours alone tell {100 * right / len(y):.0f} % of the training pictures' classes (the largest class has {100 * chance:.0f} %)",
    )


def few(count: int, config: TrainConfig) -> Advice | None:
    """Too few pictures to learn from nothing."""
    if count >= FEW or config.init:
        return None
    return Advice(
        {},
        "That is little to learn from. Beginning from weights (--init timm:NAME or torchvision:NAME) usually gives more than any setting; `twoviews compare` says "
        "whether training helped.",
        f"{count:,} pictures",
    )


def advised(config: TrainConfig, found: list[Advice]) -> TrainConfig:
    """The options with all advice taken."""
    return dataclasses.replace(config, **{name: value for one in found for name, value in one.options.items()})


def said(source: ImageSource, config: TrainConfig, notes: list[str]) -> list[Advice]:
    """Print what was chosen and why, then the advice with its evidence; returns it."""
    found = advise(source, config)
    print(
        f"Chosen: {config.encoder} at {config.size} px, batch {config.batch}, {config.epochs} epochs, {config.optimizer}, temperature {config.temperature:g}."
    )
    for note in notes:
        print(f"  because: {note}")
    for one in found:
        options = " ".join(
            f"--{name.replace('_', '-')} {value:g}" if isinstance(value, int | float) else f"--{name} {value}"
            for name, value in one.options.items()
        )
        print(f"{f'Consider {options}. ' if options else ''}{one.text}\n  seen: {one.evidence}")
    if not found:
        print("The pictures say nothing against these options.")
    return found
