"""Suspects on a real Redis: replaced as a whole, and gone with the annotations they came from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from backend.store.stores import Stores

pytestmark = pytest.mark.redis

PROJECT = 7


@pytest.fixture
def keep(stores: Stores, make_record: Callable[..., Any]) -> Callable[..., None]:
    """Stores annotations, and a suspect of the control `label` for each."""

    def store(*annotations: int) -> None:
        records = [make_record(annotation, at=annotation) for annotation in annotations]
        stores.examples.upsert_many(PROJECT, records)
        told = {"text": "a", "given": "A", "suggested": "B", "p_given": 0.1, "p_suggested": 0.9, "flag": ""}
        rows = [
            {"task": record.task, "annotations": {str(record.annotation): record.version}, **told} for record in records
        ]
        stores.label_errors.replace(PROJECT, {"label": {"searched": 9, "at": 1.0, "rows": rows}}, ["label"], 3)

    return store


def tasks(stores: Stores, control: str = "label") -> list[int]:
    return [row["task"] for row in stores.label_errors.read(PROJECT)[control]["rows"]]


def test_nothing_is_known_before_the_first_search(stores: Stores) -> None:
    assert stores.label_errors.read(PROJECT) == {}


def test_a_search_replaces_what_was_there(stores: Stores, keep: Callable[..., None]) -> None:
    keep(1, 2)
    keep(3)
    assert tasks(stores) == [3]
    entry = stores.label_errors.read(PROJECT)["label"]
    assert (entry["searched"], entry["seq"]) == (9, 3)


def test_a_control_that_was_not_searched_keeps_its_list_and_a_removed_one_loses_it(
    stores: Stores, keep: Callable[..., None]
) -> None:
    keep(1)
    other = {"other": {"searched": 1, "at": 1.0, "rows": []}}
    stores.label_errors.replace(PROJECT, other, ["label", "other"], 4)
    assert tasks(stores) == [1] and tasks(stores, "other") == []
    stores.label_errors.replace(PROJECT, {}, ["other"], 5)
    assert list(stores.label_errors.read(PROJECT)) == ["other"]


def test_a_changed_or_deleted_annotation_is_no_suspect_any_more(
    stores: Stores, keep: Callable[..., None], make_record: Callable[..., Any]
) -> None:
    keep(1, 2, 3, 4)
    stores.examples.upsert_many(PROJECT, [make_record(1, "B", at=100), make_record(4, None, at=100)])
    stores.examples.remove(PROJECT, [2])
    assert tasks(stores) == [3]
