"""Neighbours, groups and choices as a PNG sheet or as one HTML page that needs nothing else."""

from __future__ import annotations

import base64
import dataclasses
import io
from pathlib import Path
from typing import Any

import jinja2
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..base.console import say
from ..base.errors import UserError
from ..base.files import write_json, write_text, write_whole
from ..base.names import one_line, path_of
from ..sources.config import ReadConfig, Reading
from ..sources.decode import read_file
from ..sources.errors import Unreadable
from ..sources.source import state
from ..sources.spec import open_pictures
from ..training.sheet import CELL, to_pil
from ..views.pipeline import as_float
from .config import check_shown
from .sinks import Vectors

LINE = 13

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
:root { color-scheme: light dark; font: 15px/1.4 system-ui, sans-serif; }
body { margin: 1.5rem; }
section { margin: 0 0 1.5rem; }
h1, h2 { overflow-wrap: anywhere; }
h2 { font-size: 1rem; margin: 0 0 .4rem; }
ul { display: flex; flex-wrap: wrap; gap: .6rem; list-style: none; margin: 0; padding: 0; }
figure { margin: 0; width: 9.5rem; }
img { width: 9.5rem; height: 9.5rem; object-fit: contain; background: #8882; border-radius: 4px; }
figcaption { font-size: .8rem; overflow-wrap: anywhere; }
.query img { outline: 3px solid #d2601a; }
</style>
</head>
<body>
<h1>{{ title }}</h1>
{% for row in rows %}<section aria-label="{{ row.title }}">
<h2>{{ row.title }}</h2>
<ul>
{% for cell in row.cells %}<li{% if cell.query %} class="query"{% endif %}><figure>
<img src="data:image/png;base64,{{ cell.data }}" alt="{{ cell.lines[0] }}">
<figcaption>{% for line in cell.lines %}{{ line }}<br>{% endfor %}</figcaption></figure></li>
{% endfor %}</ul>
</section>
{% endfor %}</body>
</html>
"""


@dataclasses.dataclass
class Cell:
    """One picture with its lines of text; `query` marks what was asked."""

    picture: Image.Image
    lines: list[str]
    query: bool = False

    @property
    def data(self) -> str:
        file = io.BytesIO()
        self.picture.save(file, "PNG")
        return base64.b64encode(file.getvalue()).decode()


@dataclasses.dataclass
class Row:
    title: str
    cells: list[Cell]


class Album:
    """The pictures behind vectors, opened when the first is wanted. Raises UserError when they are no longer there."""

    def __init__(self, vectors: Vectors):
        self.vectors, self.pictures = vectors, vectors.pictures

    def cell(self, id: int, *lines: str) -> Cell:
        """The picture of this number, with its path, label and more lines."""
        v, row = self.vectors, int(self.vectors.rows([id])[0])
        text = [one_line(line) for line in (v.labels[row], *lines) if line]
        return Cell(to_pil(self.picture(row)), [v.title(v.entry(row)), *text])

    def picture(self, row: int) -> Tensor:
        """The picture of a row of the vectors, (C, H, W) in [0, 1]."""
        v = self.vectors
        if self.pictures is None:
            self.pictures = open_pictures(
                v.about["images"]["spec"], v.about["preprocessing"]["channels"], ReadConfig(**v.about.get("reading", {}))
            )
            if {name: part.fingerprint for name, part in self.pictures.splits.items()} != v.about["images"]["fingerprints"]:
                raise UserError(
                    f"the pictures of {v.about['images']['spec']} are others than those the vectors were made of: embed them again"
                )
            if v.about["images"].get("states") not in (None, {name: state(part) for name, part in self.pictures.splits.items()}):
                say(
                    f"files of {v.about['images']['spec']} were written anew or moved since the vectors were made: where they show something else "
                    "now, embed them again"
                )
        split = v.splits[row]
        return as_float(self.pictures.splits[split].read(int(v.ids[row]) - self.pictures.first(split)))


def reading_of(vectors: Vectors) -> Reading:
    """How the pictures behind vectors were decoded."""
    return ReadConfig(**vectors.about.get("reading", {})).reading(vectors.about["preprocessing"]["channels"])


def query_cell(path: str, how: Reading) -> Cell:
    """A query's picture."""
    try:
        return Cell(to_pil(as_float(read_file(Path(path_of(path)), how))), [one_line(Path(path).name), "query"], True)
    except Unreadable as error:
        raise UserError(f"{path} is no picture that can be read: {error}") from error


def show(out: Path, title: str, rows: list[Row], value: Any) -> None:
    """Write rows of pictures as .png or .html, or `value` as .json."""
    check_shown(out)
    kind = out.suffix.lower()
    if kind == ".json":
        write_json(out, value)
    elif kind == ".html":
        page = jinja2.Environment(autoescape=True).from_string(PAGE)
        write_text(out, page.render(title=title, rows=rows))
    else:
        picture = compose(title, rows)
        write_whole(out, lambda part: picture.save(part, "PNG"))


def compose(title: str, rows: list[Row]) -> Image.Image:
    """The same as one picture: a row of cells under each title."""
    font, small = ImageFont.load_default(13), ImageFont.load_default(11)
    caption = LINE * max((len(cell.lines) for row in rows for cell in row.cells), default=1) + 6
    columns = max((len(row.cells) for row in rows), default=1)
    height = 20 + CELL + caption + 10
    canvas = Image.new("RGB", (max(columns * (CELL + 8) + 12, 420), 34 + height * len(rows)), "white")
    pen = ImageDraw.Draw(canvas)
    pen.text((10, 9), one_line(title), "black", font)
    for number, row in enumerate(rows):
        y = 34 + number * height
        pen.text((10, y), one_line(row.title)[-90:], "#333333", small)
        for column, cell in enumerate(row.cells):
            x = 10 + column * (CELL + 8)
            canvas.paste(cell.picture, (x, y + 18))
            if cell.query:
                pen.rectangle((x - 2, y + 16, x + CELL + 1, y + 19 + CELL), outline="#d2601a", width=3)
            for place, line in enumerate(cell.lines):
                pen.text((x, y + 20 + CELL + place * LINE), line if len(line) <= 28 else f"{line[:8]}...{line[-17:]}", "#333333", small)
    return canvas
