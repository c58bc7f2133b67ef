"""Interactive mode: one string marked, all its other occurrences in the same text suggested at once.

The page sends, with each new mark, the regions of the same text and label (`context.result`, the new one last), and
puts what is answered into the annotation without asking. It does not say what was removed: a suggestion that is
missing the next time was, and does not come back in this task. `Memory` holds that; the store keeps one per task.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import regex

from backend.labelstudio.spans.annotations import read_spans
from backend.labelstudio.spans.control import Foreign, Result, SpanConfig, SpanControl
from backend.labelstudio.spans.page import Page
from backend.labelstudio.spans.regions import SentSpan, to_regions
from backend.labelstudio.spans.validator import check_result
from model.span import ScoredSpan, Span
from model.texts import UNSPACED_SCRIPTS

MOST = 500
"""Suggestions in one answer, the nearest: from a thousand regions on the page takes half a second for each click."""

LONGEST = 500
"""Characters of a mark whose other occurrences are looked for: a longer one is a passage, not a name."""

MOST_REMEMBERED = 5_000
"""Suggestions and removals remembered of one task."""

TOO_SOON = 2.0
"""Seconds within which nobody removes all suggestions of a mark: they never came, since the page drops the answer to
a mark when another one follows before it is there."""

_LETTER = regex.compile(r"\w")
_SPACED = rf"[\w--[{UNSPACED_SCRIPTS}]]"
_SPACED_LETTER = regex.compile(_SPACED, regex.VERSION1)
"""A letter of a script with blanks between words: in others a word may follow upon another without one."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A span that was answered: `cause` is the id of the mark that it was answered to."""

    id: str
    cause: str
    control: str
    start: int
    end: int
    label: str

    @classmethod
    def from_row(cls, id: str, cause: str, control: str, start: int, end: int, label: str) -> Suggestion:
        """From what a store gives back. Raises TypeError or ValueError on foreign data."""
        span = Span(int(start), int(end), str(label))
        return cls(str(id), str(cause), str(control), span.start, span.end, span.label)

    @property
    def place(self) -> tuple[str, Span]:
        """Control and span."""
        return self.control, Span(self.start, self.end, self.label)


@dataclass(frozen=True, slots=True)
class Memory:
    """What one task's page was sent, and what was removed there; `answered_at` in seconds of any clock."""

    suggested: tuple[Suggestion, ...] = ()
    removed: frozenset[tuple[str, Span]] = frozenset()
    answered_at: float = 0.0

    def to_json(self) -> dict[str, object]:
        """Plain JSON types."""
        return {
            "suggested": [asdict(one) for one in self.suggested],
            "removed": sorted([name, span.start, span.end, span.label] for name, span in self.removed),
            "answered_at": self.answered_at,
        }

    @classmethod
    def from_json(cls, data: Foreign) -> Memory:
        """Inverse of `to_json`. Raises KeyError, TypeError or ValueError on foreign data."""
        return cls(
            tuple(Suggestion.from_row(**one) for one in data["suggested"]),
            frozenset(
                (str(name), Span(int(start), int(end), str(label))) for name, start, end, label in data["removed"]
            ),
            float(data["answered_at"]),
        )


@dataclass(frozen=True, slots=True)
class _Mark:
    """A region of the context."""

    id: str
    control: SpanControl
    span: Span
    origin: str


def answer_mark(
    config: SpanConfig,
    pages: Mapping[str, Page],
    context: object,
    memory: Memory,
    *,
    now: float,
    score: float = 1.0,
    avoid: Collection[Span] = (),
    also: Mapping[str, Sequence[ScoredSpan]] | None = None,
) -> tuple[Result, Memory]:
    """(regions for `results[0].result`, what to remember of this task).

    `context`: `params.context`; `score`: how often such a suggestion stays; `avoid`: spans of other labels that are
    likely on the page (those predicted); `also`: by control, what the head is sure of, taken for the marked label."""
    marks = list(_marks(config, pages, context))
    if not marks or not marks[-1].control.smart:
        return [], memory
    memory = _with_removals(memory, marks, now)
    new = _new_marks(marks, memory)
    control, page = marks[-1].control, pages[marks[-1].control.object.name]
    there = [*(mark.span for mark in marks), *avoid]
    gone = {span for name, span in memory.removed if name == control.name}
    found = [
        ScoredSpan(start, end, mark.span.label, score, "marked in this text")
        for mark in new
        for start, end in occurrences(page.text, mark.span.start, mark.span.end)
    ]
    labels = {mark.span.label for mark in new}
    found += [one for one in (also or {}).get(control.name, ()) if one.label in labels]
    kept = _free(page.text, found, there, gone)[:MOST]
    taken = {mark.id for mark in marks} | {one.id for one in memory.suggested}
    used = Counter(mark.span.label for mark in marks)
    cause = new[-1].id if new else marks[-1].id
    regions = to_regions(control, page, kept, salt=f"{cause} {now!r}", taken_ids=taken, used=used)
    result = check_result(config, pages, regions.result, taken_ids=taken).result
    return result, _with_suggestions(memory, result, regions.sent, cause, now)


