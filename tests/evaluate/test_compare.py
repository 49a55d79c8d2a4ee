"""Is it worth it: encoders side by side, and what the recommendation says of figures we know."""

from __future__ import annotations

import pytest
from PIL import Image

import twoviews as tv
from twoviews.evaluate.compare import recommend
from twoviews.nets.encoder import encoder, save_encoder

from .test_evaluate import colored


def figure(mean, half):
    return {"mean": mean, "low": mean - half, "high": mean + half}


def rows(**figures):
    """rows(name=(few, all, knn), …), each (mean, half)."""
    return [
        {"subject": name.replace("_", "/"), "labels": labels, "verb": "knn" if labels == "kNN" else "linear", "top1": figure(*value)}
        for name, values in figures.items()
        for labels, value in zip(("5 per class", "all", "kNN"), values, strict=True)
    ]


def test_a_clear_winner_is_named_with_its_evidence():
    text = recommend(
        rows(
            ours=((0.7, 0.02), (0.9, 0.01), (0.85, 0.01)),
            theirs=((0.6, 0.02), (0.895, 0.01), (0.8, 0.01)),
            pixels=((0.3, 0.02), (0.4, 0.01), (0.3, 0.01)),
        ),
        ["ours", "theirs"],
    )
    assert text.startswith("Take ours: linear top-1 70.0 % (68.0 to 72.0) with 5 per class labels, 90.0 %")
    assert "theirs has 60.0 %" in text
    assert "clearly less with 5 per class labels" in text
    assert "all" not in text.split("clearly less with ")[1].split(".")[0]
    assert "Pixels: 30.0 % (28.0 to 32.0)" in text
    assert text.endswith("kNN agrees (85.0 %).")


def test_what_pixels_do_as_well_is_not_worth_it():
    text = recommend(rows(ours=((0.3, 0.02), (0.5, 0.01), (0.4, 0.01)), pixels=((0.35, 0.02), (0.4, 0.01), (0.5, 0.01))), ["ours"])
    assert text.startswith("None of these encoders is worth it yet: with 5 per class labels pixels reaches 35.0 %")
    assert "kNN prefers pixels" in text


def test_intervals_that_overlap_decide_nothing():
    text = recommend(rows(a=((0.61, 0.05), (0.8, 0.05), (0.7, 0.1)), b=((0.6, 0.05), (0.79, 0.05), (0.71, 0.1))), ["a", "b"])
    assert text.startswith("Take a")
    assert "not told apart by these intervals" in text


def test_encoders_of_other_channels_and_sizes_side_by_side(tmp_path):
    pytest.importorskip("matplotlib")
    save_encoder(tmp_path / "one.safetensors", encoder("resnet18", width=0.25, stem="small", size=12), {})
    save_encoder(tmp_path / "two.safetensors", encoder("convnet", size=16, channels=3), {})
    result = tv.compare(
        colored(60), [tmp_path / "one.safetensors", tmp_path / "two.safetensors", "untrained:timm:resnet10t"],
        tmp_path / "figure.png", labels=("3", "all"), seeds=2, size=0, device="cpu", k=3,
    )  # fmt: skip
    assert list(dict.fromkeys(row["subject"] for row in result.rows)) == [
        "one.safetensors", "two.safetensors", "untrained:timm:resnet10t", "untrained", "pixels",
    ]  # fmt: skip
    assert {row["labels"] for row in result.rows} == {"3 per class", "all", "kNN"}
    assert Image.open(tmp_path / "figure.png").size[0] > 500
    assert result.about["recommendation"]
    with pytest.raises(tv.UserError, match="at least one encoder"):
        tv.compare(colored(60), [])
