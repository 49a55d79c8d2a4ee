"""Several processes that compute one thing: torch.distributed in a few calls. With one process every call here is free.

Collectives on host tensors go through gloo, on the device's through its own backend; torchrun starts the processes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from .console import mute
from .errors import RunError, TwoviewsError
from .watch import Watch, end, sign

Group = Any  # torch.distributed.ProcessGroup, which not every build of torch has
T = TypeVar("T")
EVERYONE = object()
FORM_SECONDS = 60
# How long one process may keep the others waiting, as the first does while it looks at the representation or writes a checkpoint. A process
# that dies is noticed at once, through its closed connections.
WAIT = timedelta(hours=2)


class Follower(TwoviewsError):
    """The first process met an error and reports it; this one only ends, with the same exit code."""

    def __init__(self, exit_code: int):
        super().__init__("")
        self.exit_code = exit_code


def join(seconds: float = FORM_SECONDS) -> bool:
    """Join the processes that torchrun announced in the environment; False where there is just one, or where they are joined already.

    Raises RunError when not all of them come within `seconds`.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or (dist.is_available() and dist.is_initialized()):
        return False
    rank_, world_ = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    limit = timedelta(seconds=seconds)
    try:
        store, _, _ = next(dist.rendezvous("env://", rank_, world_, timeout=limit))
        store.set_timeout(limit)
        store.set(sign(rank_), "0")
        store.wait([sign(i) for i in range(world_)], limit)
    except (dist.DistError, RuntimeError, ValueError, OSError) as error:
        where = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        raise RunError(
            f"the {world_} processes did not all meet at {where} within {seconds:g} s (this is process {rank_}): {str(error).splitlines()[0]} "
            "Start them with torchrun, and look whether one of them ended before"
        ) from error
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", store=store, rank=rank_, world_size=world_, timeout=WAIT
    )
    if rank_:
        mute()
    _watch.append(Watch(rank_, world_, lambda: _store(limit), end))
    _watch[-1].start()
    return True


_watch: list[Watch] = []


def _store(limit: timedelta) -> dist.Store:
    """A connection of its own to the store that the processes met in."""
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    return dist.TCPStore(host, port, None, False, timeout=limit, wait_for_workers=False)


def leave() -> None:
    """Undo `join`, all together: gloo aborts a process whose peer takes the connections down while it is still at work."""
    if dist.is_initialized():
        dist.barrier()
        while _watch:
            _watch.pop().stop()
        dist.destroy_process_group()


def world(group: Group | None = EVERYONE) -> int:
    """How many processes there are, in all or in a group; None is this one alone."""
    if group is None or not (dist.is_available() and dist.is_initialized()):
        return 1
    return dist.get_world_size(dist.group.WORLD if group is EVERYONE else group)


def rank(group: Group | None = EVERYONE) -> int:
    """The number of this one, among all or in a group; 0 writes and speaks."""
    if group is None or not (dist.is_available() and dist.is_initialized()):
        return 0
    return dist.get_rank(dist.group.WORLD if group is EVERYONE else group)


def everyone() -> Group | None:
    """The group of all processes, or None where there is just one."""
    return dist.group.WORLD if world() > 1 else None


def summed(tensor: Tensor, group: Group | None) -> Tensor:
    """The sum over the group's processes, in place."""
    if world(group) > 1:
        dist.all_reduce(tensor, group=group)
    return tensor


def sum_gradients(parameters: Iterable[Tensor], group: Group | None) -> None:
    """Each process has the gradient by its own pictures; the weights need that by all. One all-reduce of one buffer."""
    if world(group) == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = summed(torch.cat([g.flatten() for g in gradients]), group)
    for gradient, whole in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(whole.view(gradient.shape))


def gathered(tensor: Tensor, group: Group | None) -> Tensor:
    """The tensors of all processes, equal in shape, stacked: (world, *shape)."""
    if world(group) == 1:
        return tensor[None]
    out = [torch.empty_like(tensor, memory_format=torch.contiguous_format) for _ in range(world(group))]
    dist.all_gather(out, tensor.contiguous(), group=group)
    return torch.stack(out)


def texts(text: str) -> list[str]:
    """Each process's text, in all of them."""
    if world() == 1:
        return [text]
    data = torch.frombuffer(bytearray(text.encode()) or bytearray(1), dtype=torch.uint8)
    (longest,) = largest([float(len(data))])
    padded = torch.zeros(int(longest), dtype=torch.uint8)
    padded[: len(data)] = data
    return [bytes(own.tolist()).rstrip(b"\0").decode() for own in gathered(padded, everyone())]


def largest(numbers: list[float]) -> list[float]:
    """The largest of each number over all processes. On the host: it waits for no device."""
    if world() == 1:
        return numbers
    tensor = torch.tensor(numbers, dtype=torch.float64)
    dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
    return tensor.tolist()


def first(function: Callable[[], T]) -> T | None:
    """Call `function` in the first process while the others wait; returns its value there and None elsewhere.

    An error of it is raised in the first process and ends the others, as `Follower`.
    """
    if world() == 1:
        return function()
    if rank() == 0:
        code = 0
        try:
            return function()
        except BaseException as error:
            code = error.exit_code if isinstance(error, TwoviewsError) else 1
            raise
        finally:
            dist.broadcast(torch.tensor([code]), 0)
    heard = torch.zeros(1, dtype=torch.int64)
    dist.broadcast(heard, 0)
    if heard.item():
        raise Follower(int(heard.item()))
    return None


def local() -> int:
    """How many of the processes run on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", world())) if world() > 1 else 1


def lost(error: BaseException) -> bool:
    """Whether an error says that another process is gone."""
    words = ("gloo", "NCCL", "Connection", "Broken pipe", "peer", "Socket")
    return world() > 1 and (isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and any(w in str(error) for w in words)))


class Gathered(torch.autograd.Function):
    """`gathered` with its gradient: what all processes' losses say of this process's tensor. (…) → (world, …)."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, group: Group | None) -> Tensor:
        ctx.group = group
        return gathered(tensor, group)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        return summed(upstream.clone(), ctx.group)[rank(ctx.group)], None


class Summed(torch.autograd.Function):
    """`summed` with its gradient, for a value that each process then has alike and differentiates alone."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, group: Group | None) -> Tensor:
        return summed(tensor.clone(), group)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        return upstream, None
