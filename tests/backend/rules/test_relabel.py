"""Which tasks are to be looked at again, with which answer; and the command that lists them in Label Studio."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import Result

from backend.jobs.sync.relabel_tab import FIRST_TAB, TAB_TITLE
from backend.labelstudio.records import ExampleRecord
from backend.labelstudio.results import read_targets
from backend.labelstudio.task_spec import parse_label_config
from backend.rules.relabel import CHECK, DISAGREE, WRONG, list_label_errors, rank_label_errors
from tests.backend.cli.test_admin import Admin, admin, understudy
from tests.conftest import serving
from tests.support.label_configs import keys_of
from tests.support.rig import choices_config
from tests.support.studio import TOKEN, Studio

__all__ = ["admin", "understudy"]

SINGLE = parse_label_config(choices_config(["a", "b", "c"]))
SETS = parse_label_config(choices_config(["a", "b", "c"], multiple=True))
TREE = """<View><Text name="text" value="$text"/><Taxonomy name="label" toName="text">
<Choice value="x"><Choice value="y"/></Choice></Taxonomy><Rating name="stars" toName="text" maxRating="5"/></View>"""


def record(annotation: int, task: int, *labels: str, person: int = 1) -> ExampleRecord:
    targets: Any = {"label": [[label] for label in labels]}
    return ExampleRecord(
        annotation, task, {"text": "t"}, targets, f"2026-01-01T00:00:{annotation:02d}Z", annotator=person
    )


def suspect(task: int, given: str, suggested: str, p_given: float, flag: str = "likely wrong") -> dict[str, Any]:
    return {"task": task, "given": given, "suggested": suggested, "p_given": p_given, "flag": flag}


def answers(spec: Any, rows: list[dict[str, Any]]) -> list[tuple[int, Any, float, str]]:
    """With the answers read back as people's are."""
    return [(r["task"], keys_of(read_targets(spec, r["result"])), r["score"], r["model_version"]) for r in rows]


def test_the_suggested_answer_comes_with_the_probability_of_the_given_one_most_doubtful_first() -> None:
    suspects = {"label": [suspect(1, "a", "b", 0.2, "check"), suspect(2, "a", "c", 0.01)]}
    records = {1: [record(1, 1, "a")], 2: [record(2, 2, "a")]}
    found = answers(SINGLE, rank_label_errors(SINGLE, suspects, {}, records))
    assert found == [(2, {"label": ["c"]}, 0.01, WRONG), (1, {"label": ["b"]}, 0.2, CHECK)]


def test_where_annotators_disagree_the_majority_is_suggested_and_a_suspect_is_listed_once() -> None:
    records = {
        1: [record(1, 1, "a"), record(2, 1, "b", person=2), record(3, 1, "b", person=3)],
        2: [record(4, 2, "a"), record(5, 2, "c", person=2)],
        3: [record(6, 3, "a"), record(7, 3, "b", person=2)],
    }
    disputed = {
        "label": [{"task": task, "score": score} for task, score in ((1, 0.6667), (2, 1.0), (3, 1.0), (9, 1.0))]
    }
    found = answers(SINGLE, rank_label_errors(SINGLE, {"label": [suspect(3, "a", "b", 0.05)]}, disputed, records))
    assert found == [
        (2, {"label": ["c"]}, 0.0, DISAGREE),
        (3, {"label": ["b"]}, 0.05, WRONG),
        (1, {"label": ["b"]}, 0.3333, DISAGREE),
    ], "of a tie the newest; a task without annotations is not listed"


def test_of_a_set_the_suspicious_labels_are_turned_over_and_the_rest_stays() -> None:
    suspects = {"label": [suspect(1, "a", "", 0.02), suspect(1, "", "c", 0.1)]}
    found = answers(SETS, rank_label_errors(SETS, suspects, {}, {1: [record(1, 1, "a", "b")]}))
    assert found == [(1, {"label": ["b", "c"]}, 0.02, WRONG)]


def test_paths_and_stars_of_several_controls_make_one_prediction() -> None:
    spec = parse_label_config(TREE)
    suspects = {"label": [suspect(1, "x", "x/y", 0.1, "check")], "stars": [suspect(1, "1", "5", 0.3)]}
    [(task, found, score, version)] = answers(spec, rank_label_errors(spec, suspects, {}, {}))
    assert (task, found, score, version) == (1, {"label": ["x/y"], "stars": ["5"]}, 0.1, WRONG)


def test_only_flagged_suspects_whose_annotations_are_unchanged_are_found(stores: Any) -> None:
    stores.projects.save_config(7, choices_config(["a", "b", "c"]))
    records = [record(number, number, "a") for number in (1, 2, 3)]
    stores.examples.upsert_many(7, records)
    rows = [suspect(1, "a", "b", 0.01), suspect(2, "a", "b", 0.2, ""), suspect(3, "a", "b", 0.03)]
    for row, known in zip(rows, records, strict=True):
        row |= {"annotations": {str(known.annotation): known.version}, "text": "t", "p_suggested": 0.9}
    stores.label_errors.replace(7, {"label": {"searched": 3, "at": 1.0, "rows": rows}}, ["label"], 3)
    assert [row["task"] for row in list_label_errors(stores, 7)] == [1, 3]
    changed = ExampleRecord(1, 1, {"text": "t"}, {"label": [["b"]]}, "2026-01-01T00:01:00Z")
    stores.examples.upsert_many(7, [changed])
    assert [row["task"] for row in list_label_errors(stores, 7)] == [3] and list_label_errors(stores, 7, 0) == []
    assert list_label_errors(stores, 8) == []


