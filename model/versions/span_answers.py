"""Answers with spans: the heads of the controls that mark text, fitted and asked through one reader."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import cast

import numpy as np
from numpy.typing import NDArray

from model.features.cache import CachedEncoder
from model.interfaces import Embedder
from model.questions.asked import AnsweredText, AskedText
from model.questions.fit import QuestionBasis, cold_question_head, fit_question_head
from model.questions.head import QuestionHead, QuestionHeadJson, restore_question_head
from model.questions.reading import AnsweringEncoder, QuestionReader
from model.questions.tuned_answers import TunedAnswers
from model.span import SpanSample, SpanSamples
from model.spans.features.feature_space import StateScale
from model.spans.features.parts import TextPart, read_parts
from model.spans.features.reading import ReadText, SpanReader, TokenEncoder
from model.spans.head.fit import ALWAYS_COLD, Basis, SpanExample, cold_head, most_words, takes_long
from model.spans.head.fit import is_settled as is_settled_alone
from model.spans.head.fit_layers import fit_layered_head, parts_of
from model.spans.head.fit_layers import is_settled as is_settled_in_layers
from model.spans.head.head import CLICKS, SpanHead, SpanHeadJson, Suggestions, restore_span_head
from model.spans.head.held_out import HeldOut, calibration_of
from model.spans.head.label_errors import SpanError, find_span_errors, hold_out_all, join_errors
from model.spans.head.tuned_marks import TAGGED_DEPTHS, TunedMarks
from model.spans.patterns.lexicon import Lexicon
from model.spans.transfer.prior import TransferPrior
from model.spec import Control, Document, Prediction, TaskSpec
from model.versions.answer_errors import find_answer_errors

SCALE_POOL_TEXTS = 64
"""Unlabelled texts on which the scale of word states is measured, beside the labelled ones: those that have been read,
so that no label waits."""


MarkHead = SpanHead | QuestionHead
"""The head of a control that marks text: of one that asks a question about it, or of any other."""


@dataclass(frozen=True)
class SpanTools:
    """What spans are read with. `aim`: what is shown is to be good for, "clicks" or "f1"; `lexicons`: patterns that
    heads are fitted with, by control (what a fitted head answers with is its own); `fit_seconds`: see `Basis`."""

    reader: SpanReader
    aim: str = CLICKS
    lexicons: Mapping[str, Lexicon] = field(default_factory=dict)
    fit_seconds: float = math.inf

    @cached_property
    def questions(self) -> QuestionReader:
        """What questions and their passages are read with."""
        return QuestionReader(self.reader)

    def read_ahead(self, control: Control, documents: Sequence[Document]) -> None:
        """Reads what an answer needs, so that it is found in the cache then."""
        inputs = control.inputs
        if control.question is None:
            self.reader.read([document[inputs[0]] for document in documents])
        else:
            self.questions.read([(document[inputs[0]], document[inputs[1]]) for document in documents])

    def tuned_reader(self, encoder: Embedder) -> SpanReader:
        """What reads the last layer of a fine-tuned encoder, over the same cache. Raises ValueError for one that gives
        no states of words."""
        own = encoder.encoder if isinstance(encoder, CachedEncoder) else encoder
        if not isinstance(own, TokenEncoder):
            raise ValueError("this encoder gives no states of words")
        return SpanReader(own, None, self.reader.cache, TAGGED_DEPTHS, hasty=self.reader.hasty, pause=self.reader.pause)

    def answer(
        self,
        head: QuestionHead,
        asked: Sequence[AskedText],
        part: TunedMarks | TunedAnswers | None,
        tuned: Embedder | None,
    ) -> list[Suggestions]:
        """Answers by the head, and by what a fine-tuned encoder says where it has a share (`part`, read by `tuned`).
        Raises ValueError for an encoder that reads no pairs."""
        if not isinstance(part, TunedAnswers) or tuned is None or part.weight <= 0 or not asked:
            return head.spans(asked, self.aim)
        own = tuned.encoder if isinstance(tuned, CachedEncoder) else tuned
        if not isinstance(own, AnsweringEncoder):
            raise ValueError("this encoder answers no questions")
        said = self.questions.read_tuned(own, part.scorer.heads, asked)
        return part.shown_by(head).suggest(asked, part.best(head, asked, said), self.aim)


@dataclass(frozen=True)
class SpanAnswerer:
    """Suggests by one head, and by what a fine-tuned encoder says where it has a share (`marks`, read by `tuned`)."""

    head: SpanHead
    tools: SpanTools
    marks: TunedMarks | None = None
    tuned: SpanReader | None = None

    def suggest(self, read: Sequence[ReadText]) -> list[Suggestions]:
        """What is suggested in each text, and how likely the text is right as it is shown then."""
        pause = self.tools.reader.pause
        if self.marks is None or self.tuned is None or not self.is_blend or not read or not self.head.labels:
            return self.head.spans(read, self.tools.aim, pause=pause)
        again = self.tuned.read([text.text for text in read])
        # Of a long text either encoder may have read more than the other by now.
        far = [min(len(own.bounds), len(other.bounds)) for own, other in zip(read, again, strict=True)]
        read = [text.upto(words) for text, words in zip(read, far, strict=True)]
        again = [text.upto(words) for text, words in zip(again, far, strict=True)]
        own, other = self.head.candidates(read, pause), self.marks.candidates(read, again, pause)
        blend = self.marks.blend(self.head, own, other)
        return blend.head.spans(read, self.tools.aim, blend.candidates, pause)

    @property
    def is_blend(self) -> bool:
        """Whether a fine-tuned encoder has a share."""
        return self.marks is not None and self.tuned is not None and self.marks.weight > 0


def as_answer(control: str, own: Suggestions) -> Prediction:
    """The suggestions of one text as a control's answer."""
    return Prediction(control, (), own.score, spans=own.spans, expected_spans=own.expected)


