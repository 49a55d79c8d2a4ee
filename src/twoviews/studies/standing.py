"""Section 6 of the paper: where SimCLR stands beside other methods, with all labels, few labels, and on other sets."""

from __future__ import annotations

from .architecture import LONG
from .scale import Scale
from .study import Cell, Finding, Study

# Table 6, top-1 and top-5 of linear classifiers on ImageNet, by parameters in millions; the supervised ResNet-50 is the cross of Figure 1.
OTHERS: dict[str, tuple[int, float, float | None]] = {
    "Local Agg.": (24, 60.2, None),
    "MoCo": (24, 60.6, None),
    "PIRL": (24, 63.6, None),
    "CPC v2": (24, 63.8, 85.3),
    "Rotation (RevNet-50 ×4)": (86, 55.4, None),
    "BigBiGAN (RevNet-50 ×4)": (86, 61.3, 81.9),
    "AMDIM": (626, 68.1, None),
    "CMC (ResNet-50 ×2)": (188, 68.4, 88.2),
    "MoCo (ResNet-50 ×4)": (375, 68.6, None),
    "CPC v2 (ResNet-161)": (305, 71.5, 90.1),
}
TOP5: dict[float, float] = {1: 89.0, 2: 92.0, 4: 93.2}
SUPERVISED = (24, 76.5)
OURS = {1: 24, 2: 94, 4: 375}
BESIDE = (
    *((name, "ImageNet", {"parameters": p, "top1": top1} | ({"top5": top5} if top5 else {})) for name, (p, top1, top5) in OTHERS.items()),
    ("supervised ResNet-50", "ImageNet", {"parameters": SUPERVISED[0], "top1": SUPERVISED[1]}),
    *((f"SimCLR ResNet-50 ×{w}", "ImageNet", {"parameters": p, "top1": LONG["resnet50", w], "top5": TOP5[w]}) for w, p in OURS.items()),
)


def _widths(scale: Scale) -> tuple[int | float, ...]:
    base = scale.values.get("width", 1.0) or 1.0
    return scale.part((base, 2 * base), (1, 2), (1, 2, 4))


def _table6(scale: Scale) -> list[Cell]:
    widths, more = _widths(scale), {"epochs": 1000} if scale.name == "paper" else {}
    cells = []
    for width in widths:
        known = {"top1": LONG["resnet50", width], "top5": TOP5[width]} if scale.name == "paper" else {}
        cells.append(Cell("SimCLR", f"×{width:g}", {"width": width, **more}, paper=known))
    first = {"top1": SUPERVISED[1]} if scale.name == "paper" else {}
    return [*cells, Cell("supervised", f"×{widths[0]:g}", {"width": widths[0]}, measure="supervised", paper=first)]


def _table6_findings(scale: Scale) -> list[Finding]:
    low, *_, high = _widths(scale)
    return [
        Finding("the wider network is better", (("SimCLR", f"×{high:g}"),), (("SimCLR", f"×{low:g}"),)),
        Finding(
            "the widest reaches the supervised one (said here as: is better than it)",
            (("SimCLR", f"×{high:g}"),),
            (("supervised", f"×{low:g}"),),
        ),
    ]


TABLE6 = Study(
    "table6",
    "Chen et al. 2020, Table 6 and Figure 1",
    "linear evaluation by parameters, beside other methods and supervised training",
    "scatter",
    _table6,
    _table6_findings,
    ("top1", "top5", "parameters"),
    ("parameters, M", "top-1, %"),
    note="The other methods' numbers are the paper's, on ImageNet: they say nothing about other pictures.",
    beside=BESIDE,
    measured="linear evaluation on frozen h (labels: {labels}), or the supervised network itself",
    papers="ResNet-50 of width 1, 2, 4, 224 px, batch 4096, 1000 epochs of ImageNet (1.28 million pictures)",
)

FEW: dict[float, tuple[float, float]] = {1: (75.5, 87.8), 2: (83.0, 91.2), 4: (85.8, 92.6)}
FEW_OTHERS = {
    "supervised": (48.4, 80.4),
    "Pseudo-label": (51.6, 82.4),
    "VAT + entropy": (47.0, 83.4),
    "UDA (RandAugment)": (None, 88.5),
    "FixMatch (RandAugment)": (None, 89.1),
    "S4L (ResNet-50 ×4)": (None, 91.2),
    "InstDisc": (39.2, 77.4),
    "BigBiGAN (RevNet-50 ×4)": (55.2, 78.8),
    "PIRL": (57.2, 83.8),
    "CPC v2 (ResNet-161)": (77.9, 91.2),
}
SHARES = ("1 %", "10 %")


def _table7(scale: Scale) -> list[Cell]:
    cells, more = [], {"epochs": 1000} if scale.name == "paper" else {}
    for width in _widths(scale):
        for number, share in enumerate(SHARES):
            known = {"top5": FEW[width][number]} if scale.name == "paper" else {}
            cells.append(Cell(f"SimCLR ×{width:g}", share, {"width": width, **more}, measure="finetune", paper=known))
            cells.append(Cell(f"from scratch ×{width:g}", share, {"width": width, **more}, measure="finetune"))
    return cells


def _table7_findings(scale: Scale) -> list[Finding]:
    return [
        Finding(
            f"with {share} of the labels, fine-tuning is better than training from scratch",
            tuple((f"SimCLR ×{w:g}", share) for w in _widths(scale)),
            tuple((f"from scratch ×{w:g}", share) for w in _widths(scale)),
        )
        for share in SHARES
    ]


TABLE7 = Study(
    "table7",
    "Chen et al. 2020, Table 7",
    "fine-tuning on 1 % and 10 % of the labels, beside training from scratch",
    "bars",
    _table7,
    _table7_findings,
    ("top1", "top5"),
    ("labels", "top-1, %"),
    note="The paper's numbers are top-5 on ImageNet.",
    beside=tuple(
        (name, share, {"top5": value})
        for name, both in FEW_OTHERS.items()
        for share, value in zip(SHARES, both, strict=True)
        if value is not None
    ),
    measured="fine-tuned on few labels",
    papers="ResNet-50 of width 1, 2, 4, 224 px, batch 4096, 1000 epochs of ImageNet (1.28 million pictures)",
)

WAYS = ("linear", "fine-tuned", "from-scratch")


def _table8(scale: Scale) -> list[Cell]:
    more = {"epochs": 1000, "width": 4} if scale.name == "paper" else {}
    return [Cell(way, "sets", more, measure="transfer") for way in WAYS]


TABLE8 = Study(
    "table8",
    "Chen et al. 2020, Table 8",
    "transfer to other sets (--root, --sets): linear, fine-tuned, from scratch",
    "bars",
    _table8,
    lambda scale: [],
    axes=("set", "the set's metric, %"),
    note="The paper's lines stand in the table of `twoviews transfer`.",
    measured="each set's own metric",
    papers="ResNet-50 of width 4, 224 px, batch 4096, 1000 epochs of ImageNet (1.28 million pictures)",
)
