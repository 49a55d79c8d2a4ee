"""What a network does is tried, not read: the length of its output, the sizes and the memory format it takes, whether it learns.

A trial leaves everything as it was: weights, statistics, modes, and the random numbers that come after it.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from collections.abc import Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..base.device import autocast
from ..base.errors import UserError
from .base import Encoder
from .foreign import Foreign, first_line

STEPS = (32, 16, 14)  # sides of patches and the last strides: sizes that networks take are multiples of one of these
SHOWN = 3  # sizes named in a message
TOLERANCE = 1e-2  # of the largest value: two memory formats round differently, no more
NARROW = 16  # input channels below which PyTorch's processor kernel for the gradient of strided 1×1 convolutions writes past its end
M = TypeVar("M", bound=nn.Module)


@contextlib.contextmanager
def unmoved(*models: nn.Module) -> Iterator[None]:
    """Undo what the block does to buffers: a batch's moving statistics are to move once, not twice."""
    before = [[buffer.clone() for buffer in model.buffers()] for model in models]
    try:
        yield
    finally:
        with torch.no_grad():
            for model, values in zip(models, before, strict=True):
                for buffer, value in zip(model.buffers(), values, strict=True):
                    buffer.copy_(value)


@contextlib.contextmanager
def _aside(*models: nn.Module) -> Iterator[None]:
    """A block after which buffers, modes, gradients and random numbers are what they were."""
    modes = [(module, module.training) for model in models for module in model.modules()]
    device = device_of(models[0])
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), unmoved(*models):
        torch.manual_seed(0)
        try:
            yield
        finally:
            for module, mode in modes:
                module.training = mode


def device_of(net: nn.Module) -> torch.device:
    """Where a network's first tensor lies."""
    return next((tensor.device for tensors in (net.parameters(), net.buffers()) for tensor in tensors), torch.device("cpu"))


def broken(net: nn.Module) -> str | None:
    """The first tensor that says that weights are broken: NaN anywhere, an infinity in a weight or in a batch norm's statistics. Masks may be −inf."""
    buffers = {name for name, _ in net.named_buffers(remove_duplicate=False) if not name.endswith(("running_mean", "running_var"))}
    for name, value in net.state_dict().items():
        if value.is_floating_point() and not value.isfinite().all() and (name not in buffers or value.isnan().any()):
            return name
    return None


def width(net: Encoder, size: int) -> int:
    """The length of h for pictures of this side, by sending some through. Raises what the network raises."""
    with _aside(net), torch.no_grad():
        return net.eval()(torch.zeros(2, net.spec.channels, size, size, device=device_of(net))).shape[1]


def fits(net: Encoder, size: int) -> bool:
    """Whether a network takes pictures of this side."""
    try:
        return width(net, size) > 0
    except Exception:  # whatever a network raises at a size it does not take
        return False


