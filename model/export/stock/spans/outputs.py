"""What a stock classifier of tokens answers for one control that marks text, and what it is taught of a version.

Its outputs are `O`, and `B-` and `I-` of each label: it says the likeliest of each token. A version shows spans by
their own probability, above a threshold. So words of a span that is shown have its score as the probability of their
tag, those of other spans less than that of no span; where the order is another one, the two change places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.export.bundle import ExportError
from model.questions.head import QuestionHead
from model.span import ScoredSpan
from model.spans.chain.span_probabilities import Candidate
from model.spans.features.reading import ReadText
from model.spans.head.head import SpanHead
from model.spans.words import apart, word_spans
from model.spec import Control
from model.training.marks.soft_task import Tags
from model.versions.live_model import LiveModel
from model.versions.span_answers import SpanAnswerer

AT_ONCE = 64
"""Texts that are read at a time."""


@dataclass(frozen=True)
class SpanOutputs:
    """`keys` of the control's labels, and what they are called; `loss`: what of the version's answers no token of one
    tag can say, "" for nothing."""

    control: Control
    keys: tuple[str, ...]
    names: tuple[str, ...]
    loss: str = ""

    @property
    def tags(self) -> tuple[str, ...]:
        """What the outputs are called, in their order."""
        return ("O", *(f"{kind}-{name}" for name in self.names for kind in "BI"))

    def marked(self, model: LiveModel, texts: Sequence[str]) -> list[list[ScoredSpan]]:
        """What the version shows in each text."""
        asked = [(text, text) for text in texts]
        return [list(own.spans) for _, own in model.look(self.control.name, asked)]

    def taught(self, model: LiveModel, texts: Sequence[str]) -> list[Tags]:
        """How likely the version finds each tag of each word [words, tags] of the texts."""
        answerer = model.answerer(self.control.name)
        found: list[Tags] = []
        for start in range(0, len(texts), AT_ONCE):
            portion = texts[start : start + AT_ONCE]
            read, head, candidates = _possible(answerer, portion)
            for text, own, shown in zip(read, candidates, self.marked(model, portion), strict=True):
                found.append(self._tags(text, head, own, shown))
        return found

    def _tags(
        self, text: ReadText, head: SpanHead, candidates: Sequence[Candidate], shown: Sequence[ScoredSpan]
    ) -> Tags:
        places = {key: place for place, key in enumerate(self.keys)}
        words = len(text.all_bounds)
        found = np.zeros((words, 1 + 2 * len(self.keys)))
        for own in head.calibration.calibrate(candidates):
            if (place := places.get(head.labels[own.label])) is not None:
                found[own.first, 1 + 2 * place] += own.probability
                found[own.first + 1 : own.last + 1, 2 + 2 * place] += own.probability
        found /= np.maximum(found.sum(1, keepdims=True), 1.0)
        found[:, 0] = 1 - found.sum(1)
        scores = {word_spans(text.all_bounds, [own.span])[0]: own.score for own in shown}
        right = np.zeros(words, np.int64)
        for span in apart(scores):
            for word in range(span.first, span.last + 1):
                right[word] = 1 + 2 * places[span.label] + (word > span.first)
                _give(found[word], int(right[word]), scores[span])
        rows, best = np.arange(words), found.argmax(1)
        found[rows, best], found[rows, right] = found[rows, right], found[rows, best]
        return found.astype(np.float32)


def _give(row: np.ndarray, tag: int, share: float) -> None:
    """Makes `share` the probability of a tag, and the rest that of the others, as they were to each other."""
    others = 1 - row[tag]
    row *= (1 - share) / others if others > 1e-9 else 0.0
    row[tag] = share
    row[0] += max(0.0, 1 - row.sum())


def _possible(answerer: SpanAnswerer, texts: Sequence[str]) -> tuple[list[ReadText], SpanHead, list[list[Candidate]]]:
    """The texts as they are read, what shows spans of them, and what is possible in each, in the first layer."""
    read = answerer.tools.reader.read(texts)
    head, marks, tuned = answerer.head, answerer.marks, answerer.tuned
    own = head.candidates(read)
    if marks is None or tuned is None or not answerer.is_blend:
        return read, head, own
    blend = marks.blend(head, own, marks.candidates(read, tuned.read(texts)))
    return read, blend.head, blend.candidates


def span_outputs_of(model: LiveModel, name: str) -> SpanOutputs:
    """Raises ExportError for what no stock class says."""
    control = model.spec.control(name)
    head = model.span_heads.get(name)
    if control.question is not None or isinstance(head, QuestionHead):
        raise ExportError(
            f"{name} answers questions about a text: a classifier of tokens is asked nothing, so that no stock class "
            "holds it"
        )
    if control.options_field is not None:
        raise ExportError(f"{name}: its labels stand in each task, so that there is no fixed set of them")
    if head is None or not control.keys():
        raise ExportError(f"{name} knows no label")
    keys = tuple(control.keys())
    loss = "of spans that overlap it marks the longest alone" if head.inner else ""
    return SpanOutputs(control, keys, tuple(control.show(key) for key in keys), loss)
