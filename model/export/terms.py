"""TF-IDF of words and word pairs, for heads that use them. Part of an export: needs numpy alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from unicodedata import category, normalize

import numpy as np

WORD = re.compile(r"\b\w\w+\b")
UNSPACED = (
    "\u0e01-\u0eff\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f\u1780-\u17ff\u3005-\u3007\u3041-\u30fa\u30fc-\u30ff"
    "\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U0001b000-\U0001b16f\U00020000-\U000323af"
)
POINTS = (
    "[\u00ad\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06ed]"
    "|(?<=i)\u0307"
)


@lru_cache(maxsize=1)
def word_patterns() -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    marks = "".join(chr(point) for point in range(0x300, 0x20000) if category(chr(point))[0] == "M")
    marks += "\u200c\u200d"
    return (
        re.compile(rf"\w[\w{marks}]*"),
        re.compile(rf"[{UNSPACED}][{UNSPACED}{marks}]*|[^{UNSPACED}]+"),
        re.compile(rf"[{UNSPACED}](?:(?![\w])[{marks}])*"),
    )


def find_words(text: str) -> list[str]:
    """In lower case; characters where a script has no blanks."""
    if text.isascii():
        return WORD.findall(text.lower())
    whole, runs, units = word_patterns()
    words: list[str] = []
    for word in whole.findall(re.sub(POINTS, "", normalize("NFKC", text).lower())):
        for run in runs.findall(word):
            words += units.findall(run) or ([run] if len(run) > 1 else [])
    return words


class Words:
    """TF-IDF of words and word pairs: (1 + ln count) idf, rows at unit length."""

    def __init__(self, vocabulary: Sequence[str], idf: Sequence[float]) -> None:
        self.columns = {term: column for column, term in enumerate(vocabulary)}
        self.idf = np.array(idf, np.float32)

    def weigh(self, texts: Sequence[str]) -> np.ndarray:
        rows = np.zeros((len(texts), len(self.idf)), np.float32)
        for row, text in zip(rows, texts, strict=True):
            words = find_words(text)
            for term, count in Counter([*words, *map(" ".join, pairwise(words))]).items():
                if (column := self.columns.get(term)) is not None:
                    row[column] = (1 + np.log(np.float32(count))) * self.idf[column]
            row /= max(float(np.sqrt(np.square(row, dtype=np.float64).sum())), 1e-12)
        return rows
