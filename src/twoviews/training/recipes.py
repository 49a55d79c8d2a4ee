"""Recipes: named sets of TrainConfig's values, each with where its numbers come from. docs/recipes.md shows what they reached."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..base.errors import unknown


@dataclasses.dataclass(frozen=True)
class Recipe:
    """`values` differ from TrainConfig's defaults; `source` says where they come from."""

    source: str
    values: dict[str, Any]


RECIPES: dict[str, Recipe] = {
    "paper": Recipe(
        "Chen et al. 2020, sections 2 and 4: ResNet-50, LARS 0.3 · 4096/256 = 4.8, batch 4096, temperature 0.1",
        {},
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
