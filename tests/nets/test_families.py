"""One small member of every architecture family of timm and torchvision: it trains through `twoviews.train` and gives the same h when loaded, or is
refused in words and leaves no RUN. What came out stands in docs/figures/timm_families.json; the test goes on where it was stopped."""

from __future__ import annotations

import json
import multiprocessing
import queue
import shutil
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import twoviews as tv

TABLE = Path(__file__).parents[2] / "docs" / "figures" / "timm_families.json"
SIZE, LIMIT = 96, 900  # pixels; seconds for one network
HUGE = ("giant", "gigantic", "huge", "enormous", "large", "7b", "so400m", "so150m")  # never the smallest: not built to be counted
TORCHVISION = (
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "inception_v3", "maxvit_t", "mnasnet0_5", "mobilenet_v2",
    "mobilenet_v3_small", "regnet_y_400mf", "resnet18", "shufflenet_v2_x0_5", "squeezenet1_1", "swin_t", "swin_v2_t", "vgg11", "vit_b_16",
)  # fmt: skip


def smallest(module: str) -> tuple[str, int]:
    """The name and the number of weights of a family's smallest member; nothing is allocated for it."""
    import timm

    names = timm.list_models(module=module)
    counts = []
    for name in [n for n in names if not any(word in n for word in HUGE)] or names:
        try:
            with torch.device("meta"):
                net = timm.create_model(name, pretrained=False, num_classes=0)
        except Exception:  # some cannot be built without memory
            continue
        counts.append((sum(p.numel() for p in net.parameters()), name))
    count, name = min(counts)
    return name, count


def attempt(name: str, pictures: str, out: Path, answer: multiprocessing.Queue) -> None:
    """In a process of its own: train one epoch, load the encoder twice, compare."""
    try:
        run = tv.train(pictures, out, encoder=name, size=SIZE, epochs=1, batch=8, workers=0, tensorboard=False, device="cpu")
        one, two = tv.load_encoder(out), tv.load_encoder(out)
        with torch.no_grad():
            x = torch.rand(2, 3, one.spec.size, one.spec.size)
            same = torch.equal(one(x), two(x)) and one(x).shape == (2, one.num_features)
        built = f", built for {one.spec.built} px" if one.spec.built else ""
        text = f"h of {one.num_features}{built}{', contiguous' if one.contiguous else ''}"
        answer.put(("trained", text) if same and run.finished() else ("wrong", "the loaded encoder gives something else"))
    except tv.UserError as error:
        answer.put(("left a RUN", str(error)) if out.exists() else ("refused", str(error)))
    except BaseException as error:
        answer.put(("crashed", f"{type(error).__name__}: {error}"[:200]))


def outcome(name: str, pictures: Path, out: Path) -> tuple[str, str]:
    """What came of a network, within the limit of time."""
    context = multiprocessing.get_context("fork")
    answer, ends = context.Queue(), time.monotonic() + LIMIT
    process = context.Process(target=attempt, args=(name, str(pictures), out, answer))
    process.start()
    try:
        while time.monotonic() < ends:
            try:
                return answer.get(timeout=1)
            except queue.Empty:
                if not process.is_alive():
                    return "crashed", f"the process ended with {process.exitcode}"
        return "too slow", f"not done in {LIMIT} s"
    finally:
        process.kill()
        process.join()
        shutil.rmtree(out, ignore_errors=True)


def keep(found: dict) -> None:
    part = TABLE.with_suffix(".part")
    part.write_text(json.dumps(found, indent=1) + "\n")
    part.replace(TABLE)


@pytest.mark.soak
def test_every_family_trains_or_is_refused_in_words(tmp_path):
    import timm
    from torchvision import models

    versions = {name: version(name) for name in ("timm", "torch", "torchvision")}
    found = json.loads(TABLE.read_text()) if TABLE.is_file() else {}
    if found.get("versions") != versions:
        found = {"versions": versions, "size": SIZE, "families": {}}
    families = found["families"]
    for module in timm.list_modules():
        if f"timm {module}" not in families:
            name, count = smallest(module)
            families[f"timm {module}"] = {"model": f"timm:{name}", "weights": count}
            keep(found)
    for name in TORCHVISION:
        count = models.get_model_weights(name).DEFAULT.meta["num_params"]
        families.setdefault(f"torchvision {name}", {"model": f"torchvision:{name}", "weights": count})["weights"] = count
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(8):
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (120 + number, 110, 3), np.uint8)).save(pictures / f"{number}.png")
    torch.set_num_threads(1)
    for family in sorted((f for f in families.values() if "outcome" not in f), key=lambda f: (f.get("before") == "trained", f["weights"])):
        began = time.monotonic()
        family["outcome"], family["why"] = outcome(family["model"], pictures, tmp_path / "run")
        family["seconds"] = round(time.monotonic() - began, 1)
        keep(found)
    wrong = {name: family for name, family in families.items() if family["outcome"] not in ("trained", "refused")}
    assert not wrong
    assert len(families) >= 90
