"""What does not fit into a GPU's memory at once is computed in halves."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from model.errors import DeviceFull

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Found = TypeVar("Found", bound=tuple[Tensor, ...])

FULL = (
    "the GPU has no memory left: end what else uses it, take a smaller BASE_MODEL, or set CUDA_VISIBLE_DEVICES= "
    "(empty), with which all of it runs on the CPU"
)


def in_halves(read: Callable[[Sequence[Item]], Found], items: Sequence[Item]) -> Found:
    """What `read` gives of the items, put together where the memory suffices for parts of them only. Raises DeviceFull
    where it does not suffice for one alone."""
    try:
        return read(items)
    except torch.OutOfMemoryError as error:
        if len(items) < 2:
            raise DeviceFull(FULL) from error
    # Out of the handler, whose traceback would keep what was computed so far in memory.
    log.warning("the GPU's memory does not suffice for %d texts at once: they are read in halves", len(items))
    middle = len(items) // 2
    first, second = in_halves(read, items[:middle]), in_halves(read, items[middle:])
    return tuple(torch.cat(parts) for parts in zip(first, second, strict=True))  # type: ignore[return-value]
