"""Agreement and pace as the refit counted them; nothing of it where UI_PEOPLE is off."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from backend.labelstudio.records import ExampleRecord
from backend.labelstudio.task_spec import parse_label_config
from backend.routes.app import create_app
from backend.rules.annotator_agreement import compare_with_model, count_activity
from backend.rules.consensus import reach_consensus
from backend.ui.views.people import view_people
from model.evidence.row import EvidenceRow, Judgement
from tests.backend.routes.ui.conftest import log_in
from tests.support.rig import choices_config

SPEC = parse_label_config(choices_config(["a", "e"]))


def record(number: int, task: int, label: str, person: int) -> ExampleRecord:
    stamp = f"2026-11-29T10:{number // 60:02d}:{number % 60:02d}Z"
    return ExampleRecord(number, task, {"text": f"text {task}"}, {"label": [[label]]}, stamp, annotator=person)


def row(annotation: int, correct: bool, blind: bool = False) -> EvidenceRow:
    return EvidenceRow("label", Judgement(0.8, correct, 0.3), annotation=annotation, blind=blind)


def learn(services: Any, records: list[ExampleRecord], rows: list[EvidenceRow]) -> None:
    """What a refit keeps of them."""
    kept = reach_consensus(SPEC, records).describe_annotators()
    activity, compared = count_activity(records), compare_with_model(rows, records)
    services.stores.projects.save_summary(7, {**kept, "activity": activity, "with_model": compared})


def test_pairs_pace_and_agreement_with_the_model(linked: Any) -> None:
    mine = [record(number, number, "ae"[number % 2], 3) for number in range(1, 9)]
    theirs = [record(100 + number, number, "a", 5) for number in range(1, 5)]
    learn(linked, [*mine, *theirs], [row(1, True), row(2, False, True), row(101, True), row(999, True)])
    view = view_people(linked, 7, {})
    assert [(row.person, row.labels) for row in view.people] == [(3, 8), (5, 4)] and view.counts == {"3": 8, "5": 4}
    first, second = view.people
    assert first.an_hour == 3600.0 and second.an_hour is None
    assert first.with_model is not None and (first.with_model.n, first.with_model.right) == (2, 1)
    assert first.blind is not None and first.blind.n == 1 and second.blind is None
    control = view.controls[0]
    assert (control.tasks, control.agreement) == (4, 0.5)
    assert control.kappa == round((0.5 - 0.625) / (1 - 0.625), 4)  # 6 of 8 answers are a, 2 are e
    assert [(pair.one, pair.other, pair.tasks, pair.agreement) for pair in control.pairs] == [(3, 5, 4, 0.5)]
    assert "20 tasks" in control.unknown and "4 tasks are shared" in control.unknown


def test_with_enough_overlap_reliability_is_told(linked: Any) -> None:
    records = [
        record(1000 * person + task, task, "ae"[(task + (person == 3 and task % 4 == 0)) % 2], person)
        for person in (1, 2, 3)
        for task in range(1, 31)
    ]
    learn(linked, records, [])
    view = view_people(linked, 7, {})
    assert view.controls[0].unknown == "" and len(view.controls[0].pairs) == 3
    known = {row.person: row.reliability["label"] for row in view.people}
    assert known[1] > known[3]


def test_with_nobody_or_one_it_says_what_is_missing(linked: Any) -> None:
    assert view_people(linked, 7, {}).people == []
    learn(linked, [record(1, 1, "a", 3)], [])
    view = view_people(linked, 7, {})
    assert "Annotations per task" in view.alone and view.controls == [] and view.people[0].with_model is None


def test_people_are_called_what_label_studio_calls_them(linked: Any) -> None:
    learn(linked, [record(n, n, "a", person) for n, person in enumerate((3, 3, 5, 5, 6, 6), 1)], [])
    linked.stores.people.replace({3: "Ada Lovelace", 5: "Ada Lovelace", 99: "somebody else"})
    view = view_people(linked, 7, {})
    assert [(row.person, row.name) for row in view.people] == [(3, "Ada Lovelace"), (5, "Ada Lovelace"), (6, "")]
    assert view.counts == {"Ada Lovelace (3)": 2, "Ada Lovelace (5)": 2, "6": 2}
    client = create_app(linked).test_client()
    log_in(client, "admin")
    text = client.get("/ui/projects/7/people").text
    assert "Ada Lovelace <small>3</small>" in text and "somebody else" not in text
    for path in ("/ui", *(f"/ui/projects/7/{tab}" for tab in ("overview", "classes", "errors", "versions", "queue"))):
        assert "Lovelace" not in client.get(path).text + client.get(f"{path}.json").text, path
    admin = {"Authorization": "Bearer admin"}
    for path in ("/metrics", "/admin/projects/7", "/admin/projects/7/dataset", "/admin/projects/7/examples"):
        assert "Lovelace" not in client.get(path, headers=admin).text, path


def test_the_setting_hides_the_tab_and_its_twin(linked: Any) -> None:
    learn(linked, [record(1, 1, "a", 37123)], [])
    shown = create_app(linked).test_client()
    log_in(shown, "admin")
    assert "37123" in shown.get("/ui/projects/7/people").text
    hidden = create_app(replace(linked, settings=linked.settings.model_copy(update={"ui_people": False}))).test_client()
    log_in(hidden, "admin")
    for path in ("/ui/projects/7/people", "/ui/projects/7/people.json"):
        assert hidden.get(path).status_code == 404
    for tab in ("overview", "versions", "queue"):
        text = hidden.get(f"/ui/projects/7/{tab}").text + hidden.get(f"/ui/projects/7/{tab}.json").text
        assert "37123" not in text and "/people" not in text, tab
