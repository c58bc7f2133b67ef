"""What suggestions are worth: exact-match figures, and the annotator's edits that they spare."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from model.numerics.metrics import expected_calibration_error
from model.span import ScoredSpan, Span, SpanDocument


@dataclass(frozen=True)
class SpanQuality:
    """Of suggestions against what annotators drew, exactly the same characters and label.

    `saved`: 1 - (spans to delete, to add and to relabel) / (spans to add to an empty page); negative: worse than
    nothing. `ece`: of the shown scores. `f1` is over all spans, `macro_f1` the mean over the labels that were drawn."""

    texts: int
    f1: float
    macro_f1: float
    precision: float
    recall: float
    saved: float
    ece: float
    shown: int


def edits(shown: Collection[Span], drawn: Collection[Span]) -> int:
    """Clicks from what is shown to what is right: a wrong label at the right place is one, not two."""
    missing, wrong = set(drawn) - set(shown), set(shown) - set(drawn)
    relabelled = {(own.start, own.end) for own in missing} & {(own.start, own.end) for own in wrong}
    return len(missing) + len(wrong) - len(relabelled)


def pair_slips(shown: Collection[Span], drawn: Collection[Span]) -> tuple[tuple[str, str, bool], ...]:
    """What is wrong, each span told once: the label drawn, the label shown, "" for none, and whether at just the same
    characters. A wrong span stands beside the missing one that it shares most with."""
    missing, wrong = sorted(set(drawn) - set(shown)), sorted(set(shown) - set(drawn))
    pairs = sorted(
        (-_shared(own, other), own.label != other.label, own, other)
        for own in missing
        for other in wrong
        if own.start < other.end and other.start < own.end
    )
    found, paired = [], set[tuple[bool, Span]]()
    for *_, own, other in pairs:
        if (True, own) not in paired and (False, other) not in paired:
            paired |= {(True, own), (False, other)}
            found.append((own.label, other.label, (own.start, own.end) == (other.start, other.end)))
    found += [(own.label, "", False) for own in missing if (True, own) not in paired]
    return (*found, *(("", other.label, False) for other in wrong if (False, other) not in paired))


def _shared(one: Span, other: Span) -> float:
    """Characters of both, as a share of those of either."""
    both = min(one.end, other.end) - max(one.start, other.start)
    return both / (max(one.end, other.end) - min(one.start, other.start))


def measure(shown: Sequence[Sequence[ScoredSpan]], drawn: Sequence[Collection[Span]]) -> SpanQuality:
    """Of the suggestions for some texts."""
    hits: dict[str, int] = {}
    found: dict[str, int] = {}
    wanted: dict[str, int] = {}
    scores, right = [], []
    spent = nothing = 0
    for own, truth in zip(shown, drawn, strict=True):
        true, spans = set(truth), {scored.span for scored in own}
        for span in true:
            wanted[span.label] = wanted.get(span.label, 0) + 1
        for span in spans:
            found[span.label] = found.get(span.label, 0) + 1
            hits[span.label] = hits.get(span.label, 0) + (span in true)
        scores += [scored.score for scored in own]
        right += [scored.span in true for scored in own]
        spent += edits(spans, true)
        nothing += len(true)
    total_hits, total_found, total_wanted = (sum(counts.values()) for counts in (hits, found, wanted))
    by_label = [f1_of(hits.get(label, 0), found.get(label, 0), count) for label, count in wanted.items()]
    return SpanQuality(
        texts=len(drawn),
        f1=f1_of(total_hits, total_found, total_wanted),
        macro_f1=float(np.mean(by_label)) if by_label else 0.0,
        precision=total_hits / total_found if total_found else 0.0,
        recall=total_hits / total_wanted if total_wanted else 0.0,
        saved=1 - spent / nothing if nothing else -float(spent),
        ece=expected_calibration_error(np.array(scores), np.array(right, dtype=bool)),
        shown=total_found,
    )


def f1_of(hits: int, found: int, wanted: int) -> float:
    """Harmonic mean of precision and recall; 0 where there is nothing."""
    return 2 * hits / (found + wanted) if found + wanted else 0.0


def f1_by_novelty(
    shown: Sequence[Collection[ScoredSpan]], test: Sequence[SpanDocument], labelled: Sequence[SpanDocument]
) -> tuple[float, float]:
    """F1 of the spans whose string, in whatever case, was marked so in a labelled text, and of the others."""
    known = {_string(document.text, span) for document in labelled for span in document.spans}
    counts = {True: [0, 0, 0], False: [0, 0, 0]}
    for document, own in zip(test, shown, strict=True):
        spans, drawn = {scored.span for scored in own}, set(document.spans)
        for place, group in enumerate((spans & drawn, spans, drawn)):
            for span in group:
                counts[_string(document.text, span) in known][place] += 1
    return f1_of(*counts[True]), f1_of(*counts[False])


def _string(text: str, span: Span) -> tuple[str, str]:
    return text[span.start : span.end].lower(), span.label
