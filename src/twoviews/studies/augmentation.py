"""Section 3 of the paper: which augmentations together, and how strong the colour distortion."""

from __future__ import annotations

from .scale import Scale
from .study import Cell, Finding, Study

NAMES = ("crop", "cutout", "color", "sobel", "noise", "blur", "rotate")
MATRIX = (  # Figure 5: first transformation by second; the diagonal are single ones
    (33.1, 33.9, 56.3, 46.0, 39.9, 35.0, 30.2),
    (32.2, 25.6, 33.9, 40.0, 26.5, 25.2, 22.4),
    (55.8, 35.5, 18.8, 21.0, 11.4, 16.5, 20.8),
    (46.2, 40.6, 20.9, 4.0, 9.3, 6.2, 4.2),
    (38.8, 25.8, 7.5, 7.6, 9.8, 9.8, 9.6),
    (35.1, 25.2, 16.6, 5.8, 9.7, 2.6, 6.7),
    (30.0, 22.5, 20.7, 4.3, 9.7, 6.5, 2.6),
)


def _figure5(scale: Scale) -> list[Cell]:
    return [
        Cell(
            a,
            b,
            {"operations": a if a == b else f"{a}+{b}", "plain_second": True},
            paper={"top1": MATRIX[i][j]},
        )
        for i, a in enumerate(NAMES)
        for j, b in enumerate(NAMES)
    ]


def _figure5_findings(scale: Scale) -> list[Finding]:
    pairs = tuple((a, b) for a in NAMES for b in NAMES if a != b)
    singles = tuple((a, a) for a in NAMES)
    crop_color = (("crop", "color"), ("color", "crop"))
    return [
        Finding(
            "crop and colour together are better than any other pair", crop_color, tuple(p for p in pairs if p not in crop_color), best=True
        ),
        Finding("crop and colour together are better than any single transformation", crop_color, singles, best=True),
        Finding("of the single ones crop is the best", (("crop", "crop"),), tuple(p for p in singles if p[0] != "crop"), best=True),
        Finding("pairs are better than single ones, on average", pairs, singles),
    ]


FIGURE5 = Study(
    "figure5",
    "Chen et al. 2020, Figure 5",
    "pairs of augmentations, on one of the two views",
    "matrix",
    _figure5,
    _figure5_findings,
    axes=("second transformation", "first transformation"),
    note="Only the first view is transformed; the other is the picture itself (the paper's, a random crop that both share, where pictures differ in size).",
)

STRENGTHS = {"1/8": 0.125, "1/4": 0.25, "1/2": 0.5, "1": 1.0, "1 + blur": 1.0}
TABLE1_PAPER = {
    "SimCLR": (59.6, 61.0, 62.6, 63.2, 64.5),
    "supervised": (77.0, 76.7, 76.5, 75.7, 75.4),
}


def _table1(scale: Scale) -> list[Cell]:
    out = []
    for row, paper in TABLE1_PAPER.items():
        for (column, strength), value in zip(STRENGTHS.items(), paper, strict=True):
            values = {"strength": strength, "blur": 0.5 if "blur" in column else 0.0}
            out.append(Cell(row, column, values, measure="supervised" if row == "supervised" else "linear", paper={"top1": value}))
    return out


def _table1_findings(scale: Scale) -> list[Finding]:
    return [
        Finding("stronger colour distortion helps SimCLR: 1 is better than 1/8", (("SimCLR", "1"),), (("SimCLR", "1/8"),)),
        Finding("it does not help supervised training: 1/8 is better than 1", (("supervised", "1/8"),), (("supervised", "1"),)),
        Finding("blur helps SimCLR", (("SimCLR", "1 + blur"),), (("SimCLR", "1"),)),
    ]


TABLE1 = Study(
    "table1",
    "Chen et al. 2020, Table 1",
    "strength of the colour distortion, for SimCLR and for supervised training",
    "bars",
    _table1,
    _table1_findings,
    axes=("strength", "top-1, %"),
    note="The paper's column with AutoAugment (61.1 for SimCLR, 77.1 supervised) is not repeated.",
    measured="linear evaluation on frozen h (labels: {labels}), or the supervised network itself",
)
