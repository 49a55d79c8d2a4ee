"""The views: `draw` makes the numbers, `crop`, `color`, `blur`, `warp` are functions of pixels and numbers, `pipeline` joins them."""
