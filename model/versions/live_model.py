"""A version ready to answer: heads, encoder and how their answers are put together. Immutable, so safe to share."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from model.decoding.answers import AnswerRules, decide
from model.errors import VersionError
from model.features.cache import peeking
from model.features.long_texts import LabelAwarePooling, has_own_reading
from model.head.fit import fit_heads
from model.head.head_config import HeadConfig
from model.head.linear_head import LinearHead
from model.interfaces import Embedder
from model.labels import path_of, plain_text
from model.numerics.arrays import Floats
from model.numerics.temperature import apply_temperature
from model.questions.head import QuestionHead
from model.questions.tuned_answers import TunedAnswers
from model.regions.region_heads import RegionHeads
from model.spans.features.reading import ReadText, SpanReader
from model.spans.features.stretches import LONG_TEXT
from model.spans.head.head import Suggestions
from model.spans.head.tuned_marks import TunedMarks
from model.spec import NONE, Control, Document, Kind, Label, Prediction, TaskSpec, Text
from model.versions.directory import (
    HEADS,
    WEIGHTS,
    Manifest,
    read_heads,
    read_span_heads,
    verify_version,
    version_path,
)
from model.versions.encoder_files import encoder_weights
from model.versions.finetuned import FineTuned, align_columns, blend
from model.versions.region_answers import answer_regions, relate_regions
from model.versions.region_files import read_region_heads
from model.versions.span_answers import MarkHead, SpanAnswerer, SpanTools, as_answer, cold_span_heads
from model.versions.tuned_files import with_tuned_marks
from model.visibility import drop_hidden

Options = Sequence[Mapping[str, Sequence[str]]]

_serials = itertools.count(1)


@dataclass(frozen=True)
class LiveModel:
    """Answers tasks with one version. Holds no lock and keeps no state between calls."""

    version: str
    spec: TaskSpec
    heads: Mapping[str, LinearHead]
    base: Embedder
    finetuned: FineTuned | None = None
    tuned: Embedder | None = None
    manifest: Manifest | None = None
    span_heads: Mapping[str, MarkHead] = field(default_factory=dict)
    tools: SpanTools | None = None
    """What spans are read with; None in a model without."""
    region_heads: RegionHeads = field(default_factory=RegionHeads)
    serial: int = field(default_factory=lambda: next(_serials), compare=False)
    """Of this object in this process: names of versions come again, after a restored backup say."""

    @property
    def configs(self) -> dict[str, HeadConfig]:
        """Control -> its head's config."""
        return {name: head.config() for name, head in self.heads.items()}

    def showing(self, aim: str) -> LiveModel:
        """The same, showing spans for this aim: itself where that is its own, or it marks no text."""
        if self.tools is None or self.tools.aim == aim:
            return self
        return replace(self, tools=replace(self.tools, aim=aim), serial=next(_serials))

    def predict(self, documents: Sequence[Document], options: Options | None = None) -> list[list[Prediction]]:
        """Per document, the answers of the controls whose inputs it holds and which the page asks.

        `options`: per document, control -> the choices that the task itself lists (dynamic choices).
        """
        self._read_together(documents)
        answers: list[list[Prediction]] = [[] for _ in documents]
        features: dict[tuple[str, ...], tuple[Floats, Floats | None]] = {}
        for control in self.spec.controls:
            rows = [i for i, document in enumerate(documents) if all(name in document for name in control.inputs)]
            if not rows:
                continue
            texts = [control.text_of(documents[row]) for row in rows]
            # One encoder pass serves all controls of these inputs; but some read some texts in a way of their own.
            own = any(has_own_reading(control, text) for text in texts)
            key = (*control.inputs, control.name) if own else control.inputs
            if key not in features:
                features[key] = self._embed(control.name, texts)
            pooled, tuned = features[key]
            probabilities = self.scores_of(control.name, texts, pooled, tuned)
            for index, row in enumerate(rows):
                listed = options[row].get(control.name) if options else None
                answer = self._decide(control, probabilities[index], pooled[index], listed)
                if answer is not None:
                    answers[row].append(answer)
        for control in self.spec.spans:
            rows = [i for i, document in enumerate(documents) if all(name in document for name in control.inputs)]
            for row, marked in zip(rows, self.mark(control.name, [documents[row] for row in rows]), strict=True):
                answers[row].append(marked)
        relations = self.region_heads.relations
        if relations is not None and self.tools is not None:
            answers = [
                relate_regions(self.spec, relations, answer, document, self.tools.reader)
                for answer, document in zip(answers, documents, strict=True)
            ]
        return [drop_hidden(self.spec, answer) for answer in answers]

    def _read_together(self, documents: Sequence[Document]) -> None:
        """One pass of the encoder over what both kinds of controls read: they find it in their caches then."""
        if self.tools is None or not self.spec.controls:
            return
        marked = {control.inputs[0] for control in self.spec.spans if control.question is None}
        asked = {control.inputs[0] for control in self.spec.controls if len(control.inputs) == 1}
        shared = {
            document[name]: None
            for document in documents
            for name in marked
            if name in document and any(document.get(other) == document[name] for other in asked)
        }
        if not shared:
            return
        self.tools.reader.read_both(self.base, list(shared))
        if self.tuned is not None and self.finetuned is not None and self.finetuned.reads_words:
            self.tools.tuned_reader(self.tuned).read_both(self.tuned, list(shared))

    def mark(self, control: str, documents: Sequence[Document], *, alone: bool = False) -> list[Prediction]:
        """What a control that marks text suggests in each document, all of which hold its inputs; `alone`: by its head,
        without what a fine-tuned encoder says."""
        if not documents or self.tools is None:
            return []
        inputs = self.spec.control(control).inputs
        found = self.look(control, [(one[inputs[0]], one[inputs[-1]]) for one in documents], alone=alone)
        marked = [as_answer(control, own) for _, own in found]
        if not self.region_heads.questions:
            return marked
        read = self.tools.reader.read([document[inputs[0]] for document in documents])
        return answer_regions(self.spec, self.region_heads, marked, read)

    def look(
        self, control: str, texts: Sequence[tuple[str, str]], *, alone: bool = False
    ) -> list[tuple[ReadText, Suggestions]]:
        """What is suggested in each text, given with its question where the control asks one; and what a text is to be
        compared by: its question, since several may be asked about it, or itself. Raises as `answerer`."""
        tools, head = self._tools(), self.span_heads[control]
        if isinstance(head, QuestionHead):
            asked = tools.questions.read(texts)
            part = self.finetuned.marks.get(control) if self.finetuned is not None and not alone else None
            answers = tools.answer(head, asked, part, self.tuned)
            return list(zip([one.question for one in asked], answers, strict=True))
        read = tools.reader.read([text for text, _ in texts])
        answerer = self.answerer(control)
        found = (replace(answerer, marks=None) if alone else answerer).suggest(read)
        return list(zip(read, found, strict=True))

    def answerer(self, control: str) -> SpanAnswerer:
        """What suggests for a control that marks text and asks nothing. Raises ValueError for another, and in a model
        without tools."""
        tools, head = self._tools(), self.span_heads[control]
        if isinstance(head, QuestionHead):
            raise ValueError(f"{control} asks a question")
        own = self.finetuned.marks.get(control) if self.finetuned is not None else None
        marks = own if isinstance(own, TunedMarks) else None
        reader = tools.tuned_reader(self.tuned) if marks is not None and self.tuned is not None else None
        return SpanAnswerer(head, tools, marks, reader)

    def is_blend(self, control: str) -> bool:
        """Whether the fine-tuned encoder has a share in what a control that marks text suggests."""
        own = self.finetuned.marks.get(control) if self.finetuned is not None and self.tuned is not None else None
        asks = isinstance(self.span_heads.get(control), QuestionHead)
        return own is not None and own.weight > 0 and isinstance(own, TunedAnswers) == asks

    def _tools(self) -> SpanTools:
        if self.tools is None:
            raise ValueError("spans cannot be read without the encoder's word states")
        return self.tools

    def unread(self, documents: Sequence[Document]) -> list[tuple[SpanReader, str]]:
        """What of the texts that spans are marked in was not read yet, of those that are read in stretches, and by
        whom."""
        if self.tools is None:
            return []
        names = {control.inputs[0] for control in self.spec.spans if control.question is None}
        texts = [document[name] for document in documents for name in names if name in document]
        if all(len(text) <= LONG_TEXT for text in texts):
            return []
        readers = [self.tools.reader]
        if self.tuned is not None and self.finetuned is not None and self.finetuned.reads_words:
            readers.append(self.tools.tuned_reader(self.tuned))
        return [(reader, text) for reader in readers for text in reader.unread(texts)]

    def scores(self, control: str, texts: Sequence[Text]) -> Floats:
        """The probabilities [n, K] that would be served, in the order of `labels(control)`."""
        return self.scores_of(control, texts, *self._embed(control, texts))

    def scores_of(self, control: str, texts: Sequence[Text], pooled: Floats, tuned: Floats | None) -> Floats:
        """As `scores`, of texts whose features are known: the base encoder's [n, depth, width] as the control reads
        them, and the fine-tuned one's last layer [n, width] where there is one."""
        own, mixed = self._parts(control, texts, pooled, tuned)
        return self.correct(control, own if mixed is None else mixed)

    def probe(self, control: str, texts: Sequence[Text], listed: Sequence[str] | None = None) -> Floats:
        """As `scores`, for texts that are not needed again: the feature cache is passed by.

        `listed`: the choices that a task offers, then the columns are these."""
        pooled = LabelAwarePooling(peeking(self.base), self.spec.control(control)).embed(texts)
        tuned = peeking(self.tuned).embed(texts)[:, -1] if self.tuned is not None else None
        rows = self.scores_of(control, texts, pooled, tuned)
        if listed is None:
            return rows
        exclusive = not self.spec.control(control).multilabel
        fallback, have = self._zero_shot(pooled, listed), self.labels(control)
        filled = [_fill_unknown(row, have, listed, other, exclusive) for row, other in zip(rows, fallback, strict=True)]
        return np.array(filled).reshape(len(texts), len(listed))

    def parts(self, control: str, texts: Sequence[Text]) -> tuple[Floats, Floats | None]:
        """What would be served but for the correction, and the head alone when that is a blend; [n, K] each."""
        own, mixed = self._parts(control, texts, *self._embed(control, texts))
        return (own, None) if mixed is None else (mixed, own)

    def correct(self, control: str, probabilities: Floats) -> Floats:
        """The correction that test-then-train evidence has earned (decision 0008), last of all; rows sum to 1."""
        served = self.heads[control].details.served_temperature
        return apply_temperature(probabilities, 1.0 if served is None else served)

    def rules(self, control: str) -> AnswerRules:
        """How rows of `scores` become answers: the head's rules, with the blend's own for sets."""
        own, rules = self.spec.control(control), self.heads[control].rules
        part = self.finetuned.heads.get(control) if self.finetuned is not None else None
        if part is None or self.tuned is None or part.weight <= 0 or part.multilabel != own.multilabel:
            return rules
        return rules.with_sets(part.rules)

    def labels(self, control: str) -> tuple[str, ...]:
        """Column order of `scores`."""
        return self.heads[control].labels

    def warm(self) -> None:
        """Run one text through everything, so that the first request finds all of it in memory."""
        self.predict([dict.fromkeys((item.name for item in self.spec.inputs), "warm up")])

    def _embed(self, control: str, texts: Sequence[Text]) -> tuple[Floats, Floats | None]:
        tuned = self.tuned.embed(texts)[:, -1] if self.tuned is not None else None
        return LabelAwarePooling(self.base, self.spec.control(control)).embed(texts), tuned

    def _parts(
        self, control: str, texts: Sequence[Text], pooled: Floats, tuned: Floats | None
    ) -> tuple[Floats, Floats | None]:
        """The head's own answer, and its blend with the fine-tuned one's when that has a share."""
        own = self.heads[control].scores(texts, pooled)
        return own, self.blended(control, own, tuned)

    def blended(self, control: str, own: Floats, tuned: Floats | None) -> Floats | None:
        """The head's answers `own` [n, K] blended with what the fine-tuned encoder says, from its last-layer features
        `tuned` [n, width]; None when that has no share."""
        head = self.heads[control]
        part = self.finetuned.heads.get(control) if self.finetuned is not None else None
        if part is None or tuned is None or part.weight <= 0:
            return None
        if part.multilabel != self.spec.control(control).multilabel:
            return None  # it gave one path, and people give sets by now, or the other way round
        part = part.aged(head.details.count or 0)
        other = align_columns(part.scores(tuned), part.labels, head.labels, own, multilabel=part.multilabel)
        mixed = blend(own, other, part.weight, multilabel=part.multilabel)
        return apply_temperature(mixed, part.temperature, multilabel=part.multilabel)

    def _decide(self, control: Control, row: Floats, pooled: Floats, listed: Sequence[str] | None) -> Prediction | None:
        rules = self.rules(control.name)
        if listed is None:
            return decide(control, rules, row)
        keys = self._with_blank(control, listed)
        exclusive = not control.multilabel
        filled = _fill_unknown(row, self.labels(control.name), keys, self._zero_shot(pooled[None], keys)[0], exclusive)
        return decide(control, replace(rules, labels=keys), filled, options=keys)

    def _with_blank(self, control: Control, listed: Sequence[str]) -> tuple[str, ...]:
        """The choices that a task lists, each once, and NONE where that can be answered."""
        keys = tuple(dict.fromkeys(listed))
        checkbox = len(keys) == 1 and not control.required
        blank = not control.multilabel and (checkbox or NONE in self.labels(control.name))
        return (*keys, NONE) if blank else keys

    def _zero_shot(self, pooled: Floats, keys: Sequence[str]) -> Floats:
        """Similarity of texts [n, depth, width] to the names of listed choices, as probabilities [n, len(keys)]."""
        names = tuple(Label(path_of(key), plain_text(key)) for key in keys if key != NONE)
        control = Control("listed", Kind.SINGLE, ("text",), names)
        head = fit_heads(TaskSpec((), (control,)), {}, [], self.base)["listed"]
        found = np.zeros((len(pooled), len(keys)))
        for column, scores in zip(head.labels, head.scores([("",)] * len(pooled), pooled).T, strict=True):
            if column in keys:
                found[:, list(keys).index(column)] = scores
        return found


