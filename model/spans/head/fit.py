"""Fits a span head to labelled texts: cold with figures on held-out texts, or warm from the head before in a second."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model.span import Span
from model.spans.chain.crf import Chain, Weights, fit_chain
from model.spans.chain.span_probabilities import LONGEST
from model.spans.chain.tags import TagSet, WordSpan
from model.spans.features.feature_space import FeatureSpace, StateScale, dense_scale, prior_weight
from model.spans.features.hand_features import Codes, HandFeatures, choose_features
from model.spans.features.parts import choose_texts
from model.spans.features.pattern_features import PatternTrust, all_features
from model.spans.features.reading import ReadText
from model.spans.head.head import COLD_F1, COLD_THRESHOLD, ShowRules, SpanDetails, SpanHead
from model.spans.head.held_out import HeldOut, calibrate_head, fold_texts
from model.spans.head.prior_share import PriorShare, expected_share
from model.spans.patterns.lexicon import Lexicon, digest_of
from model.spans.string_memory import MemoryBuilder, Said, StringMemory
from model.spans.transfer.prior import TransferPrior
from model.spans.transfer.trust import MOST_TEXTS, prior_trust
from model.spans.words import apart, word_spans

COLD_ITERATIONS, LATE_ITERATIONS, FOLD_ITERATIONS, WARM_ITERATIONS = 30, 40, 20, 6
"""Of a cold fit, of one to more than MANY texts, of one with texts held out, of a warm fit. With few texts 25 to 30 are
as good as 60: stopping early regularises; with 256 to 1,000 ten more are worth half a point to a point of F1."""

MANY = 128

ALWAYS_COLD, GROWTH = 64, 1.25
"""Texts up to which every fit is cold (.3 s) unless it is a large one, and growth since the last cold one from which
the next is."""

REPEAT_GROWTH = 3.0
"""The same where an annotator waits: a cold fit of 1,000 texts takes 5 CPU seconds, a warm one takes one. The cold one
follows when nobody waits."""

RARE_FROM = 2000
"""Texts above which features seen once are left out: half of the columns, for a point of F1 with 256 to 1,000 texts."""

LONGEST_OF_ALL = 40
"""Words of the longest span that is ever looked for."""

FEWEST, ENOUGH_SPANS = 8, 150
"""Texts from which some are held out; spans held out that are enough to calibrate where texts are many."""

UNMARKED, ALONE_WORTH = 4.0, 1.6
"""Log-score of marking nothing where patterns alone say what is marked, before any label and without a prior, and how
much their log-odds count there: a match has a probability of about .75."""

MOST_WORDS = 60_000
"""Words of all texts of a fit: three times those of 1,000 short texts. With more, texts are left out by their hash."""

MANY_LABELS = 80
"""Labels from which only those are looked for that somebody has used: a fit takes as long as there are labels (64 texts
with 40, 150 and 400 of them 2.4, 8.5 and 35 CPU seconds), and so many names tell the prior little. MOST_WORDS goes down
as they go up."""


LARGE = 1_000_000
"""Words times labels of a fit from which as few folds are held out as tell enough, and few texts are gone on from as
many are: an iteration takes a fifth of a CPU second and more."""


@dataclass(frozen=True)
class SpanExample:
    """A labelled text. `removed`: suggestions that its annotator took away; `weight`: how much it counts (several
    annotators that disagree are several examples)."""

    text: ReadText
    spans: tuple[Span, ...] = ()
    removed: tuple[Span, ...] = ()
    weight: float = 1.0

    @property
    def marks(self) -> list[WordSpan]:
        """The spans as words; where some overlap, the longest."""
        return apart(word_spans(self.text.all_bounds, self.spans))


@dataclass(frozen=True)
class Basis:
    """What does not depend on labelled texts: the labels, vectors of their names, the scale of word states, the prior
    if there is one, and patterns if somebody brought some. `fit_seconds`: after these a search for weights ends with
    what it has found."""

    labels: tuple[str, ...]
    names: NDArray[np.float32]
    scale: StateScale
    prior: TransferPrior | None = None
    lexicon: Lexicon | None = None
    fit_seconds: float = math.inf


def cold_head(basis: Basis) -> SpanHead:
    """Before any label: what the prior is sure of, and what patterns say; without either nothing."""
    with_prior = basis.prior is not None and len(basis.labels) <= MANY_LABELS
    labels = basis.labels if with_prior else _listed(basis)
    tags, nothing = TagSet(labels), np.zeros(0, np.uint64)
    believed = PatternTrust() if with_prior else PatternTrust(worth=ALONE_WORTH)
    space = FeatureSpace(basis.scale, dense_scale(0), nothing, basis.names, float(with_prior), basis.lexicon, believed)
    weights = Weights.zeros(len(basis.scale.mean), 0, tags)
    if labels and not with_prior:
        weights = replace(weights, bias=np.where(tags.owners == 0, UNMARKED, 0).astype(np.float32))
    return SpanHead(Chain(tags, weights), space, basis.prior, rules=ShowRules(COLD_THRESHOLD, COLD_F1))


def _listed(basis: Basis) -> tuple[str, ...]:
    """The labels of the patterns; of too many none."""
    listed = set(basis.lexicon.labels if basis.lexicon is not None else ())
    found = tuple(label for label in basis.labels if label in listed)
    return found if len(found) <= MANY_LABELS else ()


def fit_span_head(
    basis: Basis,
    examples: Sequence[SpanExample],
    previous: SpanHead | None = None,
    *,
    calibrate: bool = True,
    repeat: bool = False,
) -> SpanHead:
    """The head of these texts, in the order in which they were labelled. `previous`, of the same basis, is gone on from
    where that is enough. `calibrate`: figures on held-out texts, at a cold fit. `repeat`: go on from `previous`
    for longer; `is_settled` tells whether a fit from nothing is due then."""
    return fit_and_hold_out(basis, examples, previous, calibrate=calibrate, repeat=repeat)[0]


def fit_and_hold_out(
    basis: Basis,
    examples: Sequence[SpanExample],
    previous: SpanHead | None = None,
    *,
    calibrate: bool = True,
    repeat: bool = False,
) -> tuple[SpanHead, HeldOut]:
    """The same, with what was held out at a cold fit."""
    if not examples:
        return cold_head(basis), HeldOut()
    used = _thin([example for example in examples if example.text.bounds or not example.text.rest])
    labels = _labels(basis, used)
    if previous is not None and _is_enough(previous, basis, labels, used, repeat):
        head = _fit_warm(basis, labels, used, previous)
        memory = _remember(examples, {}, previous.memory)
        return replace(head, memory=memory, details=replace(head.details, texts=len(examples))), HeldOut()
    head = _fit_cold(basis, labels, used, LATE_ITERATIONS if len(used) > MANY else COLD_ITERATIONS)
    held_out = _hold_out(basis, used) if calibrate else HeldOut()
    held_out = held_out.learn_share(head.alone)
    head = calibrate_head(replace(head, alone=held_out.share), held_out)
    said = {used[place].text.text: own for place, own in held_out.said(head.rules.clicks).items()}
    memory = _remember(examples, said, None)
    return replace(head, memory=memory, details=replace(head.details, texts=len(examples))), held_out


def _labels(basis: Basis, examples: Sequence[SpanExample]) -> tuple[str, ...]:
    """With the prior all labels from the start; without it, and where they are many, those that occur: tags without
    evidence would get probability all the same."""
    if basis.prior is not None and len(basis.labels) <= MANY_LABELS:
        return basis.labels
    seen = {mark.label for example in examples for mark in example.marks}
    return tuple(label for label in basis.labels if label in seen)


class Fitted(Protocol):
    """A head, as far as what its fit found out goes."""

    @property
    def details(self) -> SpanDetails:
        """That."""
        ...


def is_settled(head: Fitted) -> bool:
    """Whether a head was fitted from nothing on about as many texts as it knows."""
    return not head.details.used or head.details.used < GROWTH * head.details.cold


def _is_enough(
    previous: SpanHead, basis: Basis, labels: tuple[str, ...], examples: Sequence[SpanExample], repeat: bool
) -> bool:
    """Whether a warm fit will do."""
    same = previous.labels == labels and previous.prior is basis.prior and previous.details.cold > 0
    same = same and digest_of(previous.space.lexicon) == digest_of(basis.lexicon)
    kept = same and np.array_equal(previous.space.scale.mean, basis.scale.mean)
    grown = len(examples) >= (REPEAT_GROWTH if repeat else GROWTH) * previous.details.cold
    return kept and not grown and takes_long(examples)


def takes_long(examples: Sequence[SpanExample]) -> bool:
    """Whether a fit from nothing at every label would take too long: many texts, or few of them long documents."""
    return len(examples) > ALWAYS_COLD or _is_large(examples)


def most_words(labels: Collection[str]) -> int:
    """Of all texts of a fit with so many labels in use."""
    return MOST_WORDS * MANY_LABELS // max(MANY_LABELS, len(labels))


def _thin(examples: Sequence[SpanExample]) -> Sequence[SpanExample]:
    words = [len(example.text.bounds) for example in examples]
    most = most_words({span.label for example in examples for span in example.spans})
    if sum(words) <= most:
        return examples
    kept = choose_texts([example.text.text for example in examples], words, most)
    return [example for place, example in enumerate(examples) if place in kept]


def _gold(tags: TagSet, examples: Sequence[SpanExample]) -> NDArray[np.int64]:
    tagged = [tags.encode(len(example.text.bounds), example.marks) for example in examples]
    return np.concatenate(tagged) if tagged else np.zeros(0, np.int64)


def _fit_cold(basis: Basis, labels: tuple[str, ...], examples: Sequence[SpanExample], iterations: int) -> SpanHead:
    texts = [example.text for example in examples]
    tags, count = TagSet(labels), len(examples)
    hand = all_features(texts, basis.lexicon)
    names = _names(basis, labels)
    trust = _trust(basis, tags, examples, names)
    weight = trust * prior_weight(count)
    believed = _pattern_trust(basis, examples)
    space = FeatureSpace(basis.scale, dense_scale(count), _known(hand, count), names, weight, basis.lexicon, believed)
    chain = _fit(space, basis, tags, examples, hand, None, iterations)
    longest = max((mark.last - mark.first + 1 for example in examples for mark in example.marks), default=1)
    details = SpanDetails(count, count, count, int(np.clip(longest, LONGEST, LONGEST_OF_ALL)))
    marked = sum(len(example.marks) for example in examples)
    alone = PriorShare(expected_share(trust, marked), trust)
    return SpanHead(chain, space, basis.prior, details=details, alone=alone)


def _fit_warm(basis: Basis, labels: tuple[str, ...], examples: Sequence[SpanExample], previous: SpanHead) -> SpanHead:
    hand = all_features([example.text for example in examples], basis.lexicon)
    believed = _pattern_trust(basis, examples)
    space = replace(previous.space, known=_known(hand, len(examples)), trust=believed)
    start = replace(previous.chain.weights, sparse=_carry(previous, space.known))
    chain = _fit(space, basis, TagSet(labels), examples, hand, start, WARM_ITERATIONS)
    details = replace(previous.details, used=len(examples))
    return replace(previous, chain=chain, space=space, details=details)


def _fit(
    space: FeatureSpace,
    basis: Basis,
    tags: TagSet,
    examples: Sequence[SpanExample],
    hand: HandFeatures,
    start: Weights | None,
    iterations: int,
) -> Chain:
    features = space.features([example.text for example in examples], basis.prior, tags, hand)
    weights = np.array([example.weight for example in examples], np.float32)
    gold = _gold(tags, examples)
    until = time.monotonic() + basis.fit_seconds
    return fit_chain(features, gold, tags, start=start, iterations=iterations, weights=weights, until=until)


def _known(hand: HandFeatures, texts: int) -> Codes:
    return choose_features(hand, 1 if texts <= RARE_FROM else 2)


def _carry(previous: SpanHead, known: Codes) -> NDArray[np.float32]:
    """The weights of hand features that were there before; 0 for new ones."""
    old = previous.space.known
    weights = np.zeros((len(known), previous.chain.tags.size), np.float32)
    if len(old):
        places = np.minimum(np.searchsorted(old, known), len(old) - 1)
        same = old[places] == known
        weights[same] = previous.chain.weights.sparse[places[same]]
    return weights


def _trust(basis: Basis, tags: TagSet, examples: Sequence[SpanExample], names: NDArray[np.float32]) -> float:
    """How far the prior is right about these texts; 0 without one."""
    if basis.prior is None:
        return 0.0
    few = examples[:: -(-len(examples) // MOST_TEXTS)]
    hidden = np.concatenate([example.text.hidden for example in few])
    said = basis.prior.log_probabilities(hidden, names)
    return prior_trust(said, [len(example.text.bounds) for example in few], _gold(tags, few), tags)


def _pattern_trust(basis: Basis, examples: Sequence[SpanExample]) -> PatternTrust:
    """How far the patterns are right about these texts."""
    if basis.lexicon is None:
        return PatternTrust()
    weights = [example.weight for example in examples]
    texts, drawn = [example.text for example in examples], [example.marks for example in examples]
    return PatternTrust.measure(texts, drawn, weights, basis.lexicon)


def _names(basis: Basis, labels: Sequence[str]) -> NDArray[np.float32]:
    """The vectors of these labels' names; none without a prior."""
    if basis.prior is None:
        return np.zeros((0, basis.names.shape[1]), np.float32)
    return basis.names[[basis.labels.index(label) for label in labels]]


