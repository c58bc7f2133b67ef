"""Long texts are read sentence by sentence, with an eye for what the labels are about.

The mean over a text of 2,000 tokens drowns the one sentence that decides. Here each sentence is a text of its own, and
beside their mean stands a mean in which those count more that come near a label's name (attention with the labels as
queries). Both are features: a head chooses out-of-fold (docs/decisions/0011).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from unicodedata import category

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from model.encoder.pairs import two_segments
from model.features.cache import CachedEncoder
from model.interfaces import Embedder
from model.labels import names_of
from model.numerics.arrays import Floats, normalise
from model.spec import Control, Text
from model.texts import characters_of, portions

LONG_CHARACTERS = 1600
"""Characters of one segment from which it is read by sentences: more than a window of 256 tokens usually holds."""

SHORTEST, LONGEST = 24, 400
"""Characters of a sentence: shorter ones join the next, longer ones are cut between words."""

ATTENTION_SHARPNESS = 30.0
"""Cosine similarity -> attention; 20 and 40 were alike."""

CLOSER, STEEPNESS = 0.15, 40.0
"""How much closer to a label's name (cosine) the closest sentence is than the mean of all when it takes half of the
last layer. A text that is about a label all along is closer as a whole."""

READING_KEY = "focus 2"
"""Part of the key under which features are kept: to be changed along with `pool_sentences` and its numbers."""

COMPARING_KEY = "compare 1"
"""The same for the texts that a Pairwise compares."""

CHUNK_CHARACTERS = 64_000
"""Characters of long texts whose sentences are in memory at a time."""

_ENDS, _CLOSERS, _COMMAS = "。！？｡؟۔।॥։።፧။។៕", "」』）】》”’", " 、，､,،;；؛\u3000"
_END = re.compile(rf"(?<=[.!?;؛{_ENDS}])\s+|(?:(?<=[{_ENDS}])|(?<=[{_ENDS}][{_CLOSERS}]))(?![{_ENDS}{_CLOSERS}])|\n+")
"""Signs of other scripts end a sentence without a blank behind them, and a closing quote or bracket belongs to it."""


class LabelAwarePooling(Embedder):
    """An encoder that reads for one control: long texts by sentences, the two texts of a Pairwise each alone. Other
    short texts and pairs are what the encoder says."""

    def __init__(self, embedder: Embedder, control: Control) -> None:
        self.digest, self.width, self.depth = embedder.digest, embedder.width, embedder.depth
        self.taught = embedder.taught
        self._embedder = embedder
        self._names: list[Text] = [(name,) for name in _names_of(control)]
        self._reading = reading_of(control)
        self._compares = control.tag == "Pairwise"

    def embed(self, texts: Sequence[Text]) -> NDArray[np.float32]:
        """Pooled outputs, float32 [n, depth, width]."""
        if self._compares:
            return self._compare(texts)
        long = np.array([bool(self._names) and is_long(text) for text in texts], dtype=bool)
        if not long.any():
            return self._embedder.embed(texts)
        result = np.zeros((len(texts), self.depth, self.width), dtype=np.float32)
        if not long.all():
            result[~long] = self._embedder.embed([text for text, is_one in zip(texts, long, strict=True) if not is_one])
        result[long] = self._read_long([text for text, is_one in zip(texts, long, strict=True) if is_one])
        return result

    def unread_share(self, texts: Sequence[Text]) -> float:
        """As the encoder's."""
        return self._embedder.unread_share(texts)

    def _compare(self, texts: Sequence[Text]) -> NDArray[np.float32]:
        """The one text's features less the other's: turned round they change their sign, as the answer does. What a
        pair says as one sequence, and what its texts have in common, is the same whichever stands first."""
        pairs = [two_segments(text) for text in texts]
        alone = list(dict.fromkeys((segment,) for pair in pairs for segment in pair))
        features = normalise(self._embedder.embed(alone))
        row = {text: index for index, text in enumerate(alone)}
        first, second = ([row[(pair[side],)] for pair in pairs] for side in (0, 1))
        return (features[first] - features[second]).astype(np.float32)

    def _read_long(self, texts: Sequence[Text]) -> NDArray[np.float32]:
        """From the cache where there is one: a hundred sentences a text, at every refit, are too many to pool again."""
        if isinstance(self._embedder, CachedEncoder):
            return self._embedder.derive(self._reading, texts, self._read_sentences)
        # Few at a time: a thousand texts have a gigabyte of sentences.
        parts = portions(texts, characters_of, characters=CHUNK_CHARACTERS)
        return np.concatenate([self._read_sentences(part) for part in parts])

    def _read_sentences(self, texts: Sequence[Text]) -> NDArray[np.float32]:
        sentences = [split_sentences(text[0]) for text in texts]
        unique = list(dict.fromkeys((sentence,) for found in sentences for sentence in found))
        # In one call, so that the encoder sorts and packs them all; a cache knows the sentences from the last time.
        features = self._embedder.embed([*unique, *self._names])
        row, queries = {text: index for index, text in enumerate(unique)}, features[len(unique) :, -1]
        pooled = [pool_sentences(features[[row[(one,)] for one in found]], queries) for found in sentences]
        return np.stack(pooled).astype(np.float32)

    def parts_of(self, text: Text) -> list[Text]:
        """What the encoder reads of a text: itself, its sentences, or the texts that are compared."""
        if self._compares:
            return [(segment,) for segment in two_segments(text)]
        return [(sentence,) for sentence in split_sentences(text[0])] if is_long(text) and self._names else [text]


