"""What a tar file of others holds: samples, as WebDataset names them, the image of each, and its label."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import os
import re
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..base.errors import UserError, nearest
from .choose import AUXILIARY, BESIDE, IMAGES, LABELS, rank, several, words
from .decode import START, could_be_image
from .files import SUFFIXES, shown
from .find import BESIDE as OTHERS
from .find import JUNK_FILES, UNENDED

SCHEMA = pa.schema(
    [("name", pa.large_binary()), ("offset", pa.int64()), ("size", pa.int64()), ("label", pa.int64()), ("class", pa.large_binary())]
)
ABOUT = b"samples"  # of an index: remarks, and why there are no labels, as JSON
LABEL = re.compile(rf"(?:^|\.)(?:{'|'.join(LABELS)})(?:\.txt)?$")
LABEL_BYTES, JSON_BYTES = 4096, 1 << 20  # larger files are no labels
PHOTOS = ("jpg", "jpeg", "jpe", "webp")  # beside another image of the same name, such as a mask in .png, the photograph
VIEWS = (
    "left", "right", "front", "rear", "back", "top", "bottom", "before", "after", "original", "source", "target", "output", "crop", "full",
    "thermal", "ir", "nir",
)  # fmt: skip
WORDS = BESIDE | {*IMAGES, *VIEWS}


@dataclasses.dataclass
class Sample:
    """Files of one name: images by their ending, and what .cls and .json say of its label."""

    images: dict[str, tarfile.TarInfo] = dataclasses.field(default_factory=dict)
    label: str = ""
    json: Any = None
    files: set[str] = dataclasses.field(default_factory=set)


@dataclasses.dataclass(frozen=True)
class Note:
    """The content of a file that may hold a label; `kind` is label or json."""

    name: str
    kind: str
    content: Any


def look_through(path: Path, key: str = "") -> pa.Table:
    """The index of a tar: a row a sample, with the place of its image, and the label as text in `class`. `key` is the ending of the images wanted.

    Files that are one up to their first dot are one sample (WebDataset); where that puts different images together, up to their last. Raises UserError.
    """
    try:
        others: collections.Counter[str] = collections.Counter()
        with tarfile.open(path, "r:") as archive:
            members = list(_members(archive, others))
    except (tarfile.TarError, OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} cannot be read as a tar file: {error}") from error
    images = [member.name for member in members if isinstance(member, tarfile.TarInfo)]
    if not images:
        raise UserError(f"{path} holds no pictures: no file in it ends in {', '.join(sorted(SUFFIXES))}")
    dotted = _dotted(images)
    chosen, remarks = _images(path, _samples(members, dotted), key.lower().lstrip("."))
    if dotted:
        remarks.append(f"{path.name}: names hold dots, and files are one sample up to their last one")
    if twice := [name for name, count in collections.Counter(images).items() if count > 1]:
        remarks.append(
            f"{path.name} holds {several(len(twice), 'name')} more than once, and all their files are taken ({shown(twice[:3], len(twice))})"
        )
    labels = [_label(sample) for sample, _ in chosen]
    many = any(isinstance(label, list) for label in labels)
    rows = {
        "name": [os.fsencode(member.name) for _, member in chosen],
        "offset": [member.offset_data for _, member in chosen],
        "size": [member.size for _, member in chosen],
        "label": [-1] * len(chosen),
        "class": [None if many or label is None else str(label).encode("utf-8", "surrogateescape") for label in labels],
    }
    return pa.table(
        rows, schema=SCHEMA.with_metadata({ABOUT: json.dumps({"remarks": remarks, "several": many, "others": others}).encode()})
    )


def escaped(name: str) -> str:
    """A name as the JSON of a sample holds it: bytes that are no UTF-8 are shown as such."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _members(archive: tarfile.TarFile, others: collections.Counter[str]) -> Iterator[tarfile.TarInfo | Note]:
    """The image files, by their ending or, without one, by their first bytes, and what may hold their labels. `others` counts what is not taken by ending."""
    files: dict[str, tarfile.TarInfo] = {}
    for member in archive:
        base = member.name.rpartition("/")[2]
        if member.isdir() or base.startswith(".") or member.name.startswith("__MACOSX/") or base.lower() in JUNK_FILES:
            continue
        if member.islnk() and member.linkname in files:  # a second name of a file
            target = files[member.linkname]
            member.type, member.size, member.offset_data = target.type, target.size, target.offset_data
        if not member.isreg() or member.issparse():
            others["links" if member.issym() or member.islnk() else "of no ordinary kind"] += 1
            continue
        files[member.name] = member
        ending = base.partition(".")[2].lower()
        last = f".{ending.rpartition('.')[2]}"
        kind = "label" if LABEL.search(ending) else "json" if ending.endswith("json") else ""
        if last in SUFFIXES or (not kind and not last[1:].isalpha() and _holds_image(archive, member)):
            yield member
        elif not kind and last not in OTHERS:
            others[UNENDED if len(last) < 2 else last] += 1
        elif kind and member.size <= (LABEL_BYTES if kind == "label" else JSON_BYTES):
            file = archive.extractfile(member)
            content = (file.read() if file else b"").decode("utf-8", "surrogateescape").strip()
            with contextlib.suppress(ValueError, RecursionError):
                yield Note(member.name, kind, json.loads(content) if kind == "json" else content)


