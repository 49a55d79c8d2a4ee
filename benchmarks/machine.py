"""What every benchmark shares: what computed the figures, and `--json FILE`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from twoviews.bench.measure import machine as describe

__all__ = ["describe", "parser", "report"]


def parser(text: str) -> argparse.ArgumentParser:
    out = argparse.ArgumentParser(description=text)
    out.add_argument("--json", type=Path, help="write the figures here")
    return out


def report(figures: dict[str, Any], path: Path | None) -> None:
    """Write the figures, if a file was asked for."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(figures, indent=2) + "\n")
