"""Made-up texts, features and heads of any size, the same for the same seed: for benches about cost, not accuracy."""

from __future__ import annotations

import random
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.features.tfidf import Terms
from model.head.head_config import Choice
from model.head.linear_head import LinearHead, Member, Reference
from model.numerics.arrays import normalise
from model.spec import Control, Input, Kind, Label, TaskSpec, Text
from model.versions.live_model import LiveModel
from tests.support.rig import read_rows

DEPTH, WIDTH = 4, 384
"""Of the default encoder's features."""

FITTED_ON = 2_000
"""Labelled texts that a head's vocabulary comes from: enough for all of its 20,000 terms."""

MEMBERS = (("layers", True), ("last", False), ("layers", False), ("last", True))
"""(view, words) of a head's members: four, the most that a refit averages; two above a few hundred labels."""


def make_texts(count: int, seed: int = 0) -> list[Text]:
    """`count` different texts of 6 to 60 words, drawn as often as the sample messages have them."""
    chance = random.Random(seed)
    words = " ".join(text for text, _ in read_rows()).split()
    return [(f"{' '.join(chance.choices(words, k=chance.randint(6, 60)))} n{number}",) for number in range(count)]


def make_features(count: int, seed: int = 0) -> NDArray[np.float32]:
    """[count, DEPTH, WIDTH]: random directions of about unit length around a common mean, as an encoder's are."""
    generator = np.random.default_rng(seed)
    noise = generator.standard_normal((count, DEPTH, WIDTH), dtype=np.float32)
    return (noise + np.linspace(-1, 1, WIDTH, dtype=np.float32)) / np.sqrt(np.float32(1.3 * WIDTH))


def make_head(
    classes: int, *, words: bool = True, multilabel: bool = False, members: int = len(MEMBERS), seed: int = 0
) -> LinearHead:
    """A head over made-up features, as large as a fitted one; with TF-IDF words in half of its members."""
    generator = np.random.default_rng([seed, classes])
    terms = _fit_terms(seed + 1) if words else Terms((), np.zeros(0, np.float32))

    def drawn(*shape: int) -> NDArray[np.float32]:
        return generator.standard_normal(shape, dtype=np.float32)

    fitted = tuple(
        Member(
            Choice(view, words and with_words, 10.0 * index, 10.0),
            1 / members,
            3 * drawn(WIDTH * (DEPTH if view == "layers" else 1), classes),
            drawn(classes),
            2 * drawn(len(terms.vocabulary), classes) if words and with_words else None,
        )
        for index, (view, with_words) in enumerate(MEMBERS[:members])
    )
    pool = make_features(500, seed + 2)
    prototypes = normalise(drawn(classes, WIDTH))
    similarity = (normalise(pool[:, -1]) @ prototypes.T).mean(0)
    reference = Reference(pool.mean(0), prototypes, similarity)
    labels = tuple(f"label {number}" for number in range(classes))
    return LinearHead(labels, multilabel, reference, fitted, terms, temperature=1.2, zero_share=0.1)


@lru_cache(maxsize=4)
def _fit_terms(seed: int) -> Terms:
    return Terms.fit(make_texts(FITTED_ON, seed))


def make_live(head: LinearHead, base: Any = None) -> LiveModel:
    """A version that answers one control `label` over one text with this head."""
    kind = Kind.MULTIPLE if head.multilabel else Kind.SINGLE
    control = Control("label", kind, ("text",), tuple(Label((key,), key) for key in head.labels))
    spec = TaskSpec((Input("text", "Text", "$text"),), (control,))
    return LiveModel("v1", spec, {"label": head}, base)
