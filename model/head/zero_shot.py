"""Zero-shot classification from label names, refined on unlabelled texts.

Soft spherical k-means whose centres start at the embedded label names ("EM zero-shot": +2 to +17 points of
accuracy over the plain names on seven data sets, no labels needed).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from model.numerics.arrays import Floats, normalise, softmax_rows
from model.spec import NONE

ASSIGNMENT_ITERATIONS = 10
ASSIGNMENT_TEMPERATURE = 0.05  # of the assignment step; picked from 8 settings over 7 data sets
PROTOTYPE_SHARE = 0.5  # of the pool's class means in the centres, with a large pool
LEAST_SHARE = 0.02
"""Below, the centres stay the names: with a third of a text a class the pool moves nothing."""
LEAST_AGREEMENT, SOUGHT_AGREEMENT = 0.3, 0.5
"""Agreement of refined centres with the names below which the pool's texts fall apart by something else than the names
say, and which is sought then with a smaller share. Of 33 sets one is below (.25), the next have .35, .41 and .41
(docs/decisions/0087)."""
MOST_CELLS = 4_000_000
"""Texts x classes that are looked at: a second on one core. The texts of 1,000 classes are those of a whole pool."""
LOGIT_SCALE = 20.0  # cosine similarity -> logits

UNIFORM_SHARE = 0.1
"""Share of a uniform guess in an answer from names alone, which are never sure: lowers the calibration error of
banking77, AG News and SMS spam (.12 -> .09), and costs sst2 .01."""


UNREAD_FROM, UNREAD_WHOLE, UNREAD_SHARE = 0.7, 0.95, 0.85
"""Share of the pool's letters that the encoder's vocabulary lacks from which names say less, that from which they say
nothing, and the share of a uniform guess then. MiniLM lacks .88 and more of Arabic, Hebrew, Hindi, Korean and Thai,
where names are right as often as chance and were up to .5 sure; .75 of package descriptions in Korean and Russian,
whose English words tell enough; .14 at most of Latin letters, .02 of English (docs/languages.md)."""


def uniform_share(usual: float, unread: float) -> float:
    """The share of a uniform guess in an answer by names, `usual` where the vocabulary knows the pool's letters, of
    which it lacks the share `unread`."""
    lost = min(1.0, max(0.0, (unread - UNREAD_FROM) / (UNREAD_WHOLE - UNREAD_FROM)))
    return usual + (1 - usual) * UNREAD_SHARE * lost


CLEAR_SIMILARITY = 0.4
"""Similarity to its name from which a label is likelier than none of these."""

PAIR_UNIFORM_SHARE = 0.5
"""For controls that read several inputs: names such as "same topic" say next to nothing about two texts read as one
(.87 confidence at .60 accuracy before any label)."""


ALIKE = 0.6
"""Mean cosine between names and texts from which an encoder sees all texts alike. On 15 sets in 11 languages MiniLM has
-.02 to .20, multilingual-e5-small .79 to .81."""

TOLD_APART = 0.95
"""Mean cosine above which an encoder tells texts apart by little more than rounding adds (.004 in bfloat16), such as
one that was never trained: without the mean that would be all that is left."""

FEWEST_TEXTS = 8
"""Texts that a mean to be taken off needs."""


def sees_all_alike(names: Floats, texts: Floats) -> bool:
    """Whether the encoder of these names [K, width] and texts [n, width] puts everything into a narrow cone.

    As e5 models do. What tells texts apart there is what they have besides the mean text, and the scales above are of
    similarities that spread as MiniLM's."""
    if len(names) == 0 or len(texts) < FEWEST_TEXTS:
        return False
    return ALIKE < float(normalise(names).mean(0) @ normalise(texts).mean(0)) < TOLD_APART


def refine_prototypes(names: Floats, pool: Floats) -> Floats:
    """Class centres [K, width] from embedded names [K, width] and unlabelled texts [n, width].

    A small pool shifts the centres less: with 100 texts for 77 classes a full share costs 4 points. So does one whose
    texts would hardly be answered as by the names any more.
    """
    start = normalise(names)
    pool = pool[: max(1, MOST_CELLS // max(1, len(names)))]
    share = PROTOTYPE_SHARE * min(1.0, len(pool) / (8 * max(1, len(names))))
    if len(pool) == 0 or len(names) < 2 or share < LEAST_SHARE:
        return start
    texts = normalise(pool)
    by_names, least = texts @ start.T, LEAST_AGREEMENT
    for step in (1.0, 0.8, 0.6, 0.4, 0.2):
        centres = _move_centres(start, texts, share * step)
        if agreement(by_names, texts @ centres.T) >= least:
            return centres
        least = SOUGHT_AGREEMENT
    return start


def _move_centres(start: Floats, texts: Floats, share: float) -> Floats:
    centres = start
    for _ in range(ASSIGNMENT_ITERATIONS):
        belongs = softmax_rows(texts @ centres.T / ASSIGNMENT_TEMPERATURE)
        centres = normalise((1 - share) * start + share * normalise(belongs.T @ texts))
    return centres


def agreement(one: Floats, other: Floats) -> float:
    """Cohen's kappa of which class each text is likeliest of, by similarities [n, K] less each class's mean: 1 alike, 0
    as often as by chance. A name that is near to every text is no answer, and the means take that off."""
    said, told = ((similarity - similarity.mean(0)).argmax(1) for similarity in (one, other))
    alike = float((said == told).mean())
    shares = [np.bincount(answers, minlength=one.shape[1]) / len(one) for answers in (said, told)]
    by_chance = float(shares[0] @ shares[1])
    return (alike - by_chance) / (1 - by_chance) if by_chance < 1 else 1.0


def with_none(prototypes: Floats, labels: Sequence[str]) -> Floats:
    """Prototypes [K, width] in the order of `labels`, those of all but NONE given: none of these has no name, and says
    nothing of what a text is like. Its row is zero."""
    named = np.array([label != NONE for label in labels], dtype=bool)
    if named.all():
        return prototypes
    whole = np.zeros((len(labels), prototypes.shape[1]), prototypes.dtype)
    whole[named] = prototypes
    return whole


def zero_shot(texts: Floats, prototypes: Floats, uniform_share: float = UNIFORM_SHARE) -> Floats:
    """Class probabilities [n, K] by cosine similarity to the prototypes; humble ones."""
    return mix_uniform(normalise(texts) @ prototypes.T, uniform_share)


def mix_uniform(similarity: Floats, uniform_share: float = UNIFORM_SHARE) -> Floats:
    """Class probabilities [n, K] from cosine similarities [n, K]; humble ones."""
    if similarity.shape[1] == 1:  # a set of one label: there or not
        similarity = np.concatenate([similarity, np.full_like(similarity, CLEAR_SIMILARITY)], axis=1)
        return mix_uniform(similarity, uniform_share)[:, :1]
    return (1 - uniform_share) * softmax_rows(LOGIT_SCALE * similarity) + uniform_share / max(1, similarity.shape[1])
