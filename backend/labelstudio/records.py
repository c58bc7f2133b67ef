"""What is stored of one annotation: its texts, its answers, and when it was last changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import NotRequired, TypedDict

from backend.labelstudio.regions.rows import RegionTargets, RelationRow, answer_rows, relation_rows
from model.span import Span
from model.spec import Json

Targets = dict[str, list[list[str]] | int]
"""Control name -> the answer: paths of the chosen labels (list[list[str]]), or the stars of a Rating (int). An empty
list says that the question was answered with nothing: none of these. A control that is missing has no answer."""


SpanRow = tuple[int, int, str]
"""Start, end (exclusive, in code points of the text) and label of a marked span."""

SpanTargets = dict[str, list[SpanRow]]
"""Control name -> what is marked. An empty list says that there is nothing to mark; a control that is missing has no
answer."""


class RecordJson(TypedDict):
    """An `ExampleRecord` as the store keeps it."""

    annotation: int
    task: int
    texts: NotRequired[Mapping[str, str]]
    targets: NotRequired[Targets]
    updated_at: NotRequired[str]
    annotator: NotRequired[int | None]
    ground_truth: NotRequired[bool]
    spans: NotRequired[SpanTargets]
    removed: NotRequired[SpanTargets]
    answers: NotRequired[RegionTargets]
    relations: NotRequired[list[RelationRow]]


@dataclass(frozen=True)
class ExampleRecord:
    """One human annotation of one task.

    `texts` maps input name -> plain text. `spans`: what is marked; `removed`: suggestions that the annotator took away;
    `answers`: what is said about the marked regions; `relations` between them, None where none can be drawn.
    No `targets` and no `spans` say that the annotation teaches nothing (skipped, nothing to be read): it still
    supersedes an older record of the same annotation. `updated_at` is Label Studio's own time stamp, as sent: it alone
    orders the changes of an annotation."""

    annotation: int
    task: int
    texts: Mapping[str, str] = field(default_factory=dict)
    targets: Targets = field(default_factory=dict)
    updated_at: str = ""
    annotator: int | None = None
    ground_truth: bool = False
    spans: SpanTargets = field(default_factory=dict)
    removed: SpanTargets = field(default_factory=dict)
    answers: RegionTargets = field(default_factory=dict)
    relations: list[RelationRow] | None = None

    @property
    def teaches(self) -> bool:
        """Whether there is any answer."""
        return bool(self.targets or self.spans)

    @property
    def version(self) -> str:
        """`updated_at` in microseconds, zero-padded, so that strings compare like times."""
        return f"{microseconds(self.updated_at):020d}"

    def to_json(self) -> RecordJson:
        """Plain JSON types; texts and targets are the record's own, not copies (`asdict` takes half of the time that
        storing does)."""
        data: RecordJson = {
            "annotation": self.annotation,
            "task": self.task,
            "texts": self.texts,
            "targets": self.targets,
            "updated_at": self.updated_at,
            "annotator": self.annotator,
            "ground_truth": self.ground_truth,
        }
        if self.spans:
            data["spans"] = self.spans
        if self.removed:
            data["removed"] = self.removed
        if self.answers:
            data["answers"] = self.answers
        if self.relations is not None:
            data["relations"] = self.relations
        return data

    @classmethod
    def from_json(cls, data: RecordJson) -> ExampleRecord:
        """Inverse of `to_json`. Raises AttributeError, TypeError or ValueError on foreign data."""
        record = cls(**data)
        _check(record)
        if not (record.spans or record.removed):
            return record
        return replace(
            record,
            spans=_rows(record.spans),
            removed=_rows(record.removed),
            answers=answer_rows(record.answers),
            relations=None if record.relations is None else relation_rows(record.relations),
        )


def _check(record: ExampleRecord) -> None:
    """Raises TypeError or ValueError for what no release has written."""
    _expect(record.annotation, int)
    _expect(record.task, int)
    _expect(record.updated_at, str)
    if record.annotator is not None:
        _expect(record.annotator, int)
    for text in record.texts.values():
        _expect(text, str)
    for answer in record.targets.values():
        if not isinstance(answer, int):
            for path in answer:
                _expect(path, list)
                for part in path:
                    _expect(part, str)


def _expect(value: object, kind: type) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"{type(value).__name__} where {kind.__name__} is kept")


def _rows(spans: SpanTargets) -> SpanTargets:
    """JSON has lists for tuples."""
    return {name: [_row(*row) for row in rows] for name, rows in spans.items()}


def _row(start: int, end: int, label: str) -> SpanRow:
    span = Span(int(start), int(end), str(label))
    return span.start, span.end, span.label


def microseconds(stamp: Json) -> int:
    """An ISO 8601 time as microseconds since 1970 (UTC when it names no zone); 0 for an unreadable one, which makes
    any other change newer."""
    moment = read_time(stamp)
    if moment is None:
        return 0
    delta = moment - _EPOCH
    return max(0, (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds)


def read_time(stamp: Json) -> datetime | None:
    """An ISO 8601 time, with its zone; None for anything else."""
    if not isinstance(stamp, str):
        return None
    # Python 3.10's fromisoformat knows no Z.
    text = stamp[:-1] + "+00:00" if stamp[-1:] in ("Z", "z") else stamp
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment.astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None


_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
