"""What a picture goes through before the network, written beside every export for whoever feeds it."""

from __future__ import annotations

from typing import Any

from ..nets.base import Encoder
from ..nets.foreign import Foreign
from ..views.crop import CENTRAL
from ..views.evaluation import SMALL


def preprocessing(net: Encoder, inside: bool) -> dict[str, Any]:
    """As JSON: channels, side, crop, filter, mean and deviation. `inside`: the network itself takes off mean and deviation."""
    spec = net.spec
    mean, std = normalisation(net)
    return {
        "channels": {1: "gray", 3: "RGB"}.get(spec.channels, f"the file's own {spec.channels}"),
        "size": spec.size,
        "crop": None if spec.size <= SMALL else {"square_share_of_shorter_side": CENTRAL, "position": "centre"},
        "resize": "bicubic, antialiased" if spec.resize == "antialias" else spec.resize,
        "scale": "0 to 1 (uint8 / 255), clipped after the resize",
        "range": spec.range,
        "mean": [0.0] * spec.channels if inside else mean,
        "std": [1.0] * spec.channels if inside else std,
    }


def normalisation(net: Encoder) -> tuple[list[float], list[float]]:
    """Mean and deviation that pictures in [0, 1] get before the weights that are exported: nothing for our own networks."""
    if isinstance(net, Foreign):
        return net.mean.flatten().tolist(), net.std.flatten().tolist()
    return [0.0] * net.spec.channels, [1.0] * net.spec.channels
