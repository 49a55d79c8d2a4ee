"""The evaluation view as an ONNX graph: uint8 pictures of any side in, what the network takes out."""

from __future__ import annotations

from typing import Any

from ..base.errors import UserError
from ..nets.base import Spec
from ..views.crop import CENTRAL
from ..views.evaluation import SMALL


def preprocessing_graph(spec: Spec, network: Any) -> Any:
    """A model images uint8 (N, H, W, C) → x float (N, C, S, S), in the versions of `network`, to be merged before it.

    Raises UserError for the official resize filters, which ONNX does not have.
    """
    from onnx import parser

    if spec.resize != "antialias":
        raise UserError(
            f"ONNX has no {spec.resize!r} resize filter: --preprocess needs an encoder that was trained with --resize antialias"
        )
    version = next(one.version for one in network.opset_import if one.domain in ("", "ai.onnx"))
    size, channels = spec.size, spec.channels
    crop = f"""
        shorter = Min(height, width)
        exact = Cast<to = 11>(shorter)
        share = Constant<value = double {{{CENTRAL}}}>()
        part = Mul(exact, share)
        rounded = Round(part)
        side = Cast<to = 7>(rounded)
        one = Constant<value = int64[1] {{1}}>()
        two = Constant<value = int64[1] {{2}}>()
        free_height = Sub(height, side)
        free_height_1 = Add(free_height, one)
        top = Div(free_height_1, two)
        free_width = Sub(width, side)
        free_width_1 = Add(free_width, one)
        left = Div(free_width_1, two)
        starts = Concat<axis = 0>(top, left)
        bottom = Add(top, side)
        right = Add(left, side)
        ends = Concat<axis = 0>(bottom, right)
        axes = Constant<value = int64[2] {{2, 3}}>()
        cut = Slice(planes, starts, ends, axes)
    """
    text = f"""
    <ir_version: {network.ir_version}, opset_import: ["" : {version}]>
    preprocessing (uint8[N, H, W, {channels}] images) => (float[N, {channels}, {size}, {size}] x) {{
        values = Cast<to = 1>(images)
        planes_255 = Transpose<perm = [0, 3, 1, 2]>(values)
        most = Constant<value = float {{255.0}}>()
        planes = Div(planes_255, most)
        height = Shape<start = 2, end = 3>(planes)
        width = Shape<start = 3, end = 4>(planes)
        batch = Shape<start = 0, end = 1>(planes)
        {"cut = Identity(planes)" if size <= SMALL else crop}
        rest = Constant<value = int64[3] {{{channels}, {size}, {size}}}>()
        target = Concat<axis = 0>(batch, rest)
        resized = Resize<mode = "cubic", antialias = 1, exclude_outside = 1, cubic_coeff_a = -0.5, coordinate_transformation_mode = "half_pixel">(cut, , , target)
        low = Constant<value = float {{0.0}}>()
        high = Constant<value = float {{1.0}}>()
        x = Clip(resized, low, high)
    }}
    """
    return parser.parse_model(text)
