"""Two views of each picture: pictures a second against size, from memory on one core and from JPEG files with workers, beside others."""

# What is compared with comes with the extra `bench`, which need not be there.
# pyright: reportMissingImports=false

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..base import draws as rng
from ..base.device import reuse_memory
from ..sources.config import Reading
from ..sources.folder import folder
from ..sources.loader import Loader
from ..views.config import ViewConfig
from ..views.pipeline import Views, as_float
from .measure import Series, installed, machine, turns

SIZES = (32, 64, 96, 128)
COUNT = 128  # pictures a call
BATCH = 32


def photos(count: int, height: int, width: int) -> Tensor:
    """(count, 3, height, width) uint8: parts of the two photographs that come with scikit-learn."""
    from sklearn.datasets import load_sample_images

    whole = [torch.from_numpy(image.copy()).permute(2, 0, 1) for image in load_sample_images().images]
    u = rng.uniform(rng.key("bench", np.arange(count)), 2)
    out = []
    for number, (y, x) in enumerate(u):
        image = whole[number % len(whole)]
        top, left = int(y * (image.shape[1] - height)), int(x * (image.shape[2] - width))
        out.append(image[:, top : top + height, left : left + width])
    return torch.stack(out).contiguous()


@contextmanager
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def candidates(size: int) -> dict[str, Callable[[], Any]]:
    """Two views of COUNT pictures of `size` px in memory, all with crop, flip, jitter 0.5, gray, and from 64 px on blur."""
    images, keys = photos(COUNT, size, size), rng.key("bench", np.arange(COUNT))
    config = ViewConfig(size=size, strength=0.5, blur=0.5 if size >= 64 else 0.0)
    views, kernel = Views(config), size // 10 // 2 * 2 + 1
    out: dict[str, Callable[[], Any]] = {
        "twoviews": lambda: views(images, keys),
        "definition (batched torch)": lambda: views(as_float(images), keys),
    }
    if installed("lightly"):
        from lightly.transforms import SimCLRTransform

        transform = SimCLRTransform(input_size=size, cj_strength=0.5, gaussian_blur=config.blur, normalize=None)
        pil = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images]
        out["lightly"] = lambda: torch.stack([torch.stack(list(transform(image))) for image in pil])  # type: ignore[arg-type]
    if installed("kornia"):
        import kornia.augmentation as k

        steps = [k.RandomResizedCrop((size, size), scale=(0.08, 1.0)), k.RandomHorizontalFlip(), k.ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8)]
        steps += [k.RandomGrayscale(p=0.2)] + [k.RandomGaussianBlur((kernel, kernel), (0.1, 2.0), p=0.5)] * (size >= 64)
        whole = torch.nn.Sequential(*steps)
        out["kornia"] = torch.no_grad()(lambda: (whole(as_float(images)), whole(as_float(images))))
    from torchvision.transforms import v2

    parts = [v2.RandomResizedCrop(size, (0.08, 1.0)), v2.RandomHorizontalFlip(), v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], 0.8)]
    parts += [v2.RandomGrayscale(0.2)] + [v2.RandomApply([v2.GaussianBlur(kernel, (0.1, 2.0))], 0.5)] * (size >= 64)
    single = v2.Compose([*parts, v2.ToDtype(torch.float32, scale=True)])
    out["torchvision v2"] = lambda: torch.stack([torch.stack([single(image), single(image)]) for image in images])
    return out


def from_files(where: Path, workers: int, size: int = 224, repeat: int = 2) -> dict[str, Callable[[], int]]:
    """Whole passes over the picture files below `where`, decoding included, by as many workers; each call returns how many pictures."""
    source = folder(where, Reading())["all"]
    views = Views(size=size)
    loader = Loader(source, views.crop_pairs, workers)
    ids = np.tile(np.arange(len(source)), repeat)
    batches = [(part, rng.key("files", part)) for part in np.array_split(ids, range(BATCH, len(ids), BATCH))]

    def ours() -> int:
        return sum(len(views(batch.images, batch.keys)[0]) for batch in loader(batches))

    out = {"twoviews": ours}
    if installed("lightly"):
        from lightly.transforms import SimCLRTransform
        from torch.utils.data import ConcatDataset, DataLoader

        readable = _Files([where / path for path in map(source.name, range(len(source)))], SimCLRTransform(input_size=size))
        others = DataLoader(ConcatDataset([readable] * repeat), batch_size=BATCH, num_workers=workers, persistent_workers=workers > 0)
        out["lightly"] = lambda: sum(len(pair[0]) for pair in others)
    return out


class _Files(torch.utils.data.Dataset):
    """Picture files through a transform of PIL images, as torchvision's and lightly's datasets read them."""

    def __init__(self, paths: list[Path], transform: Callable[[Image.Image], Any]):
        self.paths, self.transform = paths, transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Any:
        with Image.open(self.paths[index]) as image:
            return self.transform(image.convert("RGB"))


def bench(images: Path | None = None, sizes: tuple[int, ...] = SIZES, seconds: float = 4.0) -> dict[str, Any]:
    """Pictures a second by name and size, from memory; and from files at 224 px. `images`: a folder of picture files."""
    rates: Series = {}
    reuse_memory()
    with one_thread():
        for size in sizes:
            for name, value in turns(candidates(size), seconds).items():
                rates.setdefault(name, {})[size] = COUNT / value
    workers = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as made:
        where = images
        if where is None:
            where = Path(made)
            for number, image in enumerate(photos(64, 375, 500)):
                Image.fromarray(image.permute(1, 2, 0).numpy()).save(where / f"{number}.jpg", quality=90)
        calls = from_files(where, workers)
        count = calls["twoviews"]()
        files = {name: count / value for name, value in turns(calls, 6 * seconds).items()}
    return {"machine": machine(), "images_per_second": rates, "files": {"size": 224, "workers": workers, "images_per_second": files}}