def near(size: int, own: int) -> list[int]:
    """Sizes worth a trial in place of one that does not fit: the network's own, and multiples of usual patches, the nearest first."""
    around = {k * step for step in STEPS for k in (size // step, -(-size // step), 224 // step)}
    return sorted((around | {own}) - {size, 0}, key=lambda side: abs(side - size))


def refusal(name: str, size: int, error: BaseException, works: list[int]) -> UserError:
    """The message for a size that a network does not take. `works`: sizes that were tried and do."""
    if isinstance(error, UserError):
        return error
    if not works:
        return UserError(f"{name} takes no pictures of {size} pixels: {first_line(error)} No other size was found that it takes")
    which = f"--size {' or '.join(map(str, sorted(works)))} works" if len(works) > 1 else f"it takes --size {works[0]}"
    return UserError(f"{name} takes no pictures of {size} pixels: {first_line(error)} {which[0].upper()}{which[1:]}")


def at_size(net: Encoder, size: int) -> Encoder:
    """The encoder fed with pictures of another side; a copy where its network must change for that, as timm's can. `net` stays as it is.

    Raises UserError, with sizes that work, where it takes no such pictures.
    """
    if size in (0, net.spec.size):
        return net
    spec = net.spec
    made = copy.copy(net)  # shares the weights
    made.spec = dataclasses.replace(spec, size=size)
    if not isinstance(net, Foreign):
        return made
    try:
        length = width(net, size)
    except Exception as error:
        made = copy.deepcopy(net)
        resize: Any = getattr(made.network, "set_input_size", None)
        try:
            resize(img_size=(size, size))
            length = width(made, size)
        except Exception:
            raise refusal(str(spec), size, error, [spec.size]) from error
        made.spec = dataclasses.replace(spec, size=size, built=size)
    if length != net.num_features:
        raise UserError(
            f"{spec} gives {length:,} numbers for pictures of {size} pixels, and {net.num_features:,} at its own {spec.size}: leave --size away"
        )
    return made


def place(net: M, device: torch.device, learns: bool = False) -> M:
    """Put a network onto a device, in channels_last where that computes the same as the usual format, which a trial decides for others' networks.

    `learns`: the way back is tried too.
    """
    net = net.to(device)
    narrow = device.type == "cpu" and any(map(_narrow, net.modules()))
    inside = [module for module in net.modules() if isinstance(module, Encoder)]
    for module in inside:
        module.contiguous = narrow or (isinstance(module, Foreign) and _usual_only(module, device, learns))
    if narrow or any(module.contiguous for module in inside):
        return net.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _narrow(module: nn.Module) -> bool:
    if not isinstance(module, nn.Conv2d):
        return False
    return max(module.kernel_size) == 1 and max(module.stride) > 1 and 1 < module.in_channels // module.groups < NARROW


def _usual_only(net: Foreign, device: torch.device, learns: bool) -> bool:
    """Whether a network is to stay out of channels_last here; tried once."""
    asked = (str(device), net.spec.size, learns)
    if asked in net.tried:
        return net.contiguous
    net.tried.add(asked)
    return not _agrees(net, device, learns)


def _agrees(net: Foreign, device: torch.device, learns: bool) -> bool:
    """Whether two pictures in channels_last give the h that they give in the usual format, and take the way back where the network `learns`."""
    x = torch.rand(2, net.spec.channels, net.spec.size, net.spec.size, generator=torch.Generator().manual_seed(0)).to(device)
    weights = [p for p in net.parameters() if p.requires_grad]
    found, net.contiguous = [], False
    for memory_format in (torch.contiguous_format, torch.channels_last):
        try:
            with _aside(net), torch.set_grad_enabled(learns):
                _formatted(net, memory_format)
                h = net.eval()(x.contiguous(memory_format=memory_format))
                if h.requires_grad:
                    torch.autograd.grad(h.float().square().mean(), weights, allow_unused=True)
                found.append(h.detach().float())
        except torch.OutOfMemoryError:
            raise
        except Exception:
            found.append(torch.full((1,), torch.nan))
        finally:
            _formatted(net, torch.contiguous_format)
    usual, last = found
    if not usual.isfinite().all():
        return True  # no matter of formats: whoever uses the network says what is wrong
    return last.shape == usual.shape and bool((last - usual).abs().max() <= TOLERANCE * usual.abs().max())


def _formatted(net: nn.Module, memory_format: torch.memory_format) -> None:
    net.to(memory_format=memory_format)  # type: ignore[call-overload]


def trial(net: Encoder, head: nn.Module, images: int, device: torch.device, precision: str) -> None:
    """Send `images` random pictures forwards and backwards through encoder and head, in training and in evaluation. Nothing is changed by it.

    Raises UserError for a network that cannot be trained so.
    """
    spec, name = net.spec, type(net.network).__name__ if isinstance(net, Foreign) and net.spec.name == "custom" else str(net.spec)
    if spec.name == "custom":
        with contextlib.suppress(Exception):  # what its Python code counts is not to move; where it cannot be copied, it does
            net = copy.deepcopy(net)
    endless = broken(net)
    if endless:
        raise _cannot(
            name, spec.size, f"its {endless} is not finite from the beginning, so that nothing could tell when a training breaks."
        )
    net, head = place(net, device, learns=True), head.to(device)
    x = torch.rand(images, spec.channels, spec.size, spec.size, generator=torch.Generator().manual_seed(0)).to(device)
    with _aside(net, head):
        try:
            with torch.no_grad(), autocast(device, precision):
                net.eval()(x)
            h, grads = _learned(net.train(), head.train(), x.contiguous(memory_format=torch.channels_last), device, precision)
        except (UserError, MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            works = [] if net.training else [side for side in near(spec.size, getattr(net, "own_size", 0)) if fits(net, side)][:SHOWN]
            raise _cannot(name, spec.size, f"{first_line(error)}", works) from error
    if not h.isfinite().all():
        raise _cannot(name, spec.size, "its output is not finite.")
    if all(grad is None for grad in grads):
        raise _cannot(name, spec.size, "no gradient reaches any of its weights.")
    bad = [key for (key, _), grad in zip(_weights(net), grads, strict=True) if grad is not None and not grad.isfinite().all()]
    if bad:
        raise _cannot(name, spec.size, f"the gradient of {bad[0]} is not finite.")


def _weights(net: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(key, weight) for key, weight in net.named_parameters() if weight.requires_grad]


def _learned(net: Encoder, head: nn.Module, x: Tensor, device: torch.device, precision: str) -> tuple[Tensor, list[Tensor | None]]:
    """h, and the gradient of each weight of the encoder that has one."""
    with autocast(device, precision):
        h = net(x)
        if h.shape[1] != net.num_features:
            raise ValueError(f"it gives {h.shape[1]:,} numbers a picture in training and {net.num_features:,} in evaluation")
        z = head(h)
    weights = [weight for _, weight in _weights(net)]
    if not weights or not z.requires_grad:
        return h.detach(), [None] * len(weights)
    toward = torch.rand(z.shape, generator=torch.Generator().manual_seed(1)).to(z)
    return h.detach(), list(torch.autograd.grad((z * toward).sum(), weights, allow_unused=True))


def _cannot(name: str, size: int, why: str, works: list[int] | None = None) -> UserError:
    other = f" It takes --size {' or '.join(map(str, sorted(works)))}" if works else " Choose another --encoder or --size"
    return UserError(f"{name} cannot be trained on pictures of {size} pixels: {why}{other}")
