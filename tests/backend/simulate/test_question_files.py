"""Files of questions and answers: lines, SQuAD's format, exports and projects say the same; odd ones are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from backend.simulate.project_dataset import read_project
from backend.simulate.span_files import read_span_files
from model.errors import DataError
from model.simulation.span_dataset import SpanDataset
from model.span import Span
from tests.support.questions import PROJECT, Asked, add_answers, asked


def lines_of(questions: list[Asked]) -> str:
    rows = [
        {
            "text": one.text,
            "question": one.question,
            "spans": [{"start": one.answer[0], "end": one.answer[1]}] if one.answer else [],
        }
        for one in questions
    ]
    return "\n".join(map(json.dumps, rows))


def squad_of(questions: list[Asked]) -> dict[str, Any]:
    paragraphs: dict[str, list[Any]] = {}
    for one in questions:
        answers = [{"answer_start": one.answer[0], "text": one.said}] if one.answer else []
        row = {"question": one.question, "answers": answers, "is_impossible": not one.answer}
        paragraphs.setdefault(one.text, []).append(row)
    told = [{"context": text, "qas": qas} for text, qas in paragraphs.items()]
    return {"version": "v2.0", "data": [{"title": "Valley", "paragraphs": told}]}


def flat_of(questions: list[Asked]) -> list[dict[str, Any]]:
    return [
        {
            "context": one.text,
            "question": one.question,
            "answers": {
                "text": [one.said] if one.answer else [],
                "answer_start": [one.answer[0]] if one.answer else [],
            },
        }
        for one in questions
    ]


def tasks_of(questions: list[Asked]) -> list[dict[str, Any]]:
    """As Label Studio exports them."""
    return [
        {"id": number, "data": one.data, "annotations": [{"was_cancelled": False, "result": one.result()}]}
        for number, one in enumerate(questions, start=1)
    ]


def write(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_all_forms_say_the_same(tmp_path: Path) -> None:
    questions = asked(80)
    lines = read_span_files(write(tmp_path / "x.jsonl", lines_of(questions)))
    assert lines.data.asks and lines.data.labels == ("Answer",) and not lines.notes
    squad = read_span_files(write(tmp_path / "x.json", squad_of(questions)))
    assert squad == lines
    assert read_span_files(write(tmp_path / "p.json", json.dumps(squad_of(questions), indent=1))) == lines
    assert read_span_files(write(tmp_path / "f.json", flat_of(questions))) == lines
    flat = "\n".join(map(json.dumps, flat_of(questions)))
    assert read_span_files(write(tmp_path / "f.jsonl", flat)) == lines
    export = read_span_files(write(tmp_path / "e.json", tasks_of(questions)))
    assert export.data == lines.data and "the questions in the field question" in export.notes[0]


def test_a_passage_is_on_one_side_only(tmp_path: Path) -> None:
    data = read_span_files(write(tmp_path / "x.jsonl", lines_of(asked(160)))).data
    train, test = {one.text for one in data.train}, {one.text for one in data.test}
    assert train and test and not train & test
    assert len(data.train) > len(train), "several questions about one passage"


def test_several_answers_are_read_each(tmp_path: Path) -> None:
    raw = squad_of(asked(40))
    answers = raw["data"][0]["paragraphs"][0]["qas"][0]["answers"]
    text = raw["data"][0]["paragraphs"][0]["context"]
    answers += [{"answer_start": text.index("The"), "text": "The"}, dict(answers[0])]
    data = read_span_files(write(tmp_path / "x.json", raw)).data
    assert Span(text.index("The"), text.index("The") + 3, "Answer") in [
        span for one in (*data.train, *data.test) for span in one.spans
    ]
    plausible = {"question": "Why?", "answers": [], "plausible_answers": [{"answer_start": 0, "text": text[:3]}]}
    raw["data"][0]["paragraphs"][0]["qas"] = [{**plausible, "is_impossible": True}]
    found = read_span_files(write(tmp_path / "x.json", raw)).data
    assert [one.spans for one in (*found.train, *found.test) if one.question == "Why?"] == [()]


def test_an_export_without_a_question_stays_one_of_spans(tmp_path: Path) -> None:
    tasks = [{**task, "data": {"text": task["data"]["text"], "title": "x"}} for task in tasks_of(asked(80))]
    assert not read_span_files(write(tmp_path / "e.json", tasks)).data.asks


def test_a_project_that_asks_is_read(context: Any) -> None:
    add_answers(context, asked(60))
    data = read_project(context.settings, PROJECT)
    assert isinstance(data, SpanDataset) and data.asks
    assert {one.question for one in data.train} <= {one.question for one in asked(60)}


CONTEXT = "Ann left Oslo."


def with_question(**more: Any) -> dict[str, Any]:
    return {"data": [{"title": "T", "paragraphs": [{"context": CONTEXT, "qas": [{"question": "Who?", **more}]}]}]}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"data": []}, "holds no question"),
        ({"data": {}}, '"data" must be a list'),
        ({"data": ["x"]}, "article 1: it is no object"),
        ({"data": [{"paragraphs": None}]}, 'article 1: "paragraphs" must be a list'),
        ({"data": [{"title": "T", "paragraphs": [{}]}]}, r'article 1 \(T\), paragraph 1: it lacks "context"'),
        ({"data": [{"paragraphs": [{"context": "x"}]}]}, 'paragraph 1: "qas" must be a list'),
        (with_question(), 'question 1: it lacks "answers"'),
        (with_question(answers="Ann"), '"answers" must be a list'),
        (with_question(answers=[{"text": "Ann"}]), 'needs "answer_start"'),
        (with_question(answers=[{"text": "Ann", "answer_start": 4}]), "does not have the answer 'Ann' but 'lef'"),
        (with_question(answers=[{"text": "Ann", "answer_start": 900}]), "does not have the answer"),
        (with_question(answers=[{"text": "Ann", "answer_start": True}]), "a whole number"),
        (with_question(answers=[{"text": "", "answer_start": 0}]), "a whole number"),
        (with_question(answers=[], question="  "), 'it lacks "question"'),
        ('{"data": [{"paragraphs": [{"context": "x", "qas": [', "is not JSON"),
        ('{"text": "Ann", "question": 7, "spans": []}', '"question" must be a text'),
        ('{"context": "Ann", "question": "Who?", "answers": {"text": ["Ann"]}}', '"answers" must have the lists'),
        (
            '{"context": "Ann", "question": "Who?", "answers": {"text": ["Bo"], "answer_start": [0]}}',
            "does not have the answer",
        ),
        ('{"context": "Ann", "answers": {"text": [], "answer_start": []}}', '"question" must be a text'),
        ({"data": [{"paragraphs": [{"context": CONTEXT, "qas": [with_question(answers=[])]}]}]}, "it lacks"),
    ],
)
def test_odd_files_say_what_is_wrong_and_where(tmp_path: Path, content: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_span_files(write(tmp_path / "x.json", content))


def test_texts_with_and_without_questions_do_not_mix(tmp_path: Path) -> None:
    rows = lines_of(asked(80)) + "\n" + json.dumps({"text": "Ann", "spans": []})
    with pytest.raises(DataError, match="some texts come with a question and others without"):
        read_span_files(write(tmp_path / "x.jsonl", rows))