def _fill_unknown(row: Floats, have: Sequence[str], want: Sequence[str], fallback: Floats, exclusive: bool) -> Floats:
    """The learned probability of each wanted label; a label never seen takes its zero-shot share. NONE, if wanted the
    last one, keeps what was learned of it, whatever else a task offers."""
    if want[-1:] == (NONE,) and NONE in have:
        blank = row[list(have).index(NONE)]
        total = fallback[:-1].sum()
        rest = _fill_unknown(row, have, want[:-1], fallback[:-1] / total if total > 0 else fallback[:-1], exclusive)
        return np.append(rest * (1 - blank), blank)
    column = {label: index for index, label in enumerate(have)}
    known = np.array([label in column for label in want], dtype=bool)
    filled = fallback.copy()
    learned = np.array([row[column[label]] for label in want if label in column])
    if not exclusive:
        filled[known] = learned
    elif known.any() and learned.sum() > 0:
        filled[known] = learned / learned.sum() * fallback[known].sum()
    return filled


def cold_start(
    spec: TaskSpec, base: Embedder, version: str = "v0", tools: Callable[[], SpanTools] | None = None
) -> LiveModel:
    """The model of a project without any version: label names only, the same wherever it is built. `tools` gives what
    spans are read with: asked for a spec that has some."""
    heads = fit_heads(spec, {}, [], base)
    if not spec.spans or tools is None:
        return LiveModel(version, spec, heads, base)
    found = tools()
    return LiveModel(version, spec, heads, base, span_heads=cold_span_heads(spec, found), tools=found)


