"""Section 5 of the paper: which loss, temperature and normalisation, which batch and how many epochs."""

from __future__ import annotations

from .scale import Scale
from .study import Cell, Finding, Study

TEMPERATURES = {"0.05": (1.0, 90.5, 59.7), "0.1": (4.5, 87.8, 64.4), "0.5": (8.2, 68.2, 60.7), "1": (8.3, 59.1, 58.0)}
UNNORMALIZED = {"10": (0.5, 91.7, 57.2), "100": (0.5, 92.1, 57.0)}
YES, NO = "normalised", "not normalised"


def _table5(scale: Scale) -> list[Cell]:
    def cell(row: str, temperature: str, figures: tuple[float, float, float]) -> Cell:
        values = {"temperature": float(temperature), "normalize": row == YES}
        return Cell(row, temperature, values, paper=dict(zip(("entropy", "contrast_acc", "top1"), figures, strict=True)))

    return [cell(YES, t, f) for t, f in TEMPERATURES.items()] + [cell(NO, t, f) for t, f in UNNORMALIZED.items()]


def _table5_findings(scale: Scale) -> list[Finding]:
    yes, no = tuple((YES, t) for t in TEMPERATURES), tuple((NO, t) for t in UNNORMALIZED)
    return [
        Finding("normalised z, at its best temperature, gives a better representation than any without", yes, no, best=True),
        Finding("without normalisation contrastive accuracy is higher than at temperature 0.5", no, ((YES, "0.5"),), figure="contrast_acc"),
        Finding("temperature matters: 0.1 is better than 1", ((YES, "0.1"),), ((YES, "1"),)),
        Finding("the smallest temperature is not the best: 0.1 is better than 0.05", ((YES, "0.1"),), ((YES, "0.05"),)),
    ]


TABLE5 = Study(
    "table5",
    "Chen et al. 2020, Table 5",
    "NT-Xent with and without l2 normalisation, at temperatures",
    "bars",
    _table5,
    _table5_findings,
    ("entropy", "contrast_acc", "top1"),
    ("temperature", "top-1, %"),
)

LOSSES = {
    "NT-Xent": ({"loss": "nt-xent"}, ({"temperature": 0.1}, {"temperature": 0.2}, {"temperature": 0.5}), 63.9),
    "NT-Logistic": ({"loss": "nt-logistic"}, ({"temperature": 0.1}, {"temperature": 0.2}, {"temperature": 0.5}), 51.6),
    "Margin triplet": ({"loss": "margin"}, ({"margin": 0.4}, {"margin": 0.8}), 50.9),
    "NT-Logistic, semi-hard": (
        {"loss": "nt-logistic", "semi_hard": True},
        ({"temperature": 0.1}, {"temperature": 0.2}, {"temperature": 0.5}),
        57.9,
    ),
    "Margin triplet, semi-hard": ({"loss": "margin", "semi_hard": True}, ({"margin": 0.4}, {"margin": 0.8}), 57.5),
}


def _table4(scale: Scale) -> list[Cell]:
    return [Cell(name, "linear", values, tuned, paper={"top1": top1}) for name, (values, tuned, top1) in LOSSES.items()]


def _table4_findings(scale: Scale) -> list[Finding]:
    at = {name: ((name, "linear"),) for name in LOSSES}
    rest = tuple((name, "linear") for name in LOSSES if name != "NT-Xent")
    return [
        Finding("NT-Xent is better than every other loss", at["NT-Xent"], rest, best=True),
        Finding("semi-hard negatives help NT-Logistic", at["NT-Logistic, semi-hard"], at["NT-Logistic"]),
        Finding("semi-hard negatives help the margin triplet", at["Margin triplet, semi-hard"], at["Margin triplet"]),
    ]


TABLE4 = Study(
    "table4",
    "Chen et al. 2020, Tables 2 and 4",
    "NT-Xent beside NT-Logistic and the margin triplet, with all negatives and with semi-hard ones",
    "bars",
    _table4,
    _table4_findings,
    axes=("", "top-1, %"),
    note="Temperature or margin of each loss is chosen by the probe on training pictures, as the paper tunes each.",
)


def batches(scale: Scale) -> tuple[int, ...]:
    return scale.part((64, 128, 256, 512), (64, 256, 1024, 4096), (256, 512, 1024, 2048, 4096, 8192))


def lengths(scale: Scale) -> tuple[int, ...]:
    """Epochs of Figure 9: the paper's 100 to 1000, or a quarter, a half and all of the scale's."""
    middle = scale.values["epochs"]
    return scale.part(
        tuple(sorted({max(1, middle // 4), max(1, middle // 2), middle})),
        tuple(sorted({max(1, middle // 4), middle, 4 * middle})),
        (100, 200, 300, 400, 500, 600, 700, 800, 900, 1000),
    )


def _figure9(scale: Scale) -> list[Cell]:
    return [Cell(f"{n}", f"{e}", {"batch": n, "epochs": e}) for n in batches(scale) for e in lengths(scale)]


def _figure9_findings(scale: Scale) -> list[Finding]:
    (first, *_, last), (short, *_, long) = batches(scale), lengths(scale)
    return [
        Finding(
            f"with few epochs ({short}), a larger batch is better: {last} than {first}",
            ((f"{last}", f"{short}"),),
            ((f"{first}", f"{short}"),),
        ),
        Finding(
            f"more epochs are better: {long} than {short}, over all batches",
            tuple((f"{n}", f"{long}") for n in batches(scale)),
            tuple((f"{n}", f"{short}") for n in batches(scale)),
        ),
    ]


FIGURE9 = Study(
    "figure9",
    "Chen et al. 2020, Figure 9",
    "batch size and epochs",
    "lines",
    _figure9,
    _figure9_findings,
    axes=("epochs", "top-1, %"),
    note="The paper's figure has bars without printed numbers. It also says that the gap between batches closes with more epochs.",
    papers="ResNet-50, 224 px, batches of 256 to 8192, 100 to 1000 epochs of ImageNet (1.28 million pictures)",
)


def _b9(scale: Scale) -> list[Cell]:
    sizes = scale.part((128, 256, 512), (256, 512, 1024), (256, 512, 1024, 2048, 4096))
    return [
        Cell(
            f"{n}, temperature {t:g}", f"{r:g}", {"batch": n, "temperature": t, "learning_rate": scale.values.get("learning_rate", 1.0) * r}
        )
        for n in sizes
        for t in (0.1, 0.5, 1.0)
        for r in (0.5, 1.0, 1.5)
    ]


B9 = Study(
    "b9",
    "Chen et al. 2020, appendix B.9",
    "CIFAR-10: learning rate, temperature and batch size",
    "lines",
    _b9,
    lambda scale: [],
    axes=("factor on the learning rate", "top-1, %"),
    note="The paper's best after 1000 epochs with ResNet-50: 94.0 %, at batch 1024, rate 1.0, temperature 0.5; supervised 95.1 %.",
    papers="ResNet-50, 32 px, batches of 256 to 4096, 1000 epochs of CIFAR-10",
)
