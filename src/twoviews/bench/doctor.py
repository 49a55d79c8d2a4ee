"""`doctor`: the machine, what of it is used, about twenty seconds of measuring, and what would make it faster."""

from __future__ import annotations

import dataclasses
import io
import os
import re
import shutil
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..base import device as devices
from ..base import draws as rng
from ..base.console import say
from ..base.files import write_whole
from ..sources.config import Reading
from ..sources.decode import decode
from ..sources.loader import Batch
from ..training.estimate import memory_limit, wait
from ..views.pipeline import Views
from .measure import machine, turns
from .step import settings, step_of
from .views import photos

BATCH, SIDE = 64, 32  # of the step that is measured: ResNet-18 of a quarter of the width on processors, of the whole on GPUs
PICTURE = 500  # pixels of the longer side of the JPEG that is decoded


@dataclasses.dataclass(frozen=True)
class Health:
    """`about` the machine, what `used` of it by default, `measured` figures by name, `extras` (name → version or None), and `advice`."""

    about: dict[str, Any]
    used: dict[str, Any]
    measured: dict[str, float]
    extras: dict[str, str | None]
    advice: list[str]


def doctor(device: str = "auto", seconds: float = 20.0, folder: Path | None = None) -> Health:
    """Look and measure. `seconds` 0 measures nothing; `folder` is where the disk is tried. Raises UserError for a device that is not there."""
    chosen = devices.pick(device)
    about = {**machine(), "python_at": sys.executable, "memory_gib": round(memory_limit(chosen) / 2**30, 1)}
    used = {
        "device": devices.describe(chosen),
        "precision": devices.precision("auto", chosen),
        "threads": torch.get_num_threads(),
        "cores_allowed": allowed(),
        "compile": compiles(),
        "workers": os.cpu_count() or 1,
    }
    if chosen.type == "cuda":
        used["gpu_memory_gib"] = round(torch.cuda.get_device_properties(chosen).total_memory / 2**30, 1)
        used["tf32"] = bool(torch.backends.cuda.matmul.allow_tf32)
    measured = measure(chosen, seconds, folder or Path.cwd()) if seconds > 0 else {}
    extras = {name: found(packages) for name, packages in parts().items()}
    return Health(about, used, measured, extras, advise(about, used, measured, chosen))


def measure(device: torch.device, seconds: float, folder: Path) -> dict[str, float]:
    """Products, a training step in each precision, decoding, and the disk; each has a fifth of the time."""
    say(f"measuring for about {seconds:g} s")
    share = seconds / 5
    out = {}
    n = 4096 if device.type == "cuda" else 1024
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        x = torch.randn(n, n, device=device, dtype=dtype)

        def product(x: torch.Tensor = x) -> None:
            torch.mm(x, x)
            wait(device)

        out[f"products_{name}_gflops"] = 2 * n**3 / turns({"": product}, share / 4)[""] / 1e9
    steps = {name: step(device, name) for name in ("fp32", "bf16")}
    for name, value in turns(steps, 2 * share).items():
        out[f"step_{name}_images_per_second"] = BATCH / value
    data = jpeg()
    reading = Reading(3)
    out["decode_images_per_second_and_core"] = 1 / turns({"": lambda: decode(data, reading)}, share / 2)[""]
    out["cut_images_per_second_and_core"] = 1 / turns({"": cutter(data, reading)}, share / 2)[""]
    out["disk_mb_per_second"] = disk(folder)
    return {name: float(f"{value:.4g}") for name, value in out.items()}


def step(device: torch.device, precision: str) -> Callable[[], None]:
    """A whole training step of the cifar10 recipe: views, network, loss, LARS."""
    whole = step_of(settings(BATCH, 1.0 if device.type == "cuda" else 0.25), device=device, precision=precision)
    ids = np.arange(BATCH)
    batch = Batch(ids, rng.key("doctor", ids), photos(BATCH, SIDE, SIDE).to(device))

    def call() -> None:
        whole(batch, 0)
        wait(device)

    return call


def jpeg() -> bytes:
    """A photograph."""
    file = io.BytesIO()
    Image.fromarray(photos(1, 420, PICTURE)[0].permute(1, 2, 0).numpy()).save(file, "JPEG", quality=90)
    return file.getvalue()


def cutter(data: bytes, reading: Reading) -> Callable[[], Any]:
    """What a worker does with a file: decode as much as its crops need, cut both views, make them 224 px."""
    from ..sources.source import Encoded, Picture

    class One(Encoded):
        how = reading

        def __len__(self) -> int:
            return 1

        @property
        def fingerprint(self) -> str:
            return ""

        def name(self, index: int) -> str:
            return "made.jpg"

        def bytes(self, index: int) -> bytes:
            return data

    views, source = Views(size=224), One()
    number = iter(range(10**9))
    return lambda: views.crop_pairs([Picture(source, 0)], rng.key("doctor", np.array([next(number)])))


