"""Which of a base model's labels is which of a control's: by name, and only where there is no doubt."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence

_JOINT = re.compile(r"(?<=[^\W_])([\s_/\\|.,:;'\"’()\[\]-]+)(?=[^\W_])")
_STARS = re.compile(r"stars?$")
_UNSEEN = re.compile("[\u00ad\u200b\u200e\u200f\u061c\u180b-\u180d\u2060\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef]")
"""Variation selectors, which say how a character is drawn (`❤` with U+FE0F is red), and signs without a width that
belong to no character. Joiners do: to a family of emoji, to Persian."""


def match_names(theirs: Sequence[str], ours: Sequence[Sequence[str]], *, stars: bool = False) -> list[int]:
    """For each of our labels the place of its name in `theirs`, or -1. Each place is given once.

    `ours`: the names that each label goes by, the surest first. Names that are equal to the letter win; then those
    that are equal as words (`fold_name`), where that leaves one candidate on either side: a model that knows `1`, `0`
    and `-1`, or `yes` and `YES`, tells them apart, and so may we. `stars`: `5` is `5 stars`."""
    found, taken = [-1] * len(ours), set[int]()

    def fold(name: str) -> str:
        return _STARS.sub("", fold_name(name)) if stars else fold_name(name)

    forms: tuple[Callable[[str], str], ...] = (str, fold)
    for form in forms:
        places = _by_name((form(name), place) for place, name in enumerate(theirs))
        for rank in range(max(map(len, ours), default=0)):
            named = [(form(names[rank]), label) for label, names in enumerate(ours) if rank < len(names)]
            alike = _by_name(named)
            for name, label in named:
                candidates = places.get(name, ())
                if found[label] < 0 and len(candidates) == 1 == len(alike[name]) and candidates[0] not in taken:
                    found[label] = candidates[0]
                    taken.add(candidates[0])
    return found


def fold_name(name: str) -> str:
    """The name without case, and without what is not seen or joins its words: `card_payment`, `Card payment`,
    `cardPayment` are one.

    Signs, symbols and emoji stay, and what stands between digits: `C#` is not `C`, `-1` not `1`, `1.0` not `10`."""
    text = unicodedata.normalize("NFC", _UNSEEN.sub("", name)).casefold().strip().rstrip(".,:;")
    return _JOINT.sub(lambda match: _kept(text, match), text)


def _kept(text: str, match: re.Match[str]) -> str:
    before, joint, after = text[match.start() - 1], match.group(), text[match.end()]
    if before.isdigit() and after.isdigit():
        return joint
    return "-" if after.isdigit() and len(joint) > 1 and joint.endswith("-") else ""


def _by_name(pairs: Iterable[tuple[str, int]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for name, place in pairs:
        if name:
            found.setdefault(name, []).append(place)
    return found
