"""One training step: the gradient cache is the direct step, and what layers draw at random is a function of the step."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

import twoviews as tv
from twoviews.base import draws as rng
from twoviews.base.errors import UserError
from twoviews.losses.nt_xent import definition
from twoviews.nets.encoder import adopt
from twoviews.nets.head import head
from twoviews.optim.schedule import Schedule
from twoviews.sources.loader import Batch
from twoviews.training.config import TrainConfig
from twoviews.training.step import Step

N = 24


class Plain(nn.Module):
    """No batch normalisation: what a picture becomes depends on no other."""

    num_features = 12

    def __init__(self, dropout: float = 0.0):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 12, 5, 2), nn.GELU(), nn.Dropout(dropout), nn.Conv2d(12, 12, 3), nn.GELU())

    def forward(self, x):
        return self.layers(x).mean((2, 3))


def stepped(net: nn.Module, projection: nn.Module, chunk: int, steps: int = 2, loss=None, seen=None):
    """The model after some steps in chunks, and the losses."""
    views = tv.Views(size=16, strength=0.5, blur=0.0)
    images = torch.randint(0, 256, (N, 3, 20, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))

    def pair(x, keys):
        if seen is not None:
            seen.append(len(x))
        return tuple(v.double() for v in views(x, keys))

    net, projection = copy.deepcopy(net).double().train(), copy.deepcopy(projection).double().train()
    config = TrainConfig(batch=N, chunk=chunk)  # LARS leaves gradients as they are; torch's Nesterov does not
    step = Step(config, net, projection, pair, Schedule(0.1, 1, 10), torch.device("cpu"), "fp32", loss)
    losses = [step(Batch(np.arange(N), rng.key(number, np.arange(N)), images), number)[0] for number in range(steps)]
    gradients = {name: p.grad for name, p in step.model.named_parameters()}
    return step.model.state_dict(), gradients, torch.stack(losses)


@pytest.mark.parametrize("chunk", [1, 2, 8, 12])
@pytest.mark.parametrize("loss", [None, lambda a, b: definition(a, b, 0.5)])
def test_chunks_change_nothing_without_batch_norm(chunk, loss):
    torch.manual_seed(0)
    net, projection = adopt(Plain(), 3, 16, "antialias"), head("mlp2", 12, 8, norm=False)
    seen: list[int] = []
    want, direct, losses = stepped(net, projection, 0, loss=loss)
    got, cached, others = stepped(net, projection, chunk, loss=loss, seen=seen)
    assert max(seen) == chunk  # never more pictures at once
    assert torch.allclose(others, losses, rtol=1e-12)
    assert all((cached[name] - direct[name]).abs().max() < 1e-10 for name in direct)
    assert all((got[name] - want[name]).abs().max() < 1e-10 for name in want)
    assert any(g.abs().max() > 1e-4 for g in direct.values())


def test_a_chunk_is_not_gradient_accumulation():
    """Accumulating each chunk's own loss is something else: its pairs see no others."""
    torch.manual_seed(0)
    net, projection = adopt(Plain(), 3, 16, "antialias"), head("mlp2", 12, 8, norm=False)
    _, direct, _ = stepped(net, projection, 0, steps=1)
    own = lambda a, b: torch.stack([definition(x, y) for x, y in zip(a.split(8), b.split(8), strict=True)]).mean()  # noqa: E731
    _, accumulated, _ = stepped(net, projection, 0, steps=1, loss=own)
    assert max((direct[name] - accumulated[name]).abs().max() for name in direct) > 1e-3


