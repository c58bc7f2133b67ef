"""Projects of several kinds, for the benches of endurance: what their tasks hold, what people answer, rightly and
wrongly, and what is to be known of an answer afterwards.

A kind's rows are pairs of content and answer: both are only understood by the kind that made them.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.support import region_texts
from tests.support.marked_project import PEOPLE, PLACES, endless_marked_rows, marked_rows, spans_config
from tests.support.questions import TEMPLATE, Asked, asked
from tests.support.rig import choices_config, endless_rows, read_rows

Row = tuple[Any, Any]
"""What a task holds, and what is true of it."""

Result = list[dict[str, Any]]
Wrong = Callable[[random.Random, Any, Any], Any]

SKIPPED = ""
"""The answer of an annotation that was skipped, and what is known of it: it teaches nothing."""


@dataclass(frozen=True)
class ProjectKind:
    """`rows`: endless, no text twice. `data`: a task's, from a content. `result`: what an annotator submits. `wrong`:
    another answer to a content, of which its text allows some. `control`: the one that every answer is about."""

    name: str
    config: str
    control: str
    rows: Callable[[], Iterator[Row]]
    data: Callable[[Any], dict[str, str]]
    result: Callable[[Any, Any], Result]
    wrong: Wrong


def choices_kind(labels: Sequence[str] = ()) -> ProjectKind:
    """One label a text; by default those of the sample messages."""
    names = list(labels) or sorted({label for _, label in read_rows()})
    return ProjectKind(
        "choices",
        choices_config(names),
        "label",
        lambda: endless_rows(read_rows()),
        lambda text: {"text": text},
        lambda _, label: [_item("label", "choices", choices=[label])],
        lambda draw, _text, _label: draw.choice(names),
    )


def spans_kind() -> ProjectKind:
    """Names in sentences."""
    labels = sorted({label for _, marks in marked_rows() for *_, label in marks})

    def wrong(draw: random.Random, text: str, marks: Sequence[Any]) -> Sequence[Any]:
        if marks and draw.random() < 0.5:
            return tuple(mark for mark in marks if mark is not marks[draw.randrange(len(marks))])
        return tuple((start, end, draw.choice(labels)) for start, end, _ in marks)

    config = spans_config(labels)
    return ProjectKind("spans", config, "label", endless_marked_rows, lambda text: {"text": text}, _marked, wrong)


def nested_kind() -> ProjectKind:
    """First and last names within names."""

    def rows() -> Iterator[Row]:
        draw = random.Random(3)
        for number in itertools.count(1):
            first, last = draw.choice(PEOPLE).split()[0], f"{draw.choice(PLACES).split()[0]}son"
            before = draw.choice(("Yesterday", "Then", "In the end", "On the way"))
            text = f"{before} {first} {last} took train {number}."
            at = len(before) + 1
            end = at + len(first) + 1 + len(last)
            yield text, ((at, end, "name"), (at, at + len(first), "first"), (end - len(last), end, "last"))

    def wrong(draw: random.Random, text: str, marks: Sequence[Any]) -> Sequence[Any]:
        return tuple(mark for mark in marks if draw.random() < 0.7)

    config = spans_config(("name", "first", "last"))
    return ProjectKind("nested spans", config, "label", rows, lambda text: {"text": text}, _marked, wrong)


def regions_kind() -> ProjectKind:
    """Notes in which each region is asked about, and regions are related."""

    def rows() -> Iterator[Row]:
        for number in itertools.count():
            note = region_texts.note(number)
            ending = f" Note {number}."
            yield note.text + ending, note.result

    return ProjectKind(
        "regions, answers and relations",
        region_texts.CONFIG,
        "label",
        rows,
        lambda text: {"text": text},
        lambda _, result: copy.deepcopy(result),
        _wrong_note,
    )


def questions_kind() -> ProjectKind:
    """Questions about passages, in Label Studio's template."""

    def rows() -> Iterator[Row]:
        for number in itertools.count(0, 200):
            for one in asked(200, number):
                ending = f" Entry {number // 200}." if number else ""
                yield (one.text + ending, one.question), one.answer

    def wrong(draw: random.Random, content: Any, answer: Any) -> Any:
        words = [found for found in content[0].split() if found.isalpha()]
        start = content[0].index(draw.choice(words))
        return None if draw.random() < 0.4 else (start, content[0].index(" ", start))

    return ProjectKind(
        "questions",
        TEMPLATE,
        "answer",
        rows,
        lambda content: {"text": content[0], "question": content[1]},
        lambda content, answer: Asked(content[1], content[0], answer).result(origin="manual"),
        wrong,
    )


