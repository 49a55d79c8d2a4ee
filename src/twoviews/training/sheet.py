"""A sheet of views as a PNG: each picture, two views of it, and under each view the numbers that made it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..base import draws as rng
from ..base.errors import UserError
from ..base.files import write_whole
from ..base.names import one_line
from ..sources.order import some
from ..sources.source import ImageSource, Picture, Small
from ..views.config import ViewConfig
from ..views.draw import OPERATIONS, Draws, draw, view_keys
from ..views.pipeline import Views, as_float
from .config import TrainConfig
from .plan import settings

CELL, LINE = 168, 13


def sheet(images: str | Path, out: Path, count: int = 8, **options: Any) -> list[dict[str, Any]]:
    """Draw `count` keyed pictures with their views of epoch 0 into `out`; returns the draws, as JSON has them.

    `options` are fields of TrainConfig. Raises UserError as `train` would.
    """
    if out.suffix.lower() != ".png":
        raise UserError(f"--out {out}: the sheet is a .png file")
    if count < 1:
        raise UserError(f"--count is {count}; it must be at least 1")
    pictures, source, config, _ = settings(images, options)
    shown = examples(source, config, count)
    picture = compose([(one.name, one.image, *one.views, one.texts) for one in shown], pictures.spec, config)
    write_whole(out, lambda part: picture.save(part, "PNG"))
    return [{"name": one.name, "views": one.draws} for one in shown]


def preview(source: ImageSource, spec: str, before: TrainConfig, after: TrainConfig, out: Path, count: int = 4) -> None:
    """The same pictures with the views of two settings, side by side, as a PNG."""
    parts = [
        compose([(one.name, one.image, *one.views, one.texts) for one in examples(source, config, count)], f"{name}: {spec}", config)
        for name, config in (("as planned", before), ("as advised", after))
    ]
    whole = Image.new("RGB", (sum(part.width for part in parts), max(part.height for part in parts)), "white")
    whole.paste(parts[0], (0, 0))
    whole.paste(parts[1], (parts[0].width, 0))
    write_whole(out, lambda part: whole.save(part, "PNG"))


@dataclasses.dataclass
class Example:
    """A picture uint8 (C, H, W) with two views (C, S, S) float, and the draws of each: as JSON has them, and in a few short lines."""

    name: str
    image: Tensor
    views: tuple[Tensor, Tensor]
    draws: list[dict[str, Any]]
    texts: list[list[str]]


def examples(source: ImageSource, config: TrainConfig, count: int) -> list[Example]:
    """`count` keyed pictures with their views of epoch 0."""
    views = Views.of(config)
    out = []
    for index in np.sort(some(source, count, config.seed, "sheet")):
        keys = rng.key(config.seed, "views", 0, np.array([index]))
        image = source.read(int(index))
        both = view_keys(keys)
        sides = [np.full(2, side, np.int64) for side in image.shape[1:]]
        drawn = draw(both, *sides, views.config)
        pair = views(image[None] if isinstance(source, Small) else views.crop_pairs([Picture(source, int(index))], keys), keys)
        out.append(
            Example(
                source.name(int(index)),
                image,
                (pair[0][0], pair[1][0]),
                [{k: v[row].tolist() for k, v in dataclasses.asdict(drawn).items()} for row in (0, 1)],
                [lines(drawn, row, views.config) for row in (0, 1)],
            )
        )
    return out


def lines(d: Draws, row: int, c: ViewConfig) -> list[str]:
    """The draws of one view in a few short lines."""
    if c.operations:
        return ["the picture itself"] if row == 1 and c.plain_second else c.operations.split("+")
    top, left, height, width = d.box[row]
    out = []
    if c.crop_min < 1:
        out.append(f"crop {width}x{height} at {left},{top}{' · flip' if d.flip[row] and c.flip else ''}")
    if d.jitter[row]:
        names = [OPERATIONS[n] for n in d.order[row] if c.channels == 3 or OPERATIONS[n] in ("brightness", "contrast")]
        out += [
            f"{i + 1}. {name} {d.factors[row][OPERATIONS.index(name)]:{'+.2f' if name == 'hue' else '.2f'}}" for i, name in enumerate(names)
        ]
    if d.gray[row] and c.channels == 3:
        out.append("gray")
    if d.sigma[row]:
        out.append(f"blur sigma {d.sigma[row]:.2f} px")
    if c.rotate or c.zoom or c.shear or c.shift:
        (a, b, x), (e, f, y) = d.affine[row]
        out += [f"[{a:+.2f} {b:+.2f} {e:+.2f} {f:+.2f}]", f"shift {x / 2:+.2f}, {y / 2:+.2f}"]
    if c.stroke:
        out.append(f"stroke ^{d.stroke[row]:.2f}")
    if c.noise:
        out.append(f"noise {d.noise[row]:.2f}")
    return out or ["no colour change"]


def compose(rows: list, spec: str, config: ViewConfig) -> Image.Image:
    """Cells side by side: original, first view, second view; captions under each row."""
    font, small = ImageFont.load_default(13), ImageFont.load_default(11)
    caption = LINE * (1 + max(len(text) for row in rows for text in row[4])) + 8
    columns = 2 if len(rows) > 4 else 1
    block, height = 3 * (CELL + 8) + 24, CELL + caption + 10
    canvas = Image.new("RGB", (columns * block + 8, 34 + height * -(-len(rows) // columns)), "white")
    pen = ImageDraw.Draw(canvas)
    pen.text((10, 9), f"{one_line(spec)}: picture, first view, second view ({config.size} px)", "black", font)
    for number, (full, image, x1, x2, texts) in enumerate(rows):
        name = one_line(full)
        x, y = 10 + (number % columns) * block, 34 + (number // columns) * height
        for column, view in enumerate((as_float(image), x1, x2)):
            canvas.paste(to_pil(view), (x + column * (CELL + 8), y))
            text = (
                [name if len(name) <= 28 else f"...{name[-25:]}", f"{image.shape[2]}x{image.shape[1]} px"]
                if column == 0
                else texts[column - 1]
            )
            for place, line in enumerate(text):
                pen.text((x + column * (CELL + 8), y + CELL + 3 + place * LINE), line, "#333333", small)
    return canvas


def to_pil(view: Tensor) -> Image.Image:
    """(C, H, W) in [0, 1] → a square cell; small pictures keep their pixels visible. Of other channels than gray and RGB the first are shown."""
    view = view if len(view) in (1, 3) else view[:3] if len(view) > 3 else view[:1]
    array = (view.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    picture = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array).convert("RGB")
    scale = CELL / max(picture.size)
    filter = Image.Resampling.NEAREST if scale > 1.5 else Image.Resampling.BICUBIC
    picture = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))), filter)
    cell = Image.new("RGB", (CELL, CELL), "#eeeeee")
    cell.paste(picture, ((CELL - picture.width) // 2, (CELL - picture.height) // 2))
    return cell