def is_settled(head: MarkHead) -> bool:
    """Whether a head was fitted from nothing on about as many texts as it knows."""
    return is_settled_alone(head) if isinstance(head, QuestionHead) else is_settled_in_layers(head)


def restore_mark_head(
    config: SpanHeadJson | QuestionHeadJson, arrays: Mapping[str, NDArray[np.generic]], prior: TransferPrior | None
) -> MarkHead:
    """The head that was written so. Raises VersionError for what is none."""
    # Heads of questions say what they are; those of any other marks never did.
    if config.get("kind"):
        return restore_question_head(cast("QuestionHeadJson", config), arrays, prior)
    return restore_span_head(cast("SpanHeadJson", config), arrays, prior)


def cold_span_heads(spec: TaskSpec, tools: SpanTools | None) -> dict[str, MarkHead]:
    """What is known before any label. Raises ValueError for a spec with spans without tools."""
    found: dict[str, MarkHead] = {}
    for control in spec.spans:
        if control.question is None:
            found[control.name] = cold_head(_basis(control, _tools(tools), (), None))
        else:
            words = _tools(tools).questions.words
            taught = _tools(tools).questions.is_taught
            basis = QuestionBasis(control.keys(), StateScale.measure((), words.width), words.prior, taught)
            found[control.name] = cold_question_head(basis)
    return found


def fit_span_heads(
    spec: TaskSpec,
    samples: SpanSamples,
    pool: Sequence[Document],
    tools: SpanTools | None,
    previous: Mapping[str, MarkHead] | None = None,
    repeat: bool = False,
) -> dict[str, MarkHead]:
    """One head per control of `spec.spans`, gone on from `previous` where that is enough; with `repeat` for longer, so
    that no annotator waits for a fit from nothing. Raises as above."""
    found: dict[str, MarkHead] = {}
    if tools is not None and spec.spans:
        tools = replace(tools, fit_seconds=tools.fit_seconds / len(spec.spans))
    for control in spec.spans:
        marked, before = samples.get(control.name, ()), (previous or {}).get(control.name)
        if control.question is not None:
            known = before if isinstance(before, QuestionHead) else None
            found[control.name] = _fit_question(control, marked, _tools(tools), known, repeat)
        else:
            gone_on = before if isinstance(before, SpanHead) else None
            found[control.name] = _fit(control, marked, pool, _tools(tools), gone_on, repeat)
    return found


def find_errors(
    control: Control, samples: Sequence[SpanSample], head: MarkHead, tools: SpanTools | None, go_on: Callable[[], bool]
) -> list[SpanError] | None:
    """What is probably wrong in the samples, which the errors name by their places; None where `go_on` says that
    somebody waits, and for too few of them. `head`: the one fitted on all of them."""
    if isinstance(head, QuestionHead):
        return _find_answer_errors(samples, head, _tools(tools), go_on)
    basis, examples, parts = _examples(control, samples, head, tools)
    found = []
    for layer, own, learned in parts_of(head, basis, examples):
        held_out = hold_out_all(own, learned, layer, go_on)
        if held_out is None:
            return None
        removed = [learned[place].removed for place in held_out.places]
        found.append(find_span_errors(held_out, calibration_of(layer, held_out), removed))
    errors = found[0] if len(found) == 1 else join_errors(found, [example.spans for example in examples])
    return [error.moved(parts[error.place].place, parts[error.place].offset) for error in errors]


def _find_answer_errors(
    samples: Sequence[SpanSample], head: QuestionHead, tools: SpanTools, go_on: Callable[[], bool]
) -> list[SpanError] | None:
    places = [place for place, sample in enumerate(samples) if sample.question is not None]
    asked = [samples[place] for place in places]
    read = tools.questions.read([(sample.text, sample.question or "") for sample in asked])
    basis = QuestionBasis(head.labels, head.scale, tools.questions.words.prior, tools.questions.is_taught)
    examples = [AnsweredText(text, own.spans, own.weight) for text, own in zip(read, asked, strict=True)]
    found = find_answer_errors(basis, examples, [sample.removed for sample in asked], go_on)
    return None if found is None else [replace(error, place=places[error.place]) for error in found]


