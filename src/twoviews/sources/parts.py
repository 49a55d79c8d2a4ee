"""The parts of a set by the names that people give them: train, val, test, unlabelled. One reading for folders, lists, Parquet, shards and hf:."""

from __future__ import annotations

TRAIN, VAL, TEST, UNLABELLED, ALL = "train", "val", "test", "unlabelled", "all"
PARTS = (TRAIN, VAL, TEST, UNLABELLED)  # in their order; a set without parts is `all`


def part_of(name: str) -> str | None:
    """The part that a folder, file, split or value is called after, None where the name says nothing. Case and what surrounds the word do not matter:
    Training, seg_train, training_set, train2017, train-00000-of-00012, imagenet1k-train-0003 are all `train`.
    """
    return _EXACT.get(name.strip().lower())


_EXACT = {
    "train": TRAIN, "training": TRAIN, "test": TEST, "testing": TEST, "val": VAL, "validation": VAL, "valid": VAL,
    "unlabelled": UNLABELLED, "unlabeled": UNLABELLED,
}  # fmt: skip
