"""The stop forecast judged on sets that its prior was not chosen on: each set in turn is left out."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bench.advice.replays import GAINS, judge_forecast
from bench.support.replays import Trajectory
from bench.support.report import judge

Groups = Mapping[tuple[str, str], Sequence[Trajectory]]

SLOPES, SPREADS = (0.06, 0.1, 0.17, 0.25, 0.4), (0.4, 0.8, 1.6)
"""Medians and log standard deviations that are tried."""


def judge_priors(groups: Groups, replays: int) -> Iterator[dict[str, Any]]:
    """For each set the prior that is best on the other sets, and its share of good forecasts on this one, by gain."""
    shares = {
        prior: {
            key: [float(row["share"]) for row in judge_forecast(group, replays, prior)] for key, group in groups.items()
        }
        for prior in itertools.product(SLOPES, SPREADS)
    }
    left_out: list[list[float]] = []
    for name in sorted({name for name, _ in groups}):
        prior = max(shares, key=lambda prior, name=name: _mean_elsewhere(shares[prior], name))  # type: ignore[misc]
        mine = {order: share for (of, order), share in shares[prior].items() if of == name}
        left_out += mine.values()
        for order, found in mine.items():
            row = {"what": "labels to, prior of the other sets", "set": name, "order": order, "prior": str(prior)}
            yield row | {f"+{gain:.0%}": share for gain, share in zip(GAINS, found, strict=True)}
    for gain, share in zip(GAINS, np.mean(left_out, axis=0), strict=True):
        row = {"what": "labels to, prior of the other sets", "set": "all", f"+{gain:.0%}": round(float(share), 3)}
        yield row | judge(float(share), ">=", 0.8)


def _mean_elsewhere(shares: Mapping[tuple[str, str], list[float]], name: str) -> float:
    return float(np.mean([share for (of, _), share in shares.items() if of != name]))
