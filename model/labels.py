r"""Labels and what they are called: one label, one key (its path as one string, and back), the words a person reads,
and which of a base model's labels is which of a control's.

A key is what stores, heads and files know a label by. Components are joined by `/`; a `\` or `/` within one is escaped,
so that `Input` > `Output` (key `Input/Output`) and the flat "Input/Output" (key `Input\/Output`) stay two labels. What
no UTF-8 text can hold (a lone surrogate) or no store takes (NUL) is escaped as well: a key can be written anywhere.
Nothing else is touched: case, blanks, signs, emoji and Unicode forms tell labels apart.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

_UNSAFE = re.compile(r"[\\/\0\ud800-\udfff]")
_ESCAPED = re.compile(r"\\(?:u([0-9a-f]{4})|(.)|$)", re.DOTALL)
_SEPARATOR = re.compile(r"((?:[^\\/]|\\.|\\$)*)(/|$)", re.DOTALL)
_EMPTY = r"\e"
"""An empty component: Label Studio's page sends one for `alias=""`. The key "" belongs to the empty path."""


@dataclass(frozen=True)
class LabelledAnswer:
    """What people answered to a duplicate of a text: each answer (label keys; none for none of these) with its share,
    the largest first. `agreement`: how likely this text has the label of its duplicates; `near`: they are near ones."""

    answers: tuple[tuple[tuple[str, ...], float], ...]
    agreement: float
    near: bool = False


def key_of(path: Sequence[str]) -> str:
    """The key of a path; different paths have different keys. The empty path has the key ""."""
    return "/".join(_UNSAFE.sub(_escape, part) if part else _EMPTY for part in path)


@lru_cache(maxsize=65_536)
def path_of(key: str) -> tuple[str, ...]:
    """Inverse of `key_of`."""
    if not key:
        return ()
    if "\\" not in key:
        return tuple(key.split("/"))
    parts, at = [], 0
    while match := _SEPARATOR.match(key, at):
        parts.append(_ESCAPED.sub(_unescape, match.group(1)))
        if not match.group(2):
            break
        at = match.end()
    return tuple(parts)


def plain_text(key: str) -> str:
    """The label as people read it: its path joined by `/`, nothing escaped. Two labels may read the same."""
    # A character that cannot be written is shown as the one that stands for such.
    return "/".join(path_of(key)).replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def shown_labels(keys: Iterable[str]) -> dict[str, str]:
    """What people read for each of these keys: its plain text, or the key where others would read the same.

    Different keys are never shown alike."""
    texts = {key: plain_text(key) for key in keys}
    often = Counter(texts.values())
    own = {key for key, text in texts.items() if often[text] == 1 and (text == key or text not in texts)}
    return {key: text if key in own else key for key, text in texts.items()}


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    return "\\" + character if character in "\\/" else f"\\u{ord(character):04x}"


def _unescape(match: re.Match[str]) -> str:
    code, character = match.groups()
    if code:
        return chr(int(code, 16))
    return "" if character in ("e", None) else str(character)


_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_JOINTS = re.compile(r"[_/\\|.:\-]+")


def words_of(name: str) -> str:
    """`card_payment_fee` -> `card payment fee`, `damagedItem` -> `damaged item`, `HTTPError/x` -> `http error x`.

    A name without letters or digits is returned as it is.
    """
    spaced = _JOINTS.sub(" ", _CAMEL.sub(" ", name))
    words = " ".join(spaced.split()).lower()
    return words or name


def names_of(words: Mapping[str, str], keys: Sequence[str]) -> list[str]:
    """What an encoder reads for each of these label keys: its `words`; where labels would read the same (`1` and `-1`),
    the text as it stands."""
    texts = [words.get(key) or plain_text(key) for key in keys]
    spoken = [words_of(text) for text in texts]
    often = Counter(spoken)
    return [name if often[name] == 1 else text for name, text in zip(spoken, texts, strict=True)]


_JOINT = re.compile(r"(?<=[^\s_/\\|.,:;'\"’()\[\]-])([\s_/\\|.,:;'\"’()\[\]-]+)(?=[^\W_])")
_STARS = re.compile(r"stars?$")
UNSEEN = re.compile(
    "[\u00ad\u200b\u200e\u200f\u061c\u180b-\u180d\u202a-\u202e\u2060\u2066-\u2069\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef]"
)
"""Variation selectors, which say how a character is drawn (`❤` with U+FE0F is red), signs of direction, and others
without a width that belong to no character. Joiners do: to a family of emoji, to Persian."""


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
    text = unicodedata.normalize("NFC", UNSEEN.sub("", name)).casefold().strip().rstrip(".,:;")
    return _JOINT.sub(lambda match: _kept(text, match), text)


def _kept(text: str, match: re.Match[str]) -> str:
    before, joint, after = text[match.start() - 1], match.group(), text[match.end()]
    if not before.isalnum() and unicodedata.category(before)[0] != "M":  # a sign; Hindi words may end in a mark
        return joint
    if before.isdigit() and after.isdigit():
        return joint
    return "-" if after.isdigit() and len(joint) > 1 and joint.endswith("-") else ""


def _by_name(pairs: Iterable[tuple[str, int]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for name, place in pairs:
        if name:
            found.setdefault(name, []).append(place)
    return found
