"""Annotations of Pascal VOC, an .xml for each image: in Annotations/, nested, or beside the images as LabelImg writes them."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from itertools import takewhile
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np

from ..base.errors import UserError
from .annotation import DAMAGE, OF_PART, WHOLE, Annotated, Noted, lines
from .find import find
from .parts import part_of

Parts = dict[str, list[Noted]]


def is_voc(root: Path) -> bool:
    """Whether there is an .xml in a folder called Annotations."""
    return any(any(folder.rglob("*.xml")) for folder in root.iterdir() if folder.is_dir() and folder.name.lower() == "annotations")


def voc_files(root: Path) -> list[str]:
    """The .xml below a folder, relative, sorted; hidden ones are none."""
    found = (path.relative_to(root).as_posix() for path in root.rglob("*") if path.suffix.lower() == ".xml")
    return sorted(name for name in found if not any(part.startswith((".", "__")) for part in name.split("/")))


def voc(root: Path, names: list[str]) -> Annotated:
    """The set of the .xml `names` below `root`. Parts: ImageSets/Main/*.txt, or folders called after them. Raises UserError, with the file."""
    images = _Images(root)
    read = {name: _read(root, name, images) for name in names}
    found = {name: noted for name, noted in read.items() if noted is not None}
    claimed: dict[Path, str] = {}
    for noted in found.values():
        other = claimed.setdefault(noted.image, noted.where)
        if other != noted.where:
            raise UserError(f"{other} and {noted.where} are both of the image {noted.image}: take one away, or mend its <filename>")
    classes = sorted({label for noted in found.values() for label in noted.names})
    if not classes:
        folder = root / "Annotations"
        raise UserError(f"no annotation in {folder if folder.is_dir() else root} has an object")
    lists = _lists(root)
    parts, left = _by_lists(lists, found) if lists else _by_folders(found)
    without = len(images.all) - len({str(noted.image) for noted in found.values()})
    left += [f"{without:,} images without an annotation"] if without > 0 else []
    left += [f"{len(read) - len(found):,} .xml that are no annotations"] if len(found) < len(read) else []
    stale = len(images.stale)
    notes = (
        [f"{stale:,} .xml named another image in <filename>, taken is that of their own name (first: {images.stale[0]})"] if stale else []
    )
    return Annotated("VOC", parts, classes, left, notes)


class _Images:
    """The images below a folder, found by name or stem, nearest to their annotation."""

    def __init__(self, root: Path):
        self.root, self.all = root, find(root).names
        self.stale: list[str] = []  # what names another image than its own
        self._by: dict[str, list[str]] = defaultdict(list)
        for path in self.all:
            name = path.rpartition("/")[2]
            self._by[name].append(path)
            self._by[name.rpartition(".")[0] or name].append(path)

    def of(self, annotation: str, name: str) -> Path:
        """The image of an annotation: by the name that it gives, with or without an ending, and by its own. Where these are two images, its own is
        taken if it is as near: images are renamed with their .xml, and what is in it stays.
        """
        own = Path(annotation).stem
        given = PureWindowsPath(name).name  # whole paths of the machine where it was written, of any kind
        by_given, by_own = self._near(annotation, given) or self._near(annotation, given.rpartition(".")[0]), self._near(annotation, own)
        if by_given and by_own and PurePosixPath(by_given).stem != own and _together(by_own, annotation) >= _together(by_given, annotation):
            self.stale.append(f"{annotation} names {given}")
            return self.root / by_own
        if by_given or by_own:
            return self.root / (by_given or by_own or "")
        folder = next((self.root / sub for sub in ("JPEGImages", "images") if (self.root / sub).is_dir()), self.root)
        raise UserError(f"{self.root / annotation}: its picture {name or own} is not in {folder}")

    def _near(self, annotation: str, key: str) -> str | None:
        """Of the images of a name or stem, the one nearest to an annotation, and of no other part."""
        part = _part(annotation)
        near = [path for path in self._by.get(key, ()) if part is None or _part(path) in (part, None)]
        return max(near, key=lambda path: _together(path, annotation), default=None)


def _together(a: str, b: str) -> int:
    """How many folders two relative paths share from the top."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a.split("/")[:-1], b.split("/")[:-1], strict=False)))


def _part(name: str) -> str | None:
    """The part that a folder of a relative path is called after."""
    return next((part for folder in name.split("/")[:-1] if (part := part_of(folder))), None)


def _read(root: Path, name: str, images: _Images) -> Noted | None:
    """One .xml; None for one of something else. VOC counts pixels from 1, and its boxes include their last ones."""
    file = root / name
    try:
        tree = ElementTree.parse(file).getroot()
        if tree.tag != "annotation" and tree.find("object") is None:
            return None
        size = tree.find("size")
        width, height = (float(size.findtext(k) or 0) for k in ("width", "height")) if size is not None else (0.0, 0.0)
        labels, boxes = [], []
        for item in tree.iter("object"):
            box, label = item.find("bndbox"), (item.findtext("name") or "").strip()
            if box is None or not label:
                raise UserError(f"{file}: an object has no name or no bndbox")
            labels.append(label)
            boxes.append([float(box.findtext(k, "nan")) for k in ("xmin", "ymin", "xmax", "ymax")])
    except UserError:
        raise  # a ValueError too, and says what it is
    except (ElementTree.ParseError, *DAMAGE) as error:
        raise UserError(f"{file} is no VOC annotation: {error}") from error
    values = np.array(boxes, np.float64).reshape(-1, 4) - [1, 1, 0, 0]
    return Noted(images.of(name, (tree.findtext("filename") or "").strip()), str(file), values, labels, (width, height))


def _lists(root: Path) -> dict[str, list[Path]]:
    """{part: the .txt that list it}, of each year where there are several; those of one class (cat_train.txt) are none, and trainval only where
    there is no train.
    """
    found: dict[str, list[Path]] = defaultdict(list)
    folders = [folder for folder in (root / "ImageSets" / "Main", root / "ImageSets") if any(folder.glob("*.txt"))][:1]
    for folder in folders or sorted(root.glob("*/ImageSets/Main")):
        files = {file.stem.lower(): file for file in sorted(folder.glob("*.txt")) if file.stem.isalpha() and part_of(file.stem) in OF_PART}
        if "train" in files:
            files.pop("trainval", None)
        own = {name: OF_PART[part_of(name) or ""] for name in files}
        if len(set(own.values())) < len(own):
            raise UserError(f"{folder} has several lists of one part ({', '.join(own)}): take one away")
        for name, part in own.items():
            found[part].append(files[name])
    return dict(found)


