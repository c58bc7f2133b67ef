"""Spans that are probably wrong: what heads that have not seen a text say of it, against what was drawn in it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from model.span import Span
from model.spans.chain.tags import WordSpan
from model.spans.head.calibration import SpanCalibration
from model.spans.head.fit import Basis, SpanExample, fold_head
from model.spans.head.head import SpanHead
from model.spans.head.held_out import HeldOut, fold_texts
from model.spans.words import to_characters, to_words

FOLDS = 4
"""Parts of the texts, each judged by a head that was fitted on the others: four fits on three quarters of them."""

FEWEST_TEXTS = 16
"""With fewer nobody can tell a wrong span from a new one."""

LEAST_LIKELY = 1e-5
"""Probability from which a span is compared with what was drawn, and that of one below."""

MISSED_FROM = 0.5
"""Probability from which a span that nobody drew is missed."""

FEWEST_OF_LABEL = 2
"""Texts with a label of which a span is suspected: out of its fold there must be one."""


LEAST_TELLING = 1e-3
"""Probability of what was drawn below which less of it makes no suspect more suspicious: a chain is too sure there, and
how likely the other span is tells more."""


class ErrorKind(StrEnum):
    """What is wrong with what was drawn."""

    LABEL = "wrong label"
    BOUNDARY = "wrong boundary"
    MISSED = "missed"
    SUPERFLUOUS = "superfluous"


class AnswerErrorKind(StrEnum):
    """What else may be wrong with an answer to a question."""

    ANSWER = "wrong answer"


@dataclass(frozen=True)
class SpanError:
    """One span of the text at `place` of those that were searched. `given` is missing where nothing was drawn,
    `suggested` where nothing should be; `p_given` and `p_suggested`: how likely either is right."""

    place: int
    kind: ErrorKind | AnswerErrorKind
    given: Span | None
    suggested: Span | None
    p_given: float
    p_suggested: float

    def moved(self, place: int, offset: int) -> SpanError:
        """The same of the text at `place`, in which its characters lie so much farther back."""
        given, suggested = (_moved(span, offset) for span in (self.given, self.suggested))
        return replace(self, place=place, given=given, suggested=suggested)


def _moved(span: Span | None, offset: int) -> Span | None:
    return span and Span(span.start + offset, span.end + offset, span.label)


def hold_out_all(
    basis: Basis, examples: Sequence[SpanExample], head: SpanHead, go_on: Callable[[], bool] = lambda: True
) -> HeldOut | None:
    """Every text, by a head that was fitted on other texts (equal ones stay together). `head`: the one fitted on all;
    its share of the prior is kept. None where `go_on` says so between two fits, or for fewer than FEWEST_TEXTS."""
    if len(examples) < FEWEST_TEXTS:
        return None
    held_out = HeldOut(share=head.alone)
    own = fold_texts([example.text.source for example in examples], FOLDS)
    for fold in range(FOLDS):
        if not go_on():
            return None
        places, other = fold_head(basis, examples, own, fold)
        if other is None or not len(places):
            continue
        texts = [examples[place].text for place in places]
        held_out = held_out.add(places, texts, [examples[place].spans for place in places], other, LEAST_LIKELY)
    return held_out


def find_span_errors(
    held_out: HeldOut, calibration: SpanCalibration, removed: Sequence[Sequence[Span]] = ()
) -> list[SpanError]:
    """The spans for which something else is likelier than what was drawn: the most suspicious of each kind, then the
    next of each kind, and so on. A span that is too much is told with more certainty than one that is missing; in one
    order by probability those alone would stand above.

    `removed`: of each text of `held_out.places`, suggestions that its annotator took away: they were seen, and are not
    missed."""
    frequent = Counter(label for drawn in held_out.drawn for label in {span.label for span in drawn})
    found: list[SpanError] = []
    for row, place in enumerate(held_out.places):
        head, text = held_out.heads[row], held_out.texts[row]
        likely = {head.mark(one): one.probability for one in calibration.calibrate(held_out.candidates[row])}
        given = {mark: span for span in held_out.drawn[row] if (mark := to_words(text.bounds, span)) is not None}
        longest = head.details.longest
        taken = {mark for span in (removed[row] if removed else ()) if (mark := to_words(text.bounds, span))}
        known = {
            mark: span
            for mark, span in given.items()
            if mark.last - mark.first < longest and frequent[mark.label] >= FEWEST_OF_LABEL
        }
        rows = [*_doubted(known, given, likely), *_missed(given, taken, likely)]
        found += [
            SpanError(place, kind, drawn, to_characters(text.bounds, mark) if mark else None, p_given, p_suggested)
            for kind, drawn, mark, p_given, p_suggested in rows
        ]
    return in_turn(found)


def join_errors(layers: Sequence[Sequence[SpanError]], drawn: Sequence[Collection[Span]]) -> list[SpanError]:
    """Those of several layers of labels, in one order, each once: the most suspicious. What one layer misses another
    may have: `drawn` are all spans of each text."""
    found: dict[tuple[int, Span | None, Span | None], SpanError] = {}
    for error in (error for errors in layers for error in errors):
        key = (error.place, error.given, error.suggested)
        if error.suggested in drawn[error.place]:
            continue
        if key not in found or _innocence(error) < _innocence(found[key]):
            found[key] = error
    return in_turn(list(found.values()))


Doubt = tuple[ErrorKind, Span | None, WordSpan | None, float, float]


def _doubted(
    known: dict[WordSpan, Span], given: dict[WordSpan, Span], likely: dict[WordSpan, float]
) -> Iterator[Doubt]:
    """Spans that were drawn, and are less likely than another one in their place, or than none."""
    for mark, span in known.items():
        p_given = likely.get(mark, LEAST_LIKELY)
        others = {other: p for other, p in likely.items() if other not in given and _overlap(other, mark)}
        best = max(others, key=lambda other: (others[other], other), default=None)
        nothing = max(0.0, 1 - p_given - sum(others.values()))
        if best is not None and others[best] > max(p_given, nothing):
            same = best[:2] == mark[:2]
            yield ErrorKind.LABEL if same else ErrorKind.BOUNDARY, span, best, p_given, others[best]
        elif nothing > p_given:
            yield ErrorKind.SUPERFLUOUS, span, None, p_given, nothing


def _missed(given: dict[WordSpan, Span], taken: set[WordSpan], likely: dict[WordSpan, float]) -> Iterator[Doubt]:
    """Spans that are likely where nothing was drawn. Two of them that overlap cannot both be."""
    for mark, p in likely.items():
        if p >= MISSED_FROM and mark not in taken and not any(_overlap(mark, other) for other in given):
            yield ErrorKind.MISSED, None, mark, 1 - p, p


def in_turn(found: Sequence[SpanError]) -> list[SpanError]:
    """The most suspicious of each kind, then the next of each."""
    ranked: list[tuple[int, float, SpanError]] = []
    for kind in (*ErrorKind, *AnswerErrorKind):
        own = sorted((one for one in found if one.kind is kind), key=lambda one: (_innocence(one), one.place))
        ranked += [(rank, _innocence(one), one) for rank, one in enumerate(own)]
    return [one for *_, one in sorted(ranked, key=lambda row: (row[0], row[1], row[2].place))]


def _innocence(error: SpanError) -> float:
    """The smaller, the more suspicious."""
    return max(error.p_given, LEAST_TELLING) / error.p_suggested


def _overlap(one: WordSpan, other: WordSpan) -> bool:
    return one.first <= other.last and other.first <= one.last
