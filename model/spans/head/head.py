"""The span head: a chain over word features and the prior, calibrated, beside the memory of strings.

Everything a reply needs is numpy. `config()` and `tensors()` are all of its state, in JSON and arrays; the prior, which
comes with the encoder, is named only.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import prod
from typing import NamedTuple, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from model.errors import VersionError
from model.numerics.arrays import Floats
from model.span import ScoredSpan
from model.spans.chain.crf import Chain, Features, Weights
from model.spans.chain.schedule import choose
from model.spans.chain.span_probabilities import LONGEST, Candidate, span_probabilities
from model.spans.chain.tags import TagSet, WordSpan
from model.spans.features.feature_space import FeatureSpace, StateScale
from model.spans.features.pattern_features import PatternTrust, TrustJson
from model.spans.features.pieces import Piece, candidates_in_pieces
from model.spans.features.reading import Pause, ReadText
from model.spans.head.calibration import CalibrationJson, SpanCalibration
from model.spans.head.layers import put_together
from model.spans.head.prior_share import PriorShare, PriorShareJson
from model.spans.head.text_score import right_as_shown
from model.spans.overlaps import Layer, Relation
from model.spans.patterns.lexicon import unpack_lexicon
from model.spans.string_memory import MemoryJson, Said, StringMemory, covered_words
from model.spans.transfer.prior import TransferPrior
from model.spans.words import to_characters

FORMAT = 1

LEXICON = "lexicon"
"""The array of a head's patterns."""

COLD_THRESHOLD, COLD_F1 = 0.7, 0.5
"""Without any label the prior's spans are shown from here on: at .7 no set loses edits."""

CLICKS, F1 = "clicks", "f1"
"""What suggestions are to be good for: the annotator's clicks, or the figure F1, for which more is shown."""

OPENING_WORDS = 10.0
"""Words that could be read while a text is opened and submitted: without them, short odd texts would be worth most."""
LEAST_SHARE = 0.01
"""Of a text that was read, by which what is said of it is drawn out."""

ALSO = 0.05
"""Probability from which a reason names another label for the same words."""


class RulesJson(TypedDict):
    """ShowRules in JSON."""

    clicks: float
    f1: float


class ShowRules(NamedTuple):
    """Probabilities (of the chain, not calibrated) above which spans are shown, for either aim. A wrong span costs one
    click and a right one saves one, so .5 would be best if they were honest; .45 as they are."""

    clicks: float = 0.45
    f1: float = 0.35

    def of(self, aim: str) -> float:
        """The threshold for this aim."""
        return self.f1 if aim == F1 else self.clicks


class DetailsJson(TypedDict):
    """SpanDetails in JSON."""

    texts: int
    used: int
    cold: int
    longest: int
    held_out: Mapping[str, float]


@dataclass(frozen=True)
class SpanDetails:
    """What a fit found out. `texts` it was fitted on, `used` of them after thinning; `cold`: texts of the last fit from
    nothing; `held_out`: figures on texts that were held out then."""

    texts: int = 0
    used: int = 0
    cold: int = 0
    longest: int = LONGEST
    held_out: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> DetailsJson:
        """By name."""
        return {
            "texts": self.texts,
            "used": self.used,
            "cold": self.cold,
            "longest": self.longest,
            "held_out": dict(self.held_out),
        }


class LayersJson(TypedDict):
    """How the labels of a head overlap, its layers, the heads of all but the first, and the calibration of a
    whole text."""

    overlaps: Sequence[Sequence[str]]
    layers: Sequence[tuple[Sequence[str], Sequence[str], int]]
    inner: Sequence[SpanHeadJson]
    whole: CalibrationJson


class SpanHeadJson(TypedDict):
    """A head without its arrays. `layered`: only where labels overlap; `patterns`: only where somebody brought some."""

    format: int
    labels: Sequence[str]
    dense: float
    offset_weight: float
    prior: str
    calibration: CalibrationJson
    rules: RulesJson
    memory: MemoryJson
    details: DetailsJson
    alone: PriorShareJson
    text_calibration: CalibrationJson
    iterations: int
    layered: NotRequired[LayersJson]
    patterns: NotRequired[TrustJson]


