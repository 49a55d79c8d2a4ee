"""Distillation: the loss by hand, a student that matches its teacher without a label, and what is refused."""

from __future__ import annotations

import pytest
import torch

import twoviews as tv
from twoviews.evaluate.config import DistillConfig
from twoviews.evaluate.distill import soft_cross_entropy, teacher_criterion
from twoviews.nets.classifier import load_classifier
from twoviews.nets.encoder import encoder, save_encoder

from .test_evaluate import colored


def test_the_loss_by_hand():
    student, teacher = torch.tensor([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]]), torch.tensor([[0.2, 0.1, 1.5], [1.0, 1.0, 1.0]])
    total = 0.0
    for s, t in zip((student / 2).double(), (teacher / 2).double(), strict=True):
        p = t.exp() / t.exp().sum()
        total -= sum(p[c] * (s[c] - s.exp().sum().log()) for c in range(3)) / 2
    assert float(soft_cross_entropy(student, teacher, 2.0)) == pytest.approx(float(total), abs=1e-6)
    criterion = teacher_criterion(lambda x: teacher, 2.0, torch.tensor([2, -1]), 0.25, "fp32")
    hard = torch.nn.functional.cross_entropy(student[:1], torch.tensor([2]))
    assert float(criterion(torch.zeros(2), student, torch.arange(2))) == pytest.approx(0.75 * float(total) + 0.25 * float(hard), abs=1e-6)
    none = teacher_criterion(lambda x: teacher, 2.0, torch.tensor([-1, -1]), 0.25, "fp32")
    assert float(none(torch.zeros(2), student, torch.arange(2))) == pytest.approx(float(total), abs=1e-6)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A network fine-tuned on ten labels a class of colours."""
    root = tmp_path_factory.mktemp("teacher")
    save_encoder(root / "net.safetensors", encoder("resnet18", width=0.25, stem="small", size=12), {})
    tv.finetune(
        root / "net.safetensors", colored(120), root / "out", labels=("10",), seeds=1, scratch=False, steps=40, batch=30, device="cpu"
    )
    return root / "out" / "10-per-class-seed-0"


def test_student_and_labels_alone(teacher, tmp_path):
    result = tv.distill(
        teacher,
        colored(120),
        tmp_path / "out",
        student="convnet",
        epochs=12,
        steps=30,
        batch=32,
        crop_min=0.5,
        device="cpu",
        learning_rate=0.2,
    )
    by = {row["subject"].split(",")[0]: row for row in result.rows}
    assert set(by) == {"teacher", "student"}
    assert len(result.rows) == 3
    taught, alone = result.rows[1], result.rows[2]
    assert taught["top1"]["mean"] >= result.rows[0]["top1"]["mean"] - 0.2
    assert taught["parameters"] != result.rows[0]["parameters"]
    assert "alone" in alone["subject"]
    assert taught["labels_used"] == 30
    net, classes = load_classifier(tmp_path / "out" / "student-seed-0")
    assert classes == ["a", "b", "c"]
    assert net.encoder.spec.name == "convnet"
    assert tv.load_encoder(tmp_path / "out" / "student-seed-0").num_features == net.encoder.num_features


def test_self_distillation_with_true_labels(teacher, tmp_path):
    result = tv.distill(teacher, colored(120), tmp_path / "out", truth=0.3, epochs=2, steps=4, batch=32, supervised=False, device="cpu")
    assert result.rows[1]["parameters"] == result.rows[0]["parameters"]
    assert "0.3 · true labels" in result.rows[1]["subject"]


def test_what_is_refused(teacher, tmp_path):
    other = colored(60)
    other.classes = ["a", "b", "d"]
    for call, words in (
        (lambda: tv.distill(tmp_path, colored(60)), "written by twoviews finetune"),
        (lambda: tv.distill(teacher, other), "the teacher .* knows 3 classes"),
        (lambda: tv.distill(teacher, colored(120), student="resnet19"), "Did you mean resnet18"),
        (lambda: DistillConfig(truth=1.5), "from 0 to 1"),
        (lambda: DistillConfig(temperature=0), "above 0"),
        (lambda: DistillConfig(labels=("1", "2")), "one amount of labels"),
    ):
        with pytest.raises(tv.UserError, match=words):
            call()