def occurrences(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The other places of what is marked, the nearest first; whole words where a whole word was marked.

    Runs of white space are alike. Nothing for a mark without a letter or digit, or a very long one."""
    marked = text[start:end]
    if len(marked) > LONGEST or not _LETTER.search(marked):
        return
    inner = r"\s+".join(regex.escape(part) for part in marked.split())
    before = f"(?<!{_SPACED})" if _is_edge(text[start - 1 : start] if start else "", marked[0]) else ""
    after = f"(?!{_SPACED})" if _is_edge(text[end : end + 1], marked[-1]) else ""
    places = [found.span() for found in regex.finditer(before + inner + after, text, regex.VERSION1)]
    yield from sorted(
        (place for place in places if place[1] <= start or place[0] >= end), key=lambda one: abs(one[0] - start)
    )


def _is_edge(outside: str, inside: str) -> bool:
    """Whether a word begins or ends here, so that it has to elsewhere."""
    return bool(_SPACED_LETTER.match(inside)) and not _SPACED_LETTER.match(outside or " ")


def _marks(config: SpanConfig, pages: Mapping[str, Page], context: object) -> Iterator[_Mark]:
    """The regions of the context that can be read."""
    result = context.get("result") if isinstance(context, Mapping) else None
    for item in result if isinstance(result, list) else ():
        answer = read_spans(config, pages, {"result": [item]})
        for name, spans in answer.spans.items():
            for span in spans:
                yield _Mark(str(item.get("id", "")), config.by_name[name], span, str(item.get("origin", "")))


def _new_marks(marks: Sequence[_Mark], memory: Memory) -> list[_Mark]:
    """The mark that was just made, which stands last; a region with a new label stands where it was."""
    ours = {one.id for one in memory.suggested}
    changed = [one for one in marks[:-1] if one.origin == "prediction-changed" and one.id not in ours]
    last = marks[-1]
    return [*changed, last] if last.id not in ours or last.origin == "manual" else changed


def _with_removals(memory: Memory, marks: Sequence[_Mark], now: float) -> Memory:
    """`memory` after what the context does not show any more of what was suggested for its label.

    A mark that is gone itself took its suggestions with it: one undo does both, and says nothing of them."""
    there = {mark.id for mark in marks}
    about = {(mark.control.name, mark.span.label) for mark in marks}
    by_cause: dict[str, list[Suggestion]] = {}
    stay: list[Suggestion] = []
    for one in memory.suggested:
        if (one.control, one.label) in about:
            by_cause.setdefault(one.cause, []).append(one)
        else:
            stay.append(one)
    removed = set(memory.removed)
    for cause, suggestions in by_cause.items():
        gone = [one for one in suggestions if one.id not in there]
        stay += [one for one in suggestions if one.id in there]
        never_came = len(gone) == len(suggestions) and now - memory.answered_at < TOO_SOON
        if cause in there and not never_came:
            removed |= {one.place for one in gone}
    if len(removed) > MOST_REMEMBERED:
        removed = set(sorted(removed)[-MOST_REMEMBERED:])
    return replace(memory, suggested=tuple(stay), removed=frozenset(removed))


def _free(text: str, found: Sequence[ScoredSpan], there: Sequence[Span], gone: Collection[Span]) -> list[ScoredSpan]:
    """Those that overlap nothing that is there and none before them, and were not removed."""
    covered = bytearray(len(text))
    for span in there:
        covered[span.start : span.end] = b"\1" * len(covered[span.start : span.end])
    kept: list[ScoredSpan] = []
    for one in found:
        if one.span not in gone and covered.find(1, one.start, one.end) < 0:
            kept.append(one)
            covered[one.start : one.end] = b"\1" * (one.end - one.start)
    return kept


def _with_suggestions(
    memory: Memory, result: Sequence[Foreign], sent: Sequence[SentSpan], cause: str, now: float
) -> Memory:
    """`memory` after an answer."""
    left = {item["id"] for item in result}
    new = [Suggestion(one.id, cause, one.control, one.start, one.end, one.label) for one in sent if one.id in left]
    return replace(memory, suggested=(*memory.suggested, *new)[-MOST_REMEMBERED:], answered_at=now)
