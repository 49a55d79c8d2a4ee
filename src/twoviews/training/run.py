"""The RUN folder: where each thing of a training lies, who it belongs to, and whether a command may go on in it."""

from __future__ import annotations

import dataclasses
import platform
import re
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import UserError
from ..base.files import read_json, write_json
from ..base.settings import path_argument
from ..nets.names import CUSTOM, WEIGHTS
from .config import TrainConfig, differences
from .log import read_log

if TYPE_CHECKING:
    from ..nets.base import Encoder


@dataclasses.dataclass(frozen=True)
class Run:
    """A RUN folder."""

    path: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", path_argument("path", self.path))

    @property
    def info(self) -> dict[str, Any]:
        """config.json. Raises UserError when the folder is no RUN."""
        if not (self.path / "config.json").is_file():
            raise UserError(f"{self.path} is not a RUN folder: it has no config.json. Give the --out of a `twoviews train`")
        found = read_json(self.path / "config.json")
        try:
            found["config"].keys(), found["source"]["fingerprint"], found["source"]["count"], found["source"]["spec"]
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{self.path / 'config.json'} is damaged: it is not what train writes") from error
        return found

    @property
    def config(self) -> TrainConfig:
        """Every setting of this run."""
        try:
            return TrainConfig(**self.info["config"])
        except TypeError as error:  # an option that this version does not know, or a value of another type
            raise UserError(f"{self.path / 'config.json'} is of another version of twoviews, or damaged: {error}") from error

    def log(self, kind: str = "epoch") -> list[dict[str, Any]]:
        """The lines of log.jsonl of one kind, "step" or "epoch"."""
        return read_log(self.path, kind)

    def encoder(self) -> Encoder:
        """The last epoch's encoder, in evaluation mode."""
        from ..nets.encoder import load_encoder  # what only reads a RUN needs no torch

        return load_encoder(self.path)

    @property
    def weights(self) -> Path:
        return self.path / WEIGHTS

    def finished(self) -> bool:
        """Whether the last step has been saved."""
        done = checkpoints(self.path)
        return bool(done) and bool(read_json(done[-1] / "state.json").get("finished"))


def checkpoints(run: Path) -> list[Path]:
    """The whole checkpoints of a RUN, oldest first. Halves left by a kill have other names."""
    return sorted(path for path in (run / "checkpoints").glob("step-*") if re.fullmatch(r"step-\d{8,}", path.name))


def claim(path: Path, config: TrainConfig, source: dict[str, Any]) -> Run:
    """Begin a RUN or go on in one. Raises UserError when the folder holds something else, other settings or other pictures.

    The list of what changed is in the message. The caller holds the lock.
    """
    run = Run(path)
    if (path / "config.json").is_file():
        info = run.info
        changed = differences(info["config"], config)
        began, module = info["config"].get("encoder"), config.encoder == CUSTOM
        if began == CUSTOM and not module:
            raise UserError(f"{path}: this RUN's encoder is a module of yours: give it again from Python, encoder=MODULE")
        if (
            module and began != CUSTOM and checkpoints(path)
        ):  # RUNs of older versions name the default; the checkpoint tells whether it fits
            changed = [text for text in changed if not text.startswith("encoder: ")]
        if info["source"]["fingerprint"] != source["fingerprint"]:
            changed.append(
                f"pictures: {info['source']['count']:,} of {info['source']['spec']} → {source['count']:,} of {source['spec']} (or their content)"
            )
        if changed:
            raise UserError(
                f"{path} was begun with other settings, and a run goes on only as it began. Changed: {'; '.join(changed)}. Use another --out"
            )
        return run
    write_json(
        path / "config.json",
        {
            "config": dataclasses.asdict(config),
            "source": source,
            "versions": versions(),
            "command": sys.argv,
        },
    )
    return run


def versions() -> dict[str, str]:
    """What computed this."""
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in ("twoviews", "torch", "torchvision", "timm", "numpy")},
    }