def hold_out_samples(
    control: Control,
    samples: Sequence[SpanSample],
    head: SpanHead,
    tools: SpanTools | None,
    go_on: Callable[[], bool] = lambda: True,
) -> HeldOut | None:
    """What heads that were fitted on other samples say of each, of a long one part by part; None as above."""
    basis, examples, _ = _examples(control, samples, head, tools)
    return hold_out_all(basis, examples, head, go_on)


def _in_parts(
    reader: SpanReader, samples: Sequence[SpanSample], most: int | None
) -> tuple[list[TextPart], list[SpanExample]]:
    """The samples that have words, read, and as examples; one after another, a long one in parts."""
    texts, spans = [sample.text for sample in samples], [sample.spans for sample in samples]
    parts = [part for part in read_parts(reader, texts, spans, most) if part.text.all_bounds]
    examples = [
        SpanExample(part.text, part.within(own.spans), part.within(own.removed), own.weight)
        for part in parts
        for own in (samples[part.place],)
    ]
    return parts, examples


def _examples(
    control: Control, samples: Sequence[SpanSample], head: SpanHead, tools: SpanTools | None
) -> tuple[Basis, list[SpanExample], list[TextPart]]:
    """The samples as they are learned, one after another, on the scale of the head; and which parts of them these
    are."""
    own = replace(_tools(tools), lexicons={control.name: head.space.lexicon} if head.space.lexicon is not None else {})
    parts, examples = _in_parts(own.reader, samples, None)
    labels = sorted({span.label for sample in samples for span in sample.spans}) if control.options_field else ()
    return _basis(control, own, labels, head.space.scale), examples, parts


def _fit_question(
    control: Control,
    samples: Sequence[SpanSample],
    tools: SpanTools,
    previous: QuestionHead | None,
    repeat: bool,
) -> QuestionHead:
    basis, examples = question_lesson(control, samples, tools, previous)
    return fit_question_head(basis, examples, previous, repeat=repeat)


def question_lesson(
    control: Control, samples: Sequence[SpanSample], tools: SpanTools, previous: QuestionHead | None = None
) -> tuple[QuestionBasis, list[AnsweredText]]:
    """What a head of a control that asks is fitted on: the samples, read, and what does not depend on them."""
    asked = [sample for sample in samples if sample.question is not None]
    read = tools.questions.read([(sample.text, sample.question or "") for sample in asked])
    examples = [AnsweredText(text, sample.spans, sample.weight) for text, sample in zip(read, asked, strict=True)]
    words = tools.questions.words
    kept = previous.scale if previous is not None and len(examples) > ALWAYS_COLD else None
    if kept is None or len(kept.mean) != words.width:
        kept = StateScale.measure([one.asked.passage for one in examples], words.width)
    return QuestionBasis(control.keys(), kept, words.prior, tools.questions.is_taught), examples


def _fit(
    control: Control,
    samples: Sequence[SpanSample],
    pool: Sequence[Document],
    tools: SpanTools,
    previous: SpanHead | None,
    repeat: bool,
) -> SpanHead:
    basis, examples = span_lesson(control, samples, pool, tools, previous)
    return fit_layered_head(basis, examples, previous, repeat=repeat)


def span_lesson(
    control: Control,
    samples: Sequence[SpanSample],
    pool: Sequence[Document],
    tools: SpanTools,
    previous: SpanHead | None = None,
    *,
    whole: bool = False,
) -> tuple[Basis, list[SpanExample]]:
    """What a head of this control is fitted on: the samples that have words, long ones in parts, and what does not
    depend on them. So many are read as a fit takes words; `whole`: all of them."""
    reader = tools.reader
    most = None if whole else most_words({span.label for sample in samples for span in sample.spans})
    parts, examples = _in_parts(reader, samples, most)
    labels = sorted({span.label for sample in samples for span in sample.spans}) if control.options_field else ()
    name = control.inputs[0]
    others = [document[name] for document in pool if name in document][:SCALE_POOL_TEXTS]
    # Word states of another scale cannot be gone on from: it is measured again while every fit is a cold one anyway.
    kept = previous.space.scale if previous is not None and takes_long(examples) else None
    read = [part.text for part in parts]
    scale = kept if kept is not None and len(kept.mean) == reader.width else _measure(reader, read, others)
    return _basis(control, tools, labels, scale), examples


def _measure(reader: SpanReader, read: Sequence[ReadText], pool: Sequence[str]) -> StateScale:
    return StateScale.measure([*read, *reader.known(pool)], reader.width)


def _basis(control: Control, tools: SpanTools, more: Sequence[str], scale: StateScale | None) -> Basis:
    """`more`: labels that only the tasks' data offer."""
    reader = tools.reader
    labels = tuple(dict.fromkeys((*control.keys(), *more)))
    names = reader.name_vectors([control.words.get(label) or label for label in labels], labels)
    scale = scale or StateScale.measure((), reader.width)
    return Basis(labels, names, scale, reader.prior, tools.lexicons.get(control.name), tools.fit_seconds)


def _tools(tools: SpanTools | None) -> SpanTools:
    if tools is None:
        raise ValueError("spans cannot be read without the encoder's word states")
    return tools
