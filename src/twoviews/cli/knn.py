"""`twoviews knn ENCODER IMAGES`."""

from __future__ import annotations

from .evaluation import measuring

command = measuring(
    "knn",
    "Accuracy of the nearest labelled neighbours in h, beside raw pixels and an untrained encoder.",
    ("k", "knn_temperature"),
)
