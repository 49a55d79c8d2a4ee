"""Every parser of ours on damaged input: bytes flipped, cut, doubled, spliced, and hostile words put in. Nothing but our own errors may come out.

Parquet is not among them: Arrow reads it, and some damaged files keep it busy for minutes (docs/reliability.md).

Command: python benchmarks/fuzz.py --json docs/figures/fuzz.json
"""

from __future__ import annotations

import io
import json
import random
import signal
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from PIL import Image

from machine import describe, parser, report
from twoviews.base.errors import TwoviewsError
from twoviews.base.files import read_json
from twoviews.evaluate.config import amount
from twoviews.nets.encoder import encoder, load_encoder, save_encoder
from twoviews.sources.boxes import open_boxes
from twoviews.sources.config import ReadConfig, Reading, limits
from twoviews.sources.decode import decode, info
from twoviews.sources.listed import listed
from twoviews.sources.shards import Shard, Shards, Store, expand, look_through, read_index
from twoviews.training import checkpoint
from twoviews.training.log import read_log
from twoviews.training.run import Run, checkpoints
from twoviews.training.skipped import write_skipped

WORDS = [
    b"\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"-1",
    b"99999999999999999999",
    b"NaN",
    b"null",
    b"[]",
    b"{}",
    b'"',
    b",",
    b"\n",
    b"../../",
    b"<",
    b"&x;",
    b"\xed\xa0\x80",
]
SECONDS = 20  # that one input may take


def mutate(data: bytes, draws: random.Random) -> bytes:
    """One to eight small damages."""
    out = bytearray(data)
    for _ in range(draws.choice((1, 1, 1, 1, 2, 5))):
        at = draws.randrange(len(out) + 1)
        kind = draws.randrange(6)
        if kind == 0 and at < len(out):
            out[at] = draws.randrange(256)
        elif kind == 1:
            del out[at:]
        elif kind == 2:
            del out[at : at + draws.randrange(1, 32)]
        elif kind == 3:
            out[at:at] = out[at : at + draws.randrange(1, 64)]
        elif kind == 4:
            out[at:at] = draws.choice(WORDS)
        elif at < len(out):
            word = draws.choice(WORDS)
            out[at : at + len(word)] = word
    return bytes(out)


def pictures() -> list[bytes]:
    """Small files of many formats."""
    made = np.random.default_rng(0).integers(0, 256, (12, 10, 3), np.uint8)
    image, out = Image.fromarray(made), []
    for format, mode in (
        ("JPEG", "RGB"),
        ("PNG", "RGB"),
        ("PNG", "P"),
        ("GIF", "P"),
        ("TIFF", "RGB"),
        ("BMP", "RGB"),
        ("WEBP", "RGB"),
        ("JPEG", "CMYK"),
        ("PNG", "I;16"),
    ):
        file = io.BytesIO()
        picture = Image.fromarray(made[..., 0].astype(np.uint16) * 200) if mode == "I;16" else image.convert(mode)
        picture.save(file, format)
        out.append(file.getvalue())
    for array in (made, made[..., 0].astype(np.float32) / 255):
        file = io.BytesIO()
        np.save(file, array)
        out.append(file.getvalue())
    return out


