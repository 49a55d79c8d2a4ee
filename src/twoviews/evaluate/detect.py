"""Detection: torchvision's Faster R-CNN with a feature pyramid on an encoder, beside the same on an untrained and on other encoders."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from ..base import draws as rng
from ..base import processes
from ..base.console import say, track
from ..base.device import pick, reuse_memory
from ..base.errors import UserError
from ..base.files import write_whole
from ..base.names import one_line
from ..base.settings import options_of
from ..base.work import slug, working
from ..nets.base import Encoder
from ..nets.encoder import from_spec, load_encoder, save_module
from ..nets.pyramid import Pyramid
from ..optim.schedule import Schedule
from ..sources.boxes import TEST, TRAIN, VALIDATION, Boxes, open_boxes
from ..training.fit import Fit
from ..training.run import versions
from .config import DetectConfig
from .protocol import Result
from .subjects import Named, named

WARMUP = 0.05
DRAWN, SURE = 6, 0.5  # test pictures on the sheet, and the score from which boxes are drawn
COLORS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#46f0f0", "#f032e6", "#bcf60c", "#9a6324", "#ffe119")


def need_metrics() -> None:
    """Raises UserError, with the line that installs it, where the evaluator is missing."""
    if find_spec("torchmetrics") is None or find_spec("faster_coco_eval") is None:
        raise UserError("detect needs torchmetrics and faster-coco-eval: uv pip install 'twoviews[detect]'")


def detector(net: Encoder, classes: int, config: DetectConfig) -> nn.Module:
    """Faster R-CNN on an encoder. Pictures are [0, 1], as the encoder takes them; class 0 is background. Raises UserError for too small encoders."""
    from torchvision.models.detection import FasterRCNN
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.ops import MultiScaleRoIAlign

    backbone = Pyramid(net, config.channels, config.layers, config.norm == "frozen")
    anchors = AnchorGenerator(tuple((round(config.anchor * s),) for s in backbone.strides), ((0.5, 1.0, 2.0),) * len(backbone.strides))
    names = [str(i) for i in range(len(backbone.levels))]
    channels = net.spec.channels
    return FasterRCNN(
        backbone, classes + 1, min_size=config.side, max_size=round(config.side * 5 / 3), image_mean=[0.0] * channels, image_std=[1.0] * channels,
        box_batch_size_per_image=config.regions, rpn_post_nms_top_n_train=min(2000, 4 * config.regions),
        rpn_post_nms_top_n_test=min(1000, 2 * config.regions), rpn_anchor_generator=anchors, box_roi_pool=MultiScaleRoIAlign(names, 7, 2),
    )  # fmt: skip


def detect(encoder: str | Path | nn.Module, boxes: str | Path, out: str | Path | None = None, **options: Any) -> Result:
    """Train a detector on an encoder and on what stands beside it; mAP on the test part, pictures with predictions, and each detector's weights.

    `boxes`: a VOC folder, a COCO .json or a folder of them, or YOLO's data.yaml. `options` are fields of DetectConfig. `out` keeps what is finished; the same call
    goes on. Raises UserError for wrong annotations and encoders that are too small.
    """
    config = options_of(DetectConfig, options)
    need_metrics()
    joined = processes.join()
    subject = named(encoder)
    parts = open_boxes(boxes, subject.encoder.spec.channels, config.seed)
    folder = Path(out) if out is not None else (subject.folder or Path("runs") / slug(subject.text)) / f"detect-{slug(Path(boxes).stem)}"
    work = Detecting(subject, parts, str(boxes), config)
    result = work.measure(folder)
    if joined:
        processes.leave()
    return result


class Detecting:
    """Everything that stays the same over encoders."""

    def __init__(self, subject: Named, parts: dict[str, Boxes], spec: str, config: DetectConfig):
        self.subject, self.parts, self.spec, self.config = subject, parts, spec, config
        self.classes = list(parts[TRAIN].classes)
        self.tested = TEST if parts[TEST] is not parts[VALIDATION] else VALIDATION
        self.device = pick(config.device)
        beside = [name for name in config.beside if name != "none"]
        if subject.encoder.spec.name == "custom" and "untrained" in beside:
            say("no untrained network beside it: a module of your own cannot be made anew")
            beside.remove("untrained")
        self.subjects = [subject.title, *beside]
        for name in self.subjects:
            detector(self.encoder(name), len(self.classes), config)  # refuses what cannot be
        if self.device.type == "cpu":
            reuse_memory()

    def encoder(self, name: str) -> Encoder:
        """A new copy of the encoder of a line of the table."""
        of = self.subject.encoder.spec
        if name == self.subject.title:
            return self.subject.fresh()
        if name == "untrained":
            return from_spec(of, self.config.seed + 1)
        net = load_encoder(name).requires_grad_(True)
        if net.spec.channels != of.channels:
            raise UserError(f"{name} takes pictures of {net.spec.channels} channels, {self.subject.text} of {of.channels}")
        return net

    def measure(self, folder: Path) -> Result:
        """All lines of the table."""
        c, began = self.config, time.perf_counter()
        settings = {"encoder": self.subject.describe(), "boxes": {k: p.fingerprint for k, p in self.parts.items()}, **c.deciding()}
        settings.pop("beside")
        with working(folder, "detect", settings) as work:
            rows = []
            for name in self.subjects:
                found = work.part(name, lambda to, n=name: self.fit(n, to))
                rows.append({"subject": name, **found})
                say(f"{name}: mAP {100 * found['map']:.1f}, at IoU 0.5 {100 * found['map_50']:.1f}")
            result = Result("detect", self.about(began), rows)
            processes.first(lambda: result.write(folder / "detect.json"))
        return result

    def fit(self, name: str, folder: Path) -> dict[str, Any]:
        """One detector: trained, looked at on validation after epochs, tested once at the end."""
        c, train = self.config, self.parts[TRAIN]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(c.seed)
            # an untrained network's norms have no statistics that could be kept
            own = dataclasses.replace(c, norm="moving", layers=-1) if name.startswith("untrained") else c
            model = detector(self.encoder(name), len(self.classes), own)
        model.to(self.device)
        # pictures without a box still say what background is; torchvision takes them as they are
        batch = min(c.batch, len(train))
        share, per_epoch = max(1, batch // processes.world()), len(train) // batch
        steps = c.epochs * per_epoch
        optimizer = torch.optim.SGD(
            [p for p in model.parameters() if p.requires_grad], lr=0.0, momentum=c.momentum, weight_decay=c.weight_decay
        )

        def batches(epoch: int, start: int) -> Iterator[list[tuple[Tensor, dict[str, Tensor]]]]:
            order = rng.permutation(len(train), c.seed, "boxes order", epoch)
            own = slice(processes.rank() * share, (processes.rank() + 1) * share)
            for n in range(start, per_epoch):
                yield [example(train, int(i), flipped(c.seed, epoch, int(i))) for i in order[n * batch : (n + 1) * batch][own]]

        def loss(found: list[tuple[Tensor, dict[str, Tensor]]], number: int) -> Tensor:
            losses = model([x.to(self.device) for x, _ in found], [{k: v.to(self.device) for k, v in t.items()} for _, t in found])
            return torch.stack(list(losses.values())).sum()

        def look(epoch: int) -> dict[str, Any]:
            if epoch % c.evaluate_every and epoch != c.epochs:
                return {}
            score = evaluate(model, self.parts[VALIDATION], self.device)[0]
            model.train()
            percent = {k: "–" if score[k] is None else f"{100 * score[k]:.1f}" for k in ("map", "map_50")}
            say(f"{name}, epoch {epoch}/{c.epochs}: validation mAP {percent['map']}, at IoU 0.5 {percent['map_50']}")
            return {"validation": {k: score[k] for k in ("map", "map_50")}}

        model.train()
        began = time.perf_counter()
        schedule = Schedule(c.learning_rate * batch / 16, round(WARMUP * steps), steps)
        history = Fit(
            model, optimizer, schedule, c.epochs, per_epoch, batches, loss, c.seed, clip=10.0, what=f"detector on {name}", folder=folder,
            end_epoch=look,
        ).run()  # fmt: skip
        seconds = time.perf_counter() - began
        scores, predictions = evaluate(model, self.parts[TEST], self.device)

        def keep() -> None:
            header = {"detector": "fasterrcnn-fpn", "encoder": dataclasses.asdict(self.encoder(name).spec), "classes": self.classes}
            save_module(
                folder / "detector.safetensors",
                model,
                {**header, "config": {k: v for k, v in dataclasses.asdict(c).items() if k != "beside"}},
            )
            draw(folder / "predictions.png", self.parts[TEST], predictions)

        processes.first(keep)
        return {**scores, "tested": len(self.parts[TEST]), "history": history, "seconds": round(seconds, 1)}

    def about(self, began: float) -> dict[str, Any]:
        c = self.config
        return {
            "subject": self.subject.describe(),
            "boxes": {"spec": self.spec, "classes": self.classes, **{k: len(p) for k, p in self.parts.items()}},
            "tested_on": f"the {self.tested} part ({len(self.parts[TEST])} images), once, after the last epoch",
            "protocol": (
                f"Faster R-CNN with a feature pyramid of {c.channels} channels; {c.epochs} epochs, batch {c.batch}, rate {c.learning_rate:g} · batch/16, SGD "
                f"{c.momentum:g}, cosine, weight decay {c.weight_decay:g}, shorter side {c.side} px, flips; batch norm {c.norm} (untrained: moving), "
                f"{'all stages learn' if c.layers < 0 else f'the last {c.layers} stages learn'}; mAP as COCO has it (IoU 0.5 to 0.95)"
            ),
            "config": dataclasses.asdict(c),
            "versions": versions(),
            "command": sys.argv,
            "seconds": round(time.perf_counter() - began, 1),
        }


def flipped(seed: int, epoch: int, index: int) -> bool:
    return bool(rng.uniform(rng.key(seed, "boxes flip", epoch, index), 1)[0, 0] < 0.5)


def example(boxes: Boxes, index: int, flip: bool) -> tuple[Tensor, dict[str, Tensor]]:
    """A picture in [0, 1] and its boxes as torchvision's detectors take them; labels from 1."""
    image = boxes.read(index).float() / 255
    corners = torch.from_numpy(boxes.boxes[index].copy())
    if flip:
        image = image.flip(2)
        corners[:, [0, 2]] = image.shape[2] - corners[:, [2, 0]]
    return image, {"boxes": corners, "labels": torch.from_numpy(boxes.labels[index]) + 1}


