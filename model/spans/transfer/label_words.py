"""Label names as the transfer prior reads them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.interfaces import Embedder
from model.labels import words_of
from model.numerics.arrays import normalise

SHORT_NAMES = {
    **{"per": "person", "pers": "person", "loc": "location", "org": "organisation", "misc": "miscellaneous name"},
    **{"oth": "other name", "gpe": "country or city", "fac": "facility", "norp": "nationality"},
    **{"timerange": "time range", "prod": "product", "chem": "chemical"},
}
"""What annotation guidelines abbreviate (CoNLL, OntoNotes, ACE): an encoder knows the words better."""


def spell_out(label: str) -> str:
    """`PER` -> `person`, `creative-work` -> `creative work`."""
    words = words_of(label)
    return SHORT_NAMES.get(words, words)


def embed_names(encoder: Embedder, labels: Sequence[str]) -> NDArray[np.float32]:
    """A unit vector of each label's name [labels, width]."""
    if not labels:
        return np.zeros((0, encoder.width), np.float32)
    return normalise(encoder.embed([(spell_out(label),) for label in labels])[:, -1]).astype(np.float32)
