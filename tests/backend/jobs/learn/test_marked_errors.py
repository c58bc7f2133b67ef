"""From refits to the wrong spans that an admin sees, and to what is written for Label Studio's tab."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from backend.application.advice import Advisor
from backend.cli.render import render_advice
from backend.jobs.learn.refit import refit
from backend.jobs.learn.span_errors import newest, search_marks
from backend.rules.relabel import DISAGREE, list_label_errors
from model.span import Span, SpanDocument, SpanSample
from tests.support.marking import PROJECT, Marks, sentences

ADMIN = {"Authorization": "Bearer admin"}


def suspects(client: Any, query: str = "") -> Any:
    return client.get(f"/admin/projects/{PROJECT}/suspects{query}", headers=ADMIN).get_json()


def spoilt(document: SpanDocument) -> SpanDocument:
    """With the first span under the other label."""
    first, *rest = document.spans
    return replace(document, spans=(replace(first, label="LOC" if first.label == "PER" else "PER"), *rest))


@pytest.fixture
def marks(context: Any) -> Marks:
    """48 texts; the fifth and the ninth have a wrong label."""
    found = Marks(context)
    found.add([spoilt(one) if place in (4, 8) else one for place, one in enumerate(sentences(48))])
    return found


def test_wrong_spans_are_found_after_a_refit_and_leave_when_they_are_corrected(
    context: Any, marks: Marks, client: Any
) -> None:
    assert suspects(client)["not_searched"] == ["label"]
    assert refit(PROJECT) == "published"
    found = suspects(client)
    assert found["searched"]["label"]["labels"] == 48 and "not_searched" not in found
    wrong = [row for row in found["suspects"] if row["kind"] == "wrong label"]
    texts = [sentences(48)[place].text for place in (4, 8)]
    assert {row["text"] for row in wrong[:2]} == set(texts), found["suspects"][:6]
    top = wrong[0]
    place = top["given_span"]
    assert top["suggested_span"] == place and top["given"] != top["suggested"]
    assert top["text"][place["start"] : place["end"]] == place["text"]
    (annotation,) = top["annotations"]
    context.stores.examples.remove(PROJECT, [annotation])
    assert top["task"] not in [row["task"] for row in suspects(client)["suspects"]]


def test_the_tab_gets_the_spans_put_right_and_disputes_the_majority(context: Any, marks: Marks) -> None:
    shared = sentences(52)[48]
    task = marks.count + 1
    marks.add([shared])
    only = replace(shared, spans=shared.spans[:1])
    marks.put([replace(marks.record(only, task), annotation=900 + n, task=task, annotator=n) for n in (5, 6)])
    refit(PROJECT)
    rows = {row["task"]: row for row in list_label_errors(context.stores, PROJECT)}
    disputed = rows[task]
    assert disputed["model_version"] == DISAGREE
    assert [tuple(span[:3]) for span in disputed["spans"]["label"]] == [
        (span.start, span.end, span.label) for span in only.spans
    ]
    flagged = [row for row in rows.values() if row["model_version"] != DISAGREE]
    right = {marks.record(one, place).texts["text.page"]: one for place, one in enumerate(sentences(48))}
    corrected = 0
    for row in flagged:
        (record,) = context.stores.examples.of_task(PROJECT, row["task"])
        drawn = {Span(*span) for span in record.spans["label"]}
        suggested = {Span(*span[:3]) for span in row["spans"]["label"]}
        assert suggested != drawn
        corrected += suggested == set(right[record.texts["text.page"]].spans)
    assert corrected >= 1


def test_a_search_waits_for_growth_and_gives_way_to_whoever_waits(
    context: Any, marks: Marks, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    refit(PROJECT)
    before = suspects(client)["searched"]["label"]["at"]
    assert not search_marks(context, PROJECT), "nothing new"
    marks.add(sentences(60)[50:52])
    refit(PROJECT)
    assert suspects(client)["searched"]["label"]["at"] == before, "two more texts are no tenth"
    marks.add(sentences(80)[60:70])
    asked: list[bool] = []

    def wanted(*_: Any) -> bool:
        asked.append(True)
        return len(asked) > 2

    monkeypatch.setattr(type(context.stores.jobs), "is_learner_wanted", wanted)
    assert refit(PROJECT) == "published"
    assert suspects(client)["searched"]["label"]["at"] == before, "somebody waited"
    monkeypatch.undo()
    assert search_marks(context, PROJECT)
    assert suspects(client)["searched"]["label"]["labels"] == 60


def test_a_project_of_which_a_part_is_searched_is_not_searched_again_at_once(
    context: Any, marks: Marks, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.jobs.learn.span_errors.MOST_TEXTS", 20)
    refit(PROJECT)
    found = suspects(client)["searched"]["label"]
    assert found["labels"] == 20
    marks.add(sentences(60)[50:52])
    refit(PROJECT)
    assert suspects(client)["searched"]["label"]["at"] == found["at"]


def test_only_the_last_texts_are_searched_where_they_are_long() -> None:
    samples = [SpanSample(task, "x" * 150_000) for task in range(5)]
    assert [sample.task for sample in newest(samples)] == [3, 4]
    assert newest(samples[:1]) == samples[:1]
    assert newest([SpanSample(1, "x" * 500_000)])[0].task == 1


def test_texts_to_a_point_of_f1_and_what_may_stand_unseen_are_told(
    context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = Marks(context)
    pool = {1000 + place: {"text.page": one.text} for place, one in enumerate(sentences(60, 300))}
    context.stores.projects.add_pool(PROJECT, pool, 4000)
    for count in (8, 12, 16, 24, 32):
        marks.add(sentences(count)[marks.count :])
        assert refit(PROJECT) == "published"
    survey = context.stores.evidence.survey(PROJECT)["controls"]["label"]
    assert 0.5 < survey["f1"] <= 1 and len(survey["shown"]) < survey["n"] == 60, "some texts hold nothing to mark"
    assert all("f1" in past["controls"]["label"] for past in context.stores.evidence.surveys(PROJECT))
    found = Advisor().advise(context.stores, PROJECT)["controls"]["label"]
    forecast = found["forecast_f1"]
    assert forecast["labels"] == 32 and 0.5 < forecast["accuracy"] <= 1
    assert [gain["gain"] for gain in forecast["gains"]] == [0.01, 0.02, 0.05]
    told = render_advice({"controls": {"label": found}, "stability": None})
    assert any("F1 of the spans of unlabelled texts now; more texts needed: " in line for line in told), told
    assert "cannot_tell" not in forecast, "what is expected does not run ahead of what comes"
    monkeypatch.setattr("model.evidence.forecast.RUNS_AHEAD", -1e9)
    unsure = Advisor().advise(context.stores, PROJECT)["controls"]["label"]
    assert unsure["forecast_f1"] == {**forecast, "gains": [], "cannot_tell": True}
    told = render_advice({"controls": {"label": unsure}, "stability": None})
    assert any("what more texts bring cannot be told yet" in line for line in told), told
    assert found["dial"][0]["count"] <= len(survey["shown"])
    rows = context.stores.evidence.rows(PROJECT)
    assert rows[-1].marked.expected is not None


def test_a_search_that_would_be_stopped_is_left_to_a_later_refit(
    context: Any, marks: Marks, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as hurried:
        hurried.setattr("backend.jobs.learn.refit.SEARCH_UNTIL", 0.0)
        assert refit(PROJECT) == "published"
    assert suspects(client)["not_searched"] == ["label"]
    marks.add([sentences(49)[48]])
    assert refit(PROJECT) == "published"
    assert suspects(client)["searched"]["label"]["labels"] == 49
