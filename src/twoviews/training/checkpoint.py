"""Checkpoints: RUN/checkpoints/step-00001234/ with the model, the optimizer and the state of the loop, written whole or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..base.errors import UserError
from ..base.files import finite, read_json, to_json, write_whole
from ..base.names import reachable
from ..nets.encoder import fill, tensors_of
from .run import checkpoints


def save(run: Path, step: int, model: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any], keep_every: int) -> None:
    """Write the checkpoint of `step`, then remove all but the newest two and multiples of `keep_every`."""
    tensors, values = flatten(optimizer)

    def fill(part: Path) -> None:
        part.mkdir()
        save_file(tensors_of(model.state_dict()), part / "model.safetensors")
        save_file(tensors, part / "optimizer.safetensors")
        (part / "state.json").write_text(to_json({**finite(state), "step": step, "optimizer": values}) + "\n", encoding="utf-8")

    write_whole(run / "checkpoints" / f"step-{step:08d}", fill)
    for old in checkpoints(run)[:-2]:
        if not keep_every or number(old) % keep_every:
            shutil.rmtree(old)


def number(path: Path) -> int:
    return int(path.name.split("-")[1])


def load(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, *needs: str) -> dict[str, Any]:
    """Fill model and optimizer from a checkpoint; returns its state, which has all that is needed.

    Raises UserError when it is of another encoder, of another version, or damaged.
    """
    state, folder = read_json(path / "state.json"), reachable(path)
    try:
        fill(model, load_file(folder / "model.safetensors"))
        restore(optimizer, load_file(folder / "optimizer.safetensors"), state["optimizer"])
        for name in ("step", *needs):
            state[name]
    except RuntimeError as error:
        raise UserError(f"{path} is the checkpoint of another encoder: {str(error).splitlines()[-1].strip()}") from error
    except Exception as error:
        raise UserError(
            f"{path} is damaged, or of another version ({error}). Remove this folder to go on from the checkpoint before it"
        ) from error
    return state


def flatten(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimizer's state as tensors by « parameter.key », and what is not a tensor likewise."""
    tensors, values = {}, {}
    for parameter, entries in optimizer.state_dict()["state"].items():
        for key, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"{parameter}.{key}"] = value.contiguous()
            else:
                values[f"{parameter}.{key}"] = value
    return tensors, values


def restore(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
    """The inverse of `flatten`. Each tensor gets its parameter's memory format: fused optimizers walk both in memory order."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for name, value in {**tensors, **values}.items():
        index, key = name.split(".", 1)
        parameter = parameters[int(index)]
        if isinstance(value, Tensor) and value.shape == parameter.shape:
            value = torch.empty_like(parameter).copy_(value)
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
