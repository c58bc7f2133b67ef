"""Where a training stands: trained tensors and optimiser moments as safetensors, the step as metadata. No pickle."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from model.failpoints import failpoint
from model.versions.disk import bring_to_disk

Optimizer = torch.optim.Optimizer
Parameters = Mapping[str, Tensor]

log = logging.getLogger(__name__)

MOMENTS = ("exp_avg", "exp_avg_sq")


def save_checkpoint(path: Path, step: int, parameters: Parameters, optimizer: Optimizer) -> None:
    """Write aside and rename, so that a checkpoint is complete or absent. One that cannot be written is left out: a
    killed training would begin anew, and that is all."""
    tensors = {}
    for name, parameter in parameters.items():
        tensors[f"value.{name}"] = parameter.detach().cpu()
        for moment, value in _moments(optimizer, parameter).items():
            tensors[f"{moment}.{name}"] = value.cpu()
    scratch = path.with_name(f".{path.name}.tmp")
    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    try:
        save_file(whole, scratch, metadata={"step": str(step)})
        bring_to_disk(scratch)  # else the rename has Redis wait for all of it, with the next label
        failpoint("checkpoint.before", step)
        os.replace(scratch, path)
    except (OSError, SafetensorError) as error:
        log.warning("checkpoint not written: %s", error)
        scratch.unlink(missing_ok=True)
    failpoint("checkpoint.after", step)


def load_checkpoint(path: Path, parameters: Parameters, optimizer: Optimizer) -> int:
    """Restore parameters and moments in place; the number of steps done, 0 without a usable checkpoint."""
    if not path.is_file():
        return 0
    try:
        with safe_open(path, framework="pt") as file:
            step = int(file.metadata()["step"])
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        values = {name: stored[f"value.{name}"] for name in parameters}
        moments = {name: {moment: stored[f"{moment}.{name}"] for moment in MOMENTS} for name in parameters}
    except Exception:  # safetensors raises its own kind for a torn file: begin anew
        return 0
    begin_at(step, parameters, optimizer)
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(values[name])
            for moment, value in moments[name].items():
                optimizer.state[parameter][moment].copy_(value)
    return step


def begin_at(step: int, parameters: Parameters, optimizer: Optimizer) -> list[Tensor]:
    """Give the optimiser blank moments after `step` steps, where it has none; all tensors that a training stands on."""
    for parameter in parameters.values() if step else ():
        if not optimizer.state.get(parameter):
            on = parameter.device if optimizer.defaults.get("fused") else torch.device("cpu")
            optimizer.state[parameter] = {"step": torch.tensor(float(step), device=on), **_blank(parameter)}
    moments = [optimizer.state[p][moment] for p in parameters.values() for moment in MOMENTS] if step else []
    return [*parameters.values(), *moments]


def _moments(optimizer: Optimizer, parameter: Tensor) -> dict[str, Tensor]:
    state = optimizer.state.get(parameter) or _blank(parameter)
    return {name: state[name] for name in MOMENTS}


def _blank(parameter: Tensor) -> dict[str, Tensor]:
    return {moment: torch.zeros_like(parameter, memory_format=torch.preserve_format) for moment in MOMENTS}
