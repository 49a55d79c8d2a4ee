"""A model card, filled from the run: what it is, what it was trained on, how good it is, how to load it, and what not to expect."""

from __future__ import annotations

from typing import Any

import jinja2

from ..base.files import read_json
from ..evaluate.subjects import Named

CARD = """---
library_name: {{ library }}
pipeline_tag: image-feature-extraction
tags:
- simclr
- self-supervised-learning
- twoviews
---

# {{ title }}

An image encoder that maps a picture to h, {{ features }} numbers{% if run %}, trained without labels by SimCLR with twoviews {{ versions.twoviews }}{% endif %}.

| | |
| --- | --- |
| architecture | {{ spec }} |
| picture | {{ about.channels }}, {{ about.size }} px |
| sha256 of all weights | `{{ hash }}` |
{% if run %}
| trained on | {{ "{:,}".format(source.count) }} pictures of `{{ source.spec }}` (fingerprint `{{ source.fingerprint }}`) |
| recipe | {{ config.recipe }}: batch {{ config.batch }}, {{ config.epochs }} epochs, {{ config.optimizer }}, temperature {{ config.temperature }}, seed {{ config.seed }} |
| versions | {% for name, value in versions.items() %}{{ name }} {{ value }}{{ ", " if not loop.last }}{% endfor %} |
{% endif %}

## Load it

```python
{{ load }}
```

Checked when it was written: h differs from twoviews' by at most {{ "%.1g"|format(difference) }} of its largest value.{% if remark %} **{{ remark }}.**{% endif %}


## Preprocessing

{% if about.crop %}Central square of {{ about.crop.square_share_of_shorter_side }} of the shorter side, then r{% else %}R{% endif %}esize to
{{ about.size }} × {{ about.size }} ({{ about.resize }}), values {{ about.scale }}; then subtract {{ about.mean }} and divide by {{ about.std }}.
The same as JSON: `preprocessing.json`.

## How good it is

{% if rows %}
| protocol | tested on | labels | top-1 in percent | 95 % interval |
| --- | --- | --- | --- | --- |
{% for row in rows %}
{% set top1 = row.top1 %}
| {{ row.verb }}: {{ row.subject }} | {{ row.tested_on }} | {{ row.labels }} | {{ percent(top1.mean) }} | {{ percent(top1.low) }} to {{ percent(top1.high) }} |
{% endfor %}
{% else %}
Not measured. `twoviews linear {{ text }} IMAGES` measures it on labelled pictures, beside raw pixels and an untrained network.
{% endif %}

## What not to expect

It knows what its training pictures showed, with the invariances that its views taught it{% if run %} (crops from {{ config.crop_min }} of the
picture{{ ", flips" if config.flip }}{{ ", colour changes of strength %s"|format(config.strength) if config.strength }}{{ ", blur" if config.blur }}){% endif %}:
what these destroy, it may not see. Biases of the pictures are biases of the encoder. Measure it on your own labelled pictures before you rely on it.
"""


def card(subject: Named, to: str, load: str, about: dict[str, Any], difference: float, remark: str, hash: str) -> str:
    """The card as Markdown."""
    run = subject.run
    info = run.info if run else {}
    rows = []
    for file in sorted((run.path / "eval").glob("*.json")) if run else []:
        value = read_json(file)
        rows += [
            {"verb": value.get("verb", file.stem), "tested_on": value.get("tested_on", ""), **row}
            for row in value.get("rows", [])
            if "top1" in row
        ]
    page = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, autoescape=False).from_string(CARD)
    return page.render(
        library={"huggingface": "transformers", "timm": "timm"}.get(to, "twoviews" if to == "safetensors" else to),
        title=run.path.resolve().name if run else subject.text,
        text=subject.text,
        features=subject.encoder.num_features,
        spec=subject.encoder.spec,
        about=about,
        hash=hash,
        run=run,
        source=info.get("source"),
        config=info.get("config"),
        versions=info.get("versions"),
        load=load,
        difference=difference,
        remark=remark,
        rows=rows,
        percent=lambda share: f"{100 * share:.1f}",
    )
