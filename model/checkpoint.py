"""Where a training stands: trained tensors and optimiser moments as safetensors, the step as metadata. No pickle."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

Optimizer = torch.optim.Optimizer
Parameters = Mapping[str, Tensor]


def save_checkpoint(path: Path, step: int, parameters: Parameters, optimizer: Optimizer) -> None:
    """Write aside and rename, so that a checkpoint is complete or absent."""
    tensors = {}
    for name, parameter in parameters.items():
        tensors[f"value.{name}"] = parameter.detach().cpu()
        for moment, value in _moments(optimizer, parameter).items():
            tensors[f"{moment}.{name}"] = value.cpu()
    scratch = path.with_name(f".{path.name}.tmp")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, scratch, metadata={"step": str(step)})
    os.replace(scratch, path)


def load_checkpoint(path: Path, parameters: Parameters, optimizer: Optimizer) -> int:
    """Restore parameters and moments in place; the number of steps done, 0 without a usable checkpoint."""
    if not path.is_file():
        return 0
    try:
        with safe_open(path, framework="pt") as file:
            step = int(file.metadata()["step"])
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        values = {name: stored[f"value.{name}"] for name in parameters}
        moments = {
            name: {"exp_avg": stored[f"exp_avg.{name}"], "exp_avg_sq": stored[f"exp_avg_sq.{name}"]}
            for name in parameters
        }
    except Exception:  # safetensors raises its own kind for a torn file: begin anew
        return 0
    for name, parameter in parameters.items():
        with torch.no_grad():
            parameter.copy_(values[name])
        moved = {moment: value.to(parameter.device) for moment, value in moments[name].items()}
        optimizer.state[parameter] = {"step": torch.tensor(float(step)), **moved}
    return step


def _moments(optimizer: Optimizer, parameter: Tensor) -> dict[str, Any]:
    state = optimizer.state.get(parameter, {})
    zero = torch.zeros_like(parameter)
    return {name: state.get(name, zero) for name in ("exp_avg", "exp_avg_sq")}
