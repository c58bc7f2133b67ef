"""Every kind of control from webhook to prediction: the answer that comes back is one that Label Studio can show."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from backend.jobs.learn.refit import refit

GOOD = ["great, thank you", "lovely service, very happy", "excellent and quick", "wonderful help, thanks a lot"]
BAD = ["broken on arrival", "terrible, never again", "it does not work at all", "rude staff and a late parcel"]
TEXTS = [*GOOD, *BAD] * 2

TEXT = '<Text name="t" value="$text"/>'


def choices(tag: str, attributes: str = "", inner: str = "") -> str:
    options = inner or '<Choice value="good"/><Choice value="bad"/>'
    return f'<View>{TEXT}<{tag} name="c" toName="t" {attributes}>{options}</{tag}></View>'


NESTED = '<Choice value="mood"><Choice value="good"/><Choice value="bad"/></Choice><Choice value="other"/>'
ALIASED = '<Choice value="a good one" alias="good"/><Choice value="a bad one" alias="bad"/>'
PAIR = (
    '<View><Text name="t" value="$text"/><Text name="u" value="$other"/>'
    '<Choices name="c" toName="t,u"><Choice value="good"/><Choice value="bad"/></Choices></View>'
)

KINDS: list[tuple[str, str, str, Callable[[bool], Any]]] = [
    ("single", choices("Choices"), "choices", lambda good: ["good" if good else "bad"]),
    ("alias", choices("Choices", inner=ALIASED), "choices", lambda good: ["good" if good else "bad"]),
    ("multiple", choices("Choices", 'choice="multiple"'), "choices", lambda good: ["good"] if good else ["bad"]),
    (
        "nested",
        choices("Choices", 'allowNested="true"', NESTED),
        "choices",
        lambda good: [["mood", "good" if good else "bad"]],
    ),
    ("taxonomy", choices("Taxonomy", inner=NESTED), "taxonomy", lambda good: [["mood", "good" if good else "bad"]]),
    ("rating", f'<View>{TEXT}<Rating name="c" toName="t"/></View>', "rating", lambda good: 5 if good else 1),
    (
        "dynamic",
        f'<View>{TEXT}<Choices name="c" toName="t" value="$options"/></View>',
        "choices",
        lambda good: ["good" if good else "bad"],
    ),
    ("pair", PAIR, "choices", lambda good: ["good" if good else "bad"]),
]


def task(number: int, text: str) -> dict[str, Any]:
    options = [{"value": "good"}, {"value": "bad"}]
    return {"id": number, "data": {"text": text, "other": "about the order", "options": options}}


@pytest.mark.parametrize(("name", "config", "kind", "answer"), KINDS, ids=[kind[0] for kind in KINDS])
def test_labels_of_every_kind_are_learned_and_answered(
    client: Any, services: Any, name: str, config: str, kind: str, answer: Callable[[bool], Any]
) -> None:
    assert client.post("/setup", json={"project": "7.1", "schema": config}).status_code == 200
    for number, text in enumerate(TEXTS, 1):
        result = {"from_name": "c", "to_name": "t", "type": kind, "value": {kind: answer(text in GOOD)}}
        annotation = {"id": number, "task": number, "result": [result], "updated_at": "2026-01-01T00:00:00Z"}
        body = {"project": {"id": 7, "label_config": config}, "annotation": annotation, "task": task(number, text)}
        reply = client.post("/webhook", json={"action": "ANNOTATION_CREATED", **body})
        assert reply.get_json()["outcomes"] == {"stored": 1}
    assert refit(7) == "published"
    deadline = time.monotonic() + 120
    while services.registry.version_of(7) == "v0" and time.monotonic() < deadline:
        time.sleep(0.02)
    tasks = [task(50, "very happy, thanks"), task(51, "it arrived broken")]
    results = client.post("/predict", json={"project": "7.1", "tasks": tasks, "label_config": config}).get_json()
    values = [item["result"][0]["value"][kind] for item in results["results"]]
    assert values == [answer(True), answer(False)], name
    assert all(0 < item["score"] <= 1 and item["model_version"] == "v0.1" for item in results["results"])
    services.background.labelled.refresh()
    again = [task(52, BAD[2].upper()), task(53, f"{GOOD[3]} ")]
    results = client.post("/predict", json={"project": "7.1", "tasks": again, "label_config": config}).get_json()
    assert [item["result"][0]["value"][kind] for item in results["results"]] == [answer(False), answer(True)], name
    assert all(item["score"] > 0.97 for item in results["results"]), "duplicates of labelled texts"


def test_a_control_that_is_called_pool_keeps_its_measures(client: Any, context: Any) -> None:
    from model.versions.directory import read_manifest, version_path

    config = choices("Choices").replace('name="c"', 'name="pool"')
    assert client.post("/setup", json={"project": "7.1", "schema": config}).status_code == 200
    for number, text in enumerate(TEXTS, 1):
        value = {"choices": ["good" if text in GOOD else "bad"]}
        result = {"from_name": "pool", "to_name": "t", "type": "choices", "value": value}
        annotation = {"id": number, "task": number, "result": [result], "updated_at": "2026-01-01T00:00:00Z"}
        body = {"project": {"id": 7, "label_config": config}, "annotation": annotation, "task": task(number, text)}
        assert client.post("/webhook", json={"action": "ANNOTATION_CREATED", **body}).status_code == 200
    assert refit(7) == "published"
    manifest = read_manifest(version_path(context.settings.models_dir, 7, "v0.1"))
    assert isinstance(manifest.metrics["pool"], dict) and 0 <= manifest.metrics["pool"]["accuracy"] <= 1
    assert manifest.pool == 0, "what is not said"
    assert refit(7) == "unchanged"


BLANK = [
    *((name, config, kind, answer(True)) for name, config, kind, answer in KINDS),
    ("checkbox", choices("Choices", inner='<Choice value="good"/>'), "choices", ["good"]),
    ("checkboxes", choices("Choices", 'choice="multiple"', '<Choice value="good"/>'), "choices", ["good"]),
    ("one star", f'<View>{TEXT}<Rating name="c" toName="t" maxRating="1"/></View>', "rating", 1),
    ("paths", choices("Taxonomy", inner=NESTED), "taxonomy", [["mood", "good"], ["other"]]),
]


@pytest.mark.parametrize(("name", "config", "kind", "value"), BLANK, ids=[one[0] for one in BLANK])
def test_a_question_of_every_kind_that_is_left_blank_is_learned_as_such(
    client: Any, services: Any, name: str, config: str, kind: str, value: Any
) -> None:
    assert client.post("/setup", json={"project": "7.1", "schema": config}).status_code == 200
    for number, text in enumerate(TEXTS, 1):
        chosen = {"from_name": "c", "to_name": "t", "type": kind, "value": {kind: value}}
        result = [chosen] if text in GOOD else []
        annotation = {"id": number, "task": number, "result": result, "updated_at": "2026-01-01T00:00:00Z"}
        body = {"project": {"id": 7, "label_config": config}, "annotation": annotation, "task": task(number, text)}
        reply = client.post("/webhook", json={"action": "ANNOTATION_CREATED", **body})
        assert reply.get_json()["outcomes"] == {"stored": 1}
    assert refit(7) == "published"
    summary = services.stores.projects.summary(7)
    assert summary["samples"] == {"c": len(TEXTS)} and summary["labels"]["c"][""] == len(BAD) * 2
    deadline = time.monotonic() + 120
    while services.registry.version_of(7) == "v0" and time.monotonic() < deadline:
        time.sleep(0.02)
    tasks = [task(50, GOOD[1]), task(51, BAD[2])]
    answer, none = client.post("/predict", json={"project": "7.1", "tasks": tasks, "label_config": config}).get_json()[
        "results"
    ]
    assert answer["result"][0]["value"][kind] == value, name
    assert none["result"] == [] and 0.5 < none["score"] <= 1
