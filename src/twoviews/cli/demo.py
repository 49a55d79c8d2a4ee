"""`twoviews demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def command(
    *,
    out: Annotated[Path, Parameter(help="the RUN folder")] = Path("runs/demo"),
    device: Annotated[str, Parameter(help="auto, cpu, cuda, cuda:N or mps")] = "auto",
    seed: Annotated[int, Parameter(help="what all random numbers are keyed by")] = 0,
    json: Annotated[Path | None, Parameter(help="write the table as JSON")] = None,
) -> None:
    """The whole trip on scikit-learn's digits, in minutes and without a network: train without labels, then measure on other writers."""
    from ..base.console import out as printer
    from ..base.console import say
    from ..base.files import write_json
    from ..evaluate.protocol import knn, linear
    from ..evaluate.table import table
    from ..training.loop import train

    run = train("digits", out, seed=seed, device=device)
    figures = linear(run.path, "digits", labels=("1", "2", "5", "all"), seeds=20, seed=seed, device=device)
    neighbours = knn(run.path, "digits", seed=seed, device=device)
    printer().print(table(figures, neighbours, title="digits of unseen writers: top-1 in percent (± half of the 95 % interval)"))
    say(f"Next: your own pictures. twoviews train FOLDER --out runs/mine; what it learned is in {run.path}")
    if json:
        write_json(
            json,
            {"linear": {**figures.about, "rows": figures.rows}, "knn": {**neighbours.about, "rows": neighbours.rows}},
        )