def test_batch_norm_sees_chunks_and_moves_once():
    torch.manual_seed(0)
    net, projection = tv.encoder("resnet18", width=0.125, stem="small", size=16), head("mlp2", 64, 8)
    model, _, losses = stepped(net, projection, 8, steps=1)
    counts = [int(v) for k, v in model.items() if k.endswith("num_batches_tracked")]
    assert set(counts) == {N // 8}  # one look at each chunk, not two
    direct, _, whole = stepped(net, projection, 0, steps=1)
    assert losses[0] != whole[0]  # said in docs/scaling.md
    assert abs(losses[0] - whole[0]) < 0.5
    means = [k for k in model if k.endswith("running_mean")]
    assert any((model[k] - direct[k]).abs().max() > 0 for k in means)


def test_what_layers_draw_is_a_function_of_the_step():
    """Dropout: both passes of the gradient cache drop the same, and a step computes the same whatever was drawn before it."""
    torch.manual_seed(0)
    net, projection = adopt(Plain(0.5), 3, 16, "antialias"), head("mlp2", 12, 8, norm=False)
    whole, cached = ([], [])
    for out, chunk in ((whole, 0), (cached, 8)):
        for seed in (1, 2):
            torch.manual_seed(seed)
            out.append(stepped(net, projection, chunk, steps=1))
        assert torch.equal(out[0][2], out[1][2])
        assert all(torch.equal(out[0][1][name], out[1][1][name]) for name in out[0][1])
    # the cached gradient is that of its loss: a step against it lowers just that loss, by as much as its square says
    _, gradient, loss = cached[0]
    assert all(torch.isfinite(g).all() for g in gradient.values())
    small = copy.deepcopy(net).double(), copy.deepcopy(projection).double()
    moved = nn.Sequential(*small)
    with torch.no_grad():
        for name, p in moved.named_parameters():
            p -= 1e-6 * gradient[name]
    lower = stepped(*small, 8, steps=1)[2]
    expected = 1e-6 * sum(g.square().sum() for g in gradient.values())
    assert (loss - lower).item() == pytest.approx(expected.item(), rel=1e-3)


def test_compiled_networks_compute_the_same():
    torch.manual_seed(0)
    net, projection = adopt(Plain(), 3, 16, "antialias"), head("mlp2", 12, 8)
    views = tv.Views(size=16)
    losses = []
    for compile in (False, True):
        torch.compiler.reset()
        config = TrainConfig(batch=N, compile=compile, optimizer="sgd")
        with torch.compiler.set_stance("force_eager" if not compile else "default"):
            step = Step(config, copy.deepcopy(net), copy.deepcopy(projection), views, Schedule(0.1, 0, 10), torch.device("cpu"), "fp32")
            step.network = torch.compile(step.model, backend="aot_eager") if compile else step.model  # no C++ compiler is asked for here
            images = torch.randint(0, 256, (N, 3, 20, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
            losses.append([step(Batch(np.arange(N), rng.key(k, np.arange(N)), images), k)[0].item() for k in range(2)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.parametrize("chunk", [0, 4])
def test_more_than_two_views(chunk):
    """Three views of your own: the loss and the step are those of a bare loop."""
    torch.manual_seed(0)
    net, projection = adopt(Plain(), 3, 16, "antialias").double(), head("mlp2", 12, 8, norm=False).double()
    views = tv.Views(size=16, strength=0.5, blur=0.0)
    images = torch.randint(0, 256, (N, 3, 20, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))

    def three(x, keys):
        x1, x2 = views(x, keys)
        return x1.double(), x2.double(), views.single(x, rng.extend(keys, 9)).double()

    batch = Batch(np.arange(N), rng.key(0, np.arange(N)), images)
    bare = nn.Sequential(copy.deepcopy(net), copy.deepcopy(projection))
    want = tv.multi_view(*(bare(x) for x in three(images, batch.keys)), temperature=0.1)
    want.backward()
    step = Step(TrainConfig(batch=N, chunk=chunk), net, projection, three, Schedule(0.1, 1, 10), torch.device("cpu"), "fp32")
    loss, z1, z2 = step(batch, 0)
    assert loss.item() == pytest.approx(want.item(), rel=1e-10)
    assert z1.shape == z2.shape == (N, 8)
    for (name, p), q in zip(step.model.named_parameters(), bare.parameters(), strict=True):
        assert torch.allclose(p.grad, q.grad, atol=1e-10), name
    with pytest.raises(UserError, match="margin takes two views"):
        Step(TrainConfig(batch=N, loss="margin"), net, projection, three, Schedule(0.1, 1, 10), torch.device("cpu"), "fp32")(batch, 0)
