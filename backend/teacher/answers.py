"""What the teacher said, held against the label config: labels that are there, quotes that stand in the text.

Whatever does not fit is left out; nothing of it is ever shown or run."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from backend.errors import TeacherAnswerBad
from backend.teacher.client import Reply
from backend.teacher.prompt import asked_of, names_of
from model.spec import Control, Document, Kind, TaskSpec

if TYPE_CHECKING:
    from model.spec import Json, JsonObject

USUAL_CONFIDENCE = 0.8
"""Of an answer that says nothing of how sure it is."""

LEAST_CONFIDENCE, MOST_CONFIDENCE = 0.5, 0.95
"""A language model that says 1 is wrong one time in ten."""

MOST_BRACES = 200
"""That may be the beginning of the JSON object."""

MOST_QUOTES = 100
LONGEST_QUOTE = 200


@dataclass(frozen=True)
class Answer:
    """What is kept of one text: `shares`, control -> label key -> how likely; `quotes`, control -> (string, label)."""

    shares: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    quotes: Mapping[str, Sequence[tuple[str, str]]] = field(default_factory=dict)

    def to_json(self) -> str:
        return json.dumps({"shares": self.shares, "quotes": self.quotes}, ensure_ascii=True)

    @classmethod
    def from_json(cls, text: str) -> Answer:
        """Raises KeyError, TypeError, ValueError or AttributeError on foreign data."""
        data = json.loads(text)
        shares = {str(name): {str(k): float(v) for k, v in own.items()} for name, own in data["shares"].items()}
        quotes = {str(name): [(str(a), str(b)) for a, b in own] for name, own in data["quotes"].items()}
        return cls(shares, quotes)


def read_answer(spec: TaskSpec, document: Document, reply: Reply) -> Answer:
    """The part of an answer that can be used. Raises TeacherAnswerBad where that is nothing."""
    data = _object(reply.content)
    shares: dict[str, Mapping[str, float]] = {}
    quotes: dict[str, Sequence[tuple[str, str]]] = {}
    controls = asked_of(spec)
    for control in controls:
        own = data.get(control.name)
        if own is None and len(controls) == 1 and ("labels" in data or "spans" in data):
            own = data  # small models leave the name out
        if control.kind is Kind.SPANS:
            if (found := _quotes(control, document, own)) is not None:
                quotes[control.name] = found
        elif (said := _labels(control, own)) is not None:
            shares[control.name] = _soften(control, said, _confidence(own, said, control, reply))
    if not shares and not quotes:
        raise TeacherAnswerBad("the teacher's answer names no label of the config")
    return Answer(shares, quotes)


def _object(content: str) -> JsonObject:
    """The last JSON object in an answer: it may stand in a fence, between words, or behind what was thought aloud."""
    decoder, place, found = json.JSONDecoder(), 0, None
    for _ in range(MOST_BRACES):
        place = content.find("{", place)
        if place < 0:
            break
        try:
            data, place = decoder.raw_decode(content, place)
            found = data if isinstance(data, dict) and (data or found is None) else found
        except (ValueError, RecursionError):
            place += 1
    if found is None:
        raise TeacherAnswerBad("the teacher's answer holds no JSON object")
    return found


def _labels(control: Control, own: Json) -> list[str] | None:
    """Keys that the answer names; None for an answer that cannot be used: a label that is not there spoils it."""
    given = own.get("labels") if isinstance(own, dict) else own
    if isinstance(given, str | int) and not isinstance(given, bool):
        given = [str(given)]
    if not isinstance(given, list) or len(given) > len(control.labels):
        return None
    known = _known(control)
    said = [known(str(one)) if isinstance(one, str | int) else None for one in given]
    keys = list(dict.fromkeys(key for key in said if key is not None))
    if None in said or (not control.multilabel and len(keys) != 1):
        return None
    return keys


def _known(control: Control) -> Callable[[str], str | None]:
    """The key of what the teacher calls a label: word for word, else in whatever case and with whatever blanks, where
    that is one label only."""
    names = names_of(control)
    exact = {key: key for key in names.values()} | names
    alike: dict[str, set[str]] = {}
    for name, key in exact.items():
        alike.setdefault(_plain(name), set()).add(key)

    def find(said: str) -> str | None:
        keys = alike.get(_plain(said), set())
        return exact.get(said, next(iter(keys)) if len(keys) == 1 else None)

    return find


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _confidence(own: Json, said: Sequence[str], control: Control, reply: Reply) -> float:
    """By log-probabilities where they are offered, else as it says."""
    sure = _measured(reply, [control.show(key) for key in said])
    if sure is None:
        given = own.get("confidence") if isinstance(own, dict) else None
        is_number = isinstance(given, int | float) and not isinstance(given, bool) and math.isfinite(given)
        sure = float(given) if is_number and 0 <= given <= 1 else USUAL_CONFIDENCE  # type: ignore[arg-type, operator]
    return min(max(sure, LEAST_CONFIDENCE), MOST_CONFIDENCE)


def _measured(reply: Reply, names: Sequence[str]) -> float | None:
    """The probability of the tokens that spell the labels; None where they are not found."""
    text = "".join(token for token, _ in reply.tokens)
    if not names or text.strip() != reply.content.strip():
        return None
    total = 0.0
    for name in names:
        spelt = json.dumps(name, ensure_ascii=False)
        start = text.find(spelt)
        if start < 0:
            return None
        end, place = start + len(spelt), 0
        for token, value in reply.tokens:
            if place < end and place + len(token) > start:
                total += value
            place += len(token)
    return math.exp(total / len(names))


def _soften(control: Control, said: Sequence[str], sure: float) -> dict[str, float]:
    """How likely each label is: what the answer leaves over, spread alike over what it did not say."""
    keys = control.keys()
    rest = [key for key in keys if key not in said]
    if control.multilabel:
        other = min(0.5, (1 - sure) * max(1, len(said)) / max(1, len(rest)))
        return {key: sure if key in said else other for key in keys}
    other = (1 - sure) / max(1, len(rest))
    return {key: sure if key in said else other for key in keys}


def _quotes(control: Control, document: Document, own: Json) -> list[tuple[str, str]] | None:
    """(string, label) of quotes that stand in the text; None for an answer that cannot be used."""
    given = own.get("spans") if isinstance(own, dict) else own
    if not isinstance(given, list) or len(given) > MOST_QUOTES:
        return None
    known = _known(control)
    texts = [document[name] for name in control.inputs if name in document]
    found = []
    for one in given:
        quote, label = (one.get("quote"), one.get("label")) if isinstance(one, dict) else (None, None)
        if not isinstance(quote, str) or not isinstance(label, str) or not 0 < len(quote.strip()) <= LONGEST_QUOTE:
            continue
        key, words = known(label), find_quote(quote.strip(), texts)
        if key is not None and words:
            found.append((words, key))
    return list(dict.fromkeys(found)) if found or not given else None


def find_quote(quote: str, texts: Sequence[str]) -> str:
    """The quoted words as they stand in one of the texts; "" where they do not. Language models change case and
    blanks."""
    if any(quote in text for text in texts):
        return quote
    loose = re.compile(r"\s+".join(map(re.escape, quote.split())), re.IGNORECASE)
    found = next((match for text in texts if (match := loose.search(text))), None)
    return found[0] if found else ""
