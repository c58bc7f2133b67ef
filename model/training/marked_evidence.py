"""Marked texts of a training that are held out, what head and fine-tuned encoder suggested there, and what follows: the
share of the fine-tune, its calibration, and the verdict."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from model.evidence.gate import MarkedSide, Verdict, decide_marked_promotion
from model.numerics.arrays import Floats
from model.numerics.holdout import is_held_out
from model.span import ScoredSpan, Span, SpanSample
from model.spans.chain.span_probabilities import Candidate
from model.spans.features.reading import SpanReader
from model.spans.head.fit import Basis, SpanExample, fit_span_head
from model.spans.head.fit_layers import first_layer
from model.spans.head.head import SpanHead
from model.spans.head.held_out import HeldOut, calibrate_head, fold_texts
from model.spans.head.prior_share import PriorShare
from model.spans.head.tuned_marks import TunedMarks, WordScorer, mix
from model.spans.quality import edits
from model.spec import Control, Document
from model.training.marks.marked_set import MarkedSet
from model.training.recipe import DEFAULT_RECIPE
from model.versions.span_answers import span_lesson

WEIGHTS = (0.0, 0.3, 0.5)
"""Shares that are tried, the least edits win. More was worse on every set but one cell."""

AROUND = (-0.1, -0.05, 0.0, 0.05, 0.1)
"""Edits are a mean over these thresholds around the shown one: which spans are just above it is chance, and the mean
has four fifths of the noise (256 texts of bc5cdr, share .3: a standard error of .026 edits a text instead of .032)."""

FIRST_WEIGHT = 0.3
"""The one by which it is decided early whether there is any hope."""


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
        return len({example.text.text for example in self.examples})

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


def split_texts(
    control: Control, samples: Sequence[SpanSample], pool: Sequence[Document], reader: SpanReader
) -> MarkedRows | None:
    """The texts of a control and their split; None where nothing is marked, or there is one text only. Where spans
    overlap, what the first layer of the head learns of them: the others are its chains' own."""
    basis, examples = first_layer(*span_lesson(control, samples, pool, reader))
    texts = [example.text.text for example in examples]
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


@dataclass(frozen=True)
class Earned:
    """What the fine-tune of one control came to: `weight`: the share that costs the fewest edits; `shown`: a head with
    the calibration and the thresholds of the mean."""

    verdict: Verdict
    weight: float
    shown: SpanHead

    def marks(self, scorer: WordScorer, texts: int) -> TunedMarks:
        """What is served, trained on so many texts."""
        own = self.shown
        longest, rules = own.details.longest, own.rules
        return TunedMarks(scorer, self.weight, texts, longest, own.calibration, own.text_calibration, rules)