def _by_lists(lists: dict[str, list[Path]], found: dict[str, Noted]) -> tuple[Parts, list[str]]:
    stems: dict[str, list[str]] = defaultdict(list)
    for name in found:
        stems[Path(name).stem].append(name)
    parts: Parts = {}
    for part, file in ((part, file) for part, files in lists.items() for file in files):
        asked = [Path(line.split()[0]).name for line in lines(file)]
        keys = [key if key in stems else key.rpartition(".")[0] for key in asked]
        missing = [name for name, key in zip(asked, keys, strict=True) if key not in stems]
        if missing:
            raise UserError(f"{file} names {len(missing)} pictures without an annotation, the first: {missing[0]}")
        several = next((key for key in keys if len(stems[key]) > 1), None)
        if several:
            raise UserError(f"{file} names {several}, and there are several of that name: {', '.join(stems[several][:3])}")
        parts[part] = parts.get(part, []) + [found[stems[key][0]] for key in dict.fromkeys(keys)]
    listed = {noted.where for part in parts.values() for noted in part}
    beside = len(found) - len(listed)
    return parts, [f"{beside:,} annotations that no list names"] if beside else []


def _by_folders(found: dict[str, Noted]) -> tuple[Parts, list[str]]:
    parts: Parts = defaultdict(list)
    for name, noted in found.items():
        parts[OF_PART.get(_part(name) or "", WHOLE)].append(noted)
    beside = parts.pop(WHOLE, None) if len(parts) > 1 else None
    if len(parts) == 1:
        return {WHOLE: next(iter(parts.values()))}, []
    return dict(parts), [f"{len(beside):,} annotations in no folder of a part"] if beside else []
