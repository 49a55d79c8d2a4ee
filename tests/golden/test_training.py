"""Whole training steps of the official code: networks, heads, loss, LARS and schedule together; linear training; batch norm over replicas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.golden.official import fill, variables
from tests.golden.test_nets import Both
from twoviews.losses.nt_xent import contrastive_metrics, nt_xent
from twoviews.nets.batchnorm import BatchNorm2d
from twoviews.optim.lars import LARS, split
from twoviews.optim.schedule import official


def nchw(images):
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


STEPS = [pytest.param(3, id="first steps"), pytest.param(20, id="all", marks=pytest.mark.soak)]  # float64 convolutions are slow


@pytest.mark.parametrize("steps", STEPS)
def test_train20(golden, golden_folder, generator, steps):
    """20 LARS steps of ResNet-18 with the three-layer head."""
    gen, want = generator("gen_weights"), golden("train20")
    rate, warmup, batch, images, epochs, decay, temperature = want["settings"]
    schedule = official(float(rate), "linear", float(warmup), int(batch), int(images), int(epochs))
    model = Both(depth=18, stem="small").double()
    rows = variables(golden_folder / "names_resnet18_cifar.txt")
    found = fill(model, rows, gen.make)
    x1 = gen.images(32, 32)
    x2 = np.clip(x1[:, :, ::-1] * 0.8 + 0.1, 0, 1)
    x = torch.cat([nchw(x1), nchw(x2)])
    optimizer = LARS(split(model, weight_decay=float(decay)), lr=0.0)
    model.train()
    for step in range(steps):
        lr = schedule(step)
        assert lr == pytest.approx(float(want["learning_rate"][step]), rel=1e-5, abs=1e-7)
        for group in optimizer.param_groups:
            group["lr"] = float(np.float32(lr))
        z1, z2 = model.points(x)["z"].chunk(2)
        loss = nt_xent(z1, z2, float(temperature), official=True)
        assert loss.item() == pytest.approx(float(want["loss"][step]), rel=1e-5 if step < 5 else 1e-3)
        accuracy = contrastive_metrics(z1, z2, float(temperature))[0].item()
        assert accuracy == pytest.approx(float(want["contrast_acc"][step]), abs=1e-6 if step < 5 else 0.07)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if steps < 20:
        return
    norms = np.array([found[number].detach().norm().item() for number, *_ in rows])
    assert norms == pytest.approx(want["final_norms"], rel=1e-3, abs=1e-4)


class WithLabels(Both):
    """The official model: a supervised head beside, its gradient stopped."""

    def __init__(self):
        super().__init__(depth=18, stem="small")
        self.supervised = torch.nn.Linear(self.encoder.num_features, 10)


@pytest.mark.parametrize("steps", STEPS)
def test_pretrain20(golden, golden_folder, generator, steps):
    """The whole official model: contrastive + supervised + decay, 20 steps; to 1e-8 at first, then rounding has grown."""
    gen, want = generator("gen_weights_hash"), golden("pretrain20")
    rate, warmup, batch, images, epochs, decay, temperature = want["settings_lr_warmup_batch_images_epochs_wd_tau"]
    schedule = official(float(rate), "linear", float(warmup), int(batch), int(images), int(epochs))
    model = WithLabels().double()
    rows = variables(golden_folder / "names_pretrain20.txt")
    found = fill(model, rows, gen.make)
    x1 = gen.images(32, 32)
    x2 = np.clip(0.8 * x1[:, :, ::-1] + 0.1 + 0.05 * gen.images(32, 32, 2000), 0, 1)
    x, labels = torch.cat([nchw(x1), nchw(x2)]), torch.from_numpy(want["labels"]).long().repeat(2)
    kernels, rest = split(model.encoder, model.head, weight_decay=float(decay))
    rest["params"] += list(model.supervised.parameters())
    optimizer = LARS([kernels, rest], lr=0.0)
    model.train()
    for step in range(steps):
        near = 1e-8 if step < 10 else 1e-6
        lr, contrastive, supervised, decayed, accuracy, entropy, right, norm = want["columns_lr_con_sup_wd_acc_entropy_supacc_gradnorm"][
            step
        ]
        for group in optimizer.param_groups:
            group["lr"] = float(np.float32(schedule(step)))
        points = model.points(x)
        z1, z2 = points["z"].chunk(2)
        logits = model.supervised(points["h"].detach())
        losses = [
            nt_xent(z1, z2, float(temperature), official=True),
            F.cross_entropy(logits, labels),
            decay * 0.5 * model.supervised.weight.square().sum(),
        ]
        got = contrastive_metrics(z1, z2, float(temperature))
        assert [v.item() for v in (*losses, *got)] == pytest.approx(
            [contrastive, supervised, decayed, accuracy, entropy], rel=near, abs=1e-12
        )
        assert (logits.argmax(1) == labels).double().mean().item() == pytest.approx(right)
        assert schedule(step) == pytest.approx(float(lr), rel=1e-5, abs=1e-7)
        optimizer.zero_grad()
        sum(losses).backward()
        total = torch.stack([p.grad.norm() for p in model.parameters()]).norm()
        assert total.item() == pytest.approx(float(norm), rel=near)
        optimizer.step()
    if steps < 20:
        return
    norms = np.array([found[number].detach().norm().item() for number, *_ in rows])
    assert norms == pytest.approx(want["final_norms"], rel=1e-6, abs=1e-8)
    h = model.eval().points(nchw(x1)[:4])["h"]
    assert (
        np.abs(h.detach().numpy() - want["final_inference_h_of_first_views"]).max()
        <= 1e-7 * np.abs(want["final_inference_h_of_first_views"]).max()
    )


@pytest.mark.parametrize("kind", ["tf1", "tf2"])
@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_linear30(golden, kind, decay):
    """30 epochs of the linear classifier. v1 (TF1) is torch's Nesterov SGD, our sgd protocol; v2 (Keras) keeps the rate in the velocity, as LARS
    without adaptation does."""
    arrays = golden("linear30")
    x, y = torch.from_numpy(arrays["features"]).double(), torch.from_numpy(arrays["labels"]).long()
    w, b = torch.zeros(24, 5, dtype=torch.float64, requires_grad=True), torch.zeros(5, dtype=torch.float64, requires_grad=True)
    if kind == "tf1":
        optimizer = torch.optim.SGD([w, b], lr=0.0, momentum=0.9, nesterov=True)
    else:
        optimizer = LARS([w, b], lr=0.0, momentum=0.9, weight_decay=0.0, adapt=False, nesterov=True)
    schedule = official(4.0, "linear", 0, 32, 32, 30)
    rows, weights = arrays[f"{kind}|wd={decay}|lr_loss_decay"], arrays[f"{kind}|wd={decay}|weights_after_steps_0_1_4_30"]
    for step, (lr, loss, term) in enumerate(rows):
        assert schedule(step) == pytest.approx(float(lr), rel=1e-5, abs=2e-7 * schedule.peak)  # float32 there
        optimizer.param_groups[0]["lr"] = float(lr)
        parts = F.cross_entropy(x @ w + b, y), decay * 0.5 * (w.square().sum() + b.square().sum())
        assert [p.item() for p in parts] == pytest.approx([loss, term], rel=1e-6, abs=1e-9)
        optimizer.zero_grad()
        sum(parts).backward()
        optimizer.step()
        if step in (0, 1, 4, 30):
            ours = torch.cat([w, b[None]]).detach().numpy()
            assert np.abs(ours - weights[(0, 1, 4, 30).index(step)]).max() <= 1e-6 * max(1, np.abs(ours).max())


@pytest.mark.parametrize("replicas", [2, 4])
@pytest.mark.parametrize("kind", ["global", "local"])
def test_batch_norm_over_replicas(golden, replicas, kind):
    """Global: one batch norm over all replicas' samples. Local: each its own."""
    arrays = golden("syncbn")
    x, weight = (torch.from_numpy(arrays[f"R={replicas}|{name}"]).permute(0, 1, 4, 2, 3).contiguous() for name in ("x", "w"))
    parts = [x.flatten(0, 1)] if kind == "global" else list(x)
    weights = [weight.flatten(0, 1)] if kind == "global" else list(weight)
    step = float(np.float32(1 - 0.9))
    for number, (part, times) in enumerate(zip(parts, weights, strict=True)):
        bn = BatchNorm2d(6).double()
        bn.momentum = step
        part = part.clone().requires_grad_()
        y = bn(part)
        (y * times).sum().backward()
        rows = slice(None) if kind == "global" else slice(number, number + 1)

        def want(name, rows=rows):
            return arrays[f"R={replicas}|{kind}|{name}"][rows]

        def official_layout(t):
            return t.detach().permute(0, 2, 3, 1).reshape(want("y").shape).numpy()

        assert np.abs(official_layout(y) - want("y")).max() <= 1e-12 * 10
        assert np.abs(official_layout(part.grad) - want("grad_x_of_sum_yw")).max() <= 1e-11
        assert np.abs(bn.weight.grad.numpy() - want("grad_gamma").sum(0)).max() <= 1e-11
        assert np.abs(bn.bias.grad.numpy() - want("grad_beta").sum(0)).max() <= 1e-11
        assert np.abs(bn.running_mean.numpy() - want("moving_mean")).max() <= 1e-7
        assert np.abs(bn.running_var.numpy() - want("moving_variance")).max() <= 1e-7
