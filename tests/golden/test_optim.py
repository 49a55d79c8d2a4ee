"""LARS and the schedule against the official code."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from twoviews.optim.lars import LARS
from twoviews.optim.schedule import official

EXCLUDED = ("batch_normalization", "bias", "head_supervised")


def run_case(arrays, prefix, names, groups_of, classic, **options):
    params = {name: torch.from_numpy(arrays[f"init|{name}"].astype(np.float64)).requires_grad_() for name in names}
    optimizer = LARS([{"params": [params[name]], **groups_of(name)} for name in names], lr=0.0, classic=classic, **options)
    for step, rate in enumerate(arrays["learning_rates"]):
        for group, name in zip(optimizer.param_groups, names, strict=True):
            group["lr"] = float(np.float32(rate))
            params[name].grad = torch.from_numpy(arrays[f"grad{step}|{name}"].astype(np.float64))
        optimizer.step()
        for name in names:
            for kind, ours in (("param", params[name]), ("momentum", optimizer.state[params[name]]["momentum"])):
                want = arrays[f"{prefix}|{kind}{step}|{name}"]
                assert np.abs(ours.detach().numpy() - want).max() <= 1e-12 * max(np.abs(want).max(), 1e-3), (
                    prefix,
                    kind,
                    step,
                    name,
                )


def cases(arrays):
    return sorted({match[1] for name in arrays if (match := re.match(r"(case\d+)\|", name))})


def test_lars(golden):
    arrays = golden("lars")
    names = [name[5:] for name in arrays if name.startswith("init|")]
    assert len(cases(arrays)) > 1
    for prefix in cases(arrays):
        decay, nesterov, classic = arrays[f"{prefix}|settings"]

        def groups(name, decay=decay):
            out = any(part in name for part in EXCLUDED)
            return {"weight_decay": 0.0 if out else float(decay), "adapt": not out}

        run_case(arrays, prefix, names, groups, bool(classic), nesterov=bool(nesterov))


def test_lars_more(golden):
    arrays = golden("lars_more")
    names = [name[5:] for name in arrays if name.startswith("init|")]
    assert len(cases(arrays)) == 5
    for prefix in cases(arrays):
        decay, trust, momentum, classic, excludes, adapt_only_head = arrays[f"{prefix}|wd_eeta_momentum_classic_excludes_adaptonlyhead"]

        def groups(name, decay=decay, excludes=excludes, adapt_only_head=adapt_only_head):
            out = bool(excludes) and any(part in name for part in EXCLUDED)
            fixed = "head" in name if adapt_only_head else out
            return {"weight_decay": 0.0 if out else float(decay), "adapt": not fixed}

        run_case(arrays, prefix, names, groups, bool(classic), trust=float(trust), momentum=float(momentum))


def test_schedule(golden):
    arrays = golden("schedule")
    for number in range(len([name for name in arrays if name.endswith("_settings")])):
        rate, root, warmup, batch, images, epochs, total, warmup_steps = arrays[f"{number}_settings"]
        schedule = official(float(rate), "sqrt" if root else "linear", float(warmup), int(batch), int(images), int(epochs))
        assert (schedule.total, schedule.warmup) == (int(total), int(warmup_steps))
        ours = np.array([schedule(int(step)) for step in arrays[f"{number}_steps"]])
        assert ours == pytest.approx(arrays[f"{number}_lr"], rel=1e-5, abs=2e-7 * schedule.peak)
