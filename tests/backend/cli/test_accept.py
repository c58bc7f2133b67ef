"""`understudy accept`: which tasks are asked about, what is said, and that nothing is written unasked."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

import backend.client.predict
from backend.cli.accept import _accept, _undo
from backend.errors import BadRequest
from backend.settings.settings import load_settings
from model.evidence.auto_accept import judge_carried

CONFIG = """<View><Text name="text" value="$text"/>
<Choices name="label" toName="text"><Choice value="a"/><Choice value="b"/></Choices></View>"""
TWO = CONFIG.replace("</View>", '<Rating name="stars" toName="text"/></View>')


class Studio:
    """Four tasks without an annotation; one has a draft, one was skipped."""

    def __init__(self, config: str = CONFIG) -> None:
        self.config, self.written, self.deleted = config, list[dict[str, Any]](), list[int]()

    def project(self, project: int) -> dict[str, Any]:
        return {"label_config": self.config}

    @property
    def tasks(self) -> Studio:
        return self

    predictions = tasks

    def page(self, project: int, after: int, *, most: int, labelled: bool) -> list[dict[str, Any]]:
        tasks = [{"id": number, "data": {"text": f"t{number}"}} for number in range(1, 5)]
        tasks[1]["drafts"], tasks[2]["cancelled_annotations"] = [{"id": 1}], 1
        return [task for task in tasks if task["id"] > after]

    def annotate(self, project: int, rows: list[dict[str, Any]], version: str) -> int:
        self.written += rows
        return len(rows)

    def accepted(self, project: int) -> list[int]:
        return [7, 9]

    def take_back(self, annotation: int) -> None:
        self.deleted.append(annotation)


class Asker:
    """Sure of task 1 only."""

    def __init__(self, *settings: Any) -> None: ...

    def __enter__(self) -> Asker:
        return self

    def __exit__(self, *error: object) -> None: ...

    def predict(self, project: int, tasks: list[dict[str, Any]]) -> tuple[list[Any], str]:
        region = {"from_name": "label", "value": {"choices": ["a"]}}
        return [{"score": 0.98 if task["id"] == 1 else 0.6, "result": [region]} for task in tasks], "v1"


def api_with(threshold: float | None) -> Any:
    def dial(project: int, accuracy: float, control: str, confidences: dict[str, int]) -> dict[str, Any]:
        assert (control, dict(confidences)) == ("label", {"0.9800": 1, "0.6000": 1}), "drafts and skips are left out"
        return {"threshold": threshold, "lower_bound": 0.96, "errors": 1, "tests": 200, "reason": "12 tests"}

    return SimpleNamespace(url="", dial=dial)


@pytest.fixture(autouse=True)
def asker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend.client.predict, "PredictClient", Asker)


def accept(studio: Studio, threshold: float | None, *, write: bool) -> None:
    settings = load_settings(queue_blind_share=0.0)
    _accept(api_with(threshold), studio, settings, 7, 0.95, write)  # type: ignore[arg-type]


def test_a_dry_run_says_what_would_be_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    accept(studio := Studio(), 0.9, write=False)
    said = capsys.readouterr().out
    assert "1 of 2 unlabelled tasks, at least 96.0% of them right" in said and "Nothing was changed" in said
    assert studio.written == []


@pytest.mark.parametrize("sure", [{"a"}, set()])
def test_answers_of_none_are_counted_with_the_reason_and_not_written(
    sure: set[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def predict(self: Asker, project: int, tasks: list[dict[str, Any]]) -> tuple[list[Any], str]:
        region = {"from_name": "label", "value": {"choices": ["a"]}}
        return [{"score": 0.98, "result": [region] if sure and task["id"] == 1 else []} for task in tasks], "v1"

    monkeypatch.setattr(Asker, "predict", predict)
    found = {"threshold": 0.9, "lower_bound": 0.96, "errors": 1, "tests": 200}
    api: Any = SimpleNamespace(url="", dial=lambda *_: found)
    _accept(api, studio := Studio(), load_settings(queue_blind_share=0.0), 7, 0.95, True)  # type: ignore[arg-type]
    said = capsys.readouterr().out
    assert f"{2 - len(sure)} of 2 unlabelled tasks are answered with none of these and left to people: an" in said
    assert ("1 of 1 other unlabelled tasks" in said) == bool(sure) == ("no answer to accept" not in said)
    assert [row["task"] for row in studio.written] == [1] * len(sure)


def test_with_write_the_sure_one_is_annotated_and_marked() -> None:
    accept(studio := Studio(), 0.9, write=True)
    [row] = studio.written
    assert row["task"] == 1 and row["result"][0]["meta"]["understudy"]["accepted"]


def test_without_proof_nothing_is_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    accept(studio := Studio(), None, write=True)
    assert studio.written == [] and "No confidence reaches 95.0%: 12 tests" in capsys.readouterr().out


@pytest.mark.parametrize("proven", [True, False])
def test_answers_of_labelled_duplicates_stand_by_their_own_evidence(
    proven: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def predict(self: Asker, project: int, tasks: list[dict[str, Any]]) -> tuple[list[Any], str]:
        items, version = own(self, project, tasks)
        items[0]["carried_over"] = "exact"
        return items, version

    def dial(project: int, accuracy: float, control: str, confidences: Any, carried: Any) -> dict[str, Any]:
        assert dict(confidences) == {"0.6000": 1} and dict(carried) == {"exact": 1}, "its score is no test's"
        seen = judge_carried(40 if proven else 3, 0, 1, accuracy)
        return {"threshold": None, "reason": "12 tests", "carried_over": {"exact": seen}}

    own = Asker.predict
    monkeypatch.setattr(Asker, "predict", predict)
    api: Any = SimpleNamespace(url="", dial=dial)
    _accept(api, studio := Studio(), load_settings(queue_blind_share=0.0), 7, 0.95, True)  # type: ignore[arg-type]
    said = capsys.readouterr().out
    assert [row["task"] for row in studio.written] == [1] * proven
    assert all(row.keys() == {"task", "score", "result"} for row in studio.written)
    assert ("left to people" in said) != proven and "1 unlabelled tasks have the same text as a labelled one" in said
    assert "No confidence reaches 95.0%" in said


def test_several_controls_are_refused() -> None:
    with pytest.raises(BadRequest, match="2 controls"):
        accept(Studio(TWO), 0.9, write=True)


def test_undo_deletes_what_bears_the_mark() -> None:
    _undo(studio := Studio(), 7)  # type: ignore[arg-type]
    assert studio.deleted == [7, 9]
