"""Long texts in which spans are marked: read stretch by stretch, so that no request blocks others and nobody waits.

Whoever asks for a few tasks waits: a long text is answered with what is read of it by then, and the rest is read when
nothing else waits. Larger requests wait until all is read; others come in between all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from backend.serving.predictors import Chunk, Predictors
from model.spec import Document

if TYPE_CHECKING:
    from model.spans.features.reading import SpanReader
    from model.versions.live_model import LiveModel


def read_all(model: LiveModel, documents: Sequence[Document], predictors: Predictors, seconds: float) -> None:
    """Returns when all is read, or time is up."""
    predictors.run(_chunks(model, documents), seconds)


def read_later(model: LiveModel, documents: Sequence[Document], predictors: Predictors) -> None:
    """Never waits."""
    for reader, text in model.unread(documents):
        predictors.add_idle((reader.encoder.digest, text), _chunk(reader, text))


def _chunks(model: LiveModel, documents: Sequence[Document]) -> list[Chunk]:
    return [_chunk(reader, text) for reader, text in model.unread(documents)]


def _chunk(reader: SpanReader, text: str) -> Chunk:
    def read(texts: Sequence[str]) -> None:
        reader.read(texts)

    return Chunk(read, (text,), size=len(text))
