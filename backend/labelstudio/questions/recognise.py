"""Finds the question that a control's marks answer, for Label Studio's template of question answering and its kin.

The page knows no such thing: the question is a tag that no control points to. A control asks one if it has one label
(or a few that speak of answers), and a tag beside its text shows a field of the task and says by its name, its field,
or the heading above that it is a question. Whoever knows better says so on the control: `question="TAG"`,
`question="$field"`, or `question="no"`; Label Studio passes over attributes that it does not know.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from backend.labelstudio.label_config.config import elements_of
from backend.labelstudio.spans.control import SpanConfig, SpanControl
from backend.labelstudio.spans.task_value import VARIABLE
from backend.labelstudio.text.object_text import READABLE
from model.spec import Input

MOST_LABELS = 4
"""Labels of a control that may still be answers to one question: a short one and a long one, say."""

QUESTION_WORDS = frozenset(
    (
        *("question", "questions", "query", "queries", "frage", "fragen", "pregunta", "pergunta", "domanda", "vraag"),
        *("fråga", "fraga", "spørgsmål", "spørsmål", "kysymys", "pytanie", "otázka", "otazka", "kérdés", "kerdes"),
        *("soru", "întrebare", "intrebare", "вопрос", "питання", "ερώτηση", "سؤال", "سوال", "שאלה", "प्रश्न", "คำถาม"),
        *("问题", "問題", "質問", "질문", "quaestio"),
    )
)
"""What a question is called. French and others say "question"; `q` alone says it as well."""

ANSWER_WORDS = frozenset(
    (
        *("answer", "answers", "antwort", "antworten", "respuesta", "réponse", "reponse", "risposta", "resposta"),
        *("antwoord", "svar", "vastaus", "odpowiedź", "odpoveď", "odpověď", "válasz", "cevap", "răspuns", "ответ"),
        *("відповідь", "απάντηση", "جواب", "إجابة", "תשובה", "उत्तर", "คำตอบ", "答案", "回答", "答え", "답변", "답"),
    )
)

_OFF = ("no", "none", "false", "off", "")
_WORD = re.compile(r"[^\W\d_]+")
_CAMEL = re.compile(r"(?<=[a-zà-ÿ])(?=[A-Z])")


@dataclass(frozen=True)
class _Shown:
    """A tag that shows something of a task. `heading`: the fixed text above it."""

    name: str
    tag: str
    value: str
    heading: str


def find_question(xml: str, config: SpanConfig, control: SpanControl) -> Input | None:
    """What the marks of `control` answer; None where it asks nothing. The input is called as its tag, or, for a tag
    without name, after the control."""
    elements = list(elements_of(xml))
    said = _said(elements, control.name)
    if said is not None and said.strip().lower() in _OFF:
        return None
    marked = {one.name for one in config.objects}
    shown = [one for one in _shown(elements) if one.name not in marked and one.value != control.object.value]
    if said is None:
        return _found(control, shown)
    wanted = said.strip()
    if VARIABLE.search(wanted):
        known = [one for one in shown if one.value == wanted]
        return _input(control, known[0] if known else _Shown("", "text", wanted, ""))
    return next((_input(control, one) for one in shown if one.name == wanted), None)


def _found(control: SpanControl, shown: Sequence[_Shown]) -> Input | None:
    """By what the tags say."""
    if control.options_field is not None or len(control.labels) > MOST_LABELS:
        return None
    words = _words(control.name)
    answers = bool(words & ANSWER_WORDS) or all(_words(one.value, one.name) & ANSWER_WORDS for one in control.labels)
    if len(control.labels) > 1 and not answers:
        return None
    named = [one for one in shown if _is_question(_words(one.name, *VARIABLE.findall(one.value)))]
    if not named and answers:
        named = [one for one in shown if _words(one.heading) & QUESTION_WORDS]
    return _input(control, named[0]) if named else None


def name_question(control: str, labels: Sequence[str], fields: Sequence[str]) -> str | None:
    """Of the fields of tasks whose label config is not known the one with the question that marks with these labels
    answer; None where nothing says so."""
    if len(labels) > MOST_LABELS:
        return None
    answers = bool(_words(control) & ANSWER_WORDS) or all(_words(label) & ANSWER_WORDS for label in labels)
    if len(labels) > 1 and not answers:
        return None
    return next((name for name in fields if _is_question(_words(name))), None)


def _input(control: SpanControl, found: _Shown) -> Input:
    return Input(found.name or f"{control.name}.question", READABLE.get(found.tag, "Text"), found.value)


def _said(elements: Sequence[Element], name: str) -> str | None:
    """The attribute `question` of the control called so; None without one."""
    for element in elements:
        if _attribute(element, "name") == name:
            return next((value for key, value in element.attrib.items() if key.lower() == "question"), None)
    return None


def _shown(elements: Sequence[Element]) -> Iterator[_Shown]:
    """The tags that may show a question, in the order of the page."""
    heading = ""
    for element in elements:
        tag, value = str(element.tag).lower(), _attribute(element, "value")
        if tag == "header" and not VARIABLE.search(value):
            heading = value
        elif tag in ("header", "text", "hypertext", "markdown") and VARIABLE.search(value):
            yield _Shown("" if tag == "header" else _attribute(element, "name"), tag, value, heading)
            heading = ""


def _is_question(words: frozenset[str]) -> bool:
    return bool(words & QUESTION_WORDS) or "q" in words


def _words(*texts: str) -> frozenset[str]:
    """The words of names: `userQuestion`, `$item.question_text` and `Frage 1` have question, text and Frage."""
    return frozenset(word.lower() for text in texts for word in _WORD.findall(_CAMEL.sub(" ", text)))


def _attribute(element: Element, name: str) -> str:
    wanted = name.lower()
    return next((value for key, value in element.attrib.items() if key.lower() == wanted), "")
