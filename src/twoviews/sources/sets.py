"""Known sets by name: `digits` (in scikit-learn, needs nothing), and torchvision's CIFAR-10, CIFAR-100, STL-10, Fashion-MNIST."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..base.errors import UserError
from .source import Small


def known_set(name: str, root: Path, download: bool) -> dict[str, Small]:
    """Splits of a known set: train, test, and for STL-10 also unlabelled. Raises UserError when its files are not below `root`."""
    return digits() if name == "digits" else _torchvision(name, root, download)


def digits() -> dict[str, Small]:
    """scikit-learn's 1,797 digits of 8 × 8 pixels. The last 30 % of their order are other writers: the test set."""
    from sklearn.datasets import load_digits

    data: Any = load_digits()
    images = torch.from_numpy((data.images * (255 / 16)).round().astype(np.uint8))[:, None]  # (1797, 1, 8, 8)
    labels, cut = data.target.astype(np.int64), int(len(images) * 0.7)
    classes = [str(digit) for digit in range(10)]
    return {
        "train": Small(images[:cut].contiguous(), labels[:cut], classes, fingerprint(images[:cut], labels[:cut])),
        "test": Small(images[cut:].contiguous(), labels[cut:], classes, fingerprint(images[cut:], labels[cut:])),
    }


def _torchvision(name: str, root: Path, download: bool) -> dict[str, Small]:
    from torchvision import datasets

    makers = {
        "cifar10": (datasets.CIFAR10, {"train": {"train": True}, "test": {"train": False}}),
        "cifar100": (datasets.CIFAR100, {"train": {"train": True}, "test": {"train": False}}),
        "fashion-mnist": (datasets.FashionMNIST, {"train": {"train": True}, "test": {"train": False}}),
        "stl10": (datasets.STL10, {split: {"split": split} for split in ("train", "test", "unlabeled")}),
    }
    make, splits = makers[name]
    out = {}
    for split, options in splits.items():
        try:
            data = make(str(root), download=download, **options)
        except RuntimeError as error:
            raise UserError(
                f"{name} is not below --root {root}: {str(error).split('.')[0]}. Give its folder with --root, or add --download"
            ) from error
        except OSError as error:  # the download's own errors
            raise UserError(f"{name} could not be downloaded to {root}: {error}") from error
        images = torch.as_tensor(np.asarray(data.data))
        if images.ndim == 3:
            images = images[:, None]
        elif images.shape[-1] == 3:
            images = images.permute(0, 3, 1, 2)
        images = images.contiguous()
        known = getattr(data, "targets", getattr(data, "labels", None))
        labels = None if split == "unlabeled" else np.asarray(known, np.int64)
        out[{"unlabeled": "unlabelled"}.get(split, split)] = Small(images, labels, list(data.classes), fingerprint(images, labels))
    return out


def fingerprint(images: torch.Tensor, labels: np.ndarray | None) -> str:
    """A short hash of the pixels and labels."""
    digest = hashlib.sha256(images.contiguous().numpy().tobytes())
    digest.update(b"" if labels is None else labels.tobytes())
    return digest.hexdigest()[:16]
