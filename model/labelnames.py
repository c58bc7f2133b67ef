"""Label names as words a person would read."""

from __future__ import annotations

import re

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_JOINTS = re.compile(r"[_/\\|.:\-]+")


def words_of(name: str) -> str:
    """`card_payment_fee` -> `card payment fee`, `damagedItem` -> `damaged item`, `HTTPError/x` -> `http error x`.

    A name without letters or digits is returned as it is.
    """
    spaced = _JOINTS.sub(" ", _CAMEL.sub(" ", name))
    words = " ".join(spaced.split()).lower()
    return words or name
