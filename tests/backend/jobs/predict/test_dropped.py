"""Why Label Studio drops a prediction, in words."""

from __future__ import annotations

from typing import Any

import pytest

from backend.jobs.predict.dropped import UNKNOWN, why_dropped
from backend.store.work.prediction_runs import OTHER_REASONS, REASONS_KEPT, REFUSED_TASKS, note_refused

PARSED = {
    "label": {"type": "Labels", "to_name": ["text"], "labels": ["PER", "LOC"]},
    "kind": {"type": "Choices", "to_name": ["text"], "labels": ["real", "made up"]},
    "theme": {"type": "Taxonomy", "to_name": ["text"], "labels": ["A", "A1"]},
    "free": {"type": "Labels", "to_name": ["text"], "labels": [], "dynamic_labels": True},
}


def item(name: str = "label", kind: str = "labels", **more: Any) -> dict[str, Any]:
    return {"from_name": name, "to_name": "text", "type": kind, "value": {"start": 0, "end": 3, kind: ["PER"]}, **more}


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (item(), UNKNOWN),
        (item("free", value={"labels": ["anything"]}), UNKNOWN),
        (item("theme", "taxonomy", value={"taxonomy": [["A", "A1"]]}), UNKNOWN),
        (item("kind", "choices", value={"choices": ["made up"]}), UNKNOWN),
        (item("kind", "choices", value={"choices": ["odd"]}), "no label 'odd' in 'kind'"),
        (item("theme", "taxonomy", value={"taxonomy": [["A", "A2"]]}), "no label 'A2' in 'theme'"),
        (item(value={"labels": ["ORG"]}), "no label 'ORG' in 'label'"),
        (item("gone"), "no control 'gone'"),
        (item(kind="hypertextlabels"), "'label' is Labels"),
        (item(to_name="other"), "not about 'other'"),
        (item(value=None), "no value"),
        ({"type": "relation", "from_id": "a", "to_id": "b"}, "no <Relations>"),
    ],
)
def test_the_first_thing_that_does_not_fit_is_named(result: Any, said: str) -> None:
    fits = item()
    assert said in why_dropped({"parsed_label_config": PARSED, "label_config": "<View/>"}, [fits, result])


def test_nothing_is_known_of_a_project_that_says_nothing() -> None:
    relation = {"type": "relation"}
    assert (
        why_dropped({"parsed_label_config": PARSED, "label_config": "<View><Relations/></View>"}, [relation]) == UNKNOWN
    )
    assert why_dropped({}, []) == UNKNOWN == why_dropped({}, None)


def test_few_reasons_and_few_tasks_of_each_are_kept() -> None:
    known = note_refused({}, {task: f"reason {task % 30:02d}" for task in range(3000)})
    assert len(known) == REASONS_KEPT + 1 and sum(own["count"] for own in known.values()) == 3000
    assert known[OTHER_REASONS]["count"] == 2000 and all(len(own["tasks"]) == REFUSED_TASKS for own in known.values())
    again = note_refused(known, {5: "reason 00"})
    assert (
        again["reason 00"]["count"] == 101 and known["reason 00"]["count"] == 100 and 5 in again["reason 00"]["tasks"]
    )
