"""NT-Xent, its gradient, accuracy and entropy against the official objective."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from twoviews.losses.nt_xent import contrastive_metrics, nt_xent, similarities


def case(arrays, number):
    hidden = torch.from_numpy(arrays[f"{number:02d}_hidden"]).requires_grad_()
    return hidden, float(arrays[f"{number:02d}_temperature"]), bool(arrays[f"{number:02d}_hidden_norm"])


@pytest.mark.parametrize("number", range(36))
def test_loss_and_gradient(golden, number):
    arrays, logits = golden("loss"), golden("loss_logits")
    hidden, temperature, normalize = case(arrays, number)
    z1, z2 = hidden.chunk(2)
    loss = nt_xent(z1, z2, temperature, normalize=normalize, official=True)
    loss.backward()
    want, gradient = arrays[f"{number:02d}_loss"], arrays[f"{number:02d}_grad"]
    assert abs(loss.item() - want) <= 1e-7 * abs(want) + 1e-12
    assert np.abs(hidden.grad.numpy() - gradient).max() <= 1e-7 * np.abs(gradient).max() + 1e-12
    accuracy, entropy = contrastive_metrics(z1, z2, temperature, normalize=normalize)
    assert accuracy.item() == pytest.approx(float(arrays[f"{number:02d}_contrast_acc"]), abs=1e-7)
    assert entropy.item() == pytest.approx(float(arrays[f"{number:02d}_contrast_entropy"]), rel=1e-6, abs=1e-7)
    ab = similarities(z1, z2, temperature, normalize)[: len(z1), len(z1) :].detach().numpy()
    wanted = logits.get(f"{number:02d}_logits_ab", logits.get(f"{number:02d}_logits_ab_first2rows"))
    assert np.abs(ab[: len(wanted)] - wanted).max() <= 1e-12 * max(1, np.abs(wanted).max())
    metrics = logits[f"{number:02d}_metrics"]
    assert metrics == pytest.approx([loss.item(), accuracy.item(), entropy.item()], rel=1e-6, abs=1e-6)


def test_float32(golden):
    arrays = golden("loss_float32")
    for number in sorted({name.split("_")[0] for name in arrays}):
        hidden = torch.from_numpy(arrays[f"{number}_hidden"]).requires_grad_()
        loss = nt_xent(*hidden.chunk(2), float(arrays[f"{number}_temperature"]), official=True)
        loss.backward()
        assert loss.item() == pytest.approx(float(arrays[f"{number}_loss"]), rel=1e-5)
        gradient = arrays[f"{number}_grad"]
        assert np.abs(hidden.grad.numpy() - gradient).max() <= 1e-5 * np.abs(gradient).max()


@pytest.mark.parametrize("number", range(8))
def test_replicas_are_one_process(golden, number):
    """The mean of the replicas' losses, and the summed gradients, are those of all pairs in one process."""
    arrays = golden("loss_replicas")
    hidden = torch.from_numpy(arrays[f"{number}_hidden"]).requires_grad_()  # (R, 2n, d)
    n = hidden.shape[1] // 2
    z1, z2 = hidden[:, :n].flatten(0, 1), hidden[:, n:].flatten(0, 1)
    temperature, normalize = float(arrays[f"{number}_temperature"]), bool(arrays[f"{number}_hidden_norm"])
    loss = nt_xent(z1, z2, temperature, normalize=normalize, official=True)
    loss.backward()
    assert loss.item() == pytest.approx(float(arrays[f"{number}_whole_loss"]), rel=1e-10)
    assert loss.item() == pytest.approx(arrays[f"{number}_loss"].mean(), rel=1e-10)
    assert np.abs(hidden.grad.numpy() - arrays[f"{number}_grad"]).max() <= 1e-10 * np.abs(arrays[f"{number}_grad"]).max()
    accuracy, entropy = contrastive_metrics(z1, z2, temperature, normalize=normalize)
    assert accuracy.item() == pytest.approx(arrays[f"{number}_contrast_acc"].mean(), abs=1e-7)
    assert entropy.item() == pytest.approx(arrays[f"{number}_contrast_entropy"].mean(), rel=1e-6)
