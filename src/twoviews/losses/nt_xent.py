"""NT-Xent, the loss of SimCLR (Chen et al. 2020, equation 1), with what the official code reports beside it.

For view i with partner j: −log( exp(s_ij/τ) / Σ_{k≠i} exp(s_ik/τ) ), s = cosine similarity, mean over all 2n views.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def similarities(z1: Tensor, z2: Tensor, temperature: float = 0.1, normalize: bool = True) -> Tensor:
    """Logits of all views against all views, −inf on the diagonal. Shapes (n, d), (n, d) → (2n, 2n), first views first."""
    z = torch.cat([z1, z2])
    if normalize:
        z = z * z.square().sum(1, keepdim=True).clamp(min=1e-12).rsqrt()  # the official epsilon
    logits = z @ z.T / temperature
    return logits.masked_fill(torch.eye(len(z), dtype=torch.bool, device=z.device), -math.inf)


def nt_xent(z1: Tensor, z2: Tensor, temperature: float = 0.1, *, normalize: bool = True, official: bool = False) -> Tensor:
    """NT-Xent of n pairs: the mean over the 2n views. Shapes (n, d), (n, d) → scalar ≥ 0; log(2n − 1) when nothing is known.

    `temperature` > 0; the paper's 0.1 to 1. `normalize=False` takes z as it is. `official=True` returns the official code's value,
    twice this one. Reduced precision is raised to float32 first.
    """
    logits = similarities(raised(z1), raised(z2), temperature, normalize)
    loss = F.cross_entropy(logits, partners(len(z1), logits.device))
    return 2 * loss if official else loss


def contrastive_metrics(z1: Tensor, z2: Tensor, temperature: float = 0.1, *, normalize: bool = True) -> tuple[Tensor, Tensor]:
    """Contrastive accuracy and entropy as the official code reports them: first views against the n second views only.

    Accuracy: share of first views whose largest similarity is their partner (chance 1/n). Entropy: of the softmax over the n, in nats.
    """
    n = len(z1)
    logits = similarities(raised(z1), raised(z2), temperature, normalize)[:n, n:]
    accuracy = (logits.argmax(1) == torch.arange(n, device=logits.device)).to(logits.dtype).mean()
    p = logits.softmax(1)
    return accuracy, -(p * (p + 1e-8).log()).sum(1).mean()


def chance(n: int) -> float:
    """The loss of n pairs when nothing is known: log(2n − 1)."""
    return math.log(2 * n - 1)


def partners(n: int, device: torch.device) -> Tensor:
    """For each of the 2n views the row of its partner."""
    return torch.arange(2 * n, device=device).roll(n)


def raised(z: Tensor) -> Tensor:
    """float16 and bfloat16 → float32; others as they are."""
    return z.float() if z.dtype in (torch.float16, torch.bfloat16) else z
