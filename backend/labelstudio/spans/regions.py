"""Suggested spans as regions of a result: in the unit of their object, each with score, reason and id."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from backend.labelstudio.label_config.answer_values import shown_score
from backend.labelstudio.spans.control import Foreign, Result, SpanControl
from backend.labelstudio.spans.granularity import snapped
from backend.labelstudio.spans.page import Page
from model.span import ScoredSpan, Span

ID_LENGTH = 10
"""As many characters as the page's own ids; people read them in its Info panel."""


@dataclass(frozen=True, slots=True)
class SentSpan:
    """A span that was suggested, by the id of its region: what is kept to know later what was made of it."""

    id: str
    control: str
    start: int
    end: int
    label: str
    score: float

    @property
    def span(self) -> Span:
        """Where and what."""
        return Span(self.start, self.end, self.label)

    def to_json(self) -> dict[str, object]:
        """Plain JSON types."""
        return asdict(self)

    @classmethod
    def from_row(cls, id: str, control: str, start: int, end: int, label: str, score: float) -> SentSpan:
        """From what a store gives back. Raises TypeError or ValueError on foreign data."""
        if not all(isinstance(name, str) for name in (id, control, label)):
            raise TypeError("an id, a control and a label are words")
        span = Span(int(start), int(end), label)
        return cls(id, control, span.start, span.end, label, float(score))

    @classmethod
    def from_json(cls, data: Foreign) -> SentSpan:
        """Inverse of `to_json`. Raises TypeError or ValueError on foreign data."""
        return cls.from_row(**data)


@dataclass(frozen=True, slots=True)
class Regions:
    """Regions of one control, in the order of the text, and what they say: the spans of each by its id."""

    result: Result
    sent: tuple[SentSpan, ...]
    spans: Mapping[str, Sequence[ScoredSpan]] = field(default_factory=dict)


def to_regions(
    control: SpanControl,
    page: Page,
    spans: Iterable[ScoredSpan],
    *,
    salt: str,
    taken_ids: Collection[str] = (),
    used: Mapping[str, int] | None = None,
) -> Regions:
    """The spans as `control` (with the labels of the task) has them.

    They are drawn out as the object's granularity has it; labels that the control has not, and what the page has no
    place for, are left out; a label with a limit keeps those with the highest scores. `salt` (a version, say) and the
    span make the id, so that the same answer has the same ids. `used`: regions that bear a label already."""
    placed = _within_limits(control, _placed(control, page, spans), used or {})
    groups: dict[tuple[int, ...], list[ScoredSpan]] = {}
    for at, one in enumerate(placed):
        place = (one.start, one.end) if control.multiple else (one.start, one.end, at)
        groups.setdefault(place, []).append(one)
    result: Result = []
    sent: list[SentSpan] = []
    marked: dict[str, Sequence[ScoredSpan]] = {}
    ids = set(taken_ids)
    for group in groups.values():
        id_ = fresh_id(ids, salt, control.name, *(f"{one.start}-{one.end} {one.label}" for one in group))
        value = page.value_of(group[0].start, group[0].end)
        if value is not None:
            result.append(_region(control, id_, value, group))
            marked[id_] = group
            sent += [
                SentSpan(id_, control.name, one.start, one.end, one.label, shown_score(one.score)) for one in group
            ]
    return Regions(result, tuple(sent), marked)


def fresh_id(taken: set[str], *parts: str) -> str:
    """An id of letters, digits, `_` and `-` (others leave a region without colour), new to `taken`, which it joins."""
    seed = "\0".join(parts).encode("utf-8", "replace")
    for attempt in range(1 << 16):
        digest = hashlib.blake2b(seed, digest_size=9, salt=attempt.to_bytes(4, "big")).digest()
        found = base64.urlsafe_b64encode(digest).decode()[:ID_LENGTH]
        if found not in taken:
            taken.add(found)
            return found
    raise RuntimeError("no free id")  # 2**16 ids in a row are taken: not in this world


def _placed(control: SpanControl, page: Page, spans: Iterable[ScoredSpan]) -> list[ScoredSpan]:
    """Each place and label once, with its highest score, in the order of the text."""
    best: dict[tuple[int, int, str], ScoredSpan] = {}
    for one in spans:
        name, end = control.names.get(one.label), min(one.end, len(page.text))
        place = snapped(page.text, one.start, end, page.object.granularity) if 0 <= one.start < end else None
        if name is None or place is None:
            continue
        found = replace(one, start=place[0], end=place[1], label=name)
        key = (*place, name)
        if key not in best or found.score > best[key].score:
            best[key] = found
    return [best[key] for key in sorted(best)]


def _within_limits(control: SpanControl, spans: Sequence[ScoredSpan], used: Mapping[str, int]) -> list[ScoredSpan]:
    if not control.most:
        return list(spans)
    kept, count = set(), Counter(used)
    for one in sorted(spans, key=lambda span: -span.score):
        count[one.label] += 1
        if count[one.label] <= control.most.get(one.label, count[one.label]):
            kept.add((one.start, one.end, one.label))
    return [one for one in spans if (one.start, one.end, one.label) in kept]


def _region(control: SpanControl, id_: str, value: dict[str, object], group: Sequence[ScoredSpan]) -> dict[str, object]:
    reasons = [one.reason for one in group if one.reason]
    return {
        "id": id_,
        "from_name": control.name,
        "to_name": control.object.name,
        "type": control.key,
        "value": {**value, control.key: [one.label for one in group]},
        # The page prints one score for a region: that all of it is right.
        "score": min(shown_score(one.score) for one in group),
        **({"meta": {"text": reasons}} if reasons else {}),
    }
