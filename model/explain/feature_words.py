"""Hand features in words for people, and the groups that they belong to."""

from __future__ import annotations

from model.spans.features.hand_features import short_shape, word_shape
from model.spans.features.reading import ReadText

WORD, AFFIXES, SHAPE = "word", "affixes", "shape"
TOUCHING, NEIGHBOURS, FREQUENCY = "touching", "neighbours", "frequency"
"""The word itself, how it begins and ends, its capitals and digits, whether it touches others, the words around it; and
how often such words are marked whatever they are."""

_GROUPS = {"any": FREQUENCY, "word": WORD, "shape": SHAPE, "long shape": SHAPE, "glued": TOUCHING, "affix": AFFIXES}
_GLUED = ("stands alone", "touches the next word", "touches the word before", "touches both neighbours")
_AWAY = {-2: "two before", -1: "before", 1: "after", 2: "two after"}


def group_of(name: str) -> str:
    """The group of a kind of hand feature."""
    kind, distance = _split(name)
    if distance or name == "shapes":
        return NEIGHBOURS
    return _GROUPS.get(kind, kind)


def describe(name: str, text: ReadText, word: int) -> str:
    """What this kind of feature says of a word, in words."""
    kind, distance = _split(name)
    words = text.words
    own = words[word]
    if distance and kind != "affix":
        return _describe_neighbour(kind, distance, words, word)
    lower = own.lower()
    if kind == "word":
        return f'word "{lower}"'
    if kind == "affix":
        place = int(name.split()[1])
        size = place % 4 + 1
        return f'begins with "{lower[:size]}"' if place < 4 else f'ends in "{lower[-size:]}"'
    if kind == "shape":
        return f"shape {short_shape(own)}"
    if kind == "long shape":
        return f"shape {word_shape(own)[:8]}"
    if kind == "glued":
        return _GLUED[2 * _touches(text, word - 1) + _touches(text, word)]
    if kind == "shapes":
        around = [short_shape(words[at]) if 0 <= at < len(words) else "|" for at in (word - 1, word, word + 1)]
        return f"shapes {' '.join(around)}"
    return name


def _describe_neighbour(kind: str, distance: int, words: list[str], word: int) -> str:
    where, place = _AWAY[distance], word + distance
    if not 0 <= place < len(words):
        return f"{where}: {'the beginning' if distance < 0 else 'the end'} of the text"
    other = words[place]
    if kind == "word":
        return f'{where}: "{other.lower()}"'
    if kind == "shape":
        return f"{where}: shape {short_shape(other)}"
    if kind == "end":
        return f'{where}: ends in "{other.lower()[-3:]}"'
    pair = (words[word], other) if distance > 0 else (other, words[word])
    if kind == "words":
        return f'pair "{" ".join(pair).lower()}"'
    return f"pair of shapes {' '.join(map(short_shape, pair))}"


def _split(name: str) -> tuple[str, int]:
    """("word", -2) of `word -2`; 0 for what is about the word itself."""
    kind, _, rest = name.rpartition(" ")
    if kind == "affix":
        return kind, 0
    return (kind, int(rest)) if kind and rest.lstrip("-").isdigit() else (name, 0)


def _touches(text: ReadText, word: int) -> bool:
    """Whether no blank stands between this word and the next."""
    return 0 <= word < len(text.bounds) - 1 and text.bounds[word][1] == text.bounds[word + 1][0]
