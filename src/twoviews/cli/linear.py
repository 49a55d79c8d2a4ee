"""`twoviews linear ENCODER IMAGES`."""

from __future__ import annotations

from .evaluation import measuring

command = measuring(
    "linear",
    "Accuracy of a linear classifier on frozen h, beside raw pixels and an untrained encoder; also from few labels.",
    ("protocol", "epochs", "batch"),
)
