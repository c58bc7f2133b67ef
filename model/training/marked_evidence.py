"""Marked texts of a training that are held out, and what head and fine-tuned encoder suggested there."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from model.encoder.encoder import Encoder
from model.numerics.holdout import is_held_out
from model.span import Span, SpanSample
from model.spans.chain.span_probabilities import Candidate
from model.spans.features.reading import SpanReader
from model.spans.head.fit import Basis, SpanExample, fit_span_head
from model.spans.head.fit_layers import first_layer
from model.spans.head.head import SpanHead
from model.spans.head.held_out import HeldOut, calibrate_head, fold_texts
from model.spans.head.prior_share import PriorShare
from model.spans.head.tuned_marks import TAGGED_DEPTHS, TunedMarks, WordScorer, mix
from model.spec import Control, Document, Json
from model.training.marks.blend_evidence import AROUND, BlendEvidence, Earned, Side, edits_of
from model.training.marks.marked_set import MarkedSet
from model.training.marks.marked_task import MarkedTask
from model.training.questions.asked_task import AskedTask
from model.training.recipe import DEFAULT_RECIPE
from model.versions.span_answers import SpanTools, span_lesson

FoundJson = tuple[Sequence[str], Sequence[Sequence[tuple[int, int, int, float]]]]
"""Labels, and the candidates of each text with those labels' places."""


@dataclass(frozen=True)
class MarkedRows:
    """All texts of one control that have words, and their split: part of each, -1 for those always trained on."""

    control: Control
    basis: Basis
    examples: list[SpanExample]
    parts: NDArray[np.int64]
    _heads: dict[int | None, SpanHead] = field(default_factory=dict, repr=False)

    @property
    def texts(self) -> int:
        """How many different texts there are."""
        return len({example.text.source for example in self.examples})

    def but(self, part: int | None) -> list[SpanExample]:
        """The texts that are learned while those of `part` are held out."""
        return [example for example, own in zip(self.examples, self.parts, strict=True) if own != part]

    def head(self, part: int | None) -> SpanHead:
        """Fitted to the texts that are learned while those of `part` are held out; once a part."""
        if part not in self._heads:
            self._heads[part] = fit_span_head(self.basis, self.but(part), calibrate=False)
        return self._heads[part]

    def of(self, part: int) -> list[SpanExample]:
        """The texts of a part."""
        return [example for example, own in zip(self.examples, self.parts, strict=True) if own == part]

    def teaches(self, part: int | None) -> bool:
        """Whether anything is marked in the texts that are learned then."""
        return any(example.marks for example in self.but(part))

    def steps(self, part: int) -> int:
        """Optimiser steps that these texts call for."""
        return DEFAULT_RECIPE.marked_steps_for(self.texts, self.head(part).alone.trust)

    def lesson(self, part: int | None) -> MarkedSet:
        """What is learned while the texts of `part` are held out."""
        return marked_set(self.control.name, self.head(part), self.but(part))

    def held(self, part: int) -> MarkedSet | None:
        """The texts of a part with the tags that its head knows."""
        return marked_set(self.control.name, self.head(part), self.of(part)) if self.of(part) else None

    def said(self, task: MarkedTask | AskedTask, encoder: Encoder, part: int) -> FoundJson:
        """What the encoder, which was fine-tuned on the other texts, would mark in those of a part."""
        texts, head = [example.text for example in self.of(part)], self.head(part)
        scorer = self._scorer(task, part)
        again = SpanReader(encoder, None, None, TAGGED_DEPTHS).read([text.text for text in texts])
        return scorer.labels, scorer.candidates(texts, again, head.details.longest)

    def earned(self, task: MarkedTask | AskedTask, part: int | None, earned: Earned) -> TunedMarks:
        """What is served of an encoder that was trained on all texts but those of `part`."""
        own = earned.shown
        assert isinstance(own, SpanHead)
        longest, rules = own.details.longest, own.rules
        scorer = self._scorer(task, part)
        return TunedMarks(scorer, earned.weight, self.texts, longest, own.calibration, own.text_calibration, rules)

    def evidence(self) -> MarkedEvidence:
        """To be filled."""
        return MarkedEvidence(self)

    def _scorer(self, task: MarkedTask | AskedTask, part: int | None) -> WordScorer:
        assert isinstance(task, MarkedTask)
        head = self.head(part)
        return task.scorer(head.space.names, head.space.offset_weight, head.prior)


