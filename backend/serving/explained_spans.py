"""Why spans are suggested, and why another one is not, for an admin: what decided, and annotated spans like it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backend.errors import BadRequest
from backend.explained_json import ExplainedAnswer, ExplainedSpan, NearSpan, SpanRival, SpanWhy
from backend.labelstudio.records import ExampleRecord
from backend.store.stores import Stores
from model.span import Span
from model.spec import Control, Document, Prediction

if TYPE_CHECKING:
    from model.explain.marked_text import MarkReasons
    from model.explain.nearest_spans import MarkedText, Neighbour, SpanIndex
    from model.explain.span_reasons import SpanReason
    from model.versions.live_model import LiveModel

MOST_EXPLAINED = 20
"""Suggested spans of a text that are told with what decided, the first ones; any other by asking for it."""

NEAREST, NEAREST_ASKED = 3, 5
"""Annotated spans that are named of each span, and of one that is asked for."""

CHANGES_READ = 4000
"""Changed annotations that are looked through for marked texts, the newest."""

AROUND = 30
"""Characters shown before and behind an annotated span."""


@dataclass(frozen=True)
class SpanQuery:
    """Characters of the text of a control that somebody asks about. `label` "": the likeliest."""

    start: int
    end: int
    label: str = ""


def read_marked(stores: Stores, project: int) -> list[ExampleRecord]:
    """The newest annotations with marked text."""
    return [record for record in stores.examples.newest(project, CHANGES_READ) if record.spans]


def describe_marks(
    model: LiveModel,
    document: Document,
    answer: Prediction,
    task: int,
    asked: SpanQuery | None,
    records: Sequence[ExampleRecord],
    link: str,
) -> ExplainedAnswer:
    """Every suggested span with its reason, what decided for it and what is like it; the same of the one that is
    `asked` for. Raises BadRequest for one that the text has not."""
    from model.explain.marked_text import index_of, reasons_of

    control = model.spec.control(answer.control)
    text = document[control.inputs[0]]
    reasons = reasons_of(model, control, document)
    index = index_of(model, control, [own for record in records for own in _marked(control, record)])
    told = _Teller(model, control, document, task, index, reasons, link)
    spans: list[ExplainedSpan] = []
    for one in answer.spans:
        row: ExplainedSpan = {
            "start": one.start,
            "end": one.end,
            "label": control.show(one.label),
            "text": text[one.start : one.end],
            "score": round(one.score, 4),
            "reason": one.reason,
        }
        if len(spans) < MOST_EXPLAINED:
            row["why"] = told.why(reasons.explain(one.span), NEAREST)
        spans.append(row)
    found: ExplainedAnswer = {
        "version": model.version,
        "control": answer.control,
        "label": "",
        "labels": [],
        "score": answer.score,
        "runner_up": {},
        "texts": {name: document[name] for name in control.inputs},
        "words": [],
        "spans": spans,
        "compared": {"spans": len(index.spans), "texts": index.texts, "known": index.known},
    }
    if asked is not None:
        found["asked"] = _describe_asked(told, asked, answer, control, text)
    return found


def _describe_asked(told: _Teller, asked: SpanQuery, answer: Prediction, control: Control, text: str) -> ExplainedSpan:
    if asked.end > len(text):
        raise BadRequest(f"end: the text has {len(text)} characters", field="end")
    if not text[asked.start : asked.end].strip():
        raise BadRequest("start: only blanks stand there", field="start")
    known = {name: key for key in (*control.keys(), *told.reasons.labels) for name in (key, control.show(key))}
    if asked.label and asked.label not in known:
        listed = ", ".join(dict.fromkeys(control.show(key) for key in known.values()))
        raise BadRequest(f"label: {asked.label[:80]!r} is not known here; there is {listed[:400]}", field="label")
    place = Span(asked.start, asked.end, "?")
    label = known.get(asked.label) or told.reasons.likeliest_label(place)
    reason = told.reasons.explain(Span(asked.start, asked.end, label))
    span = reason.span
    shown = next((one for one in answer.spans if one.span == span), None)
    return {
        "start": span.start,
        "end": span.end,
        "label": control.show(span.label) if span.label else "",
        "text": text[span.start : span.end],
        "score": round(shown.score if shown else reason.score, 4),
        "reason": shown.reason if shown else "",
        "why": told.why(reason, NEAREST_ASKED),
    }


@dataclass(frozen=True)
class _Teller:
    """Tells reasons in JSON."""

    model: LiveModel
    control: Control
    document: Document
    task: int
    index: SpanIndex
    reasons: MarkReasons
    link: str

    def why(self, reason: SpanReason, count: int) -> SpanWhy:
        text = self.document[self.control.inputs[0]]
        found: SpanWhy = {
            "shown": reason.is_shown,
            "verdict": reason.verdict,
            "probability": round(reason.probability, 4),
            "threshold": round(reason.threshold, 4),
            "parts": [
                {"part": one.name, "share": round(one.share, 4), "probability": round(one.probability, 4)}
                for one in reason.sides
            ],
            "nearest": [self._near(one) for one in self._nearest(reason.span, count)],
        }
        if reason.rival is not None:
            found["runner_up"] = self._rival(reason.rival.span, reason.rival.probability, text)
        if reason.contrast is not None:
            found["difference"] = round(reason.contrast.difference, 3)
            found["groups"] = [
                {"group": name, "score": round(score, 3)} for name, score in reason.contrast.groups.items()
            ]
            words = self.reasons.bounds
            found["features"] = [
                {
                    "group": one.group,
                    "score": round(one.score, 3),
                    "what": one.what,
                    "text": text[words[one.word][0] : words[one.word][1]],
                    "start": words[one.word][0],
                    "end": words[one.word][1],
                }
                for one in reason.contrast.features
            ]
        if reason.without is not None:
            found["without_finetune"] = round(reason.without, 4)
        if reason.layers > 1:
            found["chain"], found["chains"] = reason.layer, reason.layers
        return found

    def _rival(self, span: Span | None, probability: float, text: str) -> SpanRival:
        if span is None:
            return {"label": "", "probability": round(probability, 4)}
        return {
            "label": self.control.show(span.label),
            "probability": round(probability, 4),
            "start": span.start,
            "end": span.end,
            "text": text[span.start : span.end],
        }

    def _nearest(self, span: Span, count: int) -> list[Neighbour]:
        question = self.document[self.control.question] if self.control.question else None
        content = (self.document[self.control.inputs[0]], question)
        return self.index.nearest(self.reasons.vector(span), count, self.task, content)

    def _near(self, one: Neighbour) -> NearSpan:
        text, span = one.marked.text, one.span
        around = text[max(0, span.start - AROUND) : span.end + AROUND]
        found: NearSpan = {
            "task": one.marked.task,
            "start": span.start,
            "end": span.end,
            "label": self.control.show(span.label),
            "text": text[span.start : span.end],
            "around": " ".join(around.split()),
            "similarity": round(one.similarity, 4),
        }
        if one.marked.question:
            found["question"] = one.marked.question
        if self.link:
            found["link"] = f"{self.link}{one.marked.task}"
        return found


def _marked(control: Control, record: ExampleRecord) -> list[MarkedText]:
    from model.explain.nearest_spans import MarkedText

    if control.name not in record.spans or any(name not in record.texts for name in control.inputs):
        return []
    text = record.texts[control.inputs[0]]
    spans = tuple(Span(*row) for row in record.spans[control.name] if 0 <= row[0] < row[1] <= len(text))
    return [MarkedText(record.task, text, spans, record.texts[control.question] if control.question else None)]