@torch.inference_mode()
def evaluate(model: nn.Module, boxes: Boxes, device: torch.device) -> tuple[dict[str, Any], list[dict[str, Tensor]]]:
    """COCO's mAP, at IoU 0.5 and of each class, and the predictions."""
    from torchmetrics.detection import MeanAveragePrecision

    model.eval()
    # each process that measures has all pictures: nothing is to be gathered, and the others do not come to it
    metric = MeanAveragePrecision(class_metrics=True, backend="faster_coco_eval", sync_on_compute=False)
    metric.warn_on_many_detections = False
    predictions = []
    for index in track(range(len(boxes)), "evaluating", len(boxes)):
        image, target = example(boxes, index, False)
        found = {k: v.cpu() for k, v in model([image.to(device)])[0].items()}
        metric.update([found], [target])
        predictions.append(found)
    got = metric.compute()
    each = dict(zip(got["classes"].reshape(-1).tolist(), map(known, got["map_per_class"].reshape(-1).tolist()), strict=True))
    scores = {k: known(float(got[k])) for k in ("map", "map_50", "map_75")}
    return {**scores, "map_per_class": {name: each.get(i + 1) for i, name in enumerate(boxes.classes)}}, predictions


def known(value: float) -> float | None:
    """A precision; None for what torchmetrics marks by −1 or NaN: there is no box of it to be found."""
    return value if value >= 0 else None