def _hold_out(basis: Basis, examples: Sequence[SpanExample]) -> HeldOut:
    """What heads fitted to a part of the texts say about the others: part after part, until enough spans were seen."""
    held_out = HeldOut()
    count, is_large = len(examples), _is_large(examples)
    folds = 0 if count < FEWEST else 3 if ALWAYS_COLD / 2 < count <= MANY else 4
    own = fold_texts([example.text.source for example in examples], max(folds, 1))
    for fold in range(folds):
        places, head = fold_head(basis, examples, own, fold)
        if head is not None and len(places):
            texts = [examples[place].text for place in places]
            held_out = held_out.add(places, texts, [examples[place].spans for place in places], head)
        known = max(len(held_out.pairs), sum(map(len, held_out.drawn)) if is_large else 0)
        if (count > MANY or is_large) and known >= ENOUGH_SPANS:
            break
    return held_out


def _is_large(examples: Sequence[SpanExample]) -> bool:
    """Whether one fold costs as much as all of many short texts: few of them hold long documents."""
    labels = {span.label for example in examples for span in example.spans}
    return sum(len(example.text.bounds) for example in examples) * len(labels) > LARGE


def fold_head(
    basis: Basis, examples: Sequence[SpanExample], folds: NDArray[np.int64], fold: int
) -> tuple[NDArray[np.int64], SpanHead | None]:
    """(Places of the texts of a fold, the head that is fitted to the others; None where there are none)."""
    rest = [example for example, part in zip(examples, folds, strict=True) if part != fold]
    places = np.flatnonzero(folds == fold)
    if not rest or not len(places):
        return places, None
    rest = list(_thin(rest))
    return places, _fit_cold(basis, _labels(basis, rest), rest, FOLD_ITERATIONS)


def _remember(examples: Sequence[SpanExample], said: Mapping[str, Said], previous: StringMemory | None) -> StringMemory:
    """The memory of all texts. At a warm fit the precision that was found at the cold one stays."""
    builder = MemoryBuilder()
    for example in examples:
        removed = word_spans(example.text.all_bounds, example.removed)
        builder.learn(example.text.all_words, example.marks, removed, said.get(example.text.text))
    memory = builder.memory()
    return memory if previous is None else replace(memory, right=previous.right, tried=previous.tried)
