"""Sets with overlapping spans, derived from shared ones by rules, and one invented.

No shared set has nested spans, so that these are made: an inner span follows from what is marked and from its words
alone, so that a reader of the text could have drawn it.

- `wikigold_nested`: in every `person` of two words or more the first is a `first name`, the last a `family name`; in
  every `organisation` and `miscellaneous` each string that is a `location` twice in the training texts is one, too.
- `snips_nested`: digits and number words inside any span are a `number` (often on the very words of `rating_value` or
  `party_size_number`); two or more of `city`, `state`, `country` side by side are together an `address`.
- `invented_nested`: sentences from templates: names within names, organisations within organisations, places within
  both, two labels on one string, and a pair of labels that cross.

`nested_row` measures the learner's head on them beside two plainer ones, fitted to the same texts.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from model.simulation.replay import Row, shuffled
from model.simulation.span_dataset import SpanDataset, make_span_dataset
from model.span import ScoredSpan, Span, SpanDocument, sorted_spans
from model.spans.features.feature_space import StateScale
from model.spans.features.reading import SpanReader
from model.spans.head.fit import Basis, SpanExample, fit_span_head
from model.spans.head.fit_layers import fit_layered_head
from model.spans.head.head import CLICKS, F1, SpanHead
from model.spans.overlaps import Layer, Relation, relations
from model.spans.quality import f1_of, measure
from model.spans.words import Bounds, find_words, to_words

COUNTS = "16,64,256"
MEASURES = ("f1", "f1_nested", "recall_nested", "saved", "ece", "cold_cpu_s")
HEADING = """# Nested and overlapping spans

Written by `python -m bench.learning --spans --nested --out DIR`: medians over the seeds, on the sets of
[bench/support/nested_sets.py](../../bench/support/nested_sets.py) (it has the rules by which they are made). `f1`
counts all exact spans with the right label, `f1_nested` those that overlap another one, drawn or shown; `recall_nested`
how many of those drawn are shown at all, whatever else is. `saved` is the share of the annotator's edits that are
spared. `longest` keeps the longest of spans that overlap, `each` has a chain for every label; `understudy` learns all
labels in one chain and what that leaves out in as few more as can be. Fits are cold ones; seconds are of the processor.
"""

NUMBERS = frozenset(
    (
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "hundred",
    )
)
PARTS = ("city", "state", "country")

Inner = Callable[[SpanDocument], Iterator[Span]]
"""The spans that a rule adds to a text."""


def nested_sets(sets: Mapping[str, SpanDataset], names: Collection[str]) -> dict[str, SpanDataset]:
    """The derived sets whose source is there, and the invented one; those of `names` where there are any."""
    found = {}
    if "wikigold" in sets:
        found["wikigold_nested"] = _derive(
            sets["wikigold"], _names_and_places(sets["wikigold"].train), "wikigold_nested"
        )
    if "snips" in sets:
        found["snips_nested"] = _derive(sets["snips"], _numbers_and_addresses, "snips_nested")
    found["invented_nested"] = make_span_dataset(_invent(1000, 1), _invent(300, 2), "invented_nested")
    return {name: data for name, data in found.items() if not names or name in names}


def is_nested(rows: Sequence[Mapping[str, object]]) -> bool:
    """Whether sets with overlapping spans were measured."""
    return any("f1_nested" in row for row in rows)


def only_nested(spans: Collection[Span]) -> set[Span]:
    """Those of a text's spans that overlap another one."""
    return {own for own in spans if any(own != other and own.overlaps(other) for other in spans)}


def _derive(data: SpanDataset, inner: Inner, name: str) -> SpanDataset:
    train, test = (
        [SpanDocument(one.text, sorted_spans((*one.spans, *inner(one)))) for one in rows]
        for rows in (data.train, data.test)
    )
    return make_span_dataset(train, test, name)


def _names_and_places(train: Sequence[SpanDocument]) -> Inner:
    counts = Counter(one.text[span.start : span.end] for one in train for span in one.spans if span.label == "location")
    places = {string for string, count in counts.items() if count >= 2}

    def inner(document: SpanDocument) -> Iterator[Span]:
        bounds = find_words(document.text)
        for span in document.spans:
            words = _words(bounds, span)
            if span.label == "person" and len(words) > 1:
                yield Span(*words[0], "first name")
                yield Span(*words[-1], "family name")
            elif span.label in ("organisation", "miscellaneous"):
                yield from _places(document.text, words, places)

    return inner


