"""Views and a loss of your own in `tv.train`, without touching the package: three views of each digit, and a loss over their three pairs.

Run: python examples/own_views_and_loss.py [--epochs 40] [--out runs/own]   (about a minute on two cores; the same command goes on)
"""

import argparse

import torch

import twoviews as tv

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=40)
parser.add_argument("--out", default="runs/own")
arguments = parser.parse_args()

moves = {"rotate": 15, "zoom": 0.2, "shear": 0.2, "shift": 0.1, "warp": 0.04, "stroke": 0.5, "noise": 0.2}
pair = tv.Views(size=12, channels=1, crop_min=1, flip=0, strength=0, blur=0, **moves)


def views(images: torch.Tensor, keys) -> tuple[torch.Tensor, ...]:
    """(n, 1, 8, 8) uint8 and a key a picture → three views (n, 1, 12, 12) in [0, 1]. Drawn from the keys alone, so that a run goes on to the same."""
    return *pair(images, keys), pair.single(images, tv.draw_keys("third view", keys))


def loss(z1: torch.Tensor, z2: torch.Tensor, z3: torch.Tensor) -> torch.Tensor:
    """The decoupled loss of each two views. With NT-Xent this would be `tv.multi_view`, which is also what three views get without a loss."""
    return (tv.decoupled(z1, z2, 0.5) + tv.decoupled(z1, z3, 0.5) + tv.decoupled(z2, z3, 0.5)) / 3


run = tv.train("digits", arguments.out, views=views, loss=loss, epochs=arguments.epochs)
print(f"kNN on digits of other writers: {100 * tv.knn(run.path, 'digits').top1():.1f} %")