def reading_of(control: Control) -> str:
    """What the features of texts with a reading of their own depend on besides encoder and text."""
    if control.tag == "Pairwise":
        return COMPARING_KEY
    return "\0".join([READING_KEY, *_names_of(control)])


def _names_of(control: Control) -> list[str]:
    return names_of(control.words, control.keys())


def has_own_reading(control: Control, text: Text) -> bool:
    """Whether this control reads the text otherwise than others do."""
    return control.tag == "Pairwise" or is_long(text)


def is_long(text: Text) -> bool:
    """Whether a text is read by sentences: one segment of `LONG_CHARACTERS` characters and more."""
    return len(text) == 1 and len(text[0]) >= LONG_CHARACTERS


def pool_sentences(sentences: Floats, queries: Floats) -> Floats:
    """Features [depth, width] of a text from those of its sentences [m, depth, width] and the label names [K, width].

    The last layer is the sentences' mean, or what attention to the labels gives, the more one sentence is closer to a
    label than the whole. The layers before it are attention alone, for the last layer and the one before, and the mean.
    """
    mean, names = sentences.mean(0), normalise(queries).T
    similarity = normalise(sentences[:, -1]) @ names
    near = (similarity - similarity.mean(0)).max(1)  # each label against its own usual similarity in this text
    weights = np.exp(ATTENTION_SHARPNESS * (near - near.max()))
    attended = np.tensordot(weights / weights.sum(), sentences, 1)
    closer = similarity.max() - (normalise(mean[-1]) @ names).max()
    share = expit(STEEPNESS * (closer - CLOSER))
    last = (1 - share) * mean[-1] + share * attended[-1]
    return np.stack([mean[0], mean[-1], attended[max(-2, -len(mean))], attended[-1], last][-len(mean) :])


def split_sentences(text: str) -> list[str]:
    """The different sentences in their order, each of `SHORTEST` to `LONGEST` characters where possible; one at least.

    What is said again and again counts once: a footer repeated ten times would have ten times the attention."""
    sentences: list[str] = []
    held = ""
    for part in filter(None, (piece.strip() for piece in _END.split(text))):
        held = f"{held} {part}" if held else part
        if len(held) >= SHORTEST:
            sentences += _cut(held)
            held = ""
    return list(dict.fromkeys([*sentences, held] if held else sentences)) or [""]


def _cut(sentence: str) -> list[str]:
    pieces = []
    while len(sentence) > LONGEST:
        at = max(sentence.rfind(sign, LONGEST // 2, LONGEST) + 1 for sign in _COMMAS)
        if at == 0:  # no mark stands away from its letter
            at = next((at for at in range(LONGEST, LONGEST // 2, -1) if category(sentence[at])[0] != "M"), LONGEST)
        pieces.append(sentence[:at].rstrip())
        sentence = sentence[at:].lstrip()
    return [*pieces, sentence] if sentence else pieces
