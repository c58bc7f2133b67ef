"""The refit job on a real store with the real encoder."""

from __future__ import annotations

from typing import Any

import pytest

from backend.application.learning_curve import describe_curve
from backend.health.glances import read_glances
from backend.jobs.learn.refit import refit
from model.versions.directory import list_versions
from tests.backend.conftest import PROJECT, Labels
from tests.support.rig import choices_config


def test_labels_become_a_published_version(context: Any, labels: Labels) -> None:
    labels.add(0, 24)
    assert refit(PROJECT) == "published"
    assert context.stores.versions.live(PROJECT) == "v0.1"
    assert context.stores.examples.pending(PROJECT) == 0
    assert refit(PROJECT) == "unchanged", "nothing changed since"


def test_a_project_without_labels_or_pool_is_left_alone(context: Any, labels: Labels) -> None:
    assert refit(PROJECT) == "unchanged"
    assert refit(99) == "no config"
    assert context.stores.versions.live(PROJECT) is None


def test_new_labels_are_tested_before_they_are_learned(context: Any, labels: Labels) -> None:
    labels.add(0, 24)
    refit(PROJECT)
    labels.add(24, 30)
    refit(PROJECT)
    rows = context.stores.evidence.rows(PROJECT)[24:]
    assert len(rows) == 6 and {row.version for row in rows} == {"v0.1"}
    assert all(0 <= row.confidence <= 1 and row.log_loss >= 0 for row in rows)


def test_what_the_list_of_projects_shows_is_counted_by_the_refit(context: Any, labels: Labels) -> None:
    for first in (0, 24):
        labels.add(first, first + 24)
        refit(PROJECT)
        (glance,) = read_glances(context.stores.client, [PROJECT])
        told = describe_curve(context.stores.evidence, PROJECT)["recent"]
        assert glance.figures == told and told["label"]["n"] == first + 24


def test_a_pinned_project_learns_nothing_until_it_is_released(context: Any, labels: Labels) -> None:
    labels.add(0, 16)
    refit(PROJECT)
    context.stores.versions.pin(PROJECT, "v0.1")
    labels.add(16, 24)
    assert refit(PROJECT) == "pinned"
    assert context.stores.examples.pending(PROJECT) == 8
    context.stores.versions.unpin(PROJECT)
    assert refit(PROJECT) == "published"


def test_a_refit_that_lost_the_race_changes_nothing(context: Any, labels: Labels, monkeypatch: Any) -> None:
    labels.add(0, 16)
    refit(PROJECT)
    labels.add(16, 20)
    publish = context.stores.versions.publish

    def race(project: int, version: str, **more: Any) -> str:
        context.stores._redis.set("understudy:{p7}:live", "v5")
        return str(publish(project, version, **more))

    monkeypatch.setattr(context.stores.versions, "publish", race)
    assert refit(PROJECT) == "superseded"
    assert context.stores.versions.live(PROJECT) == "v5"


def test_a_version_whose_files_are_gone_is_replaced(context: Any, labels: Labels) -> None:
    labels.add(0, 16)
    context.stores.versions.publish(PROJECT, "v0.9", expected=None, seq=0, by="test")
    assert refit(PROJECT) == "published"
    assert [m.version for m in list_versions(context.settings.models_dir, PROJECT)] == ["v0.1"]


def test_the_pool_alone_makes_a_better_cold_start(context: Any, labels: Labels) -> None:
    documents = {number: {"text": text} for number, (text, _) in enumerate(labels.rows[:40], 1)}
    documents = {task: {"text": f"{document['text']} (never seen)"} for task, document in documents.items()}
    context.stores.projects.add_pool(PROJECT, documents, 100)
    assert refit(PROJECT) == "unchanged", "no text is encoded while somebody may wait"
    assert context.stores._redis.exists("understudy:{p7}:refit"), "encoded afterwards, and a refit asked for"
    assert refit(PROJECT) == "published"
    model = context.live_model(PROJECT, "v0.1")
    [answer] = model.predict([{"text": labels.rows[50][0]}])
    assert 0 < answer[0].score < 1


@pytest.mark.parametrize(("wanted", "own"), [("shared", set()), ("per_label", {"billing", "refund"})])
def test_every_label_of_a_set_has_a_threshold_of_its_own_where_that_is_set(
    context: Any, labels: Labels, monkeypatch: pytest.MonkeyPatch, wanted: str, own: set[str]
) -> None:
    settings = context.settings.model_copy(update={"multilabel_thresholds": wanted})
    monkeypatch.setattr(context, "settings", settings)
    context.stores.projects.save_config(PROJECT, choices_config(["billing", "refund"], multiple=True))
    labels.add(0, 40)
    assert refit(PROJECT) == "published"
    model = context.live_model(PROJECT, context.stores.versions.live(PROJECT))
    assert set(model.rules("label").thresholds) == own
