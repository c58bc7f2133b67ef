"""From a refit to the suspects that an admin sees, on a real store with the real encoder."""

from __future__ import annotations

from typing import Any

import pytest

from backend.jobs.learn.label_errors import excerpt
from backend.jobs.learn.refit import refit
from tests.backend.conftest import PROJECT, Labels

ADMIN = {"Authorization": "Bearer admin"}
WRONG = (3, 17, 40, 66, 90, 101)


@pytest.fixture
def mislabelled(labels: Labels) -> Labels:
    """120 labelled messages, six of them with the next label."""
    labels.add(0, 120)
    for row in WRONG:
        labels.add(
            row, row + 1, relabel=lambda label: labels.names[(labels.names.index(label) + 1) % len(labels.names)]
        )
    return labels


def suspects(client: Any, query: str = "") -> Any:
    return client.get(f"/admin/projects/{PROJECT}/suspects{query}", headers=ADMIN).get_json()


def test_wrong_labels_are_found_and_leave_when_they_are_corrected(
    context: Any, mislabelled: Labels, client: Any
) -> None:
    assert suspects(client) == {"suspects": [], "found": 0, "searched": {}}, "no whole search has run yet"
    assert refit(PROJECT) == "published"
    found = suspects(client)
    assert found["searched"]["label"]["labels"] == 120
    first = [row["task"] - 1 for row in found["suspects"][:6]]
    assert len(set(first) & set(WRONG)) >= 3, "chance is .3"
    top = found["suspects"][0]
    assert (top["control"], top["annotations"]) == ("label", [top["task"]])
    assert top["p_given"] < top["p_suggested"] and top["given"] != top["suggested"]
    assert mislabelled.rows[top["task"] - 1][0].startswith(top["text"][:20].rstrip("…"))
    assert len(suspects(client, "?control=label&limit=2")["suspects"]) == 2
    context.stores.examples.remove(PROJECT, [top["annotations"][0]])
    assert top["task"] not in [row["task"] for row in suspects(client)["suspects"]]


def test_labels_that_a_thinned_refit_did_not_check_are_checked_at_once(
    context: Any, mislabelled: Labels, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model.head.search.FULL_ROWS", 60)
    live, searched = [], []
    keep = context.stores.label_errors.replace

    def replace(project: int, found: Any, *more: Any) -> None:
        searched.append(found["label"]["searched"])
        live.append(context.stores.versions.live(project))
        keep(project, found, *more)

    monkeypatch.setattr(context.stores.label_errors, "replace", replace)
    refit(PROJECT)
    assert (searched, live) == ([24, 120], ["v0.1", "v0.2"]), "one fold in five, published; then all"
    assert suspects(client)["searched"]["label"]["labels"] == 120


def test_what_cannot_be_answered_is_named(context: Any, mislabelled: Labels, client: Any) -> None:
    refit(PROJECT)
    unknown = client.get(f"/admin/projects/{PROJECT}/suspects?control=nope", headers=ADMIN)
    assert unknown.status_code == 404 and "label" in unknown.get_json()["message"]
    bad = client.get(f"/admin/projects/{PROJECT}/suspects?limit=-1", headers=ADMIN)
    assert bad.status_code == 400 and bad.get_json()["field"] == "limit"
    assert client.get("/admin/projects/99/suspects", headers=ADMIN).status_code == 404
    assert client.get(f"/admin/projects/{PROJECT}/suspects").status_code == 401


def test_people_who_share_tasks_are_shown_with_the_tasks_they_dispute(
    context: Any, labels: Labels, client: Any
) -> None:
    from dataclasses import replace

    records = list(labels._records(range(30), str))
    other = labels.names[0]
    shared = [replace(record, annotator=1) for record in records]
    shared += [replace(record, annotation=100 + record.annotation, annotator=2) for record in records[:9]]
    shared.append(replace(records[9], annotation=200, annotator=2, targets={"label": [[other]]}))
    context.stores.examples.upsert_many(PROJECT, shared)
    refit(PROJECT)
    shown = client.get(f"/admin/projects/{PROJECT}", headers=ADMIN).get_json()
    assert shown["annotators"]["label"]["2"] == {"reliability": None, "labels": 10}
    expected = [] if records[9].targets == {"label": [[other]]} else [{"task": 10, "score": 1.0}]
    assert shown["disagreements"]["label"] == expected


def test_an_excerpt_is_one_short_line() -> None:
    assert excerpt(("a\n b", "c")) == "a b / c"
    assert len(excerpt(("word " * 100,))) == 120
