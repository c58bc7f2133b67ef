"""Which labelled texts are held out of training: folds for few, a fixed fifth for many. Equal texts stay together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.numerics.arrays import Floats
from model.spec import Text
from model.texts import text_key

HELD_SHARE = 0.2
"""Share of texts that the stable hold-out keeps back."""


def stratified_folds(texts: Sequence[Text], targets: Floats, wanted: int, seed: int) -> NDArray[np.int64]:
    """Fold of each row [n], stratified by heaviest label. With fewer distinct texts than folds each is its own fold."""
    groups: dict[bytes, list[int]] = {}
    for index, text in enumerate(texts):
        groups.setdefault(text_key(text), []).append(index)
    order = np.random.default_rng(seed).permutation(len(groups))
    keys = [list(groups)[position] for position in order]
    keys.sort(key=lambda key: int(targets[groups[key][0]].argmax()))
    folds = np.zeros(len(texts), dtype=np.int64)
    for position, key in enumerate(keys):
        folds[groups[key]] = position % min(wanted, len(keys))
    return folds


def is_held_out(text: Text) -> bool:
    """Whether a text belongs to the stable hold-out: by its hash alone, so that it never moves to the other side."""
    return int.from_bytes(text_key(text)[:4], "big") < HELD_SHARE * 2**32
