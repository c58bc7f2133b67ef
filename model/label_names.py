"""Label names as words a person would read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from model.label_key import plain_text
from model.spec import Control

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_JOINTS = re.compile(r"[_/\\|.:\-]+")


def words_of(name: str) -> str:
    """`card_payment_fee` -> `card payment fee`, `damagedItem` -> `damaged item`, `HTTPError/x` -> `http error x`.

    A name without letters or digits is returned as it is.
    """
    spaced = _JOINTS.sub(" ", _CAMEL.sub(" ", name))
    words = " ".join(spaced.split()).lower()
    return words or name


def names_of(control: Control, keys: Sequence[str]) -> list[str]:
    """What an encoder reads for each of these label keys: the words; where labels would read the same (`1` and `-1`),
    the text as it stands."""
    texts = [control.words.get(key) or plain_text(key) for key in keys]
    words = [words_of(text) for text in texts]
    often = Counter(words)
    return [word if often[word] == 1 else text for word, text in zip(words, texts, strict=True)]
