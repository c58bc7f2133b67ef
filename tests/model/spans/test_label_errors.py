"""Spans that are probably wrong: each kind of error is found and named; beside cleanlab on the same answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cleanlab.token_classification.rank import get_label_quality_scores
from scipy.stats import spearmanr

from bench.label_errors import word_posteriors
from model.span import Span, SpanDocument
from model.spans.chain.tags import TagSet
from model.spans.head.fit import SpanExample
from model.spans.head.head import SpanHead
from model.spans.head.held_out import HeldOut, calibration_of
from model.spans.head.label_errors import FEWEST_TEXTS, ErrorKind, SpanError, find_span_errors, hold_out_all
from model.spans.words import word_spans
from tests.model.spans.conftest import mark, sentences
from tests.support.span_learner import SpanLearner

WRONG = {
    4: ErrorKind.LABEL,
    12: ErrorKind.LABEL,
    8: ErrorKind.BOUNDARY,
    16: ErrorKind.BOUNDARY,
    5: ErrorKind.MISSED,
    25: ErrorKind.MISSED,
    11: ErrorKind.SUPERFLUOUS,
    31: ErrorKind.SUPERFLUOUS,
}
"""Place of a text -> what is wrong in it."""


def spoil(document: SpanDocument, kind: ErrorKind) -> SpanDocument:
    first = document.spans[0] if document.spans else None
    if kind is ErrorKind.SUPERFLUOUS:
        return mark(document.text, ("day of rain", "LOC"))
    assert first is not None
    if kind is ErrorKind.MISSED:
        return replace(document, spans=document.spans[1:])
    changed = replace(first, label="LOC" if first.label == "PER" else "PER")
    if kind is ErrorKind.BOUNDARY:
        changed = replace(first, end=document.text.index(" ", first.end + 1))
    return replace(document, spans=(changed, *document.spans[1:]))


@pytest.fixture(scope="module")
def right() -> list[SpanDocument]:
    return sentences(64)


@pytest.fixture(scope="module")
def spoilt(right: list[SpanDocument]) -> list[SpanDocument]:
    return [spoil(one, WRONG[place]) if place in WRONG else one for place, one in enumerate(right)]


@pytest.fixture(scope="module")
def head(learner: SpanLearner, spoilt: list[SpanDocument]) -> SpanHead:
    return learner.fit(spoilt)


@pytest.fixture(scope="module")
def held_out(learner: SpanLearner, spoilt: list[SpanDocument], head: SpanHead) -> HeldOut:
    found = hold_out_all(learner.basis, examples(learner, spoilt), head)
    assert found is not None and sorted(found.places) == list(range(len(spoilt)))
    return found


@pytest.fixture(scope="module")
def errors(head: SpanHead, held_out: HeldOut) -> list[SpanError]:
    return find_span_errors(held_out, calibration_of(head, held_out))


def examples(learner: SpanLearner, documents: list[SpanDocument]) -> list[SpanExample]:
    read = learner.embed([document.text for document in documents])
    return [SpanExample(text, document.spans) for text, document in zip(read, documents, strict=True)]


def test_every_kind_of_error_is_found_named_and_put_right(
    errors: list[SpanError], right: list[SpanDocument], spoilt: list[SpanDocument]
) -> None:
    first = {one.place: one for one in reversed(errors[: 2 * len(WRONG)]) if one.place in WRONG}
    assert set(first) == set(WRONG), "all of them among the first sixteen"
    named = {place: one for place, one in first.items() if one.kind is WRONG[place]}
    assert len(named) >= len(WRONG) - 2 and {one.kind for one in named.values()} == set(ErrorKind), first
    for place, one in named.items():
        assert one.given is None or one.given in spoilt[place].spans
        assert (one.given is None, one.suggested is None) == (
            one.kind is ErrorKind.MISSED,
            one.kind is ErrorKind.SUPERFLUOUS,
        )
        assert one.p_given < one.p_suggested
    suggested = {place: one.suggested for place, one in named.items() if one.suggested is not None}
    wanted = {place: {(span.start, span.end) for span in right[place].spans} for place in suggested}
    assert all((span.start, span.end) in wanted[place] for place, span in suggested.items())
    labelled = [span in right[place].spans for place, span in suggested.items()]
    assert sum(labelled) >= len(labelled) - 1, "one is nearly even between two labels"


def test_the_most_suspicious_of_each_kind_come_first(errors: list[SpanError]) -> None:
    assert {one.kind for one in errors[:4]} == set(ErrorKind)
    for kind in ErrorKind:
        own = [max(one.p_given, 1e-3) / one.p_suggested for one in errors if one.kind is kind]
        assert own == sorted(own)


def test_what_an_annotator_took_away_is_not_missed(head: SpanHead, held_out: HeldOut, errors: list[SpanError]) -> None:
    missed = next(one for one in errors if one.kind is ErrorKind.MISSED)
    assert missed.suggested is not None
    removed: list[tuple[Span, ...]] = [
        (missed.suggested,) if place == missed.place else () for place in held_out.places
    ]
    left = find_span_errors(held_out, calibration_of(head, held_out), removed)
    assert len(left) == len(errors) - 1 and missed not in left


def test_a_label_that_no_other_text_has_is_not_doubted(learner: SpanLearner, right: list[SpanDocument]) -> None:
    odd = [*right[:20], mark("Zanzibar it was.", ("Zanzibar", "PER"))]
    only = [replace(one, spans=tuple(span for span in one.spans if span.label == "LOC")) for one in odd[:20]]
    documents = [*only, odd[20]]
    found = hold_out_all(learner.basis, examples(learner, documents), learner.fit(documents))
    assert found is not None
    doubted = find_span_errors(found, calibration_of(learner.fit(documents), found))
    assert not [one for one in doubted if one.given is not None and one.given.label == "PER"]


def test_too_few_texts_are_not_searched_and_somebody_who_waits_ends_it(
    learner: SpanLearner, head: SpanHead, right: list[SpanDocument]
) -> None:
    assert hold_out_all(learner.basis, examples(learner, right[: FEWEST_TEXTS - 1]), head) is None
    asked: list[int] = []

    def go_on() -> bool:
        asked.append(1)
        return len(asked) < 3

    assert hold_out_all(learner.basis, examples(learner, right), head, go_on) is None and len(asked) == 3


def test_texts_are_ranked_as_cleanlab_ranks_them_and_as_many_errors_are_found(
    held_out: HeldOut, errors: list[SpanError]
) -> None:
    labels = ("LOC", "PER")
    tags = TagSet(labels)
    given = [
        tags.encode(len(text.bounds), word_spans(text.bounds, drawn)).tolist()
        for text, drawn in zip(held_out.texts, held_out.drawn, strict=True)
    ]
    scores, _ = get_label_quality_scores(given, word_posteriors(held_out, labels))
    theirs = [held_out.places[row] for row in np.argsort(scores, kind="stable")]
    ours = list(dict.fromkeys(one.place for one in errors))
    count = len(WRONG)
    assert len(set(ours[:count]) & set(WRONG)) >= len(set(theirs[:count]) & set(WRONG)) >= count // 2
    least = {place: min(one.p_given for one in errors if one.place == place) for place in ours}
    by_place = dict(zip(held_out.places, scores, strict=True))
    agreement = spearmanr([least[place] for place in ours], [by_place[place] for place in ours]).statistic
    assert agreement > 0.5, agreement
