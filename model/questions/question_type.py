"""What a question asks for, as far as its words tell: a kind of question, and the name of what is looked for.

English only, and for what it does not know silent: then labels have to teach it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

KINDS = ("who", "when", "where", "number", "amount", "how", "why", "which", "whether", "other")
"""Kinds of questions; "other" for those that no rule knows, in whatever language."""

NAMES = {
    **{"who": "person", "when": "date", "where": "location", "number": "number", "amount": "amount"},
}
"""Kind -> what the transfer prior is asked for, by that name."""

_WHO = ("who", "whom", "whose")
_COUNTED = ("many", "old", "long", "far", "tall", "high", "deep", "large", "big", "often", "fast", "heavy")
_TIMES = ("year", "date", "century", "decade", "day", "month", "time", "period", "era")
_AUXILIARIES = frozenset(
    (
        *("is", "are", "was", "were", "be", "been", "did", "do", "does", "has", "have", "had", "am", "s"),
        *("can", "could", "will", "would", "should", "may", "might", "must"),
    )
)
_SMALL = frozenset(
    (
        *("the", "a", "an", "of", "in", "on", "at", "to", "for", "by", "from", "with", "and", "or"),
        *("that", "this", "these", "those", "its", "their", "his", "her"),
    )
)
"""Words that end the name of what is asked for, or carry no meaning of their own."""

STOP_WORDS = (
    _AUXILIARIES
    | _SMALL
    | frozenset(
        (
            *("what", "which", "who", "whom", "whose", "when", "where", "why", "how", "many", "much"),
            *("it", "he", "she", "they", "as", "not", "there", "than", "into"),
        )
    )
)


@dataclass(frozen=True)
class QuestionType:
    """`kind`: one of KINDS; `name`: of what is looked for ("" where nothing says it)."""

    kind: str
    name: str

    @property
    def asked(self) -> str:
        """What is looked for, in words; "" where nothing says it."""
        return self.name or ("a reason" if self.kind == "why" else "")


def find_type(words: Sequence[str]) -> QuestionType:
    """Of a question in words, by its first interrogative wherever that stands."""
    low = [word.lower() for word in words]
    for place, word in enumerate(low):
        rest = low[place + 1 :]
        if word in _WHO:
            return QuestionType("who", NAMES["who"])
        if word in ("when", "where"):
            return QuestionType(word, NAMES[word])
        if word == "why":
            return QuestionType("why", "")
        if word == "how":
            return _how(rest)
        if word in ("what", "which"):
            return _which(rest)
    if low and low[0] in _AUXILIARIES:
        return QuestionType("whether", "")
    return QuestionType("other", "")


def _how(rest: Sequence[str]) -> QuestionType:
    if rest and rest[0] == "much":
        return QuestionType("amount", NAMES["amount"])
    if rest and rest[0] in _COUNTED:
        return QuestionType("number", NAMES["number"])
    return QuestionType("how", "")


def _which(rest: Sequence[str]) -> QuestionType:
    """`what kind of engine is` -> engine; `what is the name of the river` -> river; `which year` -> a date."""
    words = list(rest)
    while words and words[0] in _AUXILIARIES | _SMALL | {"name", "names", "kind", "type", "kinds", "types", "called"}:
        words.pop(0)
    name: list[str] = []
    for word in words:
        if word in _AUXILIARIES or word in _SMALL or not word[0].isalpha() or len(name) == 3:
            break
        name.append(word)
    if any(word in _TIMES for word in name[:2]):
        return QuestionType("when", NAMES["when"])
    if name and name[0] in ("percentage", "percent", "number", "population"):
        return QuestionType("number", NAMES["number"])
    # Behind a verb ("what did he invent") the words name something else than what is asked for.
    direct = bool(rest) and (rest[0] not in _AUXILIARIES or rest[1:2] == ["the"])
    return QuestionType("which", " ".join(name) if direct else "")