def seeds(folder: Path) -> dict[str, tuple[list[bytes], Callable[[bytes], Any]]]:
    """For each parser: sound inputs, and what reads one."""
    files = pictures()
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(files[1])
    net = encoder("convnet", 0.25, size=16)
    save_encoder(folder / "encoder.safetensors", net, {"epoch": 1})
    model, optimizer = torch.nn.Linear(2, 2), None
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    checkpoint.save(folder, 1, model, optimizer, {"x": 1}, 0)
    saved = checkpoints(folder)[0]
    shard = io.BytesIO()
    with tarfile.open(fileobj=shard, mode="w") as archive:
        for name, data in (("a.jpg", files[0]), ("a.cls", b"1"), ("../../b.png", files[1]), ("b.json", b"{}")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    voc = b"<annotation><filename>a.png</filename><object><name>x</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>8</xmax><ymax>9</ymax></bndbox></object></annotation>"
    sizes = {"width": 10, "height": 12}
    coco = {
        "images": [{"id": n, "file_name": f"voc/JPEGImages/n{n}.png", **sizes} for n in range(9)],
        "annotations": [{"id": n, "image_id": n, "category_id": 1, "bbox": [1, 1, 5, 5]} for n in range(9)],
        "categories": [{"id": 1, "name": "x"}],
    }
    index = json.dumps({"splits": {"all": [{"file": "all-000000.tar", "count": 2, "sha256": "0" * 64}]}, "classes": ["a"]}).encode()
    config = json.dumps({"config": {"batch": 5, "recipe": "digits"}, "source": {"fingerprint": "x", "count": 1, "spec": "y"}}).encode()
    (folder / "voc" / "Annotations").mkdir(parents=True)
    (folder / "voc" / "JPEGImages").mkdir()
    (folder / "voc" / "JPEGImages" / "a.png").write_bytes(files[1])
    for n in range(12):
        (folder / "voc" / "Annotations" / f"n{n}.xml").write_bytes(voc.replace(b"a.png", b"n%d.png" % n))
        (folder / "voc" / "JPEGImages" / f"n{n}.png").write_bytes(files[1])
    bands = []
    for planar in ("contig", "separate"):
        tifffile.imwrite(
            file := io.BytesIO(),
            np.arange(360, dtype=np.uint16).reshape((8, 9, 5) if planar == "contig" else (5, 8, 9)),
            planarconfig=planar,
            photometric="minisblack",
        )
        bands.append(file.getvalue())
    np.save(file := io.BytesIO(), np.arange(360, dtype=np.uint16).reshape(8, 9, 5))
    bands.append(file.getvalue())
    store = Store(str(folder / "cache"), 1e6)

    def at(name: str, then: Callable[[Path], Any]) -> Callable[[bytes], Any]:
        def use(data: bytes) -> Any:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            return then(path)

        return use

    def text(then: Callable[[str], Any]) -> Callable[[bytes], Any]:
        return lambda data: then(data.decode("utf-8", "replace"))

    def run(path: Path) -> None:
        _ = Run(path.parent).config

    def tar(path: Path) -> None:
        rows = look_through(path)
        source = Shards([Shard(str(path), len(rows))], [], Reading(), store)
        source.indexes[0] = rows
        for n in range(len(source)):
            source.name(n)
            source.read(n)

    def point(path: Path) -> None:
        checkpoint.load(path.parent, model, optimizer)

    def restored(name: str) -> Callable[[bytes], Any]:
        whole = {file.name: file.read_bytes() for file in saved.iterdir()}

        def use(data: bytes) -> None:
            for file, content in whole.items():
                (saved / file).write_bytes(data if file == name else content)
            point(saved / name)

        return use

    config_of = ReadConfig()
    return {
        "pictures": (files, lambda data: (info(data), decode(data))),
        "pictures of 5 channels": (bands, lambda data: decode(data, Reading(5, "data"))),
        "lists (.csv)": ([b"path,label,split\na.png,x,train\nb.png,y,test\n", b"file\na.png\n"], at("l.csv", lambda p: listed(p, Reading(), config_of))),
        "lists kept to their folder": ([b"path,label\na.png,x\nb.png,y\n"], at("l.csv", lambda p: listed(p, Reading(), ReadConfig(root_only=True)))),
        "shards (.tar)": ([shard.getvalue()], at("s.tar", tar)),
        "index.json of shards": ([index], at("index.json", lambda p: read_index(str(p.parent), store))),
        "boxes (VOC)": ([voc], at("voc/Annotations/a.xml", lambda p: open_boxes(folder / "voc"))),
        "boxes (COCO)": ([json.dumps(coco).encode()], at("coco.json", open_boxes)),
        "config.json": ([config], at("run/config.json", run)),
        "log.jsonl": ([b'{"kind": "step", "step": 1}\n{"kind": "epoch", "step": 2}\n'], at("log/log.jsonl", lambda p: read_log(p.parent, "step"))),
        "skipped.csv": ([b'file,reason\n"a,b",x\n'], at("skip/skipped.csv", lambda p: write_skipped(p.parent, {"n": "r"}))),
        "encoder.safetensors": ([(folder / "encoder.safetensors").read_bytes()], at("e.safetensors", load_encoder)),
        "checkpoint: model": ([(saved / "model.safetensors").read_bytes()], restored("model.safetensors")),
        "checkpoint: optimizer": ([(saved / "optimizer.safetensors").read_bytes()], restored("optimizer.safetensors")),
        "checkpoint: state.json": ([(saved / "state.json").read_bytes()], restored("state.json")),
        "JSON": ([b'{"a": [1, 2.5, "x", null]}'], at("j.json", read_json)),
        "amounts of labels": ([b"10%", b"5-per-class", b"all", b"2.5 %"], text(amount)),
        "ranges": ([b"-1000:400", b"0.5:1e3"], text(limits)),
        "patterns of shards": ([b"a-{00..11}-{x,y}.tar"], text(lambda t: [n for n, _ in zip(expand(t), range(1000), strict=False)])),
    }  # fmt: skip


class TooLong(BaseException):
    pass


def _late(number: int, frame: Any) -> None:
    raise TooLong


def fuzz(name: str, sound: list[bytes], read: Callable[[bytes], Any], count: int, seed: int) -> dict[str, Any]:
    """Sound inputs first, then damaged ones. Raises whatever is not our own error, with the input that did it."""
    draws, outcome = random.Random(f"{seed}{name}"), Counter()
    for data in sound:
        try:
            read(data)
        except TwoviewsError as error:
            raise SystemExit(f"{name}: a sound input was refused: {error}") from error
    for _ in range(count):
        data = mutate(draws.choice(sound), draws)
        signal.alarm(SECONDS)
        try:
            read(data)
            outcome["read"] += 1
        except TwoviewsError:
            outcome["refused"] += 1
        except (Exception, TooLong) as error:
            raise SystemExit(f"{name}: {type(error).__name__}: {error}\nfor {data[:2000]!r}") from error
        finally:
            signal.alarm(0)
    return {"inputs": count, **outcome}


def main() -> None:
    arguments = parser(__doc__ or "")
    arguments.add_argument("--inputs", type=int, default=5000, help="of each parser")
    arguments.add_argument("--only", default="", help="parsers whose name begins so")
    arguments.add_argument("--seed", type=int, default=0)
    a = arguments.parse_args()
    signal.signal(signal.SIGALRM, _late)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (sound, read) in seeds(Path(folder)).items():
            if not name.startswith(a.only):
                continue
            began = time.perf_counter()
            found[name] = fuzz(name, sound, read, a.inputs, a.seed)
            print(f"{name:28} {found[name]} {time.perf_counter() - began:.1f} s", flush=True)
    report({"machine": describe(), "seed": a.seed, "parsers": found, "inputs": sum(one["inputs"] for one in found.values())}, a.json)


if __name__ == "__main__":
    main()