@dataclass(frozen=True)
class Suggestions:
    """The spans of one text. `score`: how likely the text is right as it is shown; `uncertainty`: clicks that
    are in doubt, for each word that is read: what the queue asks for; `expected`: how many spans are likely there."""

    spans: tuple[ScoredSpan, ...]
    score: float
    uncertainty: float
    expected: float = 0.0


@dataclass(frozen=True)
class SpanHead:
    """Suggestions of one control. Without a chain fitted it says what the prior says, or nothing.

    Where labels overlap in the ways of `overlaps`, this is the head of the first of `layers`, `inner` those of the
    others, and `whole` calibrates how likely a text is right in all of them."""

    chain: Chain
    space: FeatureSpace
    prior: TransferPrior | None = field(default=None, repr=False)
    calibration: SpanCalibration = field(default_factory=SpanCalibration)
    rules: ShowRules = field(default_factory=ShowRules)
    memory: StringMemory = field(default_factory=StringMemory, repr=False)
    details: SpanDetails = field(default_factory=SpanDetails)
    alone: PriorShare = field(default_factory=PriorShare)
    text_calibration: SpanCalibration = field(default_factory=SpanCalibration)
    inner: tuple[SpanHead, ...] = field(default=(), repr=False)
    layers: tuple[Layer, ...] = ()
    overlaps: frozenset[Relation] = frozenset()
    whole: SpanCalibration = field(default_factory=SpanCalibration)

    @property
    def labels(self) -> tuple[str, ...]:
        """What spans can be, in the first layer."""
        return self.chain.tags.labels

    def unseen(self, labels: Collection[str]) -> float:
        """The share of these labels that nobody has marked anything as."""
        known = self.memory.labels.union(*(head.memory.labels for head in self.inner))
        return len(set(labels) - known) / len(labels) if labels else 0.0

    def spans(
        self,
        texts: Sequence[ReadText],
        aim: str = CLICKS,
        candidates: Sequence[Sequence[Candidate]] | None = None,
        pause: Pause | None = None,
    ) -> list[Suggestions]:
        """What to show of each text; `candidates`: what is possible in the first layer, where others have a say in
        it; `pause`: as of the reader."""
        found = self.candidates(texts, pause) if candidates is None else candidates
        own = [self._suggest(text, own, self.rules.of(aim)) for text, own in zip(texts, found, strict=True)]
        if not self.inner:
            return own
        layers = [own, *(head.spans(texts, aim, pause=pause) for head in self.inner)]
        return [self._put_together(of_text) for of_text in zip(*layers, strict=True)]

    def _put_together(self, layers: Sequence[Suggestions]) -> Suggestions:
        spans = put_together([own.spans for own in layers], self.overlaps)
        right = float(self.whole.sigmoid(np.array(prod(own.score for own in layers))))
        doubt, expected = sum(own.uncertainty for own in layers), sum(own.expected for own in layers)
        return Suggestions(spans, right, doubt, expected)

    def candidates(self, texts: Sequence[ReadText], pause: Pause | None = None) -> list[list[Candidate]]:
        """What is possible in each text, as chain and prior say (not calibrated); overlapping spans among them."""
        if not self.labels or not texts:
            return [[] for _ in texts]
        ask = partial(self._candidates, texts)
        return candidates_in_pieces(texts, self.chain.tags.size, ask, pause)

    def _candidates(self, texts: Sequence[ReadText], pieces: Sequence[Piece]) -> list[list[Candidate]]:
        features = self.space.features([piece.of(texts) for piece in pieces], self.prior, self.chain.tags)
        sides = self.sides(features) if self.alone.share else self.sides(features)[:1]
        lattices = [chain.lattice_of(scores, features.lengths) for chain, scores in sides]
        found = [span_probabilities(lattice, self.chain.tags, self.details.longest) for lattice in lattices]
        return found[0] if len(found) == 1 else [self.alone.blend(*pair) for pair in zip(*found, strict=True)]

    def sides(self, features: Features) -> list[tuple[Chain, Floats]]:
        """The chain that was fitted, and the prior alone if there is one: as far as it was found right, which is not
        less with more texts. With the log-scores of the words by each."""
        found = [(self.chain, self.chain.emissions(features))]
        if features.offset is not None and self.alone.trust:
            tags, trust = self.chain.tags, np.float32(self.alone.trust / self.space.offset_weight)
            scores = features.offset * trust
            scores = scores if features.matched is None else scores + features.matched
            found.append((Chain(tags, Weights.zeros(0, 0, tags)), scores))
        return found

    def said(self, candidates: Sequence[Candidate], threshold: float) -> Said:
        """The spans of a text that are shown, with their labels, and all that are possible."""
        likely = {self.mark(own): own.probability for own in candidates}
        return Said([self.mark(own) for own in choose(candidates, threshold)], likely)

    def mark(self, own: Candidate) -> WordSpan:
        """A candidate with its label instead of the label's place."""
        return WordSpan(own.first, own.last, self.labels[own.label])

    def _suggest(self, text: ReadText, candidates: Sequence[Candidate], threshold: float) -> Suggestions:
        words = [text.text[start:end] for start, end in text.all_bounds]
        is_any = bool(self.memory.removed)
        allowed = [own for own in candidates if not self._is_removed(words, own)] if is_any else list(candidates)
        said = self.said(allowed, threshold)
        covered = covered_words(said.shown)
        honest = dict(zip(said.likely, self.calibration.apply_all(allowed), strict=True))
        shown = {mark: honest[mark] for mark in said.shown}
        shown |= {
            memory.span: memory.score
            for memory in self.memory.find(words, said.likely)
            if covered.isdisjoint(range(memory.span.first, memory.span.last + 1))
        }
        rivals: dict[tuple[int, int], list[tuple[float, str]]] = {}
        places = {mark[:2] for mark in shown}
        for mark, score in honest.items():
            if mark[:2] in places:
                rivals.setdefault(mark[:2], []).append((-score, mark.label))
        listed = self._listed(text)
        spans = [self._explain(text, words, mark, score, rivals, listed) for mark, score in sorted(shown.items())]
        # What was not read is as likely to be wrong as what was.
        likely = right_as_shown(shown, honest) ** (1 / max(text.share, LEAST_SHARE))
        right = float(self.text_calibration.sigmoid(np.array(likely)))
        doubt = sum(min(own, 1 - own) for own in honest.values())
        return Suggestions(tuple(spans), right, doubt / (OPENING_WORDS + len(words)), sum(honest.values()))

    def _listed(self, text: ReadText) -> dict[tuple[int, int], list[str]]:
        """First and last word of each match of a pattern, and the labels that it says."""
        found: dict[tuple[int, int], list[str]] = {}
        if self.space.lexicon is not None:
            for match in self.space.lexicon.find(text.text, text.bounds):
                found.setdefault((match.first, match.last), []).append(match.label)
        return found

    def _is_removed(self, words: Sequence[str], own: Candidate) -> bool:
        return self.memory.is_removed(words[own.first : own.last + 1], self.labels[own.label])

    def _explain(
        self,
        text: ReadText,
        words: Sequence[str],
        mark: WordSpan,
        score: float,
        rivals: Mapping[tuple[int, int], Sequence[tuple[float, str]]],
        listed: Mapping[tuple[int, int], Sequence[str]],
    ) -> ScoredSpan:
        counts = self.memory.counts(words[mark.first : mark.last + 1])
        own = counts.pop(mark.label, 0)
        parts = [f"seen {_often(own)} as {mark.label}"] if own else []
        parts += [f"also seen {_often(count)} as {label}" for label, count in sorted(counts.items())]
        parts += [f"in your patterns as {label}" for label in listed.get(mark[:2], ())]
        if not parts:
            parts = ["not seen before" if self.details.texts else "from the label's name"]
        others = [(p, label) for p, label in sorted(rivals.get(mark[:2], ())) if label != mark.label and -p >= ALSO]
        parts += [f"also {label} {-p:.2f}" for p, label in others[:1]]
        span = to_characters(text.all_bounds, mark)
        return ScoredSpan(span.start, span.end, span.label, score, "; ".join(parts))

    def config(self) -> SpanHeadJson:
        """Everything but the arrays, as `restore_span_head` reads it."""
        layered: LayersJson = {
            "overlaps": sorted(self.overlaps),
            "layers": list(self.layers),
            "inner": [head.config() for head in self.inner],
            "whole": self.whole.to_json(),
        }
        own: SpanHeadJson = {
            "format": FORMAT,
            "labels": list(self.labels),
            "dense": self.space.dense,
            "offset_weight": self.space.offset_weight,
            "prior": self.prior.name if self.prior is not None else "",
            "calibration": self.calibration.to_json(),
            "rules": {"clicks": self.rules.clicks, "f1": self.rules.f1},
            "memory": self.memory.to_json(),
            "details": self.details.to_json(),
            "alone": self.alone.to_json(),
            "text_calibration": self.text_calibration.to_json(),
            "iterations": self.chain.iterations,
        }
        if self.space.lexicon is not None:
            own["patterns"] = self.space.trust.to_json()
        return {**own, "layered": layered} if self.inner else own

    def tensors(self) -> dict[str, NDArray[np.generic]]:
        """Arrays by name."""
        arrays: dict[str, NDArray[np.generic]] = {
            "known": self.space.known,
            "names": self.space.names,
            "scale.mean": self.space.scale.mean,
            "scale.spread": self.space.scale.spread,
        }
        arrays |= {f"chain.{name}": array for name, array in self.chain.weights.arrays().items()}
        if self.space.lexicon is not None:
            arrays[LEXICON] = self.space.lexicon.packed()
        for place, head in enumerate(self.inner):  # which have the same patterns
            own = {name: array for name, array in head.tensors().items() if name != LEXICON}
            arrays |= {f"inner.{place}.{name}": array for name, array in own.items()}
        return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def restore_span_head(
    config: SpanHeadJson, tensors: Mapping[str, NDArray[np.generic]], prior: TransferPrior | None
) -> SpanHead:
    """The head that `config()` and `tensors()` describe. Raises VersionError where they do not, or for another prior
    than it was fitted with."""
    try:
        wanted = str(config["prior"])
        if wanted and (prior is None or prior.name != wanted):
            raise VersionError("the span head was fitted with a transfer prior that is not there", prior=wanted)
        weights = {
            name.removeprefix("chain."): array.astype(np.float32, copy=False)
            for name, array in tensors.items()
            if name.startswith("chain.")
        }
        scale = StateScale(*(tensors[f"scale.{part}"].astype(np.float32, copy=False) for part in ("mean", "spread")))
        space = FeatureSpace(
            scale,
            float(config["dense"]),
            tensors["known"].astype(np.uint64, copy=False),
            tensors["names"].astype(np.float32, copy=False),
            float(config["offset_weight"]),
            unpack_lexicon(tensors[LEXICON]) if "patterns" in config else None,
            PatternTrust.from_json(config["patterns"]) if "patterns" in config else PatternTrust(),
        )
        head = SpanHead(
            Chain(TagSet(tuple(config["labels"])), Weights(**weights), int(config["iterations"])),
            space,
            prior if wanted else None,
            SpanCalibration(**config["calibration"]),
            ShowRules(**config["rules"]),
            StringMemory.from_json(config["memory"]),
            SpanDetails(**config["details"]),
            PriorShare(**config["alone"]),
            SpanCalibration(**config["text_calibration"]),
        )
        layered = config.get("layered")
        return _restore_layers(head, layered, tensors, prior) if layered else head
    except (KeyError, TypeError, ValueError) as error:
        raise VersionError(f"not a span head: {error}") from error


def _restore_layers(
    head: SpanHead, layered: LayersJson, tensors: Mapping[str, NDArray[np.generic]], prior: TransferPrior | None
) -> SpanHead:
    inner = []
    for place, config in enumerate(layered["inner"]):
        prefix = f"inner.{place}."
        own = {name.removeprefix(prefix): array for name, array in tensors.items() if name.startswith(prefix)}
        own |= {LEXICON: tensors[LEXICON]} if LEXICON in tensors else {}
        inner.append(restore_span_head(config, own, prior))
    layers = tuple(Layer(tuple(labels), tuple(yielding), int(depth)) for labels, yielding, depth in layered["layers"])
    overlaps = frozenset(Relation(*one) for one in layered["overlaps"])
    whole = SpanCalibration(**layered["whole"])
    return replace(head, inner=tuple(inner), layers=layers, overlaps=overlaps, whole=whole)


def _often(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")
