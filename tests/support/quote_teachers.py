"""Teachers that quote the words to mark as badly as asked, in place of a language model: simulated.

Each says JSON, which the product reads, drops and learns as it does a real teacher's. What it mistakes it mistakes
wherever it stands, as language models do: a string has one fate in all texts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from backend.cli.simulate.progress import Progress
from backend.errors import TeacherAnswerBad
from backend.jobs.patterns import Patterns
from backend.jobs.teach.quotes import with_quotes
from backend.simulate.trainer import Workplace
from backend.teacher.answers import read_answer
from backend.teacher.client import Reply
from model.simulation.replay import ReplayPlan, Row, reachable, shuffled
from model.simulation.span_dataset import SpanDataset
from model.simulation.span_replay import CONTROL, INPUT, SpanReplay, spec_of
from model.span import SpanDocument
from model.spans.words import find_words
from tests.support.pattern_lists import pool_of
from tests.support.teachers import ASKED, NO_TEACHER

MEASURES = ("f1", "macro_f1", "saved", "ece", "f1_seen", "f1_unseen", "quoted", "refit_seconds")

HEADING = """# A teacher that quotes, simulated

Written by `python -m bench.learning --spans --teacher .6,.75,.9 --out DIR`: medians over the seeds. No language model
ran: the teachers are simulated (`tests/support/quote_teachers.py`). Each quotes words of 500 texts that nobody has
labelled; the share of the spans that it quotes rightly is in its name. Half of the others it misses, a third gets
another label, of the rest it quotes a word too many; and it quotes words that nobody marked. Of all quotes one in 10
has another case, one in 10 other blanks, one in 20 stands nowhere.
"""

MISSED, MISLABELLED = 0.5, 0.33
"""Of the mistaken spans; of the rest the boundary is wrong."""

OTHER_CASE, OTHER_BLANKS, INVENTED = 0.1, 0.1, 0.05
"""Of all quotes, whoever quotes them."""


class QuotingTeacher:
    """Gets `accuracy` of the spans right."""

    def __init__(self, labels: Sequence[str], accuracy: float, seed: int) -> None:
        self.labels, self.accuracy, self.seed = list(labels), accuracy, seed

    def say(self, document: SpanDocument) -> str:
        """Its answer to a text."""
        said, rng = [], self._chance("text", document.text)
        for span in document.spans:
            quote = self._quote(document.text, span.start, span.end, span.label)
            said += [quote] if quote is not None else []
        said += self._superfluous(document, rng)
        spans = [{"quote": _deform(text, rng), "label": label} for text, label in said]
        return json.dumps({CONTROL: {"spans": spans}}, ensure_ascii=False)

    def _quote(self, text: str, start: int, end: int, label: str) -> tuple[str, str] | None:
        string = text[start:end]
        fate = self._chance(label, string)
        if fate.random() < self.accuracy:
            return string, label
        kind = fate.random()
        if kind < MISSED:
            return None
        if kind < MISSED + MISLABELLED and len(self.labels) > 1:
            return string, fate.choice([other for other in self.labels if other != label])
        after = [bound for bound in find_words(text) if bound[0] >= end]
        return (text[start : after[0][1]], label) if after else (string, label)

    def _superfluous(self, document: SpanDocument, rng: Random) -> list[tuple[str, str]]:
        """Words that nobody marked: some of those that it takes for names wherever they stand."""
        marked = [(span.start, span.end) for span in document.spans]
        found = []
        for start, end in find_words(document.text):
            word = document.text[start:end]
            free = word.isalpha() and not any(start < right and left < end for left, right in marked)
            fate = self._chance("none", word)
            share = (1 - self.accuracy) * (0.2 if word[:1].isupper() else 0.02)
            if free and fate.random() < share:
                found.append((word, fate.choice(self.labels)))
        return found[: max(1, len(marked))] if rng.random() < 1 - self.accuracy or marked else []

    def _chance(self, *about: str) -> Random:
        return Random("\0".join((str(self.seed), str(self.accuracy), *about)))


def _deform(quote: str, rng: Random) -> str:
    """As language models repeat words."""
    chance = rng.random()
    if chance < OTHER_CASE:
        return quote.lower() if quote != quote.lower() else quote.title()
    if chance < OTHER_CASE + OTHER_BLANKS:
        return quote.replace(" ", "\n  ") if " " in quote else f" {quote}\n"
    return f"{quote} of old" if chance < OTHER_CASE + OTHER_BLANKS + INVENTED else quote


def learn_quotes(data: SpanDataset, documents: Sequence[SpanDocument], teacher: QuotingTeacher) -> Patterns:
    """What the product makes of its answers to these texts."""
    spec = spec_of(data)
    quotes: list[tuple[str, str]] = []
    for document in documents:
        try:
            answer = read_answer(spec, {INPUT: document.text}, Reply(teacher.say(document)))
        except TeacherAnswerBad:
            continue
        quotes += answer.quotes.get(CONTROL, ())
    return with_quotes(Patterns(), {CONTROL: quotes})


def measure_quotes(
    name: str, data: SpanDataset, counts: Sequence[int], seed: int, args: Any, place: Workplace, done: set[Any]
) -> Iterator[Row]:
    """The rows of one set and seed that are not done: without a teacher, then with each."""
    progress, tools = Progress(), place.span_tools()
    progress.about(f"{name}, seed {seed}")
    counts = tuple(reachable(data.labelled, counts))
    order = shuffled(data.train, seed)
    asked = Random(seed).sample(range(len(order)), min(ASKED, len(order)))
    for accuracy in (None, *map(float, args.teacher.split(","))):
        method = f"understudy, {NO_TEACHER}" if accuracy is None else f"understudy, teacher {accuracy:.2f}"
        for count in counts:
            if (name, method, count, seed) in done:
                continue
            own, quoted = tools, 0
            if accuracy is not None:
                unlabelled = [order[place] for place in asked if place >= count]
                patterns = learn_quotes(data, unlabelled, QuotingTeacher(data.labels, accuracy, seed))
                own, quoted = replace(tools, lexicons=patterns.lexicons), len(patterns.lexicons[CONTROL].patterns)
            plan = ReplayPlan((count,), seed=seed, pool=pool_of(counts))
            for row in SpanReplay(data, plan, own, progress.tell).rows():
                yield {**row, "method": method, "teacher": accuracy or 0.0, "quoted": quoted}
