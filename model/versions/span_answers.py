"""Answers with spans: the heads of the controls that mark text, fitted and asked through one reader."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from model.features.cache import CachedEncoder
from model.interfaces import Embedder
from model.span import SpanSample, SpanSamples
from model.spans.features.feature_space import StateScale
from model.spans.features.reading import ReadText, SpanReader, TokenEncoder
from model.spans.head.fit import ALWAYS_COLD, Basis, SpanExample, cold_head
from model.spans.head.fit_layers import fit_layered_head, parts_of
from model.spans.head.head import CLICKS, SpanHead, Suggestions
from model.spans.head.held_out import HeldOut, calibration_of
from model.spans.head.label_errors import SpanError, find_span_errors, hold_out_all, join_errors
from model.spans.head.tuned_marks import TAGGED_DEPTHS, TunedMarks
from model.spec import Control, Document, Prediction, TaskSpec

SCALE_POOL_TEXTS = 64
"""Unlabelled texts on which the scale of word states is measured, beside the labelled ones: those that have been read,
so that no label waits."""


@dataclass(frozen=True)
class SpanTools:
    """What spans are read with. `aim`: what is shown is to be good for, "clicks" or "f1"."""

    reader: SpanReader
    aim: str = CLICKS

    def tuned_reader(self, encoder: Embedder) -> SpanReader:
        """What reads the last layer of a fine-tuned encoder, over the same cache. Raises ValueError for one that gives
        no states of words."""
        own = encoder.encoder if isinstance(encoder, CachedEncoder) else encoder
        if not isinstance(own, TokenEncoder):
            raise ValueError("this encoder gives no states of words")
        return SpanReader(own, None, self.reader.cache, TAGGED_DEPTHS)


@dataclass(frozen=True)
class SpanAnswerer:
    """Suggests by one head, and by what a fine-tuned encoder says where it has a share (`marks`, read by `tuned`)."""

    head: SpanHead
    tools: SpanTools
    marks: TunedMarks | None = None
    tuned: SpanReader | None = None

    def suggest(self, read: Sequence[ReadText]) -> list[Suggestions]:
        """What is suggested in each text, and how likely the text is right as it is shown then."""
        if self.marks is None or self.tuned is None or not self.is_blend or not read or not self.head.labels:
            return self.head.spans(read, self.tools.aim)
        again = self.tuned.read([text.text for text in read])
        blend = self.marks.blend(self.head, self.head.candidates(read), self.marks.candidates(read, again))
        return blend.head.spans(read, self.tools.aim, blend.candidates)

    @property
    def is_blend(self) -> bool:
        """Whether a fine-tuned encoder has a share."""
        return self.marks is not None and self.tuned is not None and self.marks.weight > 0


def as_answer(control: str, own: Suggestions) -> Prediction:
    """The suggestions of one text as a control's answer."""
    return Prediction(control, (), own.score, spans=own.spans, expected_spans=own.expected)


def cold_span_heads(spec: TaskSpec, tools: SpanTools | None) -> dict[str, SpanHead]:
    """What the prior says by the names of the labels. Raises ValueError for a spec with spans without tools."""
    return {control.name: cold_head(_basis(control, _reader(tools), (), None)) for control in spec.spans}


def fit_span_heads(
    spec: TaskSpec,
    samples: SpanSamples,
    pool: Sequence[Document],
    tools: SpanTools | None,
    previous: Mapping[str, SpanHead] | None = None,
    repeat: bool = False,
) -> dict[str, SpanHead]:
    """One head per control of `spec.spans`, gone on from `previous` where that is enough; with `repeat` for longer, so
    that no annotator waits for a fit from nothing. Raises as above."""
    found, before = {}, previous or {}
    for control in spec.spans:
        marked = samples.get(control.name, ())
        found[control.name] = _fit(control, marked, pool, _reader(tools), before.get(control.name), repeat)
    return found


