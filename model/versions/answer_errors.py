"""Answers to questions that are probably wrong: what heads that have not seen a passage say of it, against what was
marked there. Pure.

Where an answer begins and ends is a matter of taste; where it stands is not. So the probabilities of all runs of words
that share a word with it are added up, but for the question of its boundary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.numerics.arrays import Floats
from model.questions.asked import AnsweredText, AskedText
from model.questions.fit import QuestionBasis, fit_fold
from model.questions.head import QuestionHead
from model.questions.layout import put_together
from model.span import Span
from model.spans.chain.tags import WordSpan
from model.spans.head.held_out import fold_texts
from model.spans.head.label_errors import (
    FEWEST_TEXTS,
    FOLDS,
    MISSED_FROM,
    AnswerErrorKind,
    ErrorKind,
    SpanError,
    in_turn,
)
from model.spans.words import to_characters, to_words


@dataclass(frozen=True)
class Verdict:
    """What is said of one question and one label. `none`: how likely there is no answer; `given`: that it lies where
    one was marked, and `exact`: just so; `place`: the likeliest answer elsewhere, and how likely one lies there;
    `boundary`: the likeliest other answer where one was marked."""

    none: float
    given: float = 0.0
    exact: float = 0.0
    place: tuple[WordSpan, float] | None = None
    boundary: tuple[WordSpan, float] | None = None


def find_answer_errors(
    basis: QuestionBasis,
    examples: Sequence[AnsweredText],
    removed: Sequence[Sequence[Span]],
    go_on: Callable[[], bool] = lambda: True,
) -> list[SpanError] | None:
    """What is probably wrong, the most suspicious of each kind in turn; places are those of `examples`. `removed`: of
    each, suggestions that its annotator took away: they were seen, and are not missed. None where `go_on` says so
    between two fits, or for fewer than FEWEST_TEXTS."""
    if len(examples) < FEWEST_TEXTS:
        return None
    folds = fold_texts([one.asked.passage.text for one in examples], FOLDS)
    found: list[SpanError] = []
    for fold in range(FOLDS):
        if not go_on():
            return None
        rest = [one for one, part in zip(examples, folds, strict=True) if part != fold and one.asked.passage.bounds]
        head = fit_fold(basis, rest) if rest else None
        for place in np.flatnonzero(folds == fold).tolist() if head is not None else ():
            assert head is not None
            found += _errors(place, examples[place], head, removed[place])
    return in_turn(found)


def judge(head: QuestionHead, asked: AskedText, label: str, given: Sequence[WordSpan]) -> Verdict | None:
    """What a head says of a question, beside what was marked with a label; None of a passage without words."""
    if not asked.passage.bounds:
        return None
    questions = put_together([asked], head.scale, head.prior, head.memory, head.dense, head.longest)
    scores, none = questions.scores(head.weights[head.labels.index(label)])
    likely = np.exp(scores - questions.band.log_totals(scores, none)[0])
    nothing = float(max(0.0, 1 - likely.sum()))
    here = np.zeros(likely.shape, bool)
    for mark in given:
        here |= _sharing(likely, mark)
    exact = [float(likely[mark.first, mark.last - mark.first]) for mark in given]
    other, _ = _likeliest(np.where(here, 0.0, likely), label)
    there = float(likely[_sharing(likely, other) & ~here].sum()) if other is not None else 0.0
    same = np.where(here, likely, 0.0)
    for mark in given:
        same[mark.first, mark.last - mark.first] = 0.0
    moved, p_moved = _likeliest(same, label)
    return Verdict(
        nothing,
        float(likely[here].sum()),
        sum(exact),
        (other, there) if other is not None else None,
        (moved, p_moved) if moved is not None else None,
    )


def _errors(place: int, one: AnsweredText, head: QuestionHead, removed: Sequence[Span]) -> Iterator[SpanError]:
    bounds = one.asked.passage.bounds
    for label in head.labels:
        marks = {mark: span for span in one.spans if span.label == label and (mark := to_words(bounds, span))}
        fitting = {mark: span for mark, span in marks.items() if mark.last - mark.first < head.longest}
        if len(fitting) < len(marks):
            continue
        said = judge(head, one.asked, label, list(fitting))
        error = _error(place, fitting, said, _place_of(one.asked)) if said is not None else None
        if error is not None and (error.kind is not ErrorKind.MISSED or error.suggested not in removed):
            yield error


def _place_of(asked: AskedText) -> Callable[[WordSpan], Span]:
    """From words of the passage to its characters."""
    return lambda mark: to_characters(asked.passage.bounds, mark)


def _error(
    place: int, given: dict[WordSpan, Span], said: Verdict, to_span: Callable[[WordSpan], Span]
) -> SpanError | None:
    """What is wrong with it, if anything is likelier than what was marked."""
    other, there = said.place or (None, 0.0)
    if not given:
        if other is None or there < MISSED_FROM or there <= said.none:
            return None
        return SpanError(place, ErrorKind.MISSED, None, to_span(other), said.none, there)
    span = given[max(given, key=lambda mark: (mark.last - mark.first, mark))]
    if other is not None and there > max(said.given, said.none):
        return SpanError(place, AnswerErrorKind.ANSWER, span, to_span(other), said.given, there)
    if said.none > said.given:
        return SpanError(place, ErrorKind.SUPERFLUOUS, span, None, said.given, said.none)
    if said.boundary is not None and said.boundary[1] > said.exact:
        moved = said.boundary[0]
        near = max(given, key=lambda mark: (min(mark.last, moved.last) - max(mark.first, moved.first), mark))
        return SpanError(place, ErrorKind.BOUNDARY, given[near], to_span(moved), said.exact, said.boundary[1])
    return None


def _sharing(likely: Floats, mark: WordSpan) -> NDArray[np.bool_]:
    """The candidates [first word, further words] that share a word with these."""
    first, further = np.indices(likely.shape, sparse=True)
    return np.asarray((first <= mark.last) & (first + further >= mark.first))


def _likeliest(likely: Floats, label: str) -> tuple[WordSpan | None, float]:
    first, further = divmod(int(likely.argmax()), likely.shape[1])
    p = float(likely[first, further])
    return (WordSpan(first, first + further, label), p) if p > 0 else (None, 0.0)
