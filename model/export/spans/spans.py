"""From log-scores of words to spans: chains and the mean of several, strings seen before, thresholds, honest scores.
Part of an export: needs numpy alone."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from math import prod
from typing import NamedTuple, TypedDict

import numpy as np

LONG_TEXT, PIECE, AROUND = 16_000, 250, 45
LEAST, KEPT, TINY = 0.03, 0.999, 1e-30
EDGE, FITTED_FROM, LEAST_RIGHT = 1e-4, 0.3, 1e-6
SHOWN, EXPECTED, STRENGTH = 0.5, 0.6, 10.0

Bounds = Sequence[tuple[int, int]]
Calibration = tuple[float, float]
Place = tuple[int, int, int]
"""First word, last word, place of the label."""
Mark = tuple[int, int, str]


class MemorySpec(TypedDict):
    """Strings by digest: what each was marked as how often, stood unmarked how often, and was removed as what."""

    marked: dict[str, dict[str, int]]
    unmarked: dict[str, int]
    removed: dict[str, dict[str, int]]
    lengths: list[int]
    right: list[int]
    tried: list[int]


class ChainSpec(TypedDict):
    """Tags O, then B and I of each label. `column`: of the log-scores; `longest`: words of a span."""

    labels: list[str]
    column: int
    longest: int
    transitions: list[list[float]]
    begin: list[float]
    end: list[float]


class LayerSpec(TypedDict):
    """`alone`, `tuned`: other chains, with their shares in the probability of a span."""

    chain: ChainSpec
    alone: ChainSpec | None
    alone_share: float
    tuned: ChainSpec | None
    tuned_share: float
    threshold: float
    calibration: Calibration
    text_calibration: Calibration
    memory: MemorySpec


class SpansSpec(TypedDict):
    """`overlaps`: ways in which labels may overlap; `whole`: calibration of the score over several layers."""

    layers: list[LayerSpec]
    overlaps: list[tuple[str, str, str]]
    whole: Calibration
    shown: dict[str, str]


class Span(TypedDict):
    start: int
    end: int
    label: str
    text: str
    score: float


class Found(NamedTuple):
    start: int
    end: int
    label: str
    score: float


class SpanFinder:
    """Decides what is marked."""

    def __init__(self, spec: SpansSpec) -> None:
        self.spec, self.layers = spec, [Layer(layer) for layer in spec["layers"]]
        self.overlaps = {tuple(own) for own in spec["overlaps"]}

    def find(self, text: str, bounds: Bounds, scores: np.ndarray) -> tuple[list[Span], float]:
        """The spans of a text with these words [start, end], and how likely all of it is right."""
        layers = [layer.find(text, bounds, scores) for layer in self.layers]
        found, right = layers[0]
        if len(layers) > 1:
            found = self.put_together([one for own, _ in layers for one in own])
            right = sigmoid(self.spec["whole"], prod(own for _, own in layers))
        shown = self.spec["shown"]
        return [
            {
                "start": one.start,
                "end": one.end,
                "label": shown.get(one.label, one.label),
                "text": text[one.start : one.end],
                "score": round(min(max(one.score, 0.0), 1.0), 6),
            }
            for one in found
        ], right

    def put_together(self, spans: Sequence[Found]) -> list[Found]:
        """The surest of those that overlap in a way in which nobody draws them."""
        kept: list[Found] = []
        for one in sorted(spans, key=lambda one: (-one.score, one.start, one.end, one.label)):
            if all(one[:3] != own[:3] and self.may_stand(one, own) for own in kept):
                kept.append(one)
        return sorted(kept)

    def may_stand(self, one: Found, own: Found) -> bool:
        if one.start >= own.end or own.start >= one.end:
            return True
        if (one.start, one.end) == (own.start, own.end):
            return ("same", *sorted((one.label, own.label))) in self.overlaps
        if own.start <= one.start and one.end <= own.end:
            return ("inside", one.label, own.label) in self.overlaps
        if one.start <= own.start and own.end <= one.end:
            return ("inside", own.label, one.label) in self.overlaps
        return ("crosses", *sorted((one.label, own.label))) in self.overlaps


class Layer:
    """One head: its chain, what others say beside it, and strings seen before."""

    def __init__(self, spec: LayerSpec) -> None:
        self.spec, self.chain, self.memory = spec, Chain(spec["chain"]), Memory(spec["memory"])
        others = ((spec["alone"], spec["alone_share"]), (spec["tuned"], spec["tuned_share"]))
        self.others = [(Chain(chain), share) for chain, share in others if chain is not None and share > 0]

    def find(self, text: str, bounds: Bounds, scores: np.ndarray) -> tuple[list[Found], float]:
        """Spans, and how likely the text is right as they show it."""
        words, labels, spec = [text[start:end] for start, end in bounds], self.chain.labels, self.spec
        candidates = {
            place: likely
            for place, likely in sorted(self.candidates(text, scores).items())
            if not self.memory.is_removed(words[place[0] : place[1] + 1], labels[place[2]])
        }
        marks = {place: (place[0], place[1], labels[place[2]]) for place in candidates}
        likely = {marks[place]: own for place, own in candidates.items()}
        honest = {mark: calibrate(spec["calibration"], own) for mark, own in likely.items()}
        shown = {marks[place]: honest[marks[place]] for place in choose(candidates, spec["threshold"])}
        covered = {word for first, last, _ in shown for word in range(first, last + 1)}
        for mark, score in self.memory.find(words, likely):
            if covered.isdisjoint(range(mark[0], mark[1] + 1)):
                shown[mark] = score
        right = sigmoid(spec["text_calibration"], right_as_shown(shown, honest))
        found = [Found(bounds[first][0], bounds[last][1], label, own) for (first, last, label), own in shown.items()]
        return sorted(found), right

    def candidates(self, text: str, scores: np.ndarray) -> dict[Place, float]:
        """The mean of what the chains say."""
        found, labels = self.chain.ask(text, scores), self.chain.labels
        for chain, share in self.others:
            places = {at: labels.index(label) for at, label in enumerate(chain.labels) if label in labels}
            known = set(places.values())
            mixed = {place: own * (1 - share if place[2] in known else 1.0) for place, own in found.items()}
            for (first, last, label), own in chain.ask(text, scores).items():
                if label in places:
                    place = first, last, places[label]
                    mixed[place] = mixed.get(place, 0.0) + share * own
            found = mixed
        return found


class Chain:
    """Says how likely each span is."""

    def __init__(self, spec: ChainSpec) -> None:
        self.labels, self.longest, tags = spec["labels"], spec["longest"], 1 + 2 * len(spec["labels"])
        self.columns = slice(spec["column"], spec["column"] + tags)
        kinds = np.where(np.arange(tags) == 0, 0, 1 + (np.arange(tags) + 1) % 2)
        owners = (np.arange(tags) + 1) // 2
        allowed = (kinds != 2)[None, :] | (owners[:, None] == owners)
        self.factors = np.where(allowed, np.exp(np.array(spec["transitions"], float)), 0)
        self.begin = np.where(kinds != 2, np.exp(np.array(spec["begin"], float)), 0)
        self.end = np.exp(np.array(spec["end"], float))
        self.goes_on = np.diagonal(self.factors, offset=1)[1::2]
        self.stays = np.diagonal(self.factors)[2::2]

    def ask(self, text: str, scores: np.ndarray) -> dict[Place, float]:
        """What is possible; a long text in pieces, each with words around it."""
        own = scores[:, self.columns]
        if not len(own) or not self.labels:
            return {}
        if len(text) <= LONG_TEXT:
            return self.probabilities(own)
        found = {}
        for first in range(0, len(own), PIECE):
            begin = max(0, first - AROUND)
            for (start, end, label), likely in self.probabilities(own[begin : first + PIECE + AROUND]).items():
                if first <= start + begin < first + PIECE:
                    found[start + begin, end + begin, label] = likely
        return found

    def probabilities(self, scores: np.ndarray) -> dict[Place, float]:
        """Exact: that just these words carry a label, and their neighbours do not continue it."""
        words = len(scores)
        emitted = np.exp(scores.astype(np.float64) - scores.max(1, keepdims=True))
        forward, backward, ahead = (np.zeros_like(emitted) for _ in range(3))
        scales = np.zeros(words)
        for word in range(words):
            values = (self.begin if word == 0 else forward[word - 1] @ self.factors) * emitted[word]
            scales[word] = max(values.sum(), TINY)
            forward[word] = values / scales[word]
        for word in range(words - 1, -1, -1):
            is_last = word == words - 1
            behind = self.end / max(forward[word] @ self.end, TINY) if is_last else self.factors @ ahead[word + 1]
            backward[word], ahead[word] = behind, emitted[word] * behind / scales[word]
        starts, labels = np.nonzero(forward[:, 1::2] * backward[:, 1::2] >= KEPT * LEAST)
        reach, at = forward[starts, 1 + 2 * labels], starts
        found: dict[Place, float] = {}
        for length in range(1, self.longest + 1):
            factor = (self.goes_on if length == 1 else self.stays)[labels]
            behind = np.minimum(at + 1, words - 1)
            close, onward = backward[at, 2 * labels + min(length, 2)], ahead[behind, 2 * labels + 2] * (at < words - 1)
            likely = reach * np.maximum(close - factor * onward, 0)
            for place in np.flatnonzero(likely >= LEAST).tolist():
                found[int(starts[place]), int(at[place]), int(labels[place])] = min(1.0, float(likely[place]))
            further = (at < words - 1) & (reach * close >= KEPT * LEAST)
            if not further.any():
                break
            starts, labels, at = starts[further], labels[further], at[further] + 1
            reach = reach[further] * factor[further] * emitted[at, 2 * labels + 2] / scales[at]
        return found


def choose(candidates: dict[Place, float], threshold: float) -> list[Place]:
    """Those that share no word and have the largest sum of (probability - threshold)."""
    likely = sorted((place for place, own in candidates.items() if own > threshold), key=lambda place: place[1])
    ends = [place[1] for place in likely]
    best, taken = [0.0], list[tuple[bool, int]]()
    for at, place in enumerate(likely):
        before = bisect_left(ends, place[0], 0, at)
        value = best[before] + candidates[place] - threshold
        taken.append((value > best[at], before))
        best.append(max(value, best[at]))
    chosen, at = [], len(likely)
    while at:
        is_taken, before = taken[at - 1]
        if is_taken:
            chosen.append(likely[at - 1])
        at = before if is_taken else at - 1
    return sorted(chosen)


class Memory:
    """Strings that were marked before, known by their digests."""

    def __init__(self, spec: MemorySpec) -> None:
        self.spec, self.removed = spec, spec["removed"]

    def find(self, words: Sequence[str], said: dict[Mark, float]) -> Iterable[tuple[Mark, float]]:
        """What it suggests, from left to right, longer strings first; none overlap."""
        end = -1
        for first in range(len(words) if self.spec["lengths"] else 0):
            for length in self.spec["lengths"]:
                if first > end and first + length <= len(words):
                    found = self.recall(words[first : first + length], first, said)
                    if found is not None:
                        yield found
                        end = found[0][1]

    def recall(self, key: Sequence[str], first: int, said: dict[Mark, float]) -> tuple[Mark, float] | None:
        own = digest(key)
        labels = self.spec["marked"].get(own)
        if labels is None:
            return None
        label = max(sorted(labels), key=lambda one: labels[one])
        others = sum(labels.values()) - labels[label]
        if self.spec["unmarked"].get(own, 0) + others >= labels[label] or self.is_removed(key, label):
            return None
        mark = first, first + len(key) - 1, label
        telling = len(key) > 1 or any(map(str.isupper, key[0]))
        likely, kind = said.get(mark, 0.0), 0 if telling else 1
        if not all(map(str.isdigit, key)):
            likely = 0.5 + likely if telling else min(0.75, 2 * likely)
        earned = self.spec["right"][kind] / EXPECTED + STRENGTH
        score = min(0.95, likely * earned / (self.spec["tried"][kind] + STRENGTH))
        return (mark, score) if score >= SHOWN else None

    def is_removed(self, key: Sequence[str], label: str) -> bool:
        if not self.removed:
            return False
        own = digest(key)
        count = self.removed.get(own, {}).get(label, 0)
        return count > 0 and self.spec["marked"].get(own, {}).get(label, 0) <= count


def digest(words: Sequence[str]) -> str:
    """What stands for a string: an export holds none of a text."""
    return hashlib.blake2b("\0".join(words).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def calibrate(calibration: Calibration, probability: float) -> float:
    return sigmoid(calibration, max(probability, FITTED_FROM)) * min(probability / FITTED_FROM, 1)


def sigmoid(calibration: Calibration, probability: float) -> float:
    slope, shift = calibration
    if (slope, shift) == (1.0, 0.0):
        return probability
    clipped = min(max(probability, EDGE), 1 - EDGE)
    return float(1 / (1 + np.exp(-(slope * np.log(clipped / (1 - clipped)) + shift))))


def right_as_shown(shown: dict[Mark, float], likely: dict[Mark, float]) -> float:
    """All that is shown must be right, and where nothing is shown nothing may be."""
    right = float(prod(shown.values()))
    taken = {word for first, last, _ in shown for word in range(first, last + 1)}
    hidden = sorted(mark for mark in likely if taken.isdisjoint(range(mark[0], mark[1] + 1)))
    end, missing = -1, 0.0
    for mark in hidden:
        if mark[0] > end:
            right *= 1 - min(1.0, missing)
            missing = 0.0
        missing += likely[mark]
        end = max(end, mark[1])
    return max(right * (1 - min(1.0, missing)), LEAST_RIGHT)
