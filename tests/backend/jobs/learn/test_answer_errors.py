"""From refits to the wrong answers that an admin sees, and to what is written for Label Studio's tab."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from backend.jobs.learn.refit import refit
from backend.rules.relabel import CHECK, DISAGREE, WRONG, list_label_errors
from tests.backend.jobs.learn.test_marked_errors import suspects
from tests.support.questions import PROJECT, TEMPLATE, add_answers, asked, record_of

ELSEWHERE = "It rains often"


def test_wrong_answers_are_listed_with_the_question_and_go_into_the_tab(context: Any, client: Any) -> None:
    answers = asked(56)
    context.stores.projects.save_config(PROJECT, TEMPLATE)
    wrong = next(place for place, one in enumerate(answers) if one.answer and place > 8)
    missed = next(place for place, one in enumerate(answers) if one.answer and place > 20)
    start = answers[wrong].text.index(ELSEWHERE)
    answers[wrong] = replace(answers[wrong], answer=(start, start + 8))
    answers[missed] = replace(answers[missed], answer=None)
    add_answers(context, answers)
    assert suspects(client)["not_searched"] == ["answer"]
    assert refit(PROJECT) == "published"
    found = suspects(client)
    assert found["searched"]["answer"]["labels"] == 56 and "not_searched" not in found
    by_task = {row["task"]: row for row in found["suspects"]}
    first, second = by_task[wrong + 1], by_task[missed + 1]
    assert (first["kind"], second["kind"]) == ("wrong answer", "missed")
    assert first["given_span"]["text"] == "It rains" and first["text"].startswith(answers[wrong].question)
    said = {place: asked(56)[place].answer for place in (wrong, missed)}
    for place, row in ((wrong, first), (missed, second)):
        assert (row["suggested_span"]["start"], row["suggested_span"]["end"]) == said[place]
        assert row["suggested_span"]["text"] == asked(56)[place].said and row["suggested"] == "Answer"
    flagged = {row["task"]: row for row in list_label_errors(context.stores, PROJECT)}
    for place, row in ((wrong, first), (missed, second)):
        if row["flag"]:
            pushed = flagged[place + 1]
            assert pushed["model_version"] in (WRONG, CHECK)
            assert [span[:2] for span in pushed["spans"]["answer"]] == [said[place]], "what is wrong is put right"
    assert {wrong + 1, missed + 1} & set(flagged), "one of them at least is sure enough for the tab"
    (annotation,) = first["annotations"]
    context.stores.examples.remove(PROJECT, [annotation])
    assert wrong + 1 not in [row["task"] for row in suspects(client)["suspects"]]


def test_people_who_disagree_about_an_answer_are_told_and_pushed_and_no_suspects(context: Any, client: Any) -> None:
    answers = asked(40)
    add_answers(context, answers)
    task = 41
    one = asked(48)[40]
    assert one.answer
    people = [one, one, replace(one, answer=None)]
    records = [replace(record_of(own, 100 + turn, annotator=turn + 2), task=task) for turn, own in enumerate(people)]
    context.stores.examples.upsert_many(PROJECT, records)
    assert refit(PROJECT) == "published"
    told = client.get(f"/admin/projects/{PROJECT}", headers={"Authorization": "Bearer admin"}).get_json()
    (row,) = told["disagreements"]["answer"]
    assert row["task"] == task and row["score"] > 0.5
    assert task not in [row["task"] for row in suspects(client)["suspects"]]
    (disputed,) = suspects(client)["disputed"]
    assert (disputed["control"], disputed["task"]) == ("answer", task) and disputed["text"].startswith(one.question)
    votes = [
        (own["label"], own.get("place", {}).get("text", ""), own["votes"], own["of"]) for own in disputed["answers"]
    ]
    assert votes == [("Answer", one.said, 2, 3), ("", "", 1, 3)]
    (pushed,) = [row for row in list_label_errors(context.stores, PROJECT) if row["task"] == task]
    assert pushed["model_version"] == DISAGREE
    assert [span[:3] for span in pushed["spans"]["answer"]] == [(*one.answer, "Answer")], "what most of them say"
