"""Killed and continued = never killed: jobs that are killed (SIGKILL) again and again, at chosen places and at any moment.

`train` is killed in the step, in the middle of a checkpoint's file, just before and after renames, while old checkpoints are removed, in the middle of
a line of the log, in a process that reads pictures, and anywhere; `embed`, `shard`, `finetune` and `detect` likewise where they have such places. The
same command goes on each time. In the end every file must be the one of a job that was never killed, and no line of the log missing or doubled.

Command: python benchmarks/kill.py --json docs/figures/kill.json
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from machine import describe, parser, report

TIMES = ("images_per_second", "data_wait", "seconds", "command", "versions")  # what may differ between two runs of one command
TINY = "--recipe photos --encoder convnet --width 0.25 --size 16 --batch 32"
JOBS = {  # verb: its arguments in the work folder, the files to compare, the places
    "train": (
        f"photos --out OUT {TINY} --epochs 400 --workers 2 --checkpoint-every 2 --log-every 1 --monitor-every 5 --monitor-images 40",
        ("*.safetensors", "log.jsonl", "checkpoints/*/*.safetensors"),
        ("step", "file", "before", "after", "removal", "log", "worker", "anywhere"),
    ),
    "embed": ("encoder photos --out OUT", ("*.parquet",), ("before", "after", "worker", "anywhere")),
    "shard": ("photos --out OUT --per-shard 9", ("*.tar", "*.json", "*.index.parquet"), ("before", "after", "anywhere")),
    "finetune": (
        "encoder photos --out OUT --labels 6 --seeds 1 --steps 24 --epochs 1 --scratch-epochs 1 --batch 8",
        ("**/*.safetensors", "**/result.json"),
        ("step", "file", "before", "after", "anywhere"),
    ),
    "detect": (
        "untrained:resnet18 boxes --out OUT --beside none --epochs 3 --batch 4 --side 64 --channels 16 --regions 16 --anchor 4",
        ("**/detector.safetensors", "**/result.json"),
        ("step", "file", "before", "after", "anywhere"),
    ),
}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def nth(count: int, then: Callable[[], None], function: Callable[..., Any], before: bool = True) -> Callable[..., Any]:
    """`function`, whose call number `count` is the last: `then` comes before or after it."""
    calls = 0

    def wrapped(*args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == count and before:
            then()
        found = function(*args, **options)
        if calls == count and not before:
            then()
        return found

    return wrapped


def arm(place: str, count: int) -> None:
    """Let this process die at a place, the `count`th time that it comes there."""
    from twoviews.probes import features
    from twoviews.training import checkpoint, fit, log, step
    from twoviews.vectors import write

    fit.CHECKPOINT_SECONDS, write.PART, features.BATCH = 0, 16, 16  # small jobs get many checkpoints and parts
    if place == "step":
        step.Step.slopes = nth(count, die, step.Step.slopes)
        fit.processes.sum_gradients = nth(count, die, fit.processes.sum_gradients)
    elif place == "file":
        whole, calls = checkpoint.save_file, [0]

        def half(tensors: dict, path: Path) -> None:
            calls[0] += 1
            whole(tensors, path)
            if calls[0] == count:
                os.truncate(path, path.stat().st_size // 2)
                die()

        checkpoint.save_file = half
    elif place in ("before", "after"):
        Path.replace = nth(count, die, Path.replace, before=place == "before")
    elif place == "removal":
        calls, remove = [0], shutil.rmtree

        def rmtree(folder: Any, *args: Any, **options: Any) -> None:
            calls[0] += 1
            if calls[0] == count:
                next(iter(sorted(Path(folder).iterdir()))).unlink()
                die()
            remove(folder, *args, **options)

        checkpoint.shutil.rmtree = rmtree
    elif place == "log":
        written, calls = log.Log.write, [0]

        def half_a_line(self: Any, line: dict) -> None:
            calls[0] += 1
            if calls[0] == count:
                self.file.write(json.dumps(line).encode()[:40])
                self.file.flush()
                die()
            written(self, line)

        log.Log.write = half_a_line


def child(place: str, count: int, arguments: list[str]) -> None:
    """In a process of its own: a command that may die."""
    arm(place, count)
    from twoviews.cli.main import main as command

    sys.exit(command(arguments))


def prepare(folder: Path) -> None:
    """Pictures in classes, boxes, and an encoder."""
    made = np.random.default_rng(0)
    for n in range(160):
        path = folder / "photos" / "ab"[n % 2] / f"{n:03d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = made.integers(0, 256, (9, 10, 3), np.uint8)
        Image.fromarray(pixels).resize((150 + n % 7, 140)).save(path)
    images, annotations = [], []
    (folder / "boxes").mkdir()
    for n in range(24):
        left, top = (int(v) for v in made.integers(0, 60, 2))
        pixels = np.full((100, 100, 3), 40, np.uint8)
        pixels[top : top + 30, left : left + 30] = 220
        Image.fromarray(pixels).save(folder / "boxes" / f"{n}.png")
        images.append({"id": n, "file_name": f"{n}.png", "width": 100, "height": 100})
        annotations.append({"id": n, "image_id": n, "category_id": 1, "bbox": [left, top, 30, 30], "area": 900, "iscrowd": 0})
    coco = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "square"}]}
    (folder / "boxes" / "all.json").write_text(json.dumps(coco))
    run(["train", "photos", "--out", "encoder", *TINY.split(), "--epochs", "1"], folder)


def run(arguments: list[str], folder: Path, place: str = "never", count: int = 0) -> subprocess.Popen:
    """Start a command; without a place to die it is waited for."""
    line = [sys.executable, __file__, "--child", place, str(count), *arguments]
    process = subprocess.Popen(
        line, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    if place == "never":
        said = process.communicate()[1]
        if process.returncode:
            raise SystemExit(f"{' '.join(arguments)} ended with {process.returncode}: {said.decode()[-2000:]}")
    return process


def reader(process: subprocess.Popen) -> int | None:
    """A process that reads pictures for this one."""
    import psutil

    try:
        parent = psutil.Process(process.pid)
        found = [child for child in parent.children() if child.cmdline() == parent.cmdline()]  # forked: not Python's own helpers
    except psutil.NoSuchProcess:
        return None
    return random.choice(found).pid if found else None


def kill(arguments: list[str], folder: Path, place: str, moments: random.Random) -> tuple[bool, int]:
    """One attempt: whether it was killed there, and the exit code."""
    if place not in ("worker", "anywhere"):
        process = run(arguments, folder, place, moments.randint(1, 6))
        process.communicate()
        return process.returncode == -signal.SIGKILL, process.returncode
    process = run(arguments, folder, "elsewhere", 0)
    until, victim = time.monotonic() + moments.uniform(2.0, 6.0), None
    while process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
        if place == "worker" and (victim := reader(process)):
            time.sleep(moments.uniform(0, 0.5))
            break
    if process.poll() is None:
        try:
            os.kill(victim or process.pid, signal.SIGKILL)
        except ProcessLookupError:
            victim = None
    process.communicate()
    return process.returncode == -signal.SIGKILL or (victim is not None and process.returncode == 1), process.returncode


def state(folder: Path, patterns: tuple[str, ...]) -> dict[str, str]:
    """sha256 of each file of a finished job; of JSON without what may differ."""
    out = {}
    for path in sorted({path for pattern in patterns for path in folder.glob(pattern)}):
        data = path.read_bytes()
        if path.suffix in (".json", ".jsonl"):
            lines = [json.loads(line) for line in (data.splitlines() if path.suffix == ".jsonl" else [data])]
            data = json.dumps([_timeless(line) for line in lines], sort_keys=True).encode()
        out[path.relative_to(folder).as_posix()] = hashlib.sha256(data).hexdigest()
    return out


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _timeless(v) for k, v in value.items() if k not in TIMES}
    return [_timeless(v) for v in value] if isinstance(value, list) else value


def job(verb: str, kills: int, folder: Path, moments: random.Random) -> dict[str, Any]:
    """Kill a job so many times, finish it, compare."""
    line, patterns, places = JOBS[verb]

    def arguments(name: str) -> list[str]:
        return [verb, *line.replace("OUT", f"{name}-{verb}").split()]

    run(arguments("whole"), folder)
    found: Counter[str] = Counter()
    for attempt in range(4 * kills):
        place = places[attempt % len(places)]
        died, code = kill(arguments("killed"), folder, place, moments)
        found[place] += died
        if not died and code != 0:
            raise SystemExit(f"{verb} was to die in {place}, and ended with {code}")
        if sum(found.values()) == kills or (code == 0 and not died):
            break
    run(arguments("killed"), folder)
    whole, killed = (state(folder / f"{name}-{verb}", patterns) for name in ("whole", "killed"))
    left = [path.name for path in (folder / f"killed-{verb}").rglob("*.part")]
    equal = whole == killed and bool(whole) and not left
    digest = hashlib.sha256(json.dumps(whole).encode()).hexdigest()
    print(
        f"{verb}: killed {sum(found.values())} times ({', '.join(f'{p} {n}' for p, n in found.items())}): {'equal' if equal else 'NOT EQUAL'}",
        flush=True,
    )
    if not equal:
        print({k: (whole.get(k), killed.get(k)) for k in {*whole, *killed} if whole.get(k) != killed.get(k)}, left)
    return {"kills": sum(found.values()), "places": dict(found), "files": len(whole), "sha256": digest, "equal": equal}


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], int(sys.argv[3]), sys.argv[4:])
    arguments = parser(__doc__ or "")
    arguments.add_argument("--kills", type=int, default=50, help="of train; the other jobs get a fifth of it")
    arguments.add_argument("--verbs", nargs="+", default=list(JOBS), choices=list(JOBS))
    arguments.add_argument("--seed", type=int, default=0)
    a = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        found = {v: job(v, a.kills if v == "train" else max(1, a.kills // 5), Path(folder), random.Random(f"{a.seed}{v}")) for v in a.verbs}
    report({"machine": describe(), "seed": a.seed, "jobs": found, "equal": all(one["equal"] for one in found.values())}, a.json)
    if not all(one["equal"] for one in found.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
