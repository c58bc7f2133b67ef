"""Percentiles and tables shared by the benches."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    """n, p50, p99 and max of durations in seconds, given in milliseconds."""
    values = np.asarray(seconds) * 1000
    p50, p99 = np.percentile(values, [50, 99])
    return {
        "n": len(values),
        "p50_ms": round(p50, 1),
        "p99_ms": round(p99, 1),
        "max_ms": round(values.max(), 1),
    }


def judge(measured: float, sense: str, bound: float, unit: str = "") -> dict[str, Any]:
    """The fields `bar` ("<= 20 ms"), `measured` and `met` of a row, which the performance page lists beside each other;
    `sense` is <= or >=. A table leaves `measured` out: it is one of the row's own columns."""
    if sense not in ("<=", ">="):
        raise ValueError(f"sense {sense!r} is neither <= nor >=")
    met = measured <= bound if sense == "<=" else measured >= bound
    return {"measured": measured, "bar": f"{sense} {bound:g} {unit}".rstrip(), "met": bool(met)}


AUTO_WITHIN = 1.05
"""PRECISION=auto may cost so many times what the better number format costs."""


def judge_auto(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Whether the first row, PRECISION=auto, costs no more `cpu_s` than the better of the others."""
    auto, *others = (float(row["cpu_s"]) for row in rows)
    return judge(round(auto / min(others), 3), "<=", AUTO_WITHIN, "x the better one")


def show(title: str, rows: Sequence[Mapping[str, Any]], as_json: bool = False) -> None:
    """Print rows as a table, or as one JSON object a row."""
    if as_json:
        for row in rows:
            print(json.dumps({"bench": title, **row}))
        return
    names = list(dict.fromkeys(name for row in rows for name in row if name != "measured"))
    widths = [max(len(name), *(len(str(row.get(name, ""))) for row in rows)) for name in names]
    print(f"\n{title}")
    print("  ".join(name.rjust(width) for name, width in zip(names, widths, strict=True)))
    for row in rows:
        print("  ".join(str(row.get(name, "")).rjust(width) for name, width in zip(names, widths, strict=True)))
