"""SimCLR on one page, from the library's parts and a loop of its own (Chen et al. 2020, algorithm 1).

Digits of 8 × 8 pixels, no labels in training; at the end a few labels name what was learned.
Run: python examples/simclr_in_one_page.py [--epochs 60]   (about a minute on two cores)
"""

import argparse

import numpy as np
import torch
import torch.nn.functional as F

import twoviews as tv

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=60)
parser.add_argument("--batch", type=int, default=256)
arguments = parser.parse_args()
n, temperature, seed = arguments.batch, 0.5, 0


def load(split: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures as one uint8 tensor (n, 1, 8, 8), and their digits (n,)."""
    source = tv.images("digits", split, channels=1)
    return torch.stack([source.read(i) for i in range(len(source))]), torch.as_tensor(source.labels)


# The test pictures are of writers that training never sees; training does not look at the digits' names.
(train, names), (test, truth) = load("train"), load("test")

# Views: no crop, flip or colour for digits, but moves, smooth warping, stroke and noise.
moves = {"rotate": 15, "zoom": 0.2, "shear": 0.2, "shift": 0.1, "warp": 0.04, "stroke": 0.5, "noise": 0.2}
views = tv.Views(size=12, channels=1, crop_min=1, flip=0, strength=0, blur=0, **moves)

# Encoder f and projection head g: h = f(x), z = g(h).
f = tv.encoder("convnet", channels=1, size=12, seed=seed)
g = tv.head("mlp2", f.num_features, 64)

steps = len(train) // n * arguments.epochs
schedule = tv.Schedule(peak=1e-2, warmup=steps // 10, total=steps)
optimizer = torch.optim.AdamW([*f.parameters(), *g.parameters()], weight_decay=1e-4)

step = 0
for epoch in range(arguments.epochs):
    order = np.argsort(tv.draw_keys(seed, epoch, np.arange(len(train))))  # a keyed shuffle
    for ids in order[: len(train) // n * n].reshape(-1, n):
        x1, x2 = views(train[torch.from_numpy(ids)], tv.draw_keys(seed, epoch, ids))  # (n, 1, 12, 12) each
        z1, z2 = g(f(torch.cat([x1, x2]))).chunk(2)  # both views in one forward
        loss = tv.nt_xent(z1, z2, temperature)
        optimizer.param_groups[0]["lr"] = schedule(step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
    if (epoch + 1) % 10 == 0:
        accuracy, _ = tv.contrastive_metrics(z1, z2, temperature)
        print(f"epoch {epoch + 1}: loss {loss:.3f} (nothing known: {np.log(2 * n - 1):.2f}), contrastive accuracy {100 * accuracy:.0f} %")

# What h knows: the nearest neighbour among five labelled pictures of each digit.
f.eval()
with torch.no_grad():
    h, queries = (F.normalize(f(tv.evaluation_view(x, 12)), dim=1) for x in (train, test))
few = torch.cat([torch.nonzero(names == digit)[:5, 0] for digit in range(10)])
guess = names[few][(queries @ h[few].T).argmax(1)]
print(f"5 labels a digit, nearest neighbour: {100 * (guess == truth).float().mean():.1f} % of unseen writers' digits")
