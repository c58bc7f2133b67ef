"""The batch of one step, whatever is taught about its texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from model.encoder.windows import Window


@dataclass(frozen=True)
class Drawn:
    """`windows` of texts; `counts`: how many states of each are looked at; `pick`: these [count, width], of the windows
    at some places, from the last layer's outputs of those; `loss`: of the states of all, with dropout from a seed."""

    windows: Sequence[Window]
    counts: Sequence[int]
    pick: Callable[[Sequence[int], Sequence[Tensor]], list[Tensor]]
    loss: Callable[[Sequence[Tensor], Sequence[int]], Tensor]
