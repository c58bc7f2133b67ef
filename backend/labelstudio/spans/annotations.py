"""Reads spans from annotations: tolerant of all that Label Studio was seen to send, and counting what it passes over.

A skip is no answer, whatever its result says (on a pre-annotated page it carries all regions); an empty result is one:
there is nothing here. The offsets are believed, the text beside them is not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from backend.labelstudio.spans.control import TEXT, Foreign, SpanConfig, SpanControl
from backend.labelstudio.spans.page import NoPlace, Offsets, Page, trimmed
from backend.labelstudio.spans.regions import SentSpan
from model.span import Span, sorted_spans

IGNORED = (
    *("malformed", "unknown_control", "wrong_object", "no_page", "no_labels", "empty_labels", "unknown_label"),
    *("no_place", "outside", "blank", "text_elsewhere"),
)
"""Why a region teaches nothing."""

MOST_REGIONS = 100_000
"""Regions read of one annotation."""


@dataclass(frozen=True)
class SpanAnswer:
    """What one annotation says. `spans`: control name -> its spans, for every control whose text can be read; an empty
    tuple says that there are none. `answered` is False for a skip and for what cannot be understood."""

    answered: bool
    spans: Mapping[str, tuple[Span, ...]] = field(default_factory=dict)
    ignored: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Feedback:
    """What became of suggested spans. `changed`: (as suggested, as submitted), with a label or a place of its own;
    `missed`: (control, span) that were not suggested."""

    kept: tuple[SentSpan, ...] = ()
    changed: tuple[tuple[SentSpan, Span], ...] = ()
    removed: tuple[SentSpan, ...] = ()
    missed: tuple[tuple[str, Span], ...] = ()

    @property
    def rejected(self) -> tuple[SentSpan, ...]:
        """Suggestions that were wrong as they stood."""
        return (*self.removed, *(sent for sent, _ in self.changed))


def read_spans(
    config: SpanConfig, pages: Mapping[str, Page], annotation: Foreign, sent: Collection[SentSpan] = ()
) -> SpanAnswer:
    """The spans in an annotation. `config`: with the labels of the task; `pages`: its texts; `sent`: what was suggested
    for it, whose regions are believed although the page kept another text with them."""
    if annotation.get("was_cancelled"):
        return SpanAnswer(False)
    result = annotation.get("result")
    if not isinstance(result, list):
        return SpanAnswer(False, ignored={"malformed": 1})
    ignored: Counter[str] = Counter()
    found: dict[str, list[Span]] = {one.name: [] for one in config.controls if one.object.name in pages}
    known = {(one.id, one.start, one.end) for one in sent}
    for control, item in _regions(config, result, ignored):
        page = pages.get(control.object.name)
        if page is None:
            ignored["no_page"] += 1
            continue
        labels = _labels(control, item["value"], ignored)
        if not labels:
            continue
        offsets = _offsets(page, item, known, ignored)
        if offsets is not None:
            found[control.name] += [Span(*offsets, label) for label in labels]
    return SpanAnswer(True, {name: sorted_spans(spans) for name, spans in found.items()}, counted(ignored))


def read_feedback(
    config: SpanConfig, pages: Mapping[str, Page], annotation: Foreign, sent: Collection[SentSpan]
) -> Feedback:
    """What an annotation says of the suggestions that it started from: `sent`, of the version that
    `parent_prediction` names. Nothing for a skip, and for one that was made from scratch.

    A suggestion that is gone, and whose span was marked again by hand, is kept; one whose region lost its label or
    place in the page says nothing."""
    result = annotation.get("result")
    if annotation.get("was_cancelled") or not isinstance(result, list) or annotation.get("parent_prediction") is None:
        return Feedback()
    answer = read_spans(config, pages, annotation, sent)
    sent = [one for one in sent if one.control in answer.spans]  # of a config or text that is there no more: nothing
    there = {(name, span) for name, spans in answer.spans.items() for span in spans}
    ids = spans_by_id(config, pages, result, sent)
    kept: list[SentSpan] = []
    changed: list[tuple[SentSpan, Span]] = []
    removed: list[SentSpan] = []
    for one in sent:
        if (one.control, _bare(pages, config, one)) in there:
            kept.append(one)
        elif one.id not in ids:
            removed.append(one)
        elif spans := [span for name, span in ids[one.id] if name == one.control]:
            changed.append((one, spans[0]))
    suggested = {(one.control, _bare(pages, config, one)) for one in sent}
    missed = tuple(sorted(there - suggested))
    return Feedback(tuple(kept), tuple(changed), tuple(removed), missed)


def sent_spans(config: SpanConfig, pages: Mapping[str, Page], prediction: object) -> tuple[SentSpan, ...]:
    """What a prediction, as Label Studio gives it back with a task or an annotation, suggested."""
    result = prediction.get("result") if isinstance(prediction, Mapping) else None
    found: list[SentSpan] = []
    for control, item in _regions(config, result if isinstance(result, list) else [], Counter()):
        page, id_, score = pages.get(control.object.name), item.get("id"), item.get("score")
        offsets = _raw_offsets(page, item["value"]) if page is not None and isinstance(id_, str) else None
        if offsets is None:
            continue
        sure = float(score) if isinstance(score, int | float) and not isinstance(score, bool) else 0.0
        labels = _labels(control, item["value"], Counter())
        found += [SentSpan(str(id_), control.name, *offsets, label, sure) for label in labels]
    return tuple(found)


def counted(ignored: Mapping[str, int]) -> dict[str, int]:
    """Reasons that there were any of."""
    return {reason: count for reason, count in ignored.items() if count}


def _regions(
    config: SpanConfig, result: Sequence[object], ignored: Counter[str]
) -> Iterator[tuple[SpanControl, Foreign]]:
    """The results of span controls that have a value; others are passed over, and counted when they are nobody's."""
    for item in result[:MOST_REGIONS]:
        if not isinstance(item, Mapping):
            ignored["malformed"] += 1
            continue
        name = item.get("from_name")
        control = config.by_name.get(name) if isinstance(name, str) else None
        if control is None:
            ignored["unknown_control"] += _is_nobodys(config, item)
        elif not isinstance(item.get("value"), Mapping):
            ignored["malformed"] += 1
        elif item.get("to_name") not in (None, control.object.name):
            ignored["wrong_object"] += 1
        else:
            yield control, item


