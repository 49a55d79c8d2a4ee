"""Killed and continued = never killed: sha256 of all weights, optimizer state and the log of a run that is killed (SIGKILL) again and again.

Moments are random, between the start of the process and its end, so kills fall into start-up, steps, looks and checkpoints.
Command: python benchmarks/kill.py --kills 12 --json docs/figures/kill.json
"""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import describe, parser, report
from twoviews.training import checkpoint
from twoviews.training.run import Run

COMMAND = [
    sys.executable,
    "-m",
    "twoviews",
    "train",
    "digits",
    "--epochs",
    "12",
    "--width",
    "0.5",
    "--monitor-every",
    "2",
    "--checkpoint-every",
    "5",
]


def state(run: Path) -> dict[str, str]:
    """sha256 of each tensor file, and of the log without its times."""
    files = [run / "encoder.safetensors", run / "head.safetensors", *sorted(checkpoint.existing(run)[-1].glob("*.safetensors"))]
    out = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    timeless = [{k: v for k, v in line.items() if k not in ("images_per_second", "data_wait")} for line in lines]
    return {**out, "log.jsonl": hashlib.sha256(json.dumps(timeless).encode()).hexdigest()}


def main() -> None:
    arguments = parser(__doc__ or "")
    arguments.add_argument("--kills", type=int, default=12)
    arguments.add_argument("--seed", type=int, default=0)
    a = arguments.parse_args()
    moments, kills, resumed_at = random.Random(a.seed), 0, []
    with tempfile.TemporaryDirectory() as folder:
        whole, killed = Path(folder) / "whole", Path(folder) / "killed"
        began = time.perf_counter()
        subprocess.run([*COMMAND, "--out", str(whole)], check=True, capture_output=True)
        seconds = time.perf_counter() - began
        while kills < a.kills and not ((killed / "config.json").exists() and Run(killed).finished()):
            process = subprocess.Popen([*COMMAND, "--out", str(killed)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                process.wait(moments.uniform(0.3, 0.8) * seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                kills += 1
                done = checkpoint.existing(killed)
                resumed_at.append(checkpoint.number(done[-1]) if done else 0)
        subprocess.run([*COMMAND, "--out", str(killed)], check=True, capture_output=True)
        one, other = state(whole), state(killed)
    for name in one:
        print(f"{name:24} {one[name][:16]} {'=' if one[name] == other[name] else '≠'} {other[name][:16]}")
    print(f"killed {kills} times; went on from steps {resumed_at}: {'equal' if one == other else 'NOT EQUAL'}")
    report(
        {"machine": describe(), "kills": kills, "went_on_from_steps": resumed_at, "whole": one, "killed": other, "equal": one == other},
        a.json,
    )


if __name__ == "__main__":
    main()