def _places(text: str, words: Bounds, places: Collection[str]) -> Iterator[Span]:
    """The longest strings within a span that are places."""
    at = 0
    while at < len(words):
        for end in range(len(words), at, -1):
            whole = (words[at][0], words[end - 1][1])
            if text[slice(*whole)] in places and end - at < len(words):
                yield Span(*whole, "location")
                at = end - 1
                break
        at += 1


def _numbers_and_addresses(document: SpanDocument) -> Iterator[Span]:
    text, bounds = document.text, find_words(document.text)
    for span in document.spans:
        for start, end in _words(bounds, span):
            if text[start:end].isdigit() or text[start:end].lower() in NUMBERS:
                yield Span(start, end, "number")
    run: list[Span] = []
    for part in sorted(span for span in document.spans if span.label in PARTS):
        if run and text[run[-1].end : part.start].strip(" ,"):
            run = []
        run.append(part)
        if len(run) > 1:
            following = [one for one in document.spans if one.label in PARTS and one.start >= part.end]
            if not following or text[part.end : min(following).start].strip(" ,"):
                yield Span(run[0].start, part.end, "address")


def _words(bounds: Bounds, span: Span) -> Bounds:
    mark = to_words(bounds, span)
    return list(bounds[mark.first : mark.last + 1]) if mark is not None else []


_FIRST = (
    "Anna",
    "Ben",
    "Clara",
    "David",
    "Emma",
    "Felix",
    "Greta",
    "Hugo",
    "Ida",
    "Jonas",
    "Klara",
    "Leo",
    "Mia",
    "Noah",
)
_LAST = (
    "Abel",
    "Berg",
    "Cole",
    "Dorn",
    "Evans",
    "Frost",
    "Gray",
    "Hale",
    "Irwin",
    "Jung",
    "Kern",
    "Lang",
    "Moss",
    "Nash",
)
_TOWN = ("Oxford", "Bremen", "Leeds", "Turin", "Porto", "Bergen", "Graz", "Lyon", "Delft", "Ghent", "Malmo", "Cork")
_BODY = ("University", "Museum", "Institute", "Library", "Hospital", "School", "Academy")
_PART = ("Department", "Faculty", "Board", "Library", "Council", "Archive")
_SIDE, _LINE, _ROLE = ("left", "right"), ("wing", "half"), ("back", "player")
_OFFICE = ("mayor", "chancellor", "treasurer", "rector", "warden")
_TEMPLATES = (
    "{person} joined the {organisation} in May .",
    "The {organisation} thanked {person} for the report .",
    "Yesterday {person} , {office} of {town} , spoke to the press .",
    "As {position} {person} played for {town} .",
    "We met at the {organisation} and talked about rain .",
    "Nobody from {town} came to the {organisation} .",
    "The {office} and the {position} left early .",
    "It rained all day and nothing was decided .",
)


def _invent(count: int, seed: int) -> list[SpanDocument]:
    draw = random.Random(seed)
    return [_sentence(draw) for _ in range(count)]


def _sentence(draw: random.Random) -> SpanDocument:
    text, spans = "", list[Span]()
    for word in draw.choice(_TEMPLATES).split():
        part, own = _MAKERS[word](draw) if word in _MAKERS else (word, [])
        start = len(text) + bool(text)
        text += (" " if text else "") + part
        spans += [Span(start + span.start, start + span.end, span.label) for span in own]
    return SpanDocument(text, sorted_spans(spans))


def _person(draw: random.Random) -> tuple[str, list[Span]]:
    first, last = draw.choice(_FIRST), draw.choice(_LAST)
    text = f"{first} {last}"
    own = [Span(0, len(text), "name"), Span(0, len(first), "first name")]
    return text, [*own, Span(len(first) + 1, len(text), "family name")]


