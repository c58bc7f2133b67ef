"""Why a run of words is given as the answer to a question, and why another one is not.

The score of a candidate is a sum over named columns of its words, its size and, for no answer, of the passage.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from model.explain.mark_contrast import MOST_FEATURES, Contrast, DecidingFeature
from model.explain.nearest_spans import span_vector
from model.explain.span_reasons import Rival, SpanReason
from model.numerics.arrays import Floats
from model.questions.answer_model import END, INSIDE, START, AnswerWeights, Questions, length_buckets
from model.questions.asked import AskedText
from model.questions.features import SHAPES
from model.questions.head import QuestionHead
from model.questions.layout import COLUMNS, NONE_COLUMNS, put_together
from model.span import Span
from model.spans.chain.tags import WordSpan
from model.spans.head.head import CLICKS, Suggestions
from model.spans.words import Bounds, to_characters, to_words

SAME, ALIKE, SENTENCE = "words of the question", "words like the question's", "meaning of the sentence"
TYPE, EARLIER, TAUGHT = "what is asked for", "earlier answers", "base model's own head"
SHAPE, LENGTH, ANY = "shape", "length", "whether there is an answer"
"""Groups of columns, for people."""

_GROUPS = {
    "same": SAME,
    "meaning": SENTENCE,
    "type": TYPE,
    "taught": TAUGHT,
    **dict.fromkeys(("low", "middle", "last"), ALIKE),
}


def group_of(column: str) -> str:
    """The group of a column of words, or of no answer."""
    if column in ("like answers", "same answers"):
        return EARLIER
    kind, _, rest = column.partition(": ")
    plain = (rest or kind).removesuffix(" before").removesuffix(" behind")
    if plain in SHAPES:
        return SHAPE
    return _GROUPS.get(column.split()[0], ANY)


@dataclass(frozen=True)
class AnswerReasons:
    """Of one question, as its head answers it. `blended`: what is shown with a fine-tuned encoder, where that has a
    share; what decided is told of the head."""

    head: QuestionHead
    asked: AskedText
    aim: str = CLICKS
    blended: Suggestions | None = None

    @cached_property
    def suggested(self) -> Suggestions:
        """What is shown."""
        return self.blended if self.blended is not None else self.head.spans([self.asked], self.aim)[0]

    @property
    def labels(self) -> tuple[str, ...]:
        """What an answer may be marked as."""
        return self.head.labels

    @property
    def bounds(self) -> Bounds:
        """Of the passage's words."""
        return self.asked.passage.bounds

    def vector(self, span: Span) -> Floats | None:
        """What an answer is compared with others by."""
        return span_vector(self.asked.passage, span, self.head.scale, self.asked.question)

    @cached_property
    def _questions(self) -> Questions:
        head = self.head
        return put_together([self.asked], head.scale, head.prior, head.memory, head.dense, head.longest)

    def likeliest_label(self, span: Span) -> str:
        """The label that these words are likeliest to have."""
        found = {label: self._probability(label, span) for label in self.labels}
        return max(sorted(found), key=lambda label: found[label]) if found else ""

    def explain(self, span: Span) -> SpanReason:
        """Of an answer that is shown, or of any other run of words."""
        shown = next((one for one in self.suggested.spans if one.span == span), None)
        mark = to_words(self.asked.passage.bounds, span)
        if mark is None or span.label not in self.labels:
            verdict = "no word stands there" if mark is None else f"nobody looks for {span.label}"
            return SpanReason(span, False, verdict, 0.0)
        threshold = self.head.rules.of(self.aim)
        if mark.last - mark.first >= self.head.longest:
            verdict = f"longer than the {self.head.longest} words that are looked for"
            return SpanReason(to_characters(self.asked.passage.bounds, mark), False, verdict, 0.0, 0.0, threshold)
        weights = self.head.weights[self.labels.index(span.label)]
        scores, none, total = self._scores(weights)
        likely = float(np.exp(scores[mark.first, mark.last - mark.first] - total))
        nothing = float(np.exp(none - total))
        other, p_other = self._best_other(scores, total, mark)
        contender, against = (other, p_other) if p_other > nothing else (None, nothing)
        score = self.head.honest(likely)
        return SpanReason(
            to_characters(self.asked.passage.bounds, mark),
            shown is not None,
            self._verdict(shown is not None, score, threshold, likely, nothing),
            shown.score if shown is not None else score,
            score,
            threshold,
            Rival(to_characters(self.asked.passage.bounds, contender) if contender else None, against),
            self._contrast(weights, mark, contender),
            without=score if self.blended is not None else None,
        )

    def _scores(self, weights: AnswerWeights) -> tuple[Floats, float, float]:
        scores, none = self._questions.scores(weights)
        return scores, float(none[0]), float(self._questions.band.log_totals(scores, none)[0])

    def _probability(self, label: str, span: Span) -> float:
        mark = to_words(self.asked.passage.bounds, span)
        if mark is None or mark.last - mark.first >= self.head.longest:
            return 0.0
        scores, _, total = self._scores(self.head.weights[self.labels.index(label)])
        return float(np.exp(scores[mark.first, mark.last - mark.first] - total))

    def _best_other(self, scores: Floats, total: float, mark: WordSpan) -> tuple[WordSpan | None, float]:
        others = scores.copy()
        others[mark.first, mark.last - mark.first] = -np.inf
        first, further = divmod(int(others.argmax()), others.shape[1])
        p = float(np.exp(others[first, further] - total))
        return (WordSpan(first, first + further, mark.label), p) if p > 0 else (None, 0.0)

    def _verdict(self, is_shown: bool, score: float, threshold: float, likely: float, nothing: float) -> str:
        if is_shown:
            return "likely enough"
        if score < threshold:
            return "not likely enough"
        return "no answer is likelier" if likely <= nothing else "another answer is likelier"

    def _contrast(self, weights: AnswerWeights, mark: WordSpan, rival: WordSpan | None) -> Contrast:
        """How much more the one scores than the other, or than no answer."""
        columns = self._word_columns(weights, mark)
        groups: defaultdict[str, float] = defaultdict(float)
        groups[LENGTH] += self._length(weights, mark)
        if rival is not None:
            columns = columns - self._word_columns(weights, rival)
            groups[LENGTH] -= self._length(weights, rival)
        else:
            for name, value in zip(NONE_COLUMNS, self._questions.none[0] * weights.none, strict=True):
                groups[group_of(name)] -= float(value)
        if weights.states.any():
            own, other = self._states(weights, mark), self._states(weights, rival) if rival else 0.0
            groups[SENTENCE] += own - other
        for name, value in zip(COLUMNS, columns.tolist(), strict=True):
            groups[group_of(name)] += value
        ordered = sorted(groups.items(), key=lambda item: (-abs(item[1]), item[0]))
        return Contrast({name: score for name, score in ordered if score}, self._heaviest(columns, mark))

    def _heaviest(self, columns: Floats, mark: WordSpan) -> tuple[DecidingFeature, ...]:
        order: Sequence[int] = np.argsort(-np.abs(columns), kind="stable").tolist()
        return tuple(
            DecidingFeature(mark.first, COLUMNS[place], group_of(COLUMNS[place]), COLUMNS[place], float(columns[place]))
            for place in order[:MOST_FEATURES]
            if columns[place]
        )

    def _word_columns(self, weights: AnswerWeights, mark: WordSpan) -> Floats:
        return _summed(self._questions.words, weights.words, mark)

    def _states(self, weights: AnswerWeights, mark: WordSpan) -> float:
        return float(_summed(self._questions.states, weights.states, mark).sum())

    def _length(self, weights: AnswerWeights, mark: WordSpan) -> float:
        bucket = length_buckets(self.head.longest)[mark.last - mark.first]
        return float(weights.lengths[0, bucket] + weights.lengths[1 + int(self._questions.kinds[0]), bucket])


def _summed(rows: Floats, weights: Floats, mark: WordSpan) -> Floats:
    """What each column adds to the score of a run of words."""
    inside = rows[mark.first : mark.last + 1].sum(0)
    found: Floats = (
        rows[mark.first] * weights[:, START] + inside * weights[:, INSIDE] + rows[mark.last] * weights[:, END]
    )
    return found
