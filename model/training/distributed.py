"""The processes of one training: which of them this is, and what they tell each other. Alone is a team of one.

`accelerate launch` (or torchrun) starts the processes and says so in their environment; accelerate reads it. What is
decided is decided by the leader, rank 0, and told to the others as JSON, so that no process can take another way.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import torch
import torch.distributed as group
from torch import Tensor

from model.errors import TrainingError
from model.training.recipe import DEFAULT_RECIPE

Told = TypeVar("Told")

PEER_WAIT = timedelta(hours=2)
"""Longest wait for another process: the leader fits heads while the others have nothing to do."""

PARENT_POLL = 0.5
"""Seconds between two looks at whether the launcher lives."""


@dataclass(frozen=True)
class Team:
    """This process among those of one training. `local` of them share this machine."""

    rank: int
    size: int
    local: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this process decides, writes files and reports."""
        return self.rank == 0

    def tell(self, value: Told) -> Told:
        """The leader's `value` (JSON), in every process; what the others bring says only of which type it is."""
        if self.size == 1:
            return value
        told = json.dumps(value).encode() if self.leads else b""
        length = torch.tensor([len(told)], device=self.device)
        group.broadcast(length, 0)
        content = torch.zeros(int(length), dtype=torch.uint8, device=self.device)
        if self.leads:
            content.copy_(torch.frombuffer(bytearray(told), dtype=torch.uint8))
        group.broadcast(content, 0)
        received: Told = json.loads(content.cpu().numpy().tobytes())
        return received

    def copy(self, tensors: Sequence[Tensor]) -> None:
        """Overwrite these tensors with the leader's."""
        for tensor in tensors if self.size > 1 else ():
            group.broadcast(tensor.detach(), 0)

    def share(self, order: Sequence[int]) -> list[int]:
        """This process's part of the rows in `order`: every size-th, so that with rows by length all have as much."""
        return list(order[self.rank :: self.size])

    def gather(self, part: Tensor, order: Sequence[int]) -> Tensor:
        """All rows [len(order), width], in row order, of every process's share; gradients flow into the own share: the
        loss of all rows is computed by every process, so those of the others' are theirs to add."""
        shares = [part]
        if self.size > 1:
            padded = part.new_zeros(-(-len(order) // self.size), part.shape[1])
            padded[: len(part)] = part.detach()
            shares = [torch.empty_like(padded) for _ in range(self.size)]
            group.all_gather(shares, padded)
            shares[self.rank] = part
        rows = [row for rank in range(self.size) for row in order[rank :: self.size]]
        whole = torch.cat([share[: len(order[rank :: self.size])] for rank, share in enumerate(shares)])
        return whole[torch.tensor(rows, device=part.device).argsort()]

    def add_gradients(self, parameters: Sequence[Tensor], share: float = 1.0) -> None:
        """Replace the gradients by their sum over the processes, times `share`."""
        grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if self.size == 1 or not grads:
            return
        flat = torch.cat([grad.flatten() for grad in grads])
        group.all_reduce(flat)
        for grad, whole in zip(grads, flat.mul_(share).split([grad.numel() for grad in grads]), strict=True):
            grad.copy_(whole.view_as(grad))


def alone() -> Team:
    """A team of one, on the GPU when there is one."""
    return Team(0, 1, 1, torch.device("cuda" if torch.cuda.is_available() else "cpu"))


def join(launcher: int) -> Team:
    """The team that this process was put into by `launcher`, a process with which it ends. Raises TrainingError."""
    from accelerate import PartialState
    from accelerate.utils import get_int_from_env, parse_flag_from_env

    if get_int_from_env(["WORLD_SIZE"], 1) > 1:  # before the others are waited for
        threading.Thread(target=_end_with, args=(launcher,), daemon=True).start()
    on_cpu = not torch.cuda.is_available() or parse_flag_from_env("ACCELERATE_USE_CPU")
    state = PartialState(cpu=on_cpu, timeout=PEER_WAIT)
    team = Team(state.process_index, state.num_processes, get_int_from_env(["LOCAL_WORLD_SIZE"], 1), state.device)
    if team.size > DEFAULT_RECIPE.batch:
        raise TrainingError(
            f"FINETUNE_LAUNCH starts {team.size} processes; a batch of {DEFAULT_RECIPE.batch} is split over at "
            f"most {DEFAULT_RECIPE.batch}"
        )
    return team


def leave() -> None:
    """At the end of a training that went well: one of several processes ends here and now. Threads of torch's group can
    outlive it and abort the process while its libraries are unloaded (1 of 13 trainings whose result was written)."""
    if group.is_initialized():
        group.destroy_process_group()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _end_with(launcher: int) -> None:
    """A launcher that is killed cannot end its processes: they see it by their new parent. One that was killed before
    this process knew it, by a parent that has never heard of a training."""
    while os.getppid() == launcher and _launches(launcher):
        time.sleep(PARENT_POLL)
    os._exit(1)


def _launches(parent: int) -> bool:
    """False for the process that adopts orphans, unless it is itself the launcher (in a container of its own): then its
    command line names what it launches. True where nobody can tell."""
    if parent != 1:
        return True
    try:
        words = Path(f"/proc/{parent}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return True
    return b"model.training" in words or not any(words)