class MarkedEvidence:
    """What head and fine-tuned encoder said of held-out texts of one control."""

    def __init__(self, rows: MarkedRows) -> None:
        self.rows, self._held = rows, HeldOut()
        self._tuned: list[tuple[tuple[str, ...], Sequence[Candidate]]] = []

    def add(self, part: int, labels: Sequence[str], tuned: Sequence[Sequence[Candidate]]) -> None:
        """The texts of a part, by a head and a fine-tuned encoder that knows `labels`, neither having seen them."""
        own, head = self.rows.of(part), self.rows.head(part)
        places = np.flatnonzero(self.rows.parts == part)
        self._held = self._held.add(places, [e.text for e in own], [e.spans for e in own], head)
        self._tuned += [(tuple(labels), found) for found in tuned]

    @property
    def count(self) -> int:
        """Texts so far."""
        return len(self._held.texts)

    def is_hopeless(self, min_examples: int, seed: int) -> bool:
        """Whether the rest of the parts can be spared: even a small share is clearly worse on those so far."""
        if self.count < min_examples:
            return False
        champion = self._champion()
        sides = [self._side(held) for held in (champion, self._blend(champion, FIRST_WEIGHT))]
        verdict = self._compare(sides[0], sides[1], min_examples, seed)
        return verdict.evidence.get("better", 1.0) <= DEFAULT_RECIPE.hopeless

    def judge(self, min_examples: int, seed: int) -> Earned | None:
        """The gate's verdict on the share that costs the fewest edits, which is chosen for one half of the texts on the
        other: nothing is judged by what it was chosen by. None without a held-out text."""
        if not self.count:
            return None
        champion = self._champion()
        held = {weight: self._blend(champion, weight) if weight else champion for weight in WEIGHTS}
        sides = {weight: self._side(own) for weight, own in held.items()}
        half = fold_texts([text.text for text in champion.texts], 2)
        chosen = np.zeros(self.count)
        for part in (0, 1):
            chosen[half == part] = _least_edits(sides, half != part)
        best = _least_edits(sides, np.ones(self.count, bool))
        weight = best or FIRST_WEIGHT
        challenger = replace(_pick(sides, chosen), figures=sides[weight].figures)
        verdict = self._compare(sides[0.0], challenger, min_examples, seed)
        if verdict.accepted and not best:
            verdict = replace(verdict, accepted=False, decided=False, reason=f"no share is better; {verdict.reason}")
        return Earned(verdict, weight, sides[weight].head)

    def _champion(self) -> HeldOut:
        """The head's side, with the prior's share that held-out texts say."""
        return self._held.learn_share(self._held.heads[-1].alone)

    def _blend(self, champion: HeldOut, weight: float) -> HeldOut:
        rows = zip(champion.heads, champion.candidates, self._tuned, strict=True)
        mixed = [mix(head, [own], labels, [found], weight)[0] for head, own, (labels, found) in rows]
        return replace(champion, fitted=tuple(mixed), share=PriorShare())

    def _side(self, held: HeldOut) -> _Side:
        """What a side shows, calibrated on the same texts as the other, so that neither has the advantage."""
        head = calibrate_head(replace(held.heads[-1], alone=self._champion().share), held)
        spent = np.mean([_edits(held, head.rules.clicks + step) for step in AROUND], axis=0)
        return _Side(spent, held.scored(head.rules.clicks, head.calibration), head, head.details.held_out)

    def _compare(self, champion: _Side, challenger: _Side, min_examples: int, seed: int) -> Verdict:
        labels, drawn = self.rows.basis.labels, self._held.drawn

        def table(spans: Sequence[Collection[Span]]) -> NDArray[np.bool_]:
            rows = [[any(span.label == label for span in own) for label in labels] for own in spans]
            return np.array(rows, bool).reshape(len(drawn), len(labels))

        def hits(side: _Side) -> MarkedSide:
            found = [{one.span for one in own} & true for own, true in zip(side.shown, drawn, strict=True)]
            return MarkedSide(side.edits, table(found), side.figures)

        given = hits(champion), hits(challenger), table(drawn)
        return decide_marked_promotion(*given, min_examples=min_examples, seed=seed)


@dataclass(frozen=True)
class _Side:
    """`edits` of each text from what is `shown`; `head` as it was calibrated; `figures` of it."""

    edits: Floats
    shown: list[list[ScoredSpan]]
    head: SpanHead
    figures: Mapping[str, float]


def _edits(held: HeldOut, threshold: float) -> Floats:
    """Of each text, from what would be shown at this threshold."""
    shown = zip(held.scored(threshold), held.drawn, strict=True)
    return np.array([edits({one.span for one in own}, drawn) for own, drawn in shown], float)


def _least_edits(sides: Mapping[float, _Side], rows: NDArray[np.bool_]) -> float:
    """The share that costs the fewest edits on these texts, of equal ones the smallest."""
    return min(sides, key=lambda weight: (float(sides[weight].edits[rows].sum()), weight))


def _pick(sides: Mapping[float, _Side], chosen: Floats) -> _Side:
    """Of each text what the share says that was chosen for it."""
    shares = chosen.tolist()
    spent = np.array([sides[weight].edits[row] for row, weight in enumerate(shares)])
    return replace(sides[0.0], edits=spent, shown=[sides[weight].shown[row] for row, weight in enumerate(shares)])
