"""Killed and continued = never killed: sha256 of all weights, optimizer state and the log of a run that is killed (SIGKILL) again and again.

Every third moment is anywhere after the start of the process; the others come up to half a second after the next checkpoint has appeared, so kills
fall into start-up, steps, looks, checkpoints and the log.
Command: python benchmarks/kill.py --json docs/figures/kill.json
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

LINE = "train digits --epochs 120 --width 0.5 --monitor-every 4 --checkpoint-every 5"
COMMAND = [sys.executable, "-m", "twoviews", *LINE.split()]


def state(run: Path) -> dict[str, str]:
    """sha256 of each tensor file, and of the log without its times."""
    files = [run / "encoder.safetensors", run / "head.safetensors", *sorted(checkpoint.existing(run)[-1].glob("*.safetensors"))]
    out = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    timeless = [{k: v for k, v in line.items() if k not in ("images_per_second", "data_wait")} for line in lines]
    return {**out, "log.jsonl": hashlib.sha256(json.dumps(timeless).encode()).hexdigest()}


def newest(run: Path) -> int:
    """The step of the newest checkpoint, 0 without one."""
    done = checkpoint.existing(run)
    return checkpoint.number(done[-1]) if done else 0


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
            anywhere, before = len(resumed_at) % 3 == 0, newest(killed)
            until = time.perf_counter() + moments.uniform(0.1, 0.9) * seconds
            while process.poll() is None and (time.perf_counter() < until if anywhere else newest(killed) == before):
                time.sleep(0.005)
            if not anywhere:
                time.sleep(moments.uniform(0, 0.5))
            if process.poll() is None:
                process.kill()
                kills += 1
                resumed_at.append(newest(killed))
            process.wait()
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
