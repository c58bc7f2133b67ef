"""What of a pool is there again, and what is unlike all others: to be known before it is labelled. Pure.

An outlier is far from its nearest neighbours (cosine of the encoder's features), compared with how far others are; or
there is nothing to read, next to nothing, much more than usual, or another script than in the rest.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from model.duplicates.findings import FINDINGS, Finding
from model.numerics.arrays import Floats, normalise
from model.spec import Text
from model.texts import duplicate_keys

NEIGHBOURS = 5
"""Nearest others whose mean cosine says how far a text is."""

FAR = 3.5
"""Robust standard deviations (1.4826 times the median deviation) below the median from which a text is far."""

SHORT_LETTERS = 3
LONG_TIMES, LONG_CHARACTERS = 10, 1000
"""Times the median length, and characters at least, from which a text is long."""

RARE_SCRIPT = 0.02
"""Largest share of the texts that a rare script has."""

LEAST_TEXTS = 20
"""Below, nothing is unusual."""

BLOCK_ROWS = 500


@dataclass(frozen=True)
class PoolFinding:
    """About the text of row `row`. `like`: the row that it is a duplicate of, -1 for none in the pool; `value`: the
    mean cosine of what is far, the characters of what is short or long, else 0; `about`: the script."""

    kind: Finding
    row: int
    like: int = -1
    value: float = 0.0
    about: str = ""


def find_duplicates(names: Sequence[str], texts: Sequence[Text]) -> list[PoolFinding]:
    """Each text that an earlier one is an exact or near duplicate of, in the order of the rows."""
    exact: dict[int, int] = {}
    near: dict[int, int] = {}
    found: list[PoolFinding] = []
    for row, text in enumerate(texts):
        key, alike = duplicate_keys(names, text)
        if (first := exact.setdefault(key, row)) != row:
            found.append(PoolFinding("duplicate", row, first))
        elif alike is not None and (first := near.setdefault(alike, row)) != row:
            found.append(PoolFinding("near duplicate", row, first))
    return found


def find_odd(texts: Sequence[Text]) -> list[PoolFinding]:
    """Texts without letters, with next to none, very long ones, and those in a script that the others seldom have."""
    if len(texts) < LEAST_TEXTS:
        return []
    joined = [" ".join(text).strip() for text in texts]
    usual = float(np.median([len(text) for text in joined]))
    scripts = [_script(text) for text in joined]
    counts = Counter(script for script in scripts if script)
    rare = {script for script, count in counts.items() if count <= RARE_SCRIPT * len(texts)}
    found: list[PoolFinding] = []
    for row, (text, script) in enumerate(zip(joined, scripts, strict=True)):
        letters = sum(char.isalnum() for char in text[: 10 * SHORT_LETTERS])
        if not letters:
            found.append(PoolFinding("empty", row, value=len(text)))
        elif letters < SHORT_LETTERS and usual >= 5 * SHORT_LETTERS:
            found.append(PoolFinding("short", row, value=len(text)))
        elif len(text) >= max(LONG_CHARACTERS, LONG_TIMES * usual):
            found.append(PoolFinding("long", row, value=len(text)))
        if script in rare:
            found.append(PoolFinding("script", row, about=script))
    return found


def find_far(features: Floats, rows: Sequence[int]) -> list[PoolFinding]:
    """The texts that are unlike all others, the farthest first, from features [n, width] of the given `rows`. Each two
    are compared: 4,000 take half a second."""
    if len(rows) < LEAST_TEXTS:
        return []
    mean = _nearest(normalise(np.asarray(features, dtype=np.float32)))
    median = float(np.median(mean))
    spread = max(1.4826 * float(np.median(np.abs(mean - median))), 1e-3)
    far = np.flatnonzero(mean < median - FAR * spread)
    order = far[np.argsort(mean[far], kind="stable")]
    return [PoolFinding("far", rows[at], value=round(float(mean[at]), 4)) for at in order]


def count_findings(found: Sequence[PoolFinding]) -> Mapping[Finding, int]:
    """How many there are of each kind."""
    counts = Counter(one.kind for one in found)
    return {kind: counts[kind] for kind in FINDINGS}


def _nearest(unit: Floats) -> Floats:
    """Mean cosine to the NEIGHBOURS nearest others [n]."""
    count = min(NEIGHBOURS, len(unit) - 1)
    mean = np.zeros(len(unit), dtype=np.float32)
    for start in range(0, len(unit), BLOCK_ROWS):
        block = unit[start : start + BLOCK_ROWS]
        cosine = block @ unit.T
        cosine[np.arange(len(block)), np.arange(start, start + len(block))] = -np.inf
        mean[start : start + len(block)] = np.partition(cosine, -count, axis=1)[:, -count:].mean(1)
    return mean


def _script(text: str) -> str:
    """That of most of its first letters, as Unicode's names have it; "" without letters."""
    letters = [char for char in text[:200] if char.isalpha()]
    counts = Counter(unicodedata.name(char, "").partition(" ")[0] for char in letters)
    counts.pop("", None)
    return min(counts, key=lambda name: (-counts[name], name)).lower() if counts else ""
