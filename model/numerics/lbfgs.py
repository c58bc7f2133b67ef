"""L-BFGS in the precision of the start (float32): on a million weights scipy's L-BFGS-B spends more time on its float64
bookkeeping than a model on its gradient."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from model.numerics.arrays import Floats

Objective = Callable[[Floats], tuple[float, Floats]]
"""A point -> its value and gradient."""

SUFFICIENT = 1e-4
"""Share of the promised decrease that a step must bring (Armijo)."""

HALVINGS, DOUBLINGS = 12, 8
"""Tries for a shorter step, and for a longer one at the very first, whose length nothing is known about."""

FEWEST = 6
"""Iterations that are made however late it is: fewer give no weights that are worth having."""


@dataclass
class _Curvature:
    """The last steps and what they changed of the gradient."""

    memory: int
    pairs: list[tuple[Floats, Floats, float]] = field(default_factory=list)

    def direction(self, gradient: Floats) -> Floats:
        """Two-loop recursion (Nocedal & Wright, algorithm 7.4)."""
        result, scaled = gradient.copy(), np.empty_like(gradient)  # one place for all products: they are large
        shares = []
        for step, change, product in reversed(self.pairs):
            share = float(step @ result) / product
            result -= np.multiply(change, result.dtype.type(share), out=scaled)
            shares.append(share)
        if self.pairs:
            _, change, product = self.pairs[-1]
            result *= result.dtype.type(product / float(change @ change))
        else:
            result *= result.dtype.type(1 / max(float(np.sqrt(gradient @ gradient)), 1e-12))
        for (step, change, product), share in zip(self.pairs, reversed(shares), strict=True):
            weight = result.dtype.type(share - float(change @ result) / product)
            result += np.multiply(step, weight, out=scaled)
        return np.negative(result, out=result)

    def learn(self, step: Floats, change: Floats) -> None:
        product = float(step @ change)
        if product > 1e-10 * float(change @ change):
            self.pairs = [*self.pairs[-self.memory + 1 :], (step, change, product)]


@dataclass(frozen=True)
class Minimum:
    """Where the search ended."""

    point: NDArray[np.float32]
    value: float
    iterations: int


def minimise(
    objective: Objective,
    start: Floats,
    iterations: int,
    *,
    memory: int = 7,
    tolerance: float = 1e-4,
    until: float = math.inf,
) -> Minimum:
    """At most so many iterations from `start`; fewer when one brings less than `tolerance` of the value, or ends at
    `until` (as `time.monotonic` counts) or later."""
    point = start.copy()
    value, gradient = objective(point)
    curvature = _Curvature(memory)
    done = 0
    while done < iterations and np.abs(gradient).max(initial=0) > 1e-6:
        direction = curvature.direction(gradient)
        if float(gradient @ direction) >= 0:
            curvature = _Curvature(memory)
            direction = curvature.direction(gradient)
        found = _search(objective, point, value, direction, float(gradient @ direction), first=not curvature.pairs)
        if found is None:
            break
        done += 1
        further, below, slope = found
        curvature.learn(further - point, slope - gradient)
        gain = value - below
        point, value, gradient = further, below, slope
        if gain < tolerance * max(abs(value), 1e-3) or (done >= FEWEST and time.monotonic() >= until):
            break
    return Minimum(point, value, done)


def _search(
    objective: Objective, point: Floats, value: float, direction: Floats, slope: float, *, first: bool
) -> tuple[Floats, float, Floats] | None:
    """A point along the direction that is low enough; None when there is none."""
    length = 1.0
    for _ in range(HALVINGS):
        further = point + point.dtype.type(length) * direction
        below, gradient = objective(further)
        if below <= value + SUFFICIENT * length * slope:
            break
        bend = 2 * (below - value - slope * length)
        length *= min(0.5, max(0.1, -slope * length / bend)) if np.isfinite(below) else 0.1
    else:
        return None
    best = further, below, gradient
    for _ in range(DOUBLINGS if first and length == 1.0 else 0):
        length *= 2
        further = point + point.dtype.type(length) * direction
        below, gradient = objective(further)
        if below >= best[1]:
            break
        best = further, below, gradient
    return best