def load_version(
    root: Path,
    project: int,
    version: str,
    base: Embedder,
    open_encoder: Callable[[Path], Embedder],
    tools: Callable[[], SpanTools] | None = None,
) -> LiveModel:
    """A published version, every digest verified. Raises VersionError and keeps nothing then.

    `open_encoder(weights)` gives the encoder with fine-tuned weights (the caller may share it between versions);
    `tools` what spans are read with.
    """
    directory = version_path(root, project, version)
    manifest = verify_version(directory)
    if manifest.encoder_digest != base.digest:
        raise VersionError(
            f"{version} was made with another BASE_MODEL (encoder {manifest.encoder_digest}, here {base.digest})",
            version=version,
        )
    weights = _encoder_weights(root, project, manifest)
    heads, finetuned = read_heads(directory, weights)
    try:
        spec = TaskSpec.from_json(manifest.spec)
    except (KeyError, ValueError, TypeError) as error:
        raise VersionError(f"{version}: its task spec cannot be read: {error!r}", version=version) from error
    missing = {control.name for control in spec.controls} - set(heads)
    if missing:
        raise VersionError(f"{version} has no head for {', '.join(sorted(missing))}", version=version)
    for control in spec.controls:
        _require_fit(version, control, heads[control.name])
    tuned = open_encoder(weights) if finetuned is not None and weights is not None else None
    found = tools() if spec.spans and tools is not None else None
    marking = read_span_heads(directory, found.reader.prior) if found is not None else {}
    if found is not None:  # a fine-tune that began before there were spans has none: the next refit adds them
        marking = {**cold_span_heads(spec, found), **marking}
        finetuned = with_tuned_marks(finetuned, directory, found.reader.prior)
    about = read_region_heads(directory / HEADS, directory / WEIGHTS) if found is not None else RegionHeads()
    return LiveModel(version, spec, heads, base, finetuned, tuned, manifest, marking, found, about)


def _require_fit(version: str, control: Control, head: LinearHead) -> None:
    """Raises VersionError for a head with other labels than its control's, or arrays of another number of labels."""
    if control.options_field is None and head.labels not in (control.keys(), (*control.keys(), NONE)):
        raise VersionError(f"{version}: the head of {control.name} has other labels than its control", version=version)
    rows = head.tensors()["prototypes"].shape[0]
    if rows != len(head.labels):
        raise VersionError(
            f"{version}: the head of {control.name} has {rows} rows for {len(head.labels)} labels", version=version
        )


def _encoder_weights(root: Path, project: int, manifest: Manifest) -> Path | None:
    if manifest.finetuned is None:
        return None
    directory = version_path(root, project, manifest.finetuned)
    if manifest.finetuned != manifest.version:
        verify_version(directory)
    weights = encoder_weights(directory)
    if weights is None:
        raise VersionError(f"{manifest.version} needs the encoder of {manifest.finetuned}, which is gone")
    return weights