def _holds_image(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bool:
    file = archive.extractfile(member)
    return file is not None and could_be_image(file.read(START))


def _parted(name: str, dotted: bool) -> tuple[str, str]:
    """(key, ending) of a file's name; the ending in small letters."""
    folder, slash, base = name.rpartition("/")
    if not dotted:
        key, _, ending = base.partition(".")
        return folder + slash + key, ending.lower()
    if match := re.search(rf"\.(?:{'|'.join(LABELS)})\.txt$", base.lower()):
        return folder + slash + base[: match.start()], base[match.start() + 1 :].lower()
    key, _, ending = base.rpartition(".") if "." in base else (base, "", "")
    rest, _, last = key.rpartition(".")
    if rest and WORDS & set(words(last)):
        key, ending = rest, f"{last}.{ending}"
    return folder + slash + key, ending.lower()


def _dotted(names: Sequence[str]) -> bool:
    """Whether names hold dots that do not end them: else a sample had several images told apart by what does not describe an image, as in 2023.01.01.png."""
    middles: dict[str, list[str]] = {}
    for name in names:
        key, ending = _parted(name, False)
        middles.setdefault(key, []).append(ending.rpartition(".")[0])
    counts = collections.Counter(middle for own in middles.values() for middle in set(own))

    def describes(middle: str) -> bool:
        common = middle.isalpha() and counts[middle] > 1 and 2 * counts[middle] >= len(middles)
        return common or all(WORDS & set(words(part)) for part in middle.split("."))

    return any(len(own) > 1 and any(middle and not describes(middle) for middle in own) for own in middles.values())


def _samples(members: Sequence[tarfile.TarInfo | Note], dotted: bool) -> list[Sample]:
    """The samples that have images, in their order. A name that is there a second time begins a sample of its own."""
    newest: dict[str, Sample] = {}
    samples: list[Sample] = []
    for member in members:
        key, ending = _parted(member.name, dotted)
        sample = newest.get(key)
        if sample is None or member.name in sample.files or (isinstance(member, tarfile.TarInfo) and ending in sample.images):
            sample = newest[key] = Sample()
            samples.append(sample)
        sample.files.add(member.name)
        if isinstance(member, tarfile.TarInfo):
            sample.images[ending] = member
        elif member.kind == "json":
            sample.json = member.content
        else:
            sample.label = sample.label or member.content
    return [sample for sample in samples if sample.images]


def _label(sample: Sample) -> Any:
    """The label of a sample: that of its .cls, else of its .json; a list where there are several."""
    about = sample.json if isinstance(sample.json, dict) else {}
    if about.keys() == {"name", "class"}:  # as `twoviews shard` writes it: the class's name instead of its number
        return about["class"]
    if sample.label:
        return sample.label
    named = {key.lower(): value for key, value in about.items()}
    found = next((named[key] for key in LABELS if isinstance(named.get(key), (int, float, str, list))), None)
    if isinstance(found, list):
        return found if len(found) > 1 else found[0] if found and not isinstance(found[0], (dict, list)) else None
    return None if found == "" else found


def _rank(ending: str) -> tuple[int, bool]:
    middle, _, last = ending.rpartition(".")
    return (rank(middle) + 1 if middle else 0), last not in PHOTOS


def _images(path: Path, samples: Sequence[Sample], key: str) -> tuple[list[tuple[Sample, tarfile.TarInfo]], list[str]]:
    """Each sample with its image, and remarks: the one whose ending is `key`, else the plain one. Samples with none but masks and the like are left out."""
    endings = sorted(dict.fromkeys(ending for sample in samples for ending in sample.images), key=_rank)
    if key:
        if key not in endings:
            raise UserError(f"{path}: no image in it ends in {key!r}.{nearest(key, endings)} Endings are {', '.join(endings[:12])}")
        wanted = [key]
    else:
        plain = [ending for ending in endings if _rank(ending)[0] <= AUXILIARY]
        wanted = plain or endings
    place = {ending: number for number, ending in enumerate(wanted)}
    chosen = []
    for sample in samples:
        own = [ending for ending in sample.images if ending in place]
        if own:
            chosen.append((sample, sample.images[min(own, key=place.__getitem__)]))
    remarks = []
    if any(len(sample.images) > 1 for sample in samples):
        taken = key or next(ending for ending in wanted if any(ending in s.images for s in samples if len(s.images) > 1))
        remarks.append(f"{path.name}: several images a sample ({', '.join(endings[:8])}): {taken} is taken (--image-key chooses)")
    if len(chosen) < len(samples):
        remarks.append(
            f"{path.name}: {several(len(samples) - len(chosen), 'sample')} without an image ending in {', '.join(wanted[:4])} left out"
        )
    return chosen, remarks
