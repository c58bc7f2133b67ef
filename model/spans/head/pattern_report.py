"""What came of the patterns that a head was fitted with: how often they were right, and what a match weighs now."""

from __future__ import annotations

from typing import TypedDict

import numpy as np

from model.spans.features.pattern_features import match_codes
from model.spans.head.head import SpanHead


class LabelPatterns(TypedDict):
    """Of a label: matches in the labelled texts (weighted as the texts are) and those of them that are exactly what was
    marked; `weight`: what a match adds to the log-score of its label, as far as all matches of the label share it."""

    tried: float
    right: float
    weight: float


def report_patterns(head: SpanHead) -> dict[str, LabelPatterns]:
    """By label; of no label without patterns."""
    found: dict[str, LabelPatterns] = {}
    for own in (head, *head.inner):
        lexicon = own.space.lexicon
        for label in own.labels if lexicon is not None else ():
            if lexicon is not None and label in lexicon.labels:
                hits = own.space.trust.hits.get(label)
                right, tried = hits if hits is not None else (0.0, 0.0)
                weight = round(own.space.trust.score(label) + _learned(own, label), 2)
                found[label] = {"tried": round(tried, 2), "right": round(right, 2), "weight": weight}
    return found


def _learned(head: SpanHead, label: str) -> float:
    """What the chain adds for the first word of a match, against marking nothing."""
    known, code = head.space.known, match_codes(label, "", True, True)[0]
    place = int(np.searchsorted(known, np.uint64(code)))
    if place >= len(known) or int(known[place]) != code:
        return 0.0
    tags = head.chain.tags
    scores = head.chain.weights.sparse[place] @ tags.mix
    return float(scores[1 + 2 * head.labels.index(label)] - scores[0])
