"""Questions with passages for the bench: SQuAD files, and questions made from the labels of public sets of spans."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.simulation.span_dataset import SpanDataset
from model.span import Span, sorted_spans

LABEL = "Answer"

MEASURED_BEFORE = (
    *("Normans", "Huguenot", "1973_oil_crisis", "Packet_switching", "Yuan_dynasty", "Scottish_Parliament"),
    *("Imperialism", "French_and_Indian_War"),
)
"""Articles that the starting weights were measured on (docs/decisions/0049-questions.md): never used here."""

JOINED = 4
"""Texts of a set of spans that make a passage: in one alone there is nothing to choose from."""


@dataclass(frozen=True)
class AskedPassage:
    """A question about a passage, and the spans any of which answers it; none: the passage does not say."""

    text: str
    question: str
    answers: tuple[Span, ...]


@dataclass(frozen=True)
class QuestionSet:
    """No passage of `test` is in `train`."""

    name: str
    train: Sequence[AskedPassage]
    test: Sequence[AskedPassage]


def read_squad(path: Path, tests: int) -> QuestionSet:
    """A file in SQuAD's format, articles apart: every other one is measured on, at most `tests` questions in all."""
    articles = json.loads(path.read_text(encoding="utf-8"))["data"]
    kept = [one for one in articles if one.get("title") not in MEASURED_BEFORE]
    train, test = (_shuffled([row for one in part for row in _of_article(one)]) for part in (kept[::2], kept[1::2]))
    return QuestionSet(path.stem, train, test[:tests])


def _of_article(article: dict[str, object]) -> Iterator[AskedPassage]:
    paragraphs = article["paragraphs"]
    assert isinstance(paragraphs, list)
    for paragraph in paragraphs:
        for asked in paragraph["qas"]:
            spans = [
                Span(own["answer_start"], own["answer_start"] + len(own["text"]), LABEL) for own in asked["answers"]
            ]
            yield AskedPassage(paragraph["context"], asked["question"].strip(), sorted_spans(spans))


def ask_about_labels(name: str, data: SpanDataset, tests: int) -> QuestionSet:
    """JOINED texts are a passage; asked is for a label that is marked in it once ("What is the artist?"), and in every
    third for one that is not there."""
    return QuestionSet(name, _asked(data, "train", 4000), _asked(data, "test", tests))


def _asked(data: SpanDataset, part: str, most: int) -> list[AskedPassage]:
    documents = list(data.train if part == "train" else data.test)
    found = []
    for start in range(0, len(documents) - JOINED + 1, JOINED):
        text, spans = "", list[Span]()
        for one in documents[start : start + JOINED]:
            spans += [Span(len(text) + own.start, len(text) + own.end, own.label) for own in one.spans]
            text += f"{one.text}\n"
        single = {own.label: own for own in spans if sum(own.label == other.label for other in spans) == 1}
        absent = sorted(set(data.labels) - {own.label for own in spans})
        chosen = random.Random(text)
        for turn in range(3):
            if turn < 2 and single:
                label = chosen.choice(sorted(single))
                span = single.pop(label)
                answers: tuple[Span, ...] = (Span(span.start, span.end, LABEL),)
            elif turn == 2 and absent:
                label, answers = chosen.choice(absent), ()
            else:
                continue
            named = data.words.get(label, label).replace("_", " ").lower()
            found.append(AskedPassage(text, f"What is the {named}?", answers))
    return _shuffled(found)[:most]


def _shuffled(rows: list[AskedPassage]) -> list[AskedPassage]:
    random.Random(0).shuffle(rows)
    return rows
