"""What the benches of a project that marks text send: right places, no text twice, and learned as it is meant."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from backend.labelstudio.annotations import to_record
from backend.labelstudio.task_spec import parse_label_config
from tests.support import marked_project as module
from tests.support.marked_project import MarkedProject, endless_marked_rows, kind_of, marked_rows
from tests.support.rig import Project


@pytest.fixture(params=["as found", "made up"])
def rows(request: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Any:
    if request.param == "made up":
        monkeypatch.setattr(module, "SOURCE", tmp_path / "nothing")
    marked_rows.cache_clear()
    yield marked_rows()
    marked_rows.cache_clear()


def test_texts_have_about_twenty_words_and_marks_that_stand_in_them(rows: Any) -> None:
    assert len(rows) > 1_100, "1,000 to learn from, and more to be learned"
    for text, marks in rows:
        assert all(
            0 <= start < end <= len(text) and text[start:end].strip() == text[start:end] for start, end, _ in marks
        )
    words = [len(text.split()) for text, _ in rows]
    assert 15 <= sum(words) / len(words) <= 30
    assert sum(bool(marks) for _, marks in rows) > len(rows) / 2


def test_no_text_comes_twice_and_marks_move_with_their_text(rows: Any) -> None:
    count = len(rows)
    found = list(itertools.islice(endless_marked_rows(), 2 * count + 5))
    assert len({text for text, _ in found}) == len(found)
    for (text, marks), (later, moved) in zip(found[:50], found[count : count + 50], strict=True):
        assert [text[a:b] for a, b, _ in marks] == [later[a:b] for a, b, _ in moved]


def test_an_annotation_is_learned_as_it_is_meant(rows: Any) -> None:
    project: Any = MarkedProject.of_sample(None, 7)  # type: ignore[arg-type]
    text, marks = next(row for row in rows if row[1])
    pair = project.annotation(text, marks)
    record = to_record(parse_label_config(project.config), pair["annotation"], pair["task"])
    assert record.spans == {"label": sorted(marks)} and record.texts == {"text.page": text}


def test_choices_are_what_they_were() -> None:
    assert kind_of(False) is Project and kind_of(True) is MarkedProject
    project: Any = Project.of_sample(None, 7)  # type: ignore[arg-type]
    result = project.annotation("hello", "billing")["annotation"]["result"]
    assert result == [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": ["billing"]}}]