def _is_nobodys(config: SpanConfig, item: Foreign) -> bool:
    """Whether no control of the config can have given it."""
    name = item.get("from_name")
    if item.get("type") == "relation" or (config.shown is not None and name == config.shown.name):
        return False
    return not isinstance(name, str) or (name not in config.questions_by_name and name not in config.others)


def _labels(control: SpanControl, value: Foreign, ignored: Counter[str]) -> list[str]:
    """The labels of a region by the names that results carry, each once."""
    given = value.get(control.key)
    if isinstance(given, str):
        given = [given]
    if not isinstance(given, list):
        ignored["no_labels"] += 1
        return []
    if not given:
        ignored["empty_labels" if control.allow_empty else "no_labels"] += 1
    found = [control.names.get(one) if isinstance(one, str) else None for one in given]
    ignored["unknown_label"] += found.count(None)
    return list(dict.fromkeys(name for name in found if name is not None))


def _offsets(
    page: Page, item: Foreign, known: Collection[tuple[str, int, int]], ignored: Counter[str]
) -> Offsets | None:
    try:
        offsets = page.offsets_of(item["value"])
    except NoPlace as error:
        ignored[error.code] += 1
        return None
    if item.get("origin") == "manual" and (str(item.get("id")), *offsets) not in known:
        meant = _by_text(page, offsets, item["value"].get("text"))
        if meant is None:
            ignored["text_elsewhere"] += 1
            return None
        offsets = meant
    bare = trimmed(page.text, *offsets)
    if bare is None:
        ignored["blank"] += 1
    return bare


def _by_text(page: Page, offsets: Offsets, text: object) -> Offsets | None:
    """The place of a region that was marked by hand. Once in a long while the page sends for one of a Text the offsets
    inside its text node: then its text is right, and meant is the nearest place that holds it; None where none does."""
    if page.object.tag != TEXT or not isinstance(text, str) or not text:
        return offsets
    start, end = offsets
    if page.text[start:end] == text:
        return offsets
    before, after = page.text.rfind(text, 0, start + len(text)), page.text.find(text, start)
    near = [at for at in (before, after) if at >= 0]
    if not near:
        return None
    nearest = min(near, key=lambda at: abs(at - start))
    return nearest, nearest + len(text)


def _raw_offsets(page: Page | None, value: Foreign) -> Offsets | None:
    try:
        return page.offsets_of(value) if page is not None else None
    except NoPlace:
        return None


def spans_by_id(
    config: SpanConfig, pages: Mapping[str, Page], result: Sequence[object], sent: Collection[SentSpan] = ()
) -> dict[str, list[tuple[str, Span]]]:
    """Region id -> what its results say: control and span; an empty list for a region without label or place."""
    found: dict[str, list[tuple[str, Span]]] = {}
    known = {(one.id, one.start, one.end) for one in sent}
    for control, item in _regions(config, result, Counter()):
        page, id_ = pages.get(control.object.name), item.get("id")
        if not isinstance(id_, str) or page is None:
            continue
        says = found.setdefault(id_, [])
        offsets = _offsets(page, item, known, Counter())
        if offsets is not None:
            says += [(control.name, Span(*offsets, label)) for label in _labels(control, item["value"], Counter())]
    return found


def _bare(pages: Mapping[str, Page], config: SpanConfig, sent: SentSpan) -> Span:
    """A suggestion as it is read again: trimmed."""
    page = pages[config.by_name[sent.control].object.name]
    offsets = trimmed(page.text, sent.start, sent.end) or (sent.start, sent.end)
    return Span(*offsets, sent.label)
