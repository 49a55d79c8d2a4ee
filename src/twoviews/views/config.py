"""Every setting of the views, with its default: the part of TrainConfig that views read. No torch here."""

from __future__ import annotations

import dataclasses
from typing import Literal

from ..base.errors import UserError, unknown
from ..base.settings import Checked, setting
from ..sources.config import check_channels

OPERATIONS = ("crop", "cutout", "color", "sobel", "noise", "blur", "rotate")  # of views in an order of your own


@dataclasses.dataclass(frozen=True, kw_only=True)
class ViewConfig(Checked):
    """How a picture becomes a view (Chen et al. 2020, appendix A). Shares and probabilities are in [0, 1]."""

    size: int = setting(224, "side of a view in pixels")
    channels: int = setting(
        3, "channels of a view: 3 = RGB, 1 = gray, up to 16 = the files' own (.npy, TIFF); these get no hue, saturation and gray"
    )
    crop: Literal["official", "torchvision"] = setting(
        "official", "rule for the crop box: the official code's or torchvision's (docs/fidelity.md)"
    )
    crop_min: float = setting(0.08, "smallest share of the picture that a crop takes; 1 = no crop (paper A)")
    resize: Literal["antialias", "official", "official-v1"] = setting(
        "antialias", "bicubic filter: antialiased, the official code's, or that of its first version (docs/fidelity.md)"
    )
    flip: float = setting(0.5, "probability of a left-right flip (paper A)")
    strength: float = setting(
        1.0,
        "strength s of the colour jitter: brightness, contrast, saturation 0.8 s, hue 0.2 s; 0 = no jitter, no gray (paper A)",
    )
    color: Literal["official", "torchvision"] = setting(
        "official", "meaning of the colour operations: the official code's or torchvision's (docs/fidelity.md)"
    )
    jitter: float = setting(0.8, "probability of the colour jitter (paper A)")
    gray: float = setting(0.2, "probability of gray (paper A)")
    blur: float = setting(
        0.5,
        "probability of the Gaussian blur, sigma 0.1 to 2.0, kernel a tenth of the side; 0 for small pictures (paper A, B.9)",
    )
    rotate: float = setting(0.0, "largest rotation in degrees")
    zoom: float = setting(0.0, "largest change of scale, as a share: 0.2 = 0.8 to 1.25")
    shear: float = setting(0.0, "largest shear, as a share of the side")
    shift: float = setting(0.0, "largest shift, as a share of the side")
    warp: float = setting(0.0, "standard deviation of a smooth warping, as a share of the side")
    stroke: float = setting(0.0, "largest change of stroke: the exponent of the brightness is exp(-v) to exp(v)")
    noise: float = setting(0.0, "largest standard deviation of pixel noise")
    operations: str = setting(
        "",
        "instead of all this, operations in an order of your own, joined by +: crop, cutout, color, sobel, noise, blur, rotate (quarter turns); "
        "always applied, but for the probabilities of color (paper Figure 5, docs/fidelity.md)",
    )
    plain_second: bool = setting(
        False, "with operations: only the first view gets them, the second is the picture as it is (paper Figure 5)"
    )

    NOT_BELOW = ("strength", "rotate", "zoom", "shear", "shift", "warp", "stroke", "noise")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("crop_min", "flip", "jitter", "gray", "blur"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"{name} is {getattr(self, name)}; it must be from 0 to 1")
        if self.crop_min == 0:
            raise UserError("crop_min is 0; the smallest crop must have an area")
        if self.size < 4:
            raise UserError(f"size is {self.size}; a view needs at least 4 pixels a side")
        check_channels(self.channels)
        for name in self.operations.split("+") if self.operations else ():
            if name not in OPERATIONS:
                raise unknown("operation", name, OPERATIONS)
        if self.plain_second and not self.operations:
            raise UserError("plain_second needs operations: without them both views are the paper's")
        if self.strength > 1.25 and self.color == "official":
            raise UserError(f"strength is {self.strength}; above 1.25 a contrast factor would be negative (TensorFlow refuses it too)")
