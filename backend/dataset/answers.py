"""From what is stored and agreed on to a row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backend.dataset.agreed import Agreed
from backend.dataset.known import Known
from backend.dataset.pseudonyms import Namer
from backend.dataset.row import (
    AnnotationJson,
    AnswerJson,
    DatasetRow,
    MarkedJson,
    PredictedJson,
    RelationJson,
    SpanJson,
)
from backend.dataset.split import split_of
from backend.dataset.wording import Wording
from backend.labelstudio.records import ExampleRecord
from backend.rules.consensus import label_keys
from model.evidence.row import EvidenceRow
from model.region import RegionSample, RelationSample
from model.span import Span, SpanSample
from model.spec import NONE, Control, Sample


@dataclass(frozen=True)
class RowMaker:
    """`test_share` in [0, 1] of all texts; `name`: what stands for an annotator."""

    wording: Wording
    known: Known
    test_share: float
    name: Namer

    def make(self, task: int, records: Sequence[ExampleRecord], agreed: Agreed) -> DatasetRow:
        """A task that has an answer, with all its annotations."""
        newest = max(records, key=lambda record: record.version)
        texts = {self.wording.input(name): text for name, text in sorted(newest.texts.items())}
        row = DatasetRow(
            task=task,
            split=split_of(texts.values(), self.test_share),
            texts=texts,
            answers={name: self._answer(task, name, sample) for name, sample in agreed.samples.items()},
            annotations=[self._annotation(record) for record in records],
        )
        if self.wording.spec.spans:
            row["spans"] = {
                control.name: self._marked(task, control, agreed)
                for control in self.wording.spec.spans
                if control.name in agreed.spans
            }
        if self.wording.spec.relations is not None:
            row["relations"] = [one for sample in agreed.relations for one in _relations(sample)]
        return row

    def _answer(self, task: int, name: str, sample: Sample) -> AnswerJson:
        answer = AnswerJson(
            labels=self.wording.show_all(name, _chosen(self.wording.spec.control(name), sample)),
            soft=self.wording.shares(name, sample.target),
            weight=round(sample.weight, 6),
            ground_truth=sample.ground_truth,
        )
        if tested := self.known.tested.get((task, name)):
            answer["predicted"] = self._predicted(name, tested)
        for row in self.known.suspects.get((task, name), ()):
            answer["suspect"] = self.wording.show(name, row["suggested"])
        return answer

    def _predicted(self, name: str, row: EvidenceRow) -> PredictedJson:
        return PredictedJson(
            labels=self.wording.show_all(name, row.said),
            score=round(row.judged.confidence, 6),
            correct=row.judged.correct,
            version=row.version,
        )

    def _marked(self, task: int, control: Control, agreed: Agreed) -> MarkedJson:
        samples = agreed.spans[control.name]
        found = MarkedJson(
            input=self.wording.input(control.inputs[0]),
            spans=[
                self._span(samples[0].text, span, share, control.name, agreed) for span, share in _majority(samples)
            ],
            ground_truth=samples[0].ground_truth,
        )
        if tested := self.known.tested.get((task, control.name)):
            found["predicted"] = tested.judged.correct
        if doubted := self.known.suspects.get((task, control.name)):
            found["suspects"] = sorted({str(row.get("kind", "")) for row in doubted})
        return found

    def _span(self, text: str, span: Span, share: float, control: str, agreed: Agreed) -> SpanJson:
        found = _place(text, span.start, span.end, span.label)
        if share < 1:
            found["share"] = round(share, 6)
        answers = {
            name: self.wording.show_all(name, keys)
            for name, samples in agreed.regions.items()
            if (keys := _said_of(samples, control, span)) is not None
        }
        if answers:
            found["answers"] = answers
        return found

    def _annotation(self, record: ExampleRecord) -> AnnotationJson:
        found = AnnotationJson(
            annotator=self.name(record.annotator),
            ground_truth=record.ground_truth,
            updated_at=record.updated_at,
            answers={
                name: self.wording.show_all(name, label_keys(target)) for name, target in sorted(record.targets.items())
            },
        )
        if record.spans:
            found["spans"] = {
                name: [_place(_text_of(self.wording, name, record), *row) for row in rows]
                for name, rows in sorted(record.spans.items())
            }
        return found


def _chosen(control: Control, sample: Sample) -> list[str]:
    """Of sets what at least half chose; else the heaviest."""
    if control.multilabel:
        return [key for key, share in sample.target.items() if share >= 0.5]
    return [sample.top] if sample.target else [NONE]


def _majority(samples: Sequence[SpanSample]) -> list[tuple[Span, float]]:
    """Spans that at least half of the annotators have, with their share."""
    whole = sum(sample.weight for sample in samples)
    shares: Counter[Span] = Counter()
    for sample in samples:
        for span in sample.spans:
            shares[span] += sample.weight  # type: ignore[assignment]
    return [(span, share / whole) for span, share in sorted(shares.items()) if share >= whole / 2]


def _place(text: str, start: int, end: int, label: str) -> SpanJson:
    return SpanJson(start=start, end=end, label=label, text=text[start:end])


def _text_of(wording: Wording, control: str, record: ExampleRecord) -> str:
    inputs: Mapping[str, str] = {item.name: item.inputs[0] for item in wording.spec.spans}
    return record.texts.get(inputs.get(control, ""), "")


def _said_of(samples: Sequence[RegionSample], control: str, span: Span) -> list[str] | None:
    """What is agreed on about a span; None where nobody was asked."""
    for sample in samples:
        region = sample.region
        if (region.control, region.start, region.end, region.label) == (control, span.start, span.end, span.label):
            return [key for key, share in sorted(sample.target.items()) if share >= 0.5]
    return None


def _relations(sample: RelationSample) -> list[RelationJson]:
    """Those that at least half of the people drew who marked both regions."""
    return [
        RelationJson(
            source=(one.source.start, one.source.end),
            target=(one.target.start, one.target.end),
            labels=list(one.labels),
            both_ways=one.both_ways,
            share=round(share, 6),
        )
        for one, share in sample.relations.items()
        if share >= 0.5
    ]
