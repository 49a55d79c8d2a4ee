"""No command loads a library that it does not use: which modules are loaded is counted, not seconds."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import twoviews as tv

HEAVY = (  # not pandas: pyarrow loads it wherever it is installed
    *("torch", "torchvision", "torch._dynamo", "timm", "sklearn", "scipy", "numba", "matplotlib", "umap", "tensorboard", "tensorflow"),
    *("pydicom", "tifffile", "datasets", "transformers", "lancedb", "faiss", "rich.markdown"),
)
# In one process, one after the other: a library that a command loads is there for all behind it.
COMMANDS = (
    ("runs", "runs .", ()),
    ("wrong path", "knn run nowhere", ()),
    ("wrong option", "train images --epoch 3", ()),
    ("wrong value", "embed run images --out vectors.npz --layer g", ()),
    ("embed", "embed run images --out vectors.npz --workers 0", ("torch",)),
    ("search", "search run vectors.npz --query images/a/0.png", ("torch",)),
    ("knn", "knn run images --seeds 2 --workers 0", ("torch", "scipy")),  # intervals over draws: scipy.special
    ("select", "select run vectors.npz -n 3", ("torch", "scipy", "sklearn")),  # k-means
    # torch's optimizers load its compiler; the kernel of the views is Numba's
    ("linear", "linear run images --seeds 2 --workers 0", ("torch", "scipy", "sklearn", "torch._dynamo")),
    (
        "train",
        "train images --out new --encoder convnet --size 16 --epochs 1 --batch 4 --workers 0",
        ("torch", "scipy", "sklearn", "torch._dynamo", "numba", "tensorboard"),
    ),
    ("report", "report run --images images", ("torch", "scipy", "sklearn", "torch._dynamo", "numba", "tensorboard")),
)
CODE = """
import json, sys
from twoviews.cli.main import main
for name, line in json.loads(sys.argv[1]):
    sys.stdout, out = sys.stderr, sys.stdout
    code = main(line.split())
    sys.stdout = out
    print(json.dumps([name, code, [m for m in json.loads(sys.argv[2]) if m in sys.modules]]), flush=True)
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """For each command its exit code, and the heavy libraries that are loaded when it has ended."""
    place = tmp_path_factory.mktemp("imports")
    for n in range(12):
        (place / "images" / "ab"[n % 2]).mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(n).integers(0, 256, (20 + n, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / "images" / "ab"[n % 2] / f"{n}.png")
    tv.train(place / "images", place / "run", encoder="convnet", width=0.125, size=16, epochs=1, batch=4, workers=0, tensorboard=False)
    lines = [(name, line) for name, line, _ in COMMANDS]
    done = subprocess.run([sys.executable, "-c", CODE, json.dumps(lines), json.dumps(HEAVY)], cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {name: (code, found, done.stderr) for name, code, found in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize(("name", "allowed"), [(name, allowed) for name, _, allowed in COMMANDS], ids=[name for name, *_ in COMMANDS])
def test_a_command_loads_only_what_it_uses(loaded, name, allowed):
    code, found, err = loaded[name]
    assert code == (2 if name.startswith("wrong") else 0), err
    assert set(found) <= set(allowed)
