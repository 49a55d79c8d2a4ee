"""Wilson's interval of a share, as scipy.stats has it; that module alone takes a second to load, at each start of `knn`."""

from __future__ import annotations

import math

Z = 1.959963984540054  # of a normal distribution, 95 % lie within so many standard deviations


def wilson(share: float, n: int) -> tuple[float, float]:
    """95 % interval of an accuracy, 0 to 1, measured once on n images (Wilson 1927)."""
    share = round(share * n) / n
    middle, half = share + Z**2 / (2 * n), Z * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    low, high = ((middle + sign * half) / (1 + Z**2 / n) for sign in (-1, 1))
    return (0.0 if share == 0 else low), (1.0 if share == 1 else high)