def find_errors(
    control: Control, samples: Sequence[SpanSample], head: SpanHead, tools: SpanTools | None, go_on: Callable[[], bool]
) -> list[SpanError] | None:
    """What is probably wrong in the samples, which the errors name by their places; None where `go_on` says that
    somebody waits, or for too few of them. `head`: the one fitted on all of them."""
    basis, examples = _examples(control, samples, head, tools)
    found = []
    for layer, own, learned in parts_of(head, basis, examples):
        held_out = hold_out_all(own, learned, layer, go_on)
        if held_out is None:
            return None
        removed = [learned[place].removed for place in held_out.places]
        found.append(find_span_errors(held_out, calibration_of(layer, held_out), removed))
    return found[0] if len(found) == 1 else join_errors(found, [sample.spans for sample in samples])


def hold_out_samples(
    control: Control,
    samples: Sequence[SpanSample],
    head: SpanHead,
    tools: SpanTools | None,
    go_on: Callable[[], bool] = lambda: True,
) -> HeldOut | None:
    """What heads that were fitted on other samples say of each; None as above."""
    basis, examples = _examples(control, samples, head, tools)
    return hold_out_all(basis, examples, head, go_on)


def _examples(
    control: Control, samples: Sequence[SpanSample], head: SpanHead, tools: SpanTools | None
) -> tuple[Basis, list[SpanExample]]:
    """The samples as they are learned, one after another, on the scale of the head."""
    reader = _reader(tools)
    read = reader.read([sample.text for sample in samples])
    examples = [
        SpanExample(text, sample.spans, sample.removed, sample.weight)
        for text, sample in zip(read, samples, strict=True)
    ]
    labels = sorted({span.label for sample in samples for span in sample.spans}) if control.options_field else ()
    return _basis(control, reader, labels, head.space.scale), examples


def _fit(
    control: Control,
    samples: Sequence[SpanSample],
    pool: Sequence[Document],
    reader: SpanReader,
    previous: SpanHead | None,
    repeat: bool,
) -> SpanHead:
    basis, examples = span_lesson(control, samples, pool, reader, previous)
    return fit_layered_head(basis, examples, previous, repeat=repeat)


def span_lesson(
    control: Control,
    samples: Sequence[SpanSample],
    pool: Sequence[Document],
    reader: SpanReader,
    previous: SpanHead | None = None,
) -> tuple[Basis, list[SpanExample]]:
    """What a head of this control is fitted on: the samples that have words, read, and what does not depend on them."""
    read = reader.read([sample.text for sample in samples])
    examples = [
        SpanExample(text, sample.spans, sample.removed, sample.weight)
        for text, sample in zip(read, samples, strict=True)
        if text.bounds
    ]
    labels = sorted({span.label for sample in samples for span in sample.spans}) if control.options_field else ()
    name = control.inputs[0]
    others = [document[name] for document in pool if name in document][:SCALE_POOL_TEXTS]
    # Word states of another scale cannot be gone on from: it is measured again while every fit is a cold one anyway.
    kept = previous.space.scale if previous is not None and len(examples) > ALWAYS_COLD else None
    scale = kept if kept is not None and len(kept.mean) == reader.width else _measure(reader, read, others)
    return _basis(control, reader, labels, scale), examples


def _measure(reader: SpanReader, read: Sequence[ReadText], pool: Sequence[str]) -> StateScale:
    return StateScale.measure([*read, *reader.known(pool)], reader.width)


def _basis(control: Control, reader: SpanReader, more: Sequence[str], scale: StateScale | None) -> Basis:
    """`more`: labels that only the tasks' data offer."""
    labels = tuple(dict.fromkeys((*control.keys(), *more)))
    names = reader.name_vectors([control.words.get(label) or label for label in labels])
    return Basis(labels, names, scale or StateScale.measure((), reader.width), reader.prior)


def _reader(tools: SpanTools | None) -> SpanReader:
    if tools is None:
        raise ValueError("spans cannot be read without the encoder's word states")
    return tools.reader