def draw(path: Path, boxes: Boxes, predictions: Sequence[dict[str, Tensor]], side: int = 420) -> None:
    """The first test pictures with predicted boxes (colour, name, score) over the true ones (thin white)."""
    font = ImageFont.load_default(11)
    cells = []
    for index in range(min(DRAWN, len(boxes))):
        array = boxes.read(index).permute(1, 2, 0).numpy()
        picture = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array).convert("RGB")
        scale = side / max(picture.size)
        picture = picture.resize((round(picture.width * scale), round(picture.height * scale)))
        pen = ImageDraw.Draw(picture)
        for box in boxes.boxes[index] * scale:
            pen.rectangle(box.tolist(), outline="white")
        found = predictions[index]
        for box, label, score in zip(found["boxes"] * scale, found["labels"], found["scores"], strict=True):
            if score >= SURE:
                color = COLORS[(int(label) - 1) % len(COLORS)]
                pen.rectangle(box.tolist(), outline=color, width=2)
                pen.text((float(box[0]) + 3, float(box[1]) + 1), f"{one_line(boxes.classes[int(label) - 1])} {score:.2f}", color, font)
        cells.append(picture)
    columns = min(3, len(cells))
    height = max(cell.height for cell in cells)
    canvas = Image.new("RGB", (columns * (side + 8), -(-len(cells) // columns) * (height + 8)), "white")
    for number, cell in enumerate(cells):
        canvas.paste(cell, ((number % columns) * (side + 8), (number // columns) * (height + 8)))
    write_whole(path, lambda part: canvas.save(part, "PNG"))