def _organisation(draw: random.Random) -> tuple[str, list[Span]]:
    """Of a town; one in two a part of another, which lies within."""
    town, body = draw.choice(_TOWN), draw.choice(_BODY)
    text = f"{body} of {town}"
    spans = [Span(0, len(text), "organisation"), Span(len(text) - len(town), len(text), "town")]
    if draw.random() < 0.5:
        before = f"{draw.choice(_PART)} of the "
        moved = [Span(span.start + len(before), span.end + len(before), span.label) for span in spans]
        text, spans = before + text, [Span(0, len(before) + len(text), "organisation"), *moved]
    return text, spans


def _town(draw: random.Random) -> tuple[str, list[Span]]:
    text = draw.choice(_TOWN)
    return text, [Span(0, len(text), "town")]


def _office(draw: random.Random) -> tuple[str, list[Span]]:
    """Two labels on one string."""
    text = draw.choice(_OFFICE)
    return text, [Span(0, len(text), "office"), Span(0, len(text), "title")]


def _position(draw: random.Random) -> tuple[str, list[Span]]:
    """Labels that cross: left wing, wing back."""
    side, line, role = draw.choice(_SIDE), draw.choice(_LINE), draw.choice(_ROLE)
    text = f"{side} {line} {role}"
    return text, [Span(0, len(side) + 1 + len(line), "zone"), Span(len(side) + 1, len(text), "role")]


_MAKERS = {
    "{person}": _person,
    "{organisation}": _organisation,
    "{town}": _town,
    "{office}": _office,
    "{position}": _position,
}


def fit_each(basis: Basis, examples: Sequence[SpanExample]) -> SpanHead:
    """A chain for every label, whose spans may lie as they like."""
    heads = []
    for place, label in enumerate(basis.labels):
        own = replace(basis, labels=(label,), names=basis.names[[place]])
        marked = [replace(one, spans=tuple(span for span in one.spans if span.label == label)) for one in examples]
        heads.append(fit_span_head(own, marked))
    overlaps: frozenset[Relation] = frozenset().union(*(relations(one.spans) for one in examples))
    layers = tuple(Layer((label,)) for label in basis.labels)
    return replace(heads[0], inner=tuple(heads[1:]), layers=layers, overlaps=overlaps)


FITS: dict[str, Callable[[Basis, Sequence[SpanExample]], SpanHead]] = {
    "understudy": fit_layered_head,
    "longest": fit_span_head,
    "each": fit_each,
}


def nested_row(method: str, data: SpanDataset, reader: SpanReader, count: int, seed: int) -> Row:
    """What a head of this many texts makes of the test texts."""
    documents = shuffled(data.train, seed)[:count]
    read = reader.read([one.text for one in documents])
    pool = reader.read([one.text for one in data.train[:64]])
    names = reader.name_vectors([data.words.get(label, label) for label in data.labels])
    basis = Basis(data.labels, names, StateScale.measure([*read, *pool], reader.width), reader.prior)
    examples = [SpanExample(text, one.spans) for text, one in zip(read, documents, strict=True)]
    test = reader.read([one.text for one in data.test])
    began = time.process_time()
    head = FITS[method](basis, examples)
    seconds = time.process_time() - began
    best, shown = ([own.spans for own in head.spans(test, aim)] for aim in (F1, CLICKS))
    drawn = [one.spans for one in data.test]
    found, spared = measure(best, drawn), measure(shown, drawn)
    figures = {"f1": found.f1, **_nested_figures(best, drawn), "saved": spared.saved, "ece": spared.ece}
    rounded = {name: round(value, 4) for name, value in figures.items()}
    return {"method": method, "n": count, "seed": seed, **rounded, "cold_cpu_s": round(seconds, 2)}


def _nested_figures(shown: Sequence[Sequence[ScoredSpan]], drawn: Sequence[Sequence[Span]]) -> dict[str, float]:
    hits = found = wanted = recalled = 0
    for own, truth in zip(shown, drawn, strict=True):
        spans, inner = {one.span for one in own}, only_nested(truth)
        nested = only_nested(spans)
        hits, found, wanted = hits + len(nested & inner), found + len(nested), wanted + len(inner)
        recalled += len(spans & inner)
    return {"f1_nested": f1_of(hits, found, wanted), "recall_nested": recalled / wanted if wanted else 0.0}
