"""Spans of one control through one narrow door: `embed` texts, `fit` a head, ask it for `spans`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from model.span import SpanDocument
from model.spans.features.feature_space import StateScale
from model.spans.features.reading import ReadText, SpanReader
from model.spans.head.fit import Basis, SpanExample, cold_head, fit_span_head
from model.spans.head.head import CLICKS, SpanHead, Suggestions


@dataclass(frozen=True)
class SpanLearner:
    """The reader of an encoder and the basis of a control's labels. Immutable and safe to share between threads."""

    reader: SpanReader
    basis: Basis

    @classmethod
    def open(cls, reader: SpanReader, labels: Sequence[str], pool: Sequence[str]) -> SpanLearner:
        """For these labels; `pool`: unlabelled texts of the project, on which the scale of features is measured once:
        heads of another scale cannot be gone on from."""
        scale = StateScale.measure(reader.read(pool), reader.width)
        return cls(reader, Basis(tuple(labels), reader.name_vectors(labels), scale, reader.prior))

    def embed(self, texts: Sequence[str]) -> list[ReadText]:
        """What the encoder makes of texts, from the cache where they are there."""
        return self.reader.read(texts)

    def fit(self, documents: Sequence[SpanDocument], previous: SpanHead | None = None) -> SpanHead:
        """A head for these texts, in the order in which they were labelled; without any the prior alone."""
        read = self.embed([document.text for document in documents])
        examples = [SpanExample(text, document.spans) for text, document in zip(read, documents, strict=True)]
        return fit_span_head(self.basis, examples, previous)

    def cold(self) -> SpanHead:
        """Before any label."""
        return cold_head(self.basis)

    def spans(self, head: SpanHead, texts: Sequence[str], aim: str = CLICKS) -> list[Suggestions]:
        """What to show of each text."""
        return head.spans(self.embed(texts), aim)
