"""Labelled sentences about people and places, and the packaged encoder with the shipped prior."""

from __future__ import annotations

import pytest

from model.encoder.encoder import Encoder
from model.features.varied_cache import VariedCache
from model.span import Span, SpanDocument
from model.spans.features.reading import SpanReader
from model.spans.transfer.prior import TransferPrior, read_prior
from tests.support.span_learner import SpanLearner

PEOPLE = ("Ann Miller", "Bob", "Chandra Rao", "Dora Berg", "Emil", "Fatima Khan", "Gregor", "Hana Sato")
PLACES = ("Berlin", "New York", "Oslo", "Nairobi", "Lima", "San Marino", "Kyoto", "Ghent")
FRAMES = (
    "{person} moved to {place} last year.",
    "In {place} it rains, says {person}.",
    "Nobody met {person} at the station of {place}!",
)


def mark(text: str, *marks: tuple[str, str]) -> SpanDocument:
    """A text in which these strings are marked, each at its first place."""
    spans = [Span(text.index(part), text.index(part) + len(part), label) for part, label in marks]
    return SpanDocument(text, tuple(sorted(spans)))


def sentences(count: int, offset: int = 0) -> list[SpanDocument]:
    """About people and places, each pair once; every fourth has nothing to mark."""
    found = []
    for number in range(offset, offset + count):
        person, place = PEOPLE[number % 8], PLACES[(number + number // 8) % 8]
        if number % 4 == 3:
            found.append(SpanDocument(f"It was the {number}th day of rain and nobody came."))
            continue
        text = FRAMES[number % 3].format(person=person, place=place)
        found.append(mark(text, (person, "PER"), (place, "LOC")))
    return found


@pytest.fixture(scope="session")
def prior() -> TransferPrior:
    found = read_prior()
    assert found is not None
    return found


@pytest.fixture(scope="session")
def reader(minilm: Encoder, prior: TransferPrior, tmp_path_factory: pytest.TempPathFactory) -> SpanReader:
    """No text is read twice."""
    return SpanReader(minilm, prior, VariedCache(tmp_path_factory.mktemp("words"), 256))


@pytest.fixture(scope="session")
def learner(reader: SpanReader) -> SpanLearner:
    return SpanLearner.open(reader, ["LOC", "PER"], [document.text for document in sentences(40, 100)])
