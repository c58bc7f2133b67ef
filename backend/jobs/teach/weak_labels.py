"""What a teacher said to the unlabelled texts that a refit reads."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from backend.jobs.patterns import Patterns
from backend.settings.settings import Settings
from backend.store.work.teachings import TeachingStore
from backend.teacher.answers import Answer
from backend.teacher.prompt import asked_of, key_of
from model.spec import Document, Kind, Sample, Samples, TaskSpec

log = logging.getLogger(__name__)

AGREED_SHARE = 0.8
"""Of the quotes of a string, those with its label, at the least: `May` that is a person here and a month there says
nothing."""

MOST_QUOTED = 5000
"""Strings."""


@dataclass(frozen=True)
class Lessons:
    """`mark`: changes when there is more, "" for none; `samples`: by control, with no task and no label of a person;
    `quotes`: by control, (string, label) as often as they were said."""

    mark: str = ""
    samples: Samples = field(default_factory=dict)
    quotes: Mapping[str, Sequence[tuple[str, str]]] = field(default_factory=dict)


def read_mark(store: TeachingStore, settings: Settings, project: int) -> str:
    """What a version learns by; "" without a teacher."""
    record = store.find(project) if settings.teacher_url else None
    return record["mark"] if record is not None else ""


def read_lessons(
    store: TeachingStore, settings: Settings, project: int, spec: TaskSpec, pool: Sequence[Document]
) -> Lessons:
    """The answers to texts of the pool. Raises StoreUnavailable."""
    mark = read_mark(store, settings, project)
    if not mark:
        return Lessons()
    keys = [key_of(spec, document, settings.teacher_model) for document in pool]
    found = store.answers(project, list(dict.fromkeys(keys)))
    samples: dict[str, list[Sample]] = {}
    quotes: dict[str, list[tuple[str, str]]] = {}
    controls = asked_of(spec)
    for key, document in zip(keys, pool, strict=True):
        if key not in found:
            continue
        try:
            answer = Answer.from_json(found[key])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            log.error("answer of the teacher unusable project=%s: %r", project, error)
            continue
        for control in controls:
            if control.name in answer.shares and all(name in document for name in control.inputs):
                said = answer.shares[control.name]
                samples.setdefault(control.name, []).append(Sample(0, control.text_of(document), said))
            elif control.kind is Kind.SPANS:
                quotes.setdefault(control.name, []).extend(answer.quotes.get(control.name, ()))
    return Lessons(mark, samples, {name: found for name, found in quotes.items() if found})


def with_quotes(patterns: Patterns, quotes: Mapping[str, Sequence[tuple[str, str]]]) -> Patterns:
    """With the strings that a teacher quoted, each under the label that it mostly had, beside those that people
    brought. Like these they are a sign whose weight is learned; what people say of a string goes before."""
    from model.spans.patterns.lexicon import build_lexicon
    from model.spans.patterns.pattern import Pattern, PatternError

    lexicons = dict(patterns.lexicons)
    for control, said in quotes.items():
        own = lexicons[control].patterns if control in lexicons else ()
        known = {one.text for one in own}
        found = [Pattern(label, text) for text, label in agreed_quotes(said) if text not in known]
        try:
            lexicons[control] = build_lexicon([*own, *found])
        except PatternError as error:  # people's patterns leave no room
            log.warning("quotes of the teacher left out control=%s: %s", control, error.message)
    return replace(patterns, lexicons=lexicons)


def agreed_quotes(said: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """(string, label) of strings that hold words, and that were quoted under one label nearly always."""
    from model.spans.patterns.pattern import LONGEST_WORDS
    from model.spans.words import find_words

    counts = Counter(said)
    totals: Counter[str] = Counter()
    for (text, _), count in counts.items():
        totals[text] += count
    kept = [(text, label) for (text, label), count in counts.items() if count >= AGREED_SHARE * totals[text]]
    usable = [one for one in kept if one[0].isprintable() and any(map(str.isalnum, one[0]))]
    return sorted((text, label) for text, label in usable if len(find_words(text)) <= LONGEST_WORDS)[:MOST_QUOTED]