KINDS: Mapping[str, Callable[[], ProjectKind]] = {
    "choices": choices_kind,
    "spans": spans_kind,
    "regions": regions_kind,
    "questions": questions_kind,
    "nested": nested_kind,
}
"""By the names that commands take."""


def _wrong_note(draw: random.Random, text: str, result: Result) -> Result:
    """A note with a relation fewer, a region fewer (and what hangs on it), or another answer about a region."""
    result, how = copy.deepcopy(result), draw.random()
    if how < 0.3:
        return [item for item in result if item["type"] != "relation"]
    if how < 0.6:
        gone = draw.choice([item["id"] for item in result if item["type"] == "labels"])
        return [item for item in result if gone not in (item.get("id"), item.get("from_id"), item.get("to_id"))]
    for item in result:
        if item.get("from_name") == "state":
            item["value"]["choices"] = [draw.choice(("present", "absent"))]
        if item.get("from_name") == "code":
            item["value"]["text"] = [draw.choice(list(region_texts.FINDINGS.values()))]
    return result


def _item(control: str, kind: str, **value: Any) -> dict[str, Any]:
    return {"from_name": control, "to_name": "text", "type": kind, "value": value}


def _marked(text: str, marks: Sequence[Any]) -> Result:
    return [
        {
            **_item("label", "labels", start=start, end=end, text=text[start:end], labels=[label]),
            "id": f"m{start}-{end}",
            "origin": "manual",
        }
        for start, end, label in marks
    ]


# What is to be known of an answer.


def facts_of_result(result: Result) -> str:
    """Of what an annotator submitted: the label of a choice, else what is marked, answered and related, in short."""
    choices = [item for item in result if item.get("type") == "choices" and "start" not in item["value"]]
    if choices:
        return str(choices[0]["value"]["choices"][0])
    places = {item["id"]: _place(item) for item in result if item.get("type") == "labels"}
    answers = [
        [item["from_name"], *places[item["id"]], _answered(item)]
        for item in result
        if item.get("type") not in ("labels", "relation")
    ]
    relations = [
        [places[item["from_id"]], places[item["to_id"]], item["direction"] == "bi", sorted(item["labels"])]
        for item in result
        if item.get("type") == "relation"
    ]
    return _facts(list(places.values()), answers, relations)


def facts_of_record(record: Mapping[str, Any]) -> str:
    """The same of an example as the store has it, read without the product's code."""
    if record.get("targets"):
        return "/".join(record["targets"]["label"][0])
    spans = [[name, *span] for name, rows in record.get("spans", {}).items() for span in rows]
    told = record.get("answers", {}).items()
    answers = [[name, *row[:4], row[4]] for name, rows in told for row in rows if row[4] != []]
    related = record.get("relations") or ()
    relations = [[source, target, both, sorted(labels)] for source, target, both, labels in related]
    return _facts(spans, answers, relations)


def _facts(spans: list[Any], answers: list[Any], relations: list[Any]) -> str:
    whole = [sorted(spans), sorted(answers, key=str), sorted(relations, key=str)]
    digest = hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:10]
    return f"{len(spans)} spans, {len(answers)} answers, {len(relations)} relations #{digest}"


def _place(item: Mapping[str, Any]) -> list[Any]:
    value = item["value"]
    return [item["from_name"], value["start"], value["end"], value["labels"][0]]


def _answered(item: Mapping[str, Any]) -> Any:
    """As paths of labels, or stars."""
    value = item["value"]
    if item["type"] in ("rating", "taxonomy"):
        return value[item["type"]]
    return [[one] for one in value.get("choices", value.get("text"))]
