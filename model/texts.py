"""Texts by their content: a key for the same segments everywhere, their size, and portions that none waits long for."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import xxhash

from model.interfaces import USUAL_COST, Embedder
from model.labels import UNSEEN
from model.spec import Text

UNSPACED_SCRIPTS = r"\p{Han}\p{Hiragana}\p{Katakana}ー\uff70\uff9e\uff9f\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
"""Scripts without blanks between words, in a class of `regex`. The signs of length and voice of kana are of no one
script: without them, all behind `サー` would be one word."""

UNSPACED = (
    "\u0e01-\u0eff\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f\u1780-\u17ff\u3005-\u3007\u3041-\u30fa\u30fc-\u30ff"
    "\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U0001b000-\U0001b16f\U00020000-\U000323af"
)
"""The same in a class of `re`."""

POINTS = (
    "[\u00ad\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06ed]"
    "|(?<=i)\u0307"
)
"""What a word in lower case is the same without, as an expression: vowel points of Hebrew and Arabic, the stroke that
stretches Arabic words, soft hyphens, and the dot that lower case leaves over the i of a Turkish capital."""


def text_key(text: Text) -> bytes:
    """16 bytes that name a text: the same for the same segments, whatever the process or machine."""
    parts = [part.encode("utf-8", "surrogatepass") for part in text]
    return xxhash.xxh3_128(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).digest()


LEAST_LETTERS = 20
"""Letters from which on two texts with the same ones are near-duplicates: then 177 of the 181 such texts of four public
sets have the label of the others. Of shorter ones (GoEmotions: "thank you!") 82 %."""


MOST_CHARACTERS = 50_000


class _Letters(dict[int, int]):
    """For `str.translate`: letters and the marks on them stay, all else is a blank. Filled as characters come, with
    MOST_CHARACTERS at once: all that there are would take 100 MB."""

    def __missing__(self, code: int) -> int:
        if len(self) >= MOST_CHARACTERS:
            self.clear()
        self[code] = code if unicodedata.category(chr(code))[0] in "LM" else 32
        return self[code]


_LETTERS = _Letters()


def normal_form(text: str) -> str:
    """The text in one case, in Unicode's compatible form (NFKC), blanks made one, without what is not seen (the mark at
    the start of a file, soft hyphens, signs of direction): exact duplicates have the same."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", UNSEEN.sub("", text))
    return " ".join(text.casefold().split())


def duplicate_keys(names: Sequence[str], text: Text) -> tuple[int, int | None]:
    """64 bits that exact duplicates of the text share, and 64 that near-duplicates do, which have the same letters and
    differ in digits, signs and blanks alone; None with fewer than LEAST_LETTERS of them. `names`: of the inputs, since
    what is asked about others says nothing here."""
    forms = [normal_form(part) for part in text]
    near = [" ".join(form.translate(_LETTERS).split()) for form in forms]
    letters = sum(len(part) - part.count(" ") for part in near)
    return _hash(names, forms, 0), _hash(names, near, 1) if letters >= LEAST_LETTERS and all(near) else None


def _hash(names: Sequence[str], parts: Sequence[str], seed: int) -> int:
    data = [part.encode("utf-8", "surrogatepass") for part in (*names, *parts)]
    return xxhash.xxh3_64_intdigest(b"".join(len(part).to_bytes(8, "big") + part for part in data), seed=seed)


T = TypeVar("T")

BATCH_TEXTS = 16
"""Large enough for the matrix products, small enough for others to come in between."""

BATCH_CHARACTERS = 8_000
"""About the 2,000 tokens of one forward of the encoder: half a second on a core, where sixteen long texts take ten.
Both bounds are those of an encoder of the usual cost."""

LEAST_SHARE = 0.25
"""Of both bounds, for encoders that cost more: below, a matrix product spends its time on fetching the weights."""

ON_GPU = 32
"""Times both bounds: a GPU that gets sixteen texts at a time spends its time on starting its work."""

Bounds = tuple[int, int]
"""(texts, characters) of a portion."""


def bounds_for(encoder: Embedder) -> Bounds:
    """The texts and characters of one short call of this encoder."""
    if encoder.device.startswith("cuda"):
        return BATCH_TEXTS * ON_GPU, BATCH_CHARACTERS * ON_GPU
    share = min(1.0, max(LEAST_SHARE, USUAL_COST / max(1, encoder.cost)))
    return round(BATCH_TEXTS * share), round(BATCH_CHARACTERS * share)


def portions(
    items: Sequence[T], length: Callable[[T], int], *, texts: int = BATCH_TEXTS, characters: int = BATCH_CHARACTERS
) -> Iterator[list[T]]:
    """The items in order, in lists of at most `texts` items and `characters` by `length`, or of one that is longer."""
    portion: list[T] = []
    size = 0
    for item in items:
        own = length(item)
        if portion and (len(portion) == texts or size + own > characters):
            yield portion
            portion, size = [], 0
        portion.append(item)
        size += own
    if portion:
        yield portion


def characters_of(text: Sequence[str]) -> int:
    """The length of a text: of all its segments."""
    return sum(map(len, text))
