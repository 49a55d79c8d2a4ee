"""`report`: one RUN, or several side by side, as one HTML page that needs nothing else."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from ..base.console import say
from ..base.errors import UserError
from ..base.files import to_json, write_text
from ..base.settings import options_of, several
from ..training.config import TrainConfig
from ..vectors.config import DuplicatesConfig
from .config import ReportConfig
from .facts import CURVES, Facts, facts
from .look import Looked, look

LIMIT = 15_000_000  # bytes; a page that is to be sent by mail


def report(runs: str | Path | Sequence[str | Path], out: str | Path | None = None, **options: Any) -> Path:
    """Write the page of one RUN (with its pictures) or of several (their curves, figures and settings side by side); returns its path.

    `out`: default RUN/report.html, of several report.html here. `options` are fields of ReportConfig. Raises UserError for what is no RUN,
    and where --images names pictures that are not there; without it a page is made also when the training's pictures are gone.
    """
    config = options_of(ReportConfig, options)
    paths = [Path(run) for run in several("runs", runs)]
    target = target_of(paths, Path(out) if out is not None else None)
    found = [facts(path) for path in paths]
    label(found)
    looked, missing = (None, "") if len(found) > 1 or not config.points else pictures(found[0], config)
    text = render(found, looked, missing)
    if len(text) > LIMIT:
        say(f"the page has {len(text) / 1e6:.0f} MB; fewer --points make it smaller")
    write_text(target, text)
    return target


def target_of(paths: Sequence[Path], out: Path | None) -> Path:
    """Where the page goes. Raises UserError for a name that is no page, or a folder that is not there."""
    if out is None:
        return paths[0] / "report.html" if len(paths) == 1 else Path("report.html")
    if out.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--out {out}: a report is one page, so it is to end in .html")
    if not out.parent.is_dir():
        raise UserError(f"--out {out}: the folder {out.parent} does not exist")
    return out


def label(found: list[Facts]) -> None:
    """Names that tell the runs apart: the folder's, with its parent's where two are called the same."""
    names = [one.name for one in found]
    for one in found:
        if names.count(one.name) > 1:
            one.name = str(one.run.path)


def pictures(one: Facts, config: ReportConfig) -> tuple[Looked | None, str]:
    """What the encoder makes of its pictures, or why that cannot be shown."""
    if not one.run.weights.is_file():
        return None, "The encoder is not written yet: it is after the first look at the representation."
    try:
        return look(one.run, config), ""
    except UserError as error:
        if config.images or "twoviews[report]" in str(error):
            raise
        return None, f"The pictures of the training cannot be shown: {error}"


def render(found: Sequence[Facts], looked: Looked | None, missing: str) -> str:
    """The page's text."""
    assets = files(__package__ or "") / "assets"
    page = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string((assets / "page.html").read_text("utf-8"))
    data = {
        "names": [one.name for one in found],
        "curves": [{name: one.curves.get(name, []) for name in CURVES} for one in found],
        "titles": CURVES,
        "tile": None,
    }
    if looked is not None:
        from .look import SHEET, TILE

        data |= {
            "tile": TILE,
            "sheet": SHEET,
            "map": {k: getattr(looked, k) for k in ("names", "labels", "classes", "place", "cluster", "loss", "near", "sheets")},
        }
    return page.render(
        title=" · ".join(one.name for one in found),
        runs=found,
        looked=looked,
        missing=missing,
        differences=differences(found),
        results=results(found),
        alike=DuplicatesConfig().threshold,
        settings=dataclasses.fields(TrainConfig),
        hashes=found[0].hashes() if len(found) == 1 else {},
        css=Markup((assets / "page.css").read_text("utf-8")),
        script=Markup((assets / "page.js").read_text("utf-8")),
        charts=Markup((assets / "echarts.common.min.js").read_text("utf-8")),
        data=Markup(embedded(data)),
    )


def embedded(value: Any) -> str:
    """JSON that may stand inside a page's script element: no character in it ends the element or begins a comment."""
    return to_json(value, separators=(",", ":")).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def differences(found: Sequence[Facts]) -> list[tuple[str, list[str]]]:
    """Settings in which the runs differ: name and values."""
    names = dict.fromkeys(name for one in found for name in one.config)
    out = [(name, [str(one.config.get(name, "–")) for one in found]) for name in names]
    out.insert(0, ("pictures", [f"{one.info['source']['count']:,} of {one.info['source']['spec']}" for one in found]))
    return [(name, values) for name, values in out if len(set(values)) > 1]


def results(found: Sequence[Facts]) -> list[dict[str, Any]]:
    """Each evaluation's rows with their figures in percent: run, file, what it was tested on, protocol, subject, labels, value, half interval."""
    out = []
    for one in found:
        for name, value in one.evaluations.items():
            rows = []
            for row in value.get("rows", []):
                figure = row.get("top1") or row.get("value")
                if isinstance(figure, dict):
                    rows.append(
                        {
                            "subject": row.get("subject", ""),
                            "labels": str(row.get("labels", row.get("set", ""))),
                            **{end: None if figure[end] is None else 100 * figure[end] for end in ("mean", "low", "high")},
                            "why": figure.get("interval", ""),
                        }
                    )
                elif "map" in row:
                    value_ = None if row["map"] is None else 100 * row["map"]
                    why = "no box to be found" if value_ is None else ""
                    rows.append({"subject": row.get("subject", ""), "labels": "mAP", "mean": value_, "low": None, "high": None, "why": why})
            if rows:
                about = {key: value.get(key, "") for key in ("tested_on", "protocol")}
                out.append({"run": one.name, "file": name, "verb": value.get("verb", name), **about, "rows": rows})
    return out
