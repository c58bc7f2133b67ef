"""Rows 41 and 42: what the store gives back cannot be read, and everybody who reads it goes on with the rest."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backend.jobs.learn.refit import refit
from backend.processes.scheduler import Scheduler
from backend.redis_access.keys import project_key
from tests.support.region_texts import CONFIG, add_notes, note, notes
from tests.support.rig import choices_config

pytestmark = pytest.mark.redis

PROJECT, OTHER = 7, 8
ADMIN = {"Authorization": "Bearer admin"}
PLACES = ("", "/examples", "/curve", "/advice", "/suspects", "/patterns", "/versions", "/explain?task=1")


def test_row_41_records_that_cannot_be_read_are_left_out_and_the_project_learns_on(
    client: Any, services: Any, context: Any
) -> None:
    add_notes(context.stores, PROJECT, notes(24))
    assert refit(PROJECT) == "published"
    add_notes(context.stores, PROJECT, notes(4, 24), first=25)
    assert refit(PROJECT) == "published"
    raw = context.stores.client
    raw.hset(project_key(PROJECT, "ex"), "3", b"\xff{")
    raw.hset(project_key(PROJECT, "ex"), "4", str(raw.hget(project_key(PROJECT, "ex"), "4"))[:50])
    for name in ("evidence", "surveys"):
        raw.rpush(project_key(PROJECT, name), "7", b'{"a": "\xc3', "{}")
    for name in ("suspects", "patterns", "patterns:about", "suggested"):
        raw.hset(project_key(PROJECT, name), "label", '{"searched": []')
    for name in ("facts", "3", "number"):
        raw.hset(project_key(PROJECT, "duplicates"), name, "7" if name == "number" else '{"controls": []}')
    raw.zadd(project_key(PROJECT, "duplicates:log"), {"3": 7})
    raw.hset(project_key(PROJECT, "suspects:duplicates"), "label", '[{"task": []')
    raw.set(project_key(PROJECT, "pool:report"), "[7]")
    assert context.stores.labelled_texts.facts(PROJECT) is None and context.labelled.read(PROJECT) is None
    assert context.stores.pool_reports.read(PROJECT) is None
    for name in ("tested", "survey", "marks:1"):
        raw.set(project_key(PROJECT, name), '["v0')
    add_notes(context.stores, PROJECT, notes(2, 40), first=41)
    assert refit(PROJECT) == "published"
    live = context.stores.versions.live(PROJECT)
    assert context.live_model(PROJECT, live).manifest.labels_seen["label"] == 28
    for place in PLACES:
        reply = client.get(f"/admin/projects/{PROJECT}{place}", headers=ADMIN)
        assert reply.status_code == 200, (place, reply.text)
    drawn = [item for item in note(0).result if item["type"] == "labels"][:1]
    body = {"tasks": [{"id": 1, "data": {"text": note(0).text}}], "project": f"{PROJECT}.1", "label_config": CONFIG}
    assert client.post("/predict", json={**body, "params": {"context": {"result": drawn}}}).status_code == 200
    assert context.stores.projects.dirty(PROJECT) == "stored annotations are damaged", "fetched again"


def test_row_42_what_one_project_holds_stops_the_scheduler_for_no_other(context: Any, make_record: Any) -> None:
    for project in (PROJECT, OTHER):
        context.stores.projects.save_config(project, choices_config(["A", "B"]))
        context.stores.examples.upsert_many(project, [make_record(1), make_record(2, "B")])
    raw = context.stores.client
    raw.hset(project_key(PROJECT, "meta"), mapping=dict.fromkeys(("sync", "summary"), json.dumps([7])))
    raw.set(project_key(PROJECT, "evaluated"), "[]")
    raw.hset(project_key(PROJECT, "queue"), "version", "{")
    assert Scheduler(context).tick()
    assert raw.exists(project_key(OTHER, "refit"))
