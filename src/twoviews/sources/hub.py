"""hf:NAME: sets of the Hugging Face Hub, or Parquet and Arrow folders in its layout. `datasets` maps them from disk; streaming reads row groups."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..base.errors import UserError
from . import labels as of_labels
from .choose import LABELS, column, rank, several, tidy, took
from .config import ReadConfig, Reading
from .decode import could_be_image
from .names import HUB
from .parts import ALL, split_by_part
from .schema import FIRST, image_columns, is_binary, is_label
from .source import Encoded
from .table import Rows, tables


class Mapped(Rows):
    """One part of a set of `datasets`: Arrow files mapped into memory, so that any order is cheap and processes share it."""

    near = True

    def __init__(self, data: Any, how: Reading, column: str, folder: Path):
        from datasets import Image, Value

        self.how, self.column, self.folders = how, column, [folder]
        if isinstance(data.features[column], (Image, Value)):  # a struct is bytes and path already
            data = data.cast_column(column, Image(decode=False))
        self._fingerprint = data._fingerprint
        self.data = data.select_columns([column])  # others are not decoded

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def __len__(self) -> int:
        return len(self.data)

    def row(self, index: int) -> dict[str, Any]:
        return self.data[index][self.column]


def hub(spec: str, how: Reading, config: ReadConfig) -> dict[str, Encoded]:
    """The parts of hf:NAME or hf:FOLDER. Raises UserError for what is not there, or where `datasets` is missing."""
    name = spec.removeprefix(HUB)
    try:
        import datasets
        from datasets.exceptions import DatasetsError
    except ImportError as error:
        raise UserError(f"{spec} needs the library datasets: uv pip install 'twoviews[hf]'") from error
    datasets.disable_progress_bars()
    try:
        if config.streaming:
            return _streamed(name, how, config)
        folder = Path(name)
        if (folder / "dataset_info.json").is_file() or (folder / "dataset_dict.json").is_file():
            found = datasets.load_from_disk(name)
        else:
            found = datasets.load_dataset(name)
    except UserError:
        raise
    except (OSError, ValueError, RuntimeError, ConnectionError, DatasetsError) as error:
        raise UserError(f"{spec} cannot be opened: {str(error).splitlines()[0] if str(error) else type(error).__name__}") from error
    return mapped(spec, found if isinstance(found, dict) else {ALL: found}, how, config)


def mapped(spec: str, splits: Mapping[Any, Any], how: Reading, config: ReadConfig) -> dict[str, Encoded]:
    """Sources of the splits of a set of `datasets`, by part. All of them give the same numbers to the same labels. Raises UserError."""
    called = {str(split): data for split, data in splits.items()}
    split = split_by_part(called, config.parts, where=spec, what="split")
    taken = [(part, name, called[name]) for part, names in split.parts.items() for name in names]
    first = taken[0][2]
    image, remark = _image(spec, first.features, config)
    label = _label(spec, [data for _, _, data in taken], image, config)
    found = of_labels.numbered([_labels_of(name, data, label) for _, name, data in taken] if label else [])
    missing = "" if label else f"{spec} has no column of labels that is called as usual (--label-column names one)"
    folder = Path(spec.removeprefix(HUB))
    out: dict[str, Encoded] = {}
    for part, names in split.parts.items():
        own = [i for i, (of, _, _) in enumerate(taken) if of == part]
        source = Mapped(_joined(spec, [taken[i][2] for i in own], image), how, image, folder)
        source.labels, source.classes, source.no_labels = found.of(own), found.classes, found.why or missing
        source.remarks = [remark, *([took(label, "labels")] if label else []), *found.remarks, f"part {part}: {', '.join(names)}"]
        source.beside = [f"{several(len(called[name]), 'row')} of the split {name}" for name in split.left]
        source.root_only = config.root_only
        out[part] = source
    return out


def _joined(spec: str, splits: list[Any], image: str) -> Any:
    from datasets import concatenate_datasets

    if absent := next((data for data in splits if image not in data.features), None):
        raise UserError(f"{spec}: the split {absent.split} has no column {image!r} of images; it has {', '.join(absent.features)}")
    return splits[0] if len(splits) == 1 else concatenate_datasets([data.select_columns([image]) for data in splits])


def _image(spec: str, features: Mapping[str, Any], config: ReadConfig) -> tuple[str, str]:
    """The column of images, and the remark on it. Raises UserError where there is none."""
    from datasets import Image

    names = [name for name, feature in features.items() if isinstance(feature, Image)] or image_columns(features.arrow_schema)  # type: ignore[attr-defined]
    if not names:
        raise UserError(f"{spec} has no column of pictures; it has {', '.join(f'{n} ({type(f).__name__})' for n, f in features.items())}")
    chosen = column(spec, names, config.image_column, (), "image") or min(names, key=rank)
    return chosen, took(chosen, "images", names, "--image-column")


def _label(spec: str, splits: list[Any], image: str, config: ReadConfig) -> str:
    """The column of labels: the one that is asked for, a usual one, else the first with named classes; "" for none."""
    from datasets import ClassLabel

    for data in splits:
        types = data.features.arrow_schema
        names = [
            name for name in data.features if name != image and (is_label(types.field(name).type) or _is_name(data, types.field(name)))
        ]
        if config.label_column:
            return column(spec, list(data.features), config.label_column, LABELS, "label")
        found = column(spec, names, "", LABELS, "label") or next((n for n in names if isinstance(data.features[n], ClassLabel)), "")
        if found:
            return found
    return ""


def _is_name(data: Any, field: pa.Field) -> bool:
    """Whether a column of bytes is called after labels and holds no images: names of classes as bytes."""
    if not is_binary(field.type) or tidy(field.name) not in LABELS:
        return False
    values = data.select_columns([field.name]).with_format("arrow")[:FIRST].column(0).to_pylist()
    return not any(could_be_image(value) for value in values if value)


def _labels_of(split: str, data: Any, label: str) -> of_labels.Column:
    if label not in data.features:
        return of_labels.Column(split, label, len(data), None)
    feature = data.features[label]
    names = getattr(feature, "names", None) or getattr(getattr(feature, "feature", None), "names", None) or ()
    values = data.select_columns([label]).with_format("arrow")[:].column(0)
    return of_labels.Column("the set" if split == ALL else f"the split {split}", label, len(data), values, names)


def _streamed(name: str, how: Reading, config: ReadConfig) -> dict[str, Encoded]:
    """Parquet files by row groups where they lie: a local folder, or the Hub through its file system."""
    if Path(name).is_dir():
        filesystem, root, files = None, name, [str(p) for p in sorted(Path(name).rglob("*.parquet"))]
    else:
        from huggingface_hub import HfFileSystem

        filesystem, root = HfFileSystem(), f"datasets/{name}"
        files = sorted(filesystem.glob(f"{root}/**/*.parquet"))
    if not files:
        raise UserError(f"hf:{name} holds no Parquet files, and only these can be streamed: leave --streaming away")
    return tables(files, root, how, config, config.parts, large=True, filesystem=filesystem)
