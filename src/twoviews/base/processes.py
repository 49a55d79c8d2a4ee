"""Several processes that compute one thing: torch.distributed in a few calls. With one process every call here is free.

Collectives on host tensors go through gloo, on the device's through its own backend; torchrun starts the processes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from .errors import RunError, TwoviewsError, UserError

Group = Any  # torch.distributed.ProcessGroup, which not every build of torch has
T = TypeVar("T")
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
        store.set(f"twoviews/{rank_}", "here")
        store.wait([f"twoviews/{i}" for i in range(world_)], limit)
    except (dist.DistError, RuntimeError, ValueError, OSError) as error:
        where = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        raise RunError(
            f"the {world_} processes did not all meet at {where} within {seconds:g} s (this is process {rank_}): {str(error).splitlines()[0]} "
            "Start them with torchrun, and look whether one of them ended before"
        ) from error
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", store=store, rank=rank_, world_size=world_, timeout=WAIT
    )
    return True


def leave() -> None:
    """Undo `join`."""
    if dist.is_initialized():
        dist.destroy_process_group()


def world(group: Group | None = None) -> int:
    """How many processes there are."""
    return dist.get_world_size(group) if dist.is_available() and dist.is_initialized() else 1


def rank(group: Group | None = None) -> int:
    """The number of this one; 0 writes and speaks."""
    return dist.get_rank(group) if dist.is_available() and dist.is_initialized() else 0


def everyone() -> Group | None:
    """The group of all processes, or None where there is just one."""
    return dist.group.WORLD if world() > 1 else None


def summed(tensor: Tensor, group: Group | None) -> Tensor:
    """The sum over the group's processes, in place."""
    if world(group) > 1:
        dist.all_reduce(tensor, group=group)
    return tensor


def gathered(tensor: Tensor, group: Group | None) -> Tensor:
    """The tensors of all processes, equal in shape, stacked: (world, *shape)."""
    if world(group) == 1:
        return tensor[None]
    out = [torch.empty_like(tensor, memory_format=torch.contiguous_format) for _ in range(world(group))]
    dist.all_gather(out, tensor.contiguous(), group=group)
    return torch.stack(out)


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
        code = [0]
        try:
            return function()
        except TwoviewsError as error:
            code = [error.exit_code]
            raise
        except BaseException:
            code = [1]
            raise
        finally:
            dist.broadcast_object_list(code)
    code = [0]
    dist.broadcast_object_list(code)
    if code[0]:
        raise Follower(code[0])
    return None


def share_of(count: int, what: str) -> int:
    """`count` over the processes. Raises UserError when it does not divide."""
    n = world()
    if count % n:
        fits = next(k for k in range(n - 1, 0, -1) if count % k == 0)
        raise UserError(
            f"{what} {count} does not divide over {n} processes, and a changed batch would be another recipe: --{what} {count // n * n or n} or "
            f"{(count // n + 1) * n}, or --nproc-per-node {fits}"
        )
    return count // n


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
