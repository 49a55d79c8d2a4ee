"""What every benchmark prints first: date, machine, versions; and `--json FILE`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import torch

from twoviews.training.run import versions


def describe() -> dict[str, Any]:
    """Date, processor, cores, GPU, versions and commit."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")),
        platform.machine(),
    )
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "date": date.today().isoformat(),
        "cpu": model,
        "cores": os.cpu_count(),
        "gpu": gpu,
        "commit": commit,
        **versions(),
    }


def parser(text: str) -> argparse.ArgumentParser:
    out = argparse.ArgumentParser(description=text)
    out.add_argument("--json", type=Path, help="write the figures here")
    return out


def report(figures: dict[str, Any], path: Path | None) -> None:
    """Write the figures, if a file was asked for."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(figures, indent=2) + "\n")