@pytest.fixture
def studio() -> Iterator[Studio]:
    with serving(Studio({1: "a", 2: "b", 3: "c"}, {1, 2, 3})) as running:
        yield running


def rows_of(*tasks: int, score: float = 0.01) -> Any:
    found = rank_label_errors(SINGLE, {"label": [suspect(task, "a", "b", score) for task in tasks]}, {}, {})
    return 200, {"rows": found}


def test_push_lists_them_once_follows_changes_and_remove_leaves_nothing(
    admin: Admin, understudy: Any, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABEL_STUDIO_URL", studio.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", TOKEN)
    studio.predictions.append({"task": 1, "model_version": "v0.3", "result": [], "score": 0.5})
    path = ("GET", "/admin/projects/7/relabel?limit=100")

    def push() -> Result:
        result: Result = understudy("suspects", "7", "--push")
        return result

    admin.replies[path] = rows_of(1, 2)
    assert push().output == f"2 tasks in the tab '{TAB_TITLE}' of project 7.\n"
    assert [tab["data"]["title"] for tab in studio.tabs] == [FIRST_TAB["title"], TAB_TITLE]
    assert push().output == f"2 tasks already in the tab '{TAB_TITLE}' of project 7.\n"
    imports = ("POST", "/api/projects/7/import/predictions")
    assert studio.seen[imports] == 1
    admin.replies[path] = rows_of(2, 3)
    push()
    assert [row["task"] for row in studio.predictions if row["model_version"] == WRONG] == [2, 3]
    admin.replies[path] = rows_of()
    assert push().output == "Nothing to look at again.\n" and len(studio.predictions) == 1
    admin.replies[path] = rows_of(3)
    push()
    assert "1 suggestions" in understudy("suspects", "7", "--remove").output
    assert [row["model_version"] for row in studio.predictions] == ["v0.3"], "other predictions stay"
    assert [tab["data"] for tab in studio.tabs] == [FIRST_TAB]
    assert understudy("suspects", "7", "--remove").output == "Project 7 has nothing of it.\n"


def test_without_a_label_studio_or_with_both_options_the_remedy_is_told(admin: Admin, understudy: Any) -> None:
    admin.replies["GET", "/admin/projects/7/relabel?limit=5"] = rows_of(1)
    assert "LABEL_STUDIO_API_KEY" in understudy("suspects", "7", "--push", "--limit", "5").output
    assert "one of them" in understudy("suspects", "7", "--push", "--remove").output


MARKS = parse_label_config(
    '<View><Labels name="label" toName="text"><Label value="PER"/><Label value="LOC"/></Labels>'
    '<Text name="text" value="$text"/></View>'
)


def annotated(annotation: int, *spans: tuple[int, int, str], person: int = 1) -> ExampleRecord:
    stamp = f"2026-01-01T00:00:{annotation:02d}Z"
    return ExampleRecord(annotation, 1, {"text.page": "x" * 40}, {}, stamp, person, spans={"label": list(spans)})


def at(start: int, end: int) -> dict[str, Any]:
    return {"start": start, "end": end, "text": "x"}


def test_doubtful_spans_are_put_right_and_the_others_stay_as_they_are() -> None:
    given = [(0, 3, "PER"), (5, 8, "LOC"), (10, 12, "PER")]
    rows = [
        {**suspect(1, "PER", "LOC", 0.01), "p_suggested": 0.9, "given_span": at(0, 3), "suggested_span": at(0, 3)},
        {**suspect(1, "LOC", "", 0.05, "check"), "p_suggested": 0.8, "given_span": at(5, 8)},
        {**suspect(1, "", "PER", 0.04, "check"), "p_suggested": 0.96, "suggested_span": at(20, 24), "kind": "missed"},
    ]
    [row] = rank_label_errors(MARKS, {"label": rows}, {}, {1: [annotated(1, *given)]})
    assert (row["score"], row["model_version"], row["result"]) == (0.01, WRONG, [])
    assert row["spans"] == {
        "label": [(0, 3, "LOC", 0.9, ""), (10, 12, "PER", 1.0, "as annotated"), (20, 24, "PER", 0.96, "missed")]
    }


def test_of_disputed_spans_those_that_half_of_the_annotators_have_are_suggested() -> None:
    answers = [annotated(1, (0, 3, "PER")), annotated(2, (0, 3, "PER"), (5, 8, "LOC"), person=2)]
    answers.append(annotated(3, (0, 4, "PER"), person=3))
    [row] = rank_label_errors(MARKS, {}, {"label": [{"task": 1, "score": 0.6}]}, {1: answers})
    assert (row["score"], row["model_version"]) == (0.4, DISAGREE)
    assert row["spans"] == {"label": [(0, 3, "PER", pytest.approx(0.4), "most annotators")]}
