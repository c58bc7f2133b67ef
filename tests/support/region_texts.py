"""Annotations that also answer questions about their regions, for tests: notes about findings that are there, are not,
or may be, and who was treated where."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from backend.labelstudio.annotations import to_record
from backend.labelstudio.records import ExampleRecord
from backend.labelstudio.task_spec import parse_label_config
from backend.store.stores import Stores

CONFIG = """<View>
<Relations><Relation value="treated_in"/><Relation value="lives_in"/></Relations>
<Labels name="label" toName="text"><Label value="PERSON"/><Label value="PLACE"/><Label value="FINDING"/></Labels>
<Text name="text" value="$text"/>
<View visibleWhen="region-selected" whenTagName="label" whenLabelValue="FINDING">
<Choices name="state" toName="text" perRegion="true"><Choice value="present"/><Choice value="absent"/></Choices>
<Choices name="tags" toName="text" perRegion="true" choice="multiple"><Choice value="acute"/><Choice value="old"/>
</Choices></View>
<Taxonomy name="kind" toName="text" perRegion="true" whenTagName="label" whenLabelValue="PLACE">
<Choice value="hospital"><Choice value="large"/><Choice value="small"/></Choice><Choice value="town"/></Taxonomy>
<Rating name="sure" toName="text" perRegion="true" whenLabelValue="FINDING" maxRating="3"/>
<TextArea name="code" toName="text" perRegion="true" whenLabelValue="FINDING"/></View>"""

SPEC = parse_label_config(CONFIG)

FINDINGS = {"fever": "R50", "cough": "R05", "rash": "R21", "nausea": "R11"}
PEOPLE = ("Ada Moor", "Bo Lind", "Cleo Brand", "Dan Falk", "Eva Roth", "Finn Bey", "Gus Weld", "Ina Sorg")
HOSPITALS = ("Norton Clinic", "Selby Clinic", "Aldon Clinic", "Merrow Clinic")
TOWNS = ("Upton", "Garth", "Kelso", "Wick")


@dataclass(frozen=True)
class Note:
    """A text, and the result of who annotated it in full."""

    text: str
    result: list[dict[str, Any]]

    def answers(self, name: str) -> dict[str, Any]:
        """Text of a region -> what is answered there to one question."""
        key = {"state": "choices", "tags": "choices", "kind": "taxonomy", "sure": "rating", "code": "text"}[name]
        places = {one["id"]: one["value"]["text"] for one in self.result if one.get("type") == "labels"}
        return {places[one["id"]]: one["value"][key] for one in self.result if one.get("from_name") == name}


class _Writer:
    def __init__(self) -> None:
        self.text, self.result = "", list[dict[str, Any]]()

    def say(self, words: str) -> None:
        self.text += words

    def mark(self, words: str, label: str, **answers: Any) -> str:
        start = len(self.text)
        self.text += words
        place, id_ = {"start": start, "end": len(self.text)}, f"r{start}"
        frame = {"id": id_, "to_name": "text", "origin": "manual"}
        value = {**place, "text": words, "labels": [label]}
        self.result.append({**frame, "from_name": "label", "type": "labels", "value": value})
        for name, (type_, key, answer) in answers.items():
            said = {**frame, "from_name": name, "type": type_, "value": {**place, "text": words, key: answer}}
            self.result.append(said)
        return id_

    def relate(self, one: str, other: str, label: str) -> None:
        tie = {"type": "relation", "from_id": one, "to_id": other, "direction": "right", "labels": [label]}
        self.result.append(tie)


def note(seed: int) -> Note:
    """One of endlessly many."""
    draw, write = random.Random(seed), _Writer()
    person = write.mark(draw.choice(PEOPLE), "PERSON")
    finding, there = draw.choice(list(FINDINGS)), draw.random() < 0.5
    old = draw.random() < 0.5
    write.say((" has old " if old else " has sudden ") if there else " denies any ")
    tags = {"tags": ("choices", "choices", ["old" if old else "acute"])} if there else {}
    write.mark(
        finding,
        "FINDING",
        state=("choices", "choices", ["present" if there else "absent"]),
        sure=("rating", "rating", 3 if there else 1),
        code=("textarea", "text", [FINDINGS[finding]]),
        **tags,
    )
    if draw.random() < 0.7:
        write.say(" and was treated in ")
        name = draw.choice(HOSPITALS)
        path = ["hospital", "large" if name.startswith(("N", "S")) else "small"]
        place = write.mark(name, "PLACE", kind=("taxonomy", "taxonomy", [path]))
        write.relate(person, place, "treated_in")
    else:
        write.say(" and lives in ")
        place = write.mark(draw.choice(TOWNS), "PLACE", kind=("taxonomy", "taxonomy", [["town"]]))
        write.relate(person, place, "lives_in")
    write.say(".")
    return Note(write.text, write.result)


def notes(count: int, start: int = 0) -> list[Note]:
    """The notes with these numbers."""
    return [note(start + turn) for turn in range(count)]


def record_of(one: Note, number: int, config: str = CONFIG, **more: Any) -> ExampleRecord:
    """As it is stored when the annotation `number` of the task `number` comes."""
    stamp = f"2026-01-01T00:{number // 60 % 60:02d}:{number % 60:02d}Z"
    annotation = {"id": number, "task": number, "result": one.result, "updated_at": stamp, "lead_time": 3.0, **more}
    return to_record(parse_label_config(config), annotation, {"id": number, "data": {"text": one.text}})


def add_notes(stores: Stores, project: int, written: Sequence[Note], first: int = 1, config: str = CONFIG) -> None:
    """Stores what people answered to a project with this label config."""
    stores.projects.save_config(project, config)
    stores.examples.upsert_many(project, [record_of(one, first + turn, config) for turn, one in enumerate(written)])
