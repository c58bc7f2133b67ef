"""Texts as a span head reads them: words, and for each word what the frozen encoder makes of it.

A word's state is the mean over the word pieces that overlap it, of chosen layers side by side; a word without a piece
(U+200B) has zeros. The prior's hidden features, where there is a prior, are computed from the same pass and kept with
them: 2 layers of MiniLM and the prior are 2,048 bytes a word in float16, 41 kB a text of 20 words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from model.encoder.token_states import LENGTH, STRIDE, TokenStates
from model.features.cache import CachedEncoder, FeatureCache
from model.interfaces import Embedder
from model.spans.features.stretches import FIRST_STRETCHES, LONG_TEXT, MARGIN, STRETCH, Stretch, cut_stretches
from model.spans.transfer.prior import TransferPrior
from model.spans.words import Bounds, find_words
from model.spec import Text
from model.texts import portions, text_key

HEAD_DEPTHS = (1 / 3, 2 / 3)
"""Where in the encoder the head's layers lie: 2 and 4 of MiniLM's 6. The last layer has forgotten the words."""

PORTION_TEXTS, PORTION_CHARACTERS = 128, 32_000
"""Texts read at a time, and their characters: states of all pieces are 4 kB a piece."""

READING = "words 2"
"""Part of the key under which states are kept: to be changed along with anything above or in words.py."""

Halves = NDArray[np.float16]

Pause = Callable[[], None]
"""What somebody calls who works for long, so that others have their turn on the same thread: it may take as long."""


@runtime_checkable
class TokenEncoder(Embedder, Protocol):
    """An encoder that also gives the hidden states of word pieces."""

    @property
    def layers(self) -> int:
        """How many there are."""
        ...

    def token_states(self, texts: Sequence[str], layers: Sequence[int]) -> list[TokenStates]:
        """Of every piece of each text, after these layers."""
        ...

    def embed_both(self, texts: Sequence[str], layers: Sequence[int]) -> tuple[NDArray[np.float32], list[TokenStates]]:
        """Pooled outputs as `embed` gives them, and these."""
        ...


@dataclass(frozen=True)
class ReadText:
    """A text with the states of its words [words, layers * width], and the prior's hidden features [words, hidden];
    without a prior of no columns. `rest`: the words behind, which were not read; `document`: the text that this is a
    part of, where it is one."""

    text: str
    bounds: Bounds
    states: Halves = field(repr=False)
    hidden: Halves = field(repr=False)
    rest: Bounds = ()
    document: str = field(default="", repr=False)

    @property
    def source(self) -> str:
        """The text, or the one that it is a part of."""
        return self.document or self.text

    @property
    def words(self) -> list[str]:
        """The words as they are written."""
        return [self.text[start:end] for start, end in self.bounds]

    @property
    def all_bounds(self) -> Bounds:
        """Of the words that were read and of the rest."""
        return [*self.bounds, *self.rest] if self.rest else self.bounds

    @property
    def all_words(self) -> list[str]:
        """The words of `all_bounds` as they are written."""
        return [self.text[start:end] for start, end in self.all_bounds]

    @property
    def share(self) -> float:
        """Of the words, that was read."""
        return len(self.bounds) / len(self.all_bounds) if self.rest else 1.0

    def part(self, first: int, last: int) -> ReadText:
        """Words `first` to `last` (the one after the last) that were read, as a text of their own."""
        if first == 0 and last == len(self.bounds):
            return self
        own = self.bounds[first:last]
        offset, end = (own[0][0], own[-1][1]) if own else (0, 0)
        moved = [(start - offset, stop - offset) for start, stop in own]
        text = self.text[offset:end]
        return ReadText(text, moved, self.states[first:last], self.hidden[first:last], document=self.source)

    def upto(self, words: int) -> ReadText:
        """As if no more words had been read."""
        if words >= len(self.bounds):
            return self
        bounds, rest = self.bounds[:words], [*self.bounds[words:], *self.rest]
        return ReadText(self.text, bounds, self.states[:words], self.hidden[:words], rest)


def layers_at(depths: Sequence[float], layers: int) -> tuple[int, ...]:
    """The layers of an encoder that lie at these shares of its depth."""
    return tuple(dict.fromkeys(max(1, round(depth * layers)) for depth in depths))


def word_states(bounds: Bounds, tokens: TokenStates) -> Halves:
    """Mean over the pieces that overlap each word, float16 [words, layers * width]; a piece may belong to several."""
    from model.kernels.arrays import to_half, to_single

    pieces, layers, width = tokens.states.shape
    sums = np.zeros((len(bounds), layers * width), np.float32)
    owners, rows = overlaps(bounds, tokens.offsets)
    if not owners:
        return sums.astype(np.float16)
    order = np.argsort(owners, kind="stable")
    found, starts, counts = np.unique(np.asarray(owners)[order], return_index=True, return_counts=True)
    flat = to_single(tokens.states.reshape(pieces, layers * width)[np.asarray(rows)[order]])
    sums[found] = flat[starts]
    for further in range(1, counts.max()):  # most words are one piece
        more = counts > further
        sums[found[more]] += flat[starts[more] + further]
    sums[found] /= counts[:, None].astype(np.float32)
    return to_half(sums)


def overlaps(bounds: Bounds, offsets: Sequence[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """(word, piece) of every pair that shares a character."""
    owners, rows = [], []
    first = 0
    for row, (start, end) in enumerate(offsets):
        while first < len(bounds) and bounds[first][1] <= start:
            first += 1
        word = first
        while word < len(bounds) and bounds[word][0] < end:
            if bounds[word][1] > start:
                owners.append(word)
                rows.append(row)
            word += 1
    return owners, rows


class SpanReader:
    """Reads texts through an encoder, looking into the cache first.

    `prior` is left out when it was trained over another encoder. `hasty`: of long texts only the first stretches are
    read, beside those that the cache has: somebody waits. `pause`: called between any two portions of a long text.
    Thread-safe."""

    def __init__(
        self,
        encoder: TokenEncoder,
        prior: TransferPrior | None = None,
        cache: FeatureCache | None = None,
        depths: Sequence[float] = HEAD_DEPTHS,
        *,
        hasty: bool = False,
        pause: Pause | None = None,
    ) -> None:
        self.encoder, self.cache, self.hasty, self.pause = encoder, cache, hasty, pause
        self.prior = prior if prior is not None and prior.fits(encoder.digest) else None
        self.layers = layers_at(depths, encoder.layers)
        self.width = len(self.layers) * encoder.width
        self._asked = tuple(dict.fromkeys(self.layers + (self.prior.layers if self.prior else ())))
        named = [READING, LENGTH, STRIDE, self.layers, self.prior.name if self.prior else "", encoder.precision]
        self._prefix = bytes.fromhex(encoder.digest) + repr(named).encode()

    @property
    def bytes_a_word(self) -> int:
        """Of the cache."""
        return 2 * (self.width + self.hidden_width)

    @property
    def hidden_width(self) -> int:
        """Columns of what the prior makes of a word; 0 without one."""
        return self.prior.hidden_width if self.prior else 0

    def name_vectors(self, labels: Sequence[str], keys: Sequence[str] = ()) -> NDArray[np.float32]:
        """What the prior reads of label names (and `keys`, what they are called in results): a row for each; of no
        rows without a prior."""
        if self.prior is None:
            return np.zeros((0, self.encoder.width), np.float32)
        return self.prior.vectors(self.encoder, labels, keys)

    def read_both(self, pooled: Embedder, texts: Sequence[str]) -> tuple[NDArray[np.float32], list[ReadText]]:
        """What `pooled.embed` and `read` give of single texts, from one pass of the encoder over those that the cache
        of `pooled` lacks. `pooled`: this reader's encoder, or a cache before it; another is asked by itself."""
        own = pooled.encoder if isinstance(pooled, CachedEncoder) else pooled
        if own is not self.encoder or not texts:
            return pooled.embed([(text,) for text in texts]), self.read(texts)
        features, read = [], list[ReadText]()
        for portion in portions(texts, len, texts=PORTION_TEXTS, characters=PORTION_CHARACTERS):
            known: dict[str, TokenStates] = {}
            build = partial(self._build_both, known)
            asked: list[Text] = [(text,) for text in portion]
            features.append(pooled.embed_by(asked, build) if isinstance(pooled, CachedEncoder) else build(asked))
            read += self.read(portion, known)
        return np.concatenate(features), read

    def _build_both(self, known: dict[str, TokenStates], texts: Sequence[Text]) -> NDArray[np.float32]:
        """Pooled outputs; the states go to `known`."""
        plain = [text for (text,) in texts]
        features, states = self.encoder.embed_both(plain, self._asked)
        known.update(zip(plain, states, strict=True))
        return features

    def read(self, texts: Sequence[str], known: Mapping[str, TokenStates] | None = None) -> list[ReadText]:
        """Each text in turn. Each different one is encoded once; float16 whether it was cached or not. `known`: states
        of texts, at this reader's layers, that need no pass of the encoder."""
        bounds = {text: find_words(text) for text in dict.fromkeys(texts)}
        cut = {text: cut_stretches(text, own) for text, own in bounds.items() if len(text) > LONG_TEXT}
        units: dict[str, Bounds] = {text: own for text, own in bounds.items() if text not in cut}
        units |= {one.text: one.bounds for own in cut.values() for one in (self._at_hand(own) if self.hasty else own)}
        rows = self._rows(units, known or {})
        found = {text: self._whole(text, own, rows[text]) for text, own in bounds.items() if text not in cut}
        found |= {text: self._join(text, bounds[text], own, rows) for text, own in cut.items()}
        return [found[text] for text in texts]

    def read_stretches(self, stretches: Sequence[Stretch]) -> list[tuple[Halves, Halves]]:
        """States of the words of each, those around its own too, and what the prior makes of them."""
        rows = self._rows({one.text: one.bounds for one in stretches}, {})
        return [(rows[one.text][:, : self.width], rows[one.text][:, self.width :]) for one in stretches]

    def unread(self, texts: Sequence[str]) -> list[str]:
        """The stretches of long texts that the cache has not: each can be read as a text by itself."""
        cut = [cut_stretches(text, find_words(text)) for text in dict.fromkeys(texts) if len(text) > LONG_TEXT]
        wanted = list(dict.fromkeys(one.text for own in cut for one in own))
        return [text for text, there in zip(wanted, self._has(wanted), strict=True) if not there]

    def _at_hand(self, stretches: Sequence[Stretch]) -> list[Stretch]:
        """The first ones, and what the cache has behind them without a gap."""
        count = min(FIRST_STRETCHES, len(stretches))
        for there in self._has([one.text for one in stretches[count:]]):
            if not there:
                break
            count += 1
        return list(stretches[:count])

    def _has(self, texts: Sequence[str]) -> list[bool]:
        return [False] * len(texts) if self.cache is None else self.cache.has_many([self._key(text) for text in texts])

    def _whole(self, text: str, bounds: Bounds, rows: Halves) -> ReadText:
        return ReadText(text, bounds, rows[:, : self.width], rows[:, self.width :])

    def _join(self, text: str, bounds: Bounds, stretches: Sequence[Stretch], rows: Mapping[str, Halves]) -> ReadText:
        """A long text from those of its stretches that were read."""
        own = [rows[one.text][one.first : one.last] for one in stretches if one.text in rows]
        joined = np.concatenate(own) if own else np.zeros((0, self.width + self.hidden_width), np.float16)
        read = self._whole(text, bounds[: len(joined)], joined)
        return replace(read, rest=bounds[len(joined) :]) if len(joined) < len(bounds) else read

    def _rows(self, bounds: Mapping[str, Bounds], known: Mapping[str, TokenStates]) -> dict[str, Halves]:
        """The states of the words of each text, and what the prior makes of them, side by side."""
        rows = self._cached(bounds)
        missing = [text for text in bounds if text not in rows]
        most = PORTION_CHARACTERS if self.pause is None else STRETCH + 2 * MARGIN
        for number, portion in enumerate(portions(missing, len, texts=PORTION_TEXTS, characters=most)):
            if number and self.pause is not None:
                self.pause()
            fresh = dict(zip(portion, self._encode(portion, bounds, known), strict=True))
            rows.update(fresh)
            if self.cache is not None:
                self.cache.put_many([(self._key(text), row.tobytes()) for text, row in fresh.items() if len(row)])
        return rows

    def known(self, texts: Sequence[str]) -> list[ReadText]:
        """Those of `texts` that have been read before, each once, without long ones: nothing is encoded."""
        bounds = {text: find_words(text) for text in dict.fromkeys(texts) if len(text) <= LONG_TEXT}
        return [self._whole(text, bounds[text], own) for text, own in self._cached(bounds).items()]

    def _key(self, text: str) -> bytes:
        return text_key((self._prefix.hex(), text))

    def _cached(self, bounds: Mapping[str, Bounds]) -> dict[str, Halves]:
        if self.cache is None:
            return {}
        values = self.cache.get_many([self._key(text) for text in bounds])
        columns = self.width + self.hidden_width
        return {
            text: np.frombuffer(value, np.float16).reshape(-1, columns)
            for text, value in zip(bounds, values, strict=True)
            if value is not None and len(value) == self.bytes_a_word * len(bounds[text])
        }

    def _encode(
        self, texts: Sequence[str], bounds: Mapping[str, Bounds], known: Mapping[str, TokenStates]
    ) -> list[Halves]:
        wanted = [text for text in texts if text not in known]
        tokens = {**known, **dict(zip(wanted, self.encoder.token_states(wanted, self._asked), strict=True))}
        states = [word_states(bounds[text], tokens[text]) for text in texts]
        own = [np.ascontiguousarray(select(rows, self._asked, self.layers)) for rows in states]
        if self.prior is None:
            return own
        asked = [select(rows, self._asked, self.prior.layers) for rows in states]
        hidden = self.prior.hidden(texts, [bounds[text] for text in texts], asked)
        return [np.concatenate(pair, axis=1) for pair in zip(own, hidden, strict=True)]


def select(rows: Halves, layers: Sequence[int], wanted: Sequence[int]) -> Halves:
    """The columns of some layers of word states."""
    places = [layers.index(layer) for layer in wanted]
    width = rows.shape[1] // len(layers)
    return rows.reshape(len(rows), len(layers), width)[:, places].reshape(len(rows), len(wanted) * width)