def split_texts(
    control: Control, samples: Sequence[SpanSample], pool: Sequence[Document], tools: SpanTools
) -> MarkedRows | None:
    """The texts of a control and their split; None where nothing is marked, or there is one text only. Where spans
    overlap, what the first layer of the head learns of them: the others are its chains' own."""
    basis, examples = first_layer(*span_lesson(control, samples, pool, tools, whole=True))
    texts = [example.text.source for example in examples]
    if len(set(texts)) < 2 or not any(example.marks for example in examples):
        return None
    if len(set(texts)) < DEFAULT_RECIPE.hold_out_from:
        parts = fold_texts(texts, DEFAULT_RECIPE.folds)
    else:
        sure = {sample.text for sample in samples if sample.ground_truth}  # the surest evidence there is
        parts = np.array([0 if text in sure or is_held_out((text,)) else -1 for text in texts])
    return MarkedRows(control, basis, examples, parts)


def marked_set(name: str, head: SpanHead, examples: Sequence[SpanExample]) -> MarkedSet:
    """The texts as words with the tags of a head, and what the prior says of them as far as it counts there."""
    tags = head.chain.tags
    weight, prior = head.space.offset_weight, head.prior
    offsets = [
        (np.float32(weight) * prior.log_probabilities(example.text.hidden, head.space.names)).astype(np.float16)
        for example in (examples if prior is not None and weight else ())
        if prior is not None
    ]
    return MarkedSet(
        name,
        head.labels,
        [example.text.text for example in examples],
        [tags.encode(len(example.text.bounds), example.marks) for example in examples],
        [example.weight for example in examples],
        offsets,
    )


class MarkedEvidence(BlendEvidence):
    """What head and fine-tuned encoder said of held-out texts of one control."""

    def __init__(self, rows: MarkedRows) -> None:
        self.rows, self._held = rows, HeldOut()
        self._tuned: list[tuple[tuple[str, ...], Sequence[Candidate]]] = []

    def add(self, part: int, said: Json) -> None:
        """The texts of a part, by a head and a fine-tuned encoder that knows the labels, neither having seen them."""
        own, head = self.rows.of(part), self.rows.head(part)
        places = np.flatnonzero(self.rows.parts == part)
        self._held = self._held.add(places, [e.text for e in own], [e.spans for e in own], head)
        labels, found = cast("FoundJson", said)
        self._tuned += [(tuple(labels), [Candidate(*one) for one in text]) for text in found]

    @property
    def labels(self) -> Sequence[str]:
        return self.rows.basis.labels

    @property
    def drawn(self) -> Sequence[Collection[Span]]:
        return self._held.drawn

    @property
    def texts(self) -> Sequence[str]:
        return [text.text for text in self._held.texts]

    def side(self, weight: float) -> Side:
        champion = self._champion()
        held = self._blend(champion, weight) if weight else champion
        head = calibrate_head(replace(held.heads[-1], alone=champion.share), held)
        shown = [held.scored(head.rules.clicks + step) for step in AROUND]
        spent = np.mean([edits_of(own, held.drawn) for own in shown], axis=0)
        return Side(spent, held.scored(head.rules.clicks, head.calibration), head, head.details.held_out)

    def _champion(self) -> HeldOut:
        """The head's side, with the prior's share that held-out texts say."""
        return self._held.learn_share(self._held.heads[-1].alone)

    def _blend(self, champion: HeldOut, weight: float) -> HeldOut:
        rows = zip(champion.heads, champion.candidates, self._tuned, strict=True)
        mixed = [mix(head, [own], labels, [found], weight)[0] for head, own, (labels, found) in rows]
        return replace(champion, fitted=tuple(mixed), share=PriorShare())
