"""hf:NAME: sets of the Hugging Face Hub, or Parquet and Arrow folders in its layout. `datasets` maps them from disk; streaming reads row groups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..base.errors import UserError
from .config import ReadConfig, Reading
from .files import SPLITS
from .names import HUB
from .source import Encoded
from .table import LABEL_COLUMNS, Groups, bytes_of, named


class Mapped(Encoded):
    """One split of a set of `datasets`: Arrow files mapped into memory, so that any order is cheap and processes share it."""

    def __init__(self, data: Any, how: Reading, spec: str, label_column: str):
        from datasets import ClassLabel, Image

        pictures = [name for name, feature in data.features.items() if isinstance(feature, Image)]
        if not pictures:
            raise UserError(
                f"{spec} has no column of pictures; it has {', '.join(f'{n} ({type(f).__name__})' for n, f in data.features.items())}"
            )
        if label_column and label_column not in data.features:
            raise UserError(f"{spec} has no column {label_column!r}; it has {', '.join(data.features)}")
        self.how, self.column = how, pictures[0]
        self.data = data.cast_column(self.column, Image(decode=False))
        label = label_column or next((n for n, f in data.features.items() if isinstance(f, ClassLabel)), "")
        label = label or next((n for n in LABEL_COLUMNS if n in data.features), "")
        if label:
            values, feature = data[label], data.features[label]
            values = [-1 if v is None else v for v in values]
            named_classes = list(getattr(feature, "names", None) or [])
            classes: list[Any] = named_classes or sorted({v for v in values if v != -1})
            number = {v: i for i, v in enumerate(range(len(classes)) if named_classes else classes)}
            self.labels = np.array([number.get(v, -1) for v in values], np.int64)
            self.classes = [str(c) for c in classes]

    @property
    def fingerprint(self) -> str:
        return self.data._fingerprint

    def __len__(self) -> int:
        return len(self.data)

    def row(self, index: int) -> dict[str, Any]:
        return self.data[index][self.column]

    def name(self, index: int) -> str:
        return named(self.row(index), index)

    def bytes(self, index: int) -> bytes:
        row = self.row(index)
        if row and row.get("bytes") is None and row.get("path") and Path(row["path"]).is_file():
            return Path(row["path"]).read_bytes()
        return bytes_of(row, index)


def hub(spec: str, how: Reading, config: ReadConfig) -> dict[str, Encoded]:
    """The splits of hf:NAME or hf:FOLDER. Raises UserError for what is not there, or where `datasets` is missing."""
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
    except (OSError, ValueError, RuntimeError, ConnectionError, DatasetsError) as error:
        raise UserError(f"{spec} cannot be opened: {str(error).splitlines()[0] if str(error) else type(error).__name__}") from error
    splits = found if isinstance(found, dict) else {"all": found}
    out: dict[str, Encoded] = {}
    for split, data in splits.items():
        out.setdefault(SPLITS.get(str(split), str(split)), Mapped(data, how, spec, config.label_column))
    return only_all(out)


def _streamed(name: str, how: Reading, config: ReadConfig) -> dict[str, Encoded]:
    """Parquet files by row groups where they lie: a local folder, or the Hub through its file system."""
    if Path(name).is_dir():
        filesystem, files = None, [str(p) for p in sorted(Path(name).rglob("*.parquet"))]
    else:
        from huggingface_hub import HfFileSystem

        filesystem = HfFileSystem()
        files = sorted(filesystem.glob(f"datasets/{name}/**/*.parquet"))
    if not files:
        raise UserError(f"hf:{name} holds no Parquet files, and only these can be streamed: leave --streaming away")
    splits: dict[str, list[str]] = {}
    for file in files:
        first = file.rsplit("/", 1)[-1].split("-")[0].split(".")[0].lower()
        splits.setdefault(SPLITS.get(first, "all"), []).append(file)
    if "train" not in splits:
        splits = {"all": files}
    return {split: Groups(own, how, config.label_column, filesystem) for split, own in splits.items()}


def only_all(splits: dict[str, Encoded]) -> dict[str, Encoded]:
    """A single split, whatever it is called, is all there is."""
    return {"all": next(iter(splits.values()))} if len(splits) == 1 else splits