def disk(folder: Path, size: int = 64 << 20) -> float:
    """Megabytes a second of a checkpoint's write, synced, in this folder."""
    file = folder / f".twoviews-doctor-{os.getpid()}"
    data = os.urandom(size)

    def fill(part: Path) -> None:
        part.write_bytes(data)

    began = time.perf_counter()
    try:
        write_whole(file, fill)
        return size / 1e6 / (time.perf_counter() - began)
    finally:
        file.unlink(missing_ok=True)


def allowed() -> int:
    """Cores that this process may use: by affinity and by the control group."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = Path("/sys/fs/cgroup/cpu.max")
    if quota.is_file() and (match := re.fullmatch(r"(\d+) (\d+)", quota.read_text().strip())):
        cores = min(cores, max(1, int(match[1]) // int(match[2])))
    return cores


def compiles() -> str:
    """Whether torch.compile can work here, or what it lacks."""
    if torch.cuda.is_available():
        try:
            return f"yes (Triton {version('triton')})"
        except PackageNotFoundError:
            return "no: Triton is missing"
    compiler = next((name for name in (os.environ.get("CXX"), "g++", "clang++") if name and shutil.which(name)), None)
    return f"yes ({compiler})" if compiler else "no: there is no C++ compiler"


def parts() -> dict[str, list[str]]:
    """Each extra of the package with the packages it wants."""
    out: dict[str, list[str]] = {}
    for line in requires("twoviews") or []:
        match = re.match(r"([A-Za-z0-9._-]+).*extra == ['\"]([\w-]+)['\"]", line)
        if match and match[2] not in ("dev", "bench", "docs"):
            out.setdefault(match[2], []).append(match[1])
    return out


def found(packages: list[str]) -> str | None:
    """Versions of the packages, None where one is missing."""
    try:
        return ", ".join(f"{name} {version(name)}" for name in packages)
    except PackageNotFoundError:
        return None


def advise(about: dict[str, Any], used: dict[str, Any], measured: dict[str, float], device: torch.device) -> list[str]:
    """What would make it faster, from what was seen."""
    out = []
    if device.type == "cpu" and torch.cuda.is_available():
        out.append("There is a GPU, and it is not used: leave --device away.")
    if device.type == "cpu" and not torch.cuda.is_available() and shutil.which("nvidia-smi"):
        out.append("There is an NVIDIA driver, but this torch has no CUDA for it: install another torch.")
    if used["threads"] < used["cores_allowed"]:
        out.append(
            f"torch uses {used['threads']} of {used['cores_allowed']} cores: unset OMP_NUM_THREADS, or set it to {used['cores_allowed']}."
        )
    if used["threads"] > used["cores_allowed"]:
        out.append(
            f"torch starts {used['threads']} threads on {used['cores_allowed']} cores: OMP_NUM_THREADS={used['cores_allowed']} is faster."
        )
    fp32, bf16 = (measured.get(f"step_{name}_images_per_second") for name in ("fp32", "bf16"))
    if fp32 and bf16:
        best = "bf16" if bf16 > 1.1 * fp32 else "fp32" if fp32 > 1.1 * bf16 else used["precision"]
        if best != used["precision"]:
            out.append(f"--precision {best} was faster here: {max(fp32, bf16) / min(fp32, bf16):.1f} times as many pictures a second.")
    cut, train = measured.get("cut_images_per_second_and_core"), max(fp32 or 0, bf16 or 0)
    if cut and device.type == "cuda" and cut * used["cores_allowed"] < train:
        out.append(
            f"{used['cores_allowed']} cores cut {cut * used['cores_allowed']:.0f} pictures of {PICTURE} px a second: a small network waits for them. Smaller files, or "
            "twoviews shard from pictures made smaller before, help."
        )
    if measured.get("disk_mb_per_second", 1e9) < 50:
        out.append(
            f"The disk here takes {measured['disk_mb_per_second']:.0f} MB a second: checkpoints are slow; put --out elsewhere, or raise --checkpoint-every."
        )
    if used["compile"].startswith("yes") and device.type == "cuda":
        out.append("--compile costs most of a minute at the start, then some per cent: worth it for runs of more than an hour.")
    if device.type == "cpu" and not torch.cuda.is_available():
        out.append(
            "Processors train small networks on small pictures; ResNet-50 at 224 px wants a GPU. `twoviews plan IMAGES` says how long a run takes here."
        )
    return out


def show(health: Health) -> None:
    """Print it."""
    from rich.table import Table

    from ..base.console import out

    for title, values in (("machine", health.about), ("used by default", health.used), ("measured", health.measured)):
        if values:
            table = Table(box=None, pad_edge=False, title=title, title_justify="left", show_header=False)
            for name, value in values.items():
                table.add_row(name.replace("_", " "), f"{value:,.4g}" if isinstance(value, float) else str(value))
            out().print(table)
    table = Table(box=None, pad_edge=False, title="extras", title_justify="left", show_header=False)
    for name, value in health.extras.items():
        table.add_row(name, value or f'missing: pip install "twoviews[{name}]"')
    out().print(table)
    for line in health.advice or ["Nothing to mend was found."]:
        print(f"→ {line}")
