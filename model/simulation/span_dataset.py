"""Texts with marked spans as they are replayed: what is learned from, and what is measured on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from model.errors import DataError
from model.numerics.holdout import is_held_out
from model.simulation.dataset import HELD_OUT
from model.span import SpanDocument
from model.texts import text_key


@dataclass(frozen=True)
class SpanDataset:
    """Every text is labelled: no spans say that there is nothing to mark. `labels`: of both parts, sorted; `words`:
    what people read for those that are called otherwise."""

    labels: tuple[str, ...]
    train: tuple[SpanDocument, ...]
    test: tuple[SpanDocument, ...]
    words: Mapping[str, str] = field(default_factory=dict)

    @property
    def asks(self) -> bool:
        """Whether the spans answer questions."""
        return any(one.question is not None for one in (*self.train, *self.test))

    @property
    def labelled(self) -> int:
        """Texts that can be labelled."""
        return len(self.train)

    def capped(self, tests: int | None) -> SpanDataset:
        """With the first so many to measure on; None: all."""
        return replace(self, test=self.test[:tests])


def make_span_dataset(
    train: Sequence[SpanDocument], test: Sequence[SpanDocument] | None, where: str, most: int = HELD_OUT
) -> SpanDataset:
    """Without test texts a fifth of the others is held out (at most `most`, by their hash), which then appear nowhere
    else. Raises DataError where nothing can be learned or measured; `where` names the file."""
    labels = tuple(sorted({span.label for one in (*train, *(test or ())) for span in one.spans}))
    if test is None:
        held = [one for one in train if is_held_out((one.text,))]
        texts = {one.text for one in held}
        train = [one for one in train if one.text not in texts]
        test = sorted(held, key=lambda one: text_key((one.text,)))[:most]
        if not held or not train:
            raise DataError(f"{where}: too few texts to hold some of them out: give more, or a --test file")
    if not test:
        raise DataError("the test file holds no labelled text, so nothing can be measured")
    if len({one.question is None for one in (*train, *test)}) > 1:
        raise DataError(f"{where}: some texts come with a question and others without: give all of one kind")
    if not any(one.spans for one in train):
        raise DataError(f"{where}: no span is marked in any text to learn from")
    return SpanDataset(labels, tuple(train), tuple(test))


def count_overlaps(documents: Sequence[SpanDocument]) -> int:
    """Spans that share a character with another one of their text."""
    return sum(
        any(one is not other and one.overlaps(other) for other in document.spans)
        for document in documents
        for one in document.spans
    )
