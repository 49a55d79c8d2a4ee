"""Recipes: named sets of TrainConfig's values, each with where its numbers come from. docs/recipes.md shows what they reached."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..base.errors import unknown


@dataclasses.dataclass(frozen=True)
class Recipe:
    """`values` differ from TrainConfig's defaults; `source` says where they come from, `expected` what its source reached, `cost` what it took there."""

    source: str
    values: dict[str, Any]
    expected: str = ""
    cost: str = ""


RECIPES: dict[str, Recipe] = {
    "paper": Recipe(
        "Chen et al. 2020, sections 2 and 4: ResNet-50, LARS 0.3 · 4096/256 = 4.8, batch 4096, temperature 0.1",
        {},
        "linear top-1 on ImageNet about 64.5 % after 100 epochs (the official README)",
        "about 6 hours on 32 TPU v3 (the official README), 1.5 hours on 128 TPU v3 cores (section 2.2)",
    ),
    "imagenet": Recipe(
        "the same for 1000 epochs (Chen et al. 2020, Table 6); --width 2 and 4 are its larger networks",
        {"epochs": 1000},
        "linear top-1 on ImageNet 69.3, 74.2 and 76.5 % with width 1, 2 and 4 (published checkpoints: 69.1, 74.2, 76.6)",
        "ten times that of recipe paper; a network of width w costs about w² times as much",
    ),
    "imagenet-v2": Recipe(
        "SimCLRv2 (Chen et al. 2020b) for ResNet-50: head of three layers, weight decay 1e-4, rate 0.075 · √4096 = 4.8; --sk, --width and --encoder make its larger networks",
        {"head": "mlp3", "learning_rate": 0.075, "scaling": "sqrt", "weight_decay": 1e-4, "epochs": 800},
        "linear top-1 on ImageNet 71.7 % (with --sk 74.6; ResNet-152 ×3 SK 79.8): the official README's table",
        "eight times that of recipe paper",
    ),
    "cifar10-paper": Recipe(
        "Chen et al. 2020, B.9: ResNet-50 with the small stem, batch 1024, temperature 0.5, strength 0.5, no blur, 1000 epochs; rate 1.0 of its grid 0.5, 1.0, 1.5",
        {
            "size": 32,
            "strength": 0.5,
            "blur": 0.0,
            "stem": "small",
            "temperature": 0.5,
            "batch": 1024,
            "epochs": 1000,
            "learning_rate": 1.0,
        },
        "linear top-1 on CIFAR-10 94.0 %, which several people report not to have reached",
        "13 hours on two V100 for a re-implementation in PyTorch that reports 93.4 % (AndrewAtanov/simclr-pytorch)",
    ),
    "cifar10": Recipe(
        "the official README's CIFAR-10 command: ResNet-18 with the small stem, rate 1.0 · 512/256, temperature 0.5, strength 0.5, no blur, 1000 epochs",
        {
            "size": 32,
            "strength": 0.5,
            "blur": 0.0,
            "encoder": "resnet18",
            "stem": "small",
            "head": "mlp3",
            "temperature": 0.5,
            "batch": 512,
            "epochs": 1000,
            "learning_rate": 1.0,
            "weight_decay": 1e-4,
        },
        "linear top-1 on CIFAR-10 around 91 % (the official README)",
        "the same network takes lightly 331 minutes for 800 epochs on an A6000 (its benchmark page)",
    ),
    "stl10": Recipe(
        "the setting of Spijkervet's SimCLR on STL-10 (ResNet-18, batch 256, Adam, z of 64, temperature 0.5, 100 epochs), at the pictures' own 96 px",
        {
            "size": 96,
            "encoder": "resnet18",
            "head_features": 64,
            "temperature": 0.5,
            "batch": 256,
            "optimizer": "adamw",
            "learning_rate": 3e-4,
            "scaling": "none",
        },
        "linear top-1 on STL-10 76.5 % (its README; with ResNet-50 79.1)",
        "10.5 million pairs of 96 px (105,000 unlabelled and training pictures)",
    ),
    "imagenette": Recipe(
        "lightly's benchmark on Imagenette of 160 px: ResNet-18 at 128 px, batch 256, SGD 0.06, temperature 0.5, strength 0.5, 800 epochs",
        {
            "size": 128,
            "strength": 0.5,
            "encoder": "resnet18",
            "temperature": 0.5,
            "batch": 256,
            "epochs": 800,
            "optimizer": "sgd",
            "learning_rate": 0.06,
            "weight_decay": 5e-4,
            "warmup_epochs": 0.0,
        },
        "kNN of 200 neighbours 85.8 % (2022) to 88.9 % (its current page), the best of all epochs",
        "193.5 minutes on an A6000, 325 on a V100 (its page and benchmark)",
    ),
    "photos": Recipe(
        "ours, for some hundred to some ten thousand pictures on a small machine: ResNet-18, AdamW, small batches, and gentle views (strength 0.5, "
        "no blur, crops from a fifth of the picture), because with the paper's the loss on 134 photos still stood at log(2n − 1) after 60 steps",
        {
            "size": 96,
            "crop_min": 0.2,
            "strength": 0.5,
            "blur": 0.0,
            "encoder": "resnet18",
            "temperature": 0.5,
            "batch": 64,
            "epochs": 200,
            "optimizer": "adamw",
            "learning_rate": 1e-3,
            "scaling": "none",
            "weight_decay": 1e-4,
        },
    ),
    "digits": Recipe(
        "ours, for drawings of 8 to 16 px: no crop, flip or colour; moves, smooth warping, stroke and noise instead (docs/results.md)",
        {
            "size": 12,
            "channels": 1,
            "crop_min": 1.0,
            "flip": 0.0,
            "strength": 0.0,
            "blur": 0.0,
            "rotate": 15.0,
            "zoom": 0.2,
            "shear": 0.2,
            "shift": 0.1,
            "warp": 0.04,
            "stroke": 0.5,
            "noise": 0.2,
            "encoder": "convnet",
            "head_features": 64,
            "temperature": 0.5,
            "batch": 628,
            "epochs": 300,
            "optimizer": "adamw",
            "learning_rate": 1e-2,
            "scaling": "none",
            "weight_decay": 1e-4,
        },
    ),
}
FEW = 50_000  # up to this many pictures of many sizes, `auto` takes photos; above, paper


def recipe(name: str) -> Recipe:
    """A recipe by name. Raises UserError with the nearest name."""
    if name not in RECIPES:
        raise unknown("recipe", name, ["auto", *RECIPES])
    return RECIPES[name]


def choose(spec: str, count: int, side: int | None) -> tuple[str, str]:
    """The recipe for `auto` and why. `side`: that of pictures in memory, None for pictures of many sizes."""
    if spec == "digits":
        return "digits", "the set is digits"
    if side is not None and side <= 40 and count >= 5000:
        return "cifar10", f"{count:,} pictures of {side} px"
    if count <= FEW:
        return "photos", f"{count:,} pictures"
    return "paper", f"{count:,} pictures, enough for the paper's setting"
