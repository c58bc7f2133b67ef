"""Strings that a teacher quoted, beside the patterns that people brought for marked text."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from backend.jobs.patterns import Patterns

log = logging.getLogger(__name__)

AGREED_SHARE = 0.8
"""Of the quotes of a string, those with its label, at the least: `May` that is a person here and a month there says
nothing."""

MOST_QUOTED = 5000
"""Strings."""


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
