"""The tab of errors, from a real store: what was corrected, why it was answered so, and what goes to Label Studio."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from backend.application.label_errors import describe_suspects, push_suspects
from backend.errors import Conflict
from backend.labelstudio.records import ExampleRecord
from backend.record_json import LabelErrorRow
from backend.routes.app import create_app
from backend.ui.views.errors import Piece, WhyCache, cut_text, view_errors
from model.evidence.row import EvidenceRow, Judgement, Marked
from tests.support.rig import choices_config
from tests.support.studio import TOKEN, Studio
from tests.support.tiny import settings, tiny_base  # noqa: F401

PROJECT = 7
ADMIN = {"Authorization": "Bearer admin"}
TAB = f"/ui/projects/{PROJECT}/errors"
STAMP = "2026-11-29T10:00:00Z"
BAD = "<script>alert(1)</script>"


def answered(task: int, confidence: float, right: bool = False, control: str = "label") -> EvidenceRow:
    said = ("A",) if right else ("B",)
    return EvidenceRow(
        control, Judgement(confidence, right, 0.5), "v0.1", labels=50, at=1e9 + task, task=task, given=("A",), said=said
    )


def label(services: Any, task: int, text: str, person: int = 1, given: str = "A") -> None:
    record = ExampleRecord(100 * person + task, task, {"text": text}, {"label": [[given]]}, STAMP, annotator=person)
    services.stores.examples.upsert_many(PROJECT, [record])


def suspect(task: int, p_given: float, flag: str = "likely wrong") -> LabelErrorRow:
    return {
        "task": task,
        "annotations": {},
        "text": f"text {task}",
        "given": "A",
        "suggested": "B",
        "p_given": p_given,
        "p_suggested": 1 - p_given,
        "flag": flag,
    }


@pytest.fixture
def project(services: Any) -> Any:
    services.stores.projects.save_config(PROJECT, choices_config(["A", "B"]))
    return services


def test_corrected_answers_come_newest_or_surest_first(project: Any, client: Any) -> None:
    rows = [answered(1, 0.5), answered(2, 0.9), answered(3, 0.99, right=True), answered(4, 0.7), answered(5, 0.9)]
    project.stores.evidence.append(PROJECT, [EvidenceRow("label", Judgement(0.9, False, 0.1)), *rows])
    label(project, 2, "where  is\nit?")
    view = view_errors(project, PROJECT, {})
    assert [row.task for row in view.corrected] == [5, 4, 2, 1] and (view.tested, view.unrecorded) == (5, 1)
    assert [row.task for row in view_errors(project, PROJECT, {"order": "surest"}).corrected] == [5, 2, 4, 1]
    assert view.corrected[2].text == "where is it?" and (view.corrected[2].given, view.corrected[2].said) == (
        ["A"],
        ["B"],
    )
    html = client.get(f"{TAB}?order=surest", headers=ADMIN).get_data(as_text=True)
    assert '<p class="big">4</p>' in html and "Not recorded" in html and html.count("Why?") == 1
    twin = client.get(f"{TAB}.json?order=surest", headers=ADMIN).json
    assert [row["task"] for row in twin["corrected"]] == [5, 2, 4, 1]


def test_each_list_has_pages_of_its_own(project: Any, client: Any) -> None:
    project.stores.evidence.append(PROJECT, [answered(task, 0.5) for task in range(1, 61)])
    found = {"label": {"searched": 40, "at": 1e9, "rows": [suspect(task, task / 100) for task in range(1, 41)]}}
    project.stores.label_errors.replace(PROJECT, found, ["label"], 1)
    view = view_errors(project, PROJECT, {"list": "suspects", "page": "2"})
    assert view.suspects_place.number == 2 and view.corrected_place.number == 1
    assert [row.task for row in view.suspects] == list(range(11, 21))
    assert [row.task for row in view_errors(project, PROJECT, {"page": "6"}).corrected] == list(range(10, 0, -1))
    told = describe_suspects(project.stores, PROJECT)
    assert told["found"] == view.suspects_place.rows == 40
    assert "list=suspects&amp;order=newest&amp;page=2" in client.get(TAB, headers=ADMIN).get_data(as_text=True)


def test_marked_text_sums_its_labels(project: Any) -> None:
    marks = (
        '<View><Text name="text" value="$text"/><Labels name="label" toName="text"><Label value="P"/></Labels></View>'
    )
    project.stores.projects.save_config(PROJECT, marks)
    slips = (("P", "P", False), ("P", "", False), ("P", "Q", True))
    own = Marked((("P", 0.9, False),), ("P", "P"), 2, slips=slips)
    row = EvidenceRow("label", Judgement(0.9, False, 0.1), labels=5, task=3, marked=own)
    project.stores.evidence.append(PROJECT, [row])
    (shown,) = view_errors(project, PROJECT, {}).corrected
    assert (shown.given, shown.said) == (["2 P"], ["1 P"])
    assert shown.mistakes == ["other boundary: P", "missed: P", "other label: P as Q"]


def test_without_anything_each_list_says_so(project: Any, client: Any) -> None:
    html = client.get(TAB, headers=ADMIN).get_data(as_text=True)
    assert "No label has been answered before it was learned yet" in html
    assert "No whole search has run yet" in html and "None, of the tasks that several people have answered" in html
    assert "List them in Label Studio" not in html, "there is none"


def test_texts_and_labels_are_shown_as_text(project: Any, client: Any) -> None:
    project.stores.evidence.append(PROJECT, [answered(1, 0.5)])
    label(project, 1, BAD)
    row = {**suspect(1, 0.01), "text": f"{BAD} \ud83d", "given": "A"}
    project.stores.label_errors.replace(PROJECT, {"label": {"searched": 9, "at": 1.0, "rows": [row]}}, ["label"], 1)
    html = client.get(TAB, headers=ADMIN).get_data(as_text=True)
    assert "<script>alert" not in html and html.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 2
    assert client.get(f"{TAB}.json", headers=ADMIN).status_code == 200
    why = client.get(f"/ui/projects/{PROJECT}/words/1", headers=ADMIN).get_data(as_text=True)
    assert "<script>alert" not in why and "&lt;" in why


def test_the_words_that_decided_are_those_of_explain_and_cost_once_a_version(
    project: Any, client: Any, monkeypatch: Any
) -> None:
    label(project, 3, "please refund me, the parcel is late")
    told = client.get(f"/admin/projects/{PROJECT}/explain?task=3&control=label", headers=ADMIN).json
    cache = WhyCache()
    found = cache.why(project, PROJECT, 3, "label")
    assert (found.version, found.labels, found.score) == (told["version"], told["labels"], told["score"])
    assert [word.text for word in found.words] == [word["text"] for word in told["words"]]
    assert "".join(piece.text for piece in found.texts["text"]) == told["texts"]["text"]
    html = client.get(f"/ui/projects/{PROJECT}/words/3?control=label", headers=ADMIN).get_data(as_text=True)
    assert found.version in html and "<mark" in html and "<html" in html
    twin = client.get(f"/ui/projects/{PROJECT}/words/3.json?control=label", headers=ADMIN).json
    assert (twin["version"], twin["labels"], twin["score"]) == (found.version, found.labels, found.score)
    assert [word["text"] for word in twin["words"]] == [word.text for word in found.words]
    monkeypatch.setattr("backend.ui.views.errors.explain_task", None)
    assert cache.why(project, PROJECT, 3, "label") is found


UNEXPLAINED = (("words/99", 404), ("words/x", 400), ("words/1?control=none", 400), ("words/99.json", 404))


@pytest.mark.parametrize(("path", "status"), UNEXPLAINED)
def test_what_cannot_be_explained_is_said(project: Any, client: Any, path: str, status: int) -> None:
    assert client.get(f"/ui/projects/{PROJECT}/{path}", headers=ADMIN).status_code == status


def test_a_long_text_is_cut_around_the_words() -> None:
    text = "x" * 5000 + "word" + "y" * 5000
    pieces = cut_text(text, [(5000, 5004, 1.0), (5001, 5003, 0.5), (9999, 10_004, 0.1)])
    assert pieces[0] == Piece("…", 0.0) and pieces[2] == Piece("word", 1.0) and pieces[-1] == Piece("…", 0.0)
    assert sum(len(piece.text) for piece in pieces) == 2002
    assert cut_text("short", []) == [Piece("short", 0.0)] and cut_text("", []) == []


@pytest.fixture
def studio() -> Iterator[Studio]:
    found = Studio({task: f"text {task}" for task in range(1, 11)})
    thread = threading.Thread(target=found.serve_forever, daemon=True)
    thread.start()
    yield found
    found.shutdown()
    found.server_close()
    thread.join()


def test_suspects_are_pushed_once_and_what_came_of_it_is_said(project: Any, studio: Studio) -> None:
    given = {"label_studio_url": studio.url, "label_studio_api_key": SecretStr(TOKEN)}
    known = replace(project, settings=project.settings.model_copy(update=given))
    for task in (1, 2):
        label(known, task, f"text {task}")
    found = {"label": {"searched": 9, "at": 1.0, "rows": [suspect(1, 0.01), suspect(2, 0.05, "check")]}}
    known.stores.label_errors.replace(PROJECT, found, ["label"], 1)
    assert "2 tasks in the tab" in push_suspects(known.settings, known.stores, PROJECT)
    assert sorted(row["task"] for row in studio.predictions) == [1, 2]
    client = create_app(known).test_client()
    reply = client.post(f"/ui/projects/{PROJECT}/suspects", headers={**ADMIN, "HX-Request": "true"})
    assert reply.status_code == 200 and "2 tasks already in the tab" in reply.get_data(as_text=True)
    assert len(studio.predictions) == 2 and known.stores.audit.read(10)[0]["action"].endswith("suspects")
    assert known.stores.label_stream.claim_tabs(PROJECT)
    with pytest.raises(Conflict, match="just now"):
        push_suspects(known.settings, known.stores, PROJECT)


def test_without_label_studio_nothing_is_pushed(project: Any, client: Any) -> None:
    reply = client.post(f"/ui/projects/{PROJECT}/suspects", headers=ADMIN)
    assert reply.status_code == 409 and "LABEL_STUDIO_URL" in reply.get_data(as_text=True)
