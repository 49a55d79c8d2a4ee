"""Section 4 of the paper: depth and width of the encoder, the projection head, and what h and g(h) know."""

from __future__ import annotations

from .scale import Scale
from .study import Cell, Finding, Study

HEADS = {"none": "none", "linear": "linear", "nonlinear": "mlp2"}


def dimensions(scale: Scale) -> tuple[int, ...]:
    return scale.part((32, 128, 512), (32, 128, 512, 2048), (32, 64, 128, 256, 512, 1024, 2048))


def _figure8(scale: Scale) -> list[Cell]:
    whole = [Cell("none", "all of h", {"head": "none"})]
    return whole + [
        Cell(name, f"{d}", {"head": head, "head_features": d}) for name, head in HEADS.items() if name != "none" for d in dimensions(scale)
    ]


def _figure8_findings(scale: Scale) -> list[Finding]:
    linear, nonlinear = (tuple((name, f"{d}") for d in dimensions(scale)) for name in ("linear", "nonlinear"))
    low, *_, high = dimensions(scale)
    return [
        Finding("a nonlinear head is better than a linear one (paper: by 3 points)", nonlinear, linear),
        Finding("a nonlinear head is much better than none (paper: by more than 10 points)", nonlinear, (("none", "all of h"),)),
        Finding("a linear head is better than none", linear, (("none", "all of h"),)),
        Finding(
            f"a longer z is better (the paper: hardly): {high} than {low}, with a nonlinear head",
            (("nonlinear", f"{high}"),),
            (("nonlinear", f"{low}"),),
        ),
    ]


FIGURE8 = Study(
    "figure8",
    "Chen et al. 2020, Figure 8",
    "no, linear and nonlinear projection head, at lengths of z",
    "bars",
    _figure8,
    _figure8_findings,
    axes=("length of z", "top-1, %"),
    note="The paper's figure has bars without printed numbers.",
)


def networks(scale: Scale) -> list[tuple[str, float]]:
    """Encoders and widths of Figure 7."""
    return scale.part(
        [(n, w) for n in ("resnet18", "resnet34") for w in (0.125, 0.25)],
        [(n, w) for n in ("resnet18", "resnet34", "resnet50") for w in (1, 2)],
        [(n, w) for n in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152") for w in (1, 2, 4)],
    )


LONG: dict[tuple[str, float], float] = {("resnet50", 1): 69.3, ("resnet50", 2): 74.2, ("resnet50", 4): 76.5}

# SimCLRv2 (Chen et al. 2020b), linear on ImageNet after 800 epochs, by depth, width: parameters in millions and top-1 (the official README).
V2 = {
    (50, 1): (24, 71.7),
    (50, 2): (94, 75.6),
    (101, 1): (43, 73.6),
    (101, 2): (170, 77.0),
    (152, 1): (58, 74.5),
    (152, 2): (233, 76.6),
}


def _figure7(scale: Scale) -> list[Cell]:
    cells = []
    for name, width in networks(scale):
        values = {"encoder": name, "width": width, "stem": scale.values.get("stem", "small" if scale.name == "small" else "imagenet")}
        known = {"top1": LONG[name, width]} if scale.name == "paper" and (name, width) in LONG else {}
        cells.append(Cell(name, f"×{width:g}", values, paper=known))
        cells.append(Cell(f"{name}, supervised", f"×{width:g}", values, measure="supervised"))
    return cells


def _figure7_findings(scale: Scale) -> list[Finding]:
    names, widths = list(dict.fromkeys(n for n, _ in networks(scale))), list(dict.fromkeys(w for _, w in networks(scale)))
    (low, *_, high), (shallow, *_, deep) = widths, names
    return [
        Finding("wider is better", tuple((n, f"×{high:g}") for n in names), tuple((n, f"×{low:g}") for n in names)),
        Finding("deeper is better", tuple((deep, f"×{w:g}") for w in widths), tuple((shallow, f"×{w:g}") for w in widths)),
    ]


FIGURE7 = Study(
    "figure7",
    "Chen et al. 2020, Figure 7",
    "depth and width of the encoder, beside supervised training",
    "scatter",
    _figure7,
    _figure7_findings,
    ("top1", "parameters"),
    ("parameters, M", "top-1, %"),
    note="The paper prints numbers for its 1000-epoch networks only (its Table 6). SimCLRv2's stand below: another head, 800 epochs.",
    beside=tuple(
        (f"SimCLRv2 ResNet-{depth}", f"×{width}", {"parameters": size, "top1": top1}) for (depth, width), (size, top1) in V2.items()
    ),
    measured="linear evaluation on frozen h (labels: {labels}), or the supervised network itself",
)

TRANSFORMATIONS = {
    "colour or gray": (80.0, 99.3, 97.4),
    "rotation": (25.0, 67.6, 25.6),
    "original or noisy": (50.0, 99.5, 59.6),
    "original or Sobel": (50.0, 96.6, 56.3),
}


def _table3(scale: Scale) -> list[Cell]:
    values = {"head": "mlp2", "head_features": -1}  # -1: as long as h, as in the paper
    out = []
    for what, (guess, h, z) in TRANSFORMATIONS.items():
        out += [Cell(what, "guessing", values, measure="transformations", paper={"top1": guess})]
        out += [Cell(what, layer, values, measure="transformations", paper={"top1": value}) for layer, value in (("h", h), ("g(h)", z))]
    return out


def _table3_findings(scale: Scale) -> list[Finding]:
    return [
        Finding(f"{what}: h knows more than g(h) (paper: {h:g} and {z:g})", ((what, "h"),), ((what, "g(h)"),))
        for what, (_, h, z) in TRANSFORMATIONS.items()
    ]


TABLE3 = Study(
    "table3",
    "Chen et al. 2020, Table 3",
    "which transformation was applied, told from h and from g(h) by a linear classifier",
    "bars",
    _table3,
    _table3_findings,
    axes=("", "accuracy, %"),
    note="z has as many features as h, and one training answers all questions.",
    measured="logistic regression on frozen h and g(h) (labels: {labels})",
)
