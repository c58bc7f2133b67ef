"""What an admin is told about a project whose upkeep does not go well."""

from __future__ import annotations

from typing import Any

from tests.support.rig import choices_config

ADMIN = {"Authorization": "Bearer admin"}


def described(client: Any) -> dict[str, Any]:
    return dict(client.get("/admin/projects/7", headers=ADMIN).get_json())


def test_status_says_that_redis_could_lose_labels_and_why_a_reconciliation_is_due(client: Any, services: Any) -> None:
    stores, watch = services.stores, services.background.watch
    stores.projects.save_config(7, choices_config(["a", "b"]))
    watch.poll()
    assert "durability of Redis" not in described(client)["off"]
    stores._redis.config_set("appendfsync", "everysec")
    try:
        watch._next = 0.0
        watch.poll()
        assert "appendfsync is 'everysec'" in described(client)["off"]["durability of Redis"]
    finally:
        stores._redis.config_set("appendfsync", "always")
    stores.projects.note_sync(7, {"drift": 4})
    stores.projects.mark_dirty(7, "a webhook was refused")
    stores.failures.fail(7, "refit", "MemoryError")
    shown = described(client)
    assert shown["last_sync"]["drift"] == 4 and shown["dirty"] == "a webhook was refused"
    assert shown["trouble"]["refit"]["failures"] == 1 and shown["trouble"]["refit"]["retry_in"] > 0
