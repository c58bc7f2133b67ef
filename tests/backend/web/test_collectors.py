"""/metrics shows what other processes did, by way of Redis; and answers without it."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from backend.settings.settings import Settings
from backend.store.stores import Stores
from backend.store.work.job_counters import JobCounterStore
from backend.web.store_collector import PROJECTS_SHOWN, StoreCollector
from tests.conftest import RedisServer
from tests.support.rig import choices_config


def scrape(settings: Settings) -> dict[tuple[str, ...], float]:
    """(series, label values in order of their names) -> value, as Prometheus would read it."""
    registry = CollectorRegistry()
    with closing(StoreCollector(settings)) as collector:
        registry.register(collector)
        return parse(generate_latest(registry).decode())


def parse(text: str) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_jobs_of_other_processes_are_counted(settings: Settings, stores: Stores) -> None:
    tallies = JobCounterStore(stores._redis)
    for seconds in (0.05, 0.3, 0.4, 9000):
        tallies.count_job("refit", "published", seconds)
    tallies.count_job("refit", "failed", 1)
    tallies.count_resynced({"stored": 2, "removed": 1, "cleared": 0})
    seen = scrape(settings)
    assert seen["understudy_jobs_total", "refit", "published"] == 4
    assert seen["understudy_jobs_total", "refit", "failed"] == 1
    buckets = {key[2]: value for key, value in seen.items() if key[0] == "understudy_job_seconds_bucket"}
    assert (buckets["0.1"], buckets["0.25"], buckets["0.5"], buckets["7200"], buckets["+Inf"]) == (1, 1, 3, 4, 5)
    assert seen["understudy_job_seconds_count", "refit"] == 5
    assert seen["understudy_job_seconds_sum", "refit"] == pytest.approx(9001.75)
    assert seen["understudy_resynced_total", "stored"] == 2 and seen["understudy_resynced_total", "cleared"] == 0


def test_a_project_shows_what_waits_what_is_live_and_what_drifted(
    settings: Settings, stores: Stores, make_record: Any
) -> None:
    stores.projects.save_config(7, choices_config(["A", "B"]))
    stores.examples.upsert_many(7, [make_record(number) for number in (1, 2, 3)])
    stores.versions.publish(7, "v0.1", expected=None, seq=2, by="test")
    stores.projects.mark_dirty(7, "test")
    before = scrape(settings)
    assert before["understudy_examples", "7"] == 3
    assert before["understudy_examples_pending", "7"] == 1 and before["understudy_changes_unlearned", "7"] == 1
    assert before["understudy_live_version_timestamp_seconds", "7"] == pytest.approx(time.time(), abs=60)
    assert before["understudy_dirty", "7"] == 1
    assert ("understudy_resync_success_timestamp_seconds", "7") not in before, "never is not 1970"
    stores.projects.note_sync(7, {"changed": 5, "drift": 5})
    after = scrape(settings)
    assert after["understudy_resync_drift", "7"] == 5 and after["understudy_dirty", "7"] == 0
    assert after["understudy_resync_success_timestamp_seconds", "7"] == pytest.approx(time.time(), abs=60)
    stores.projects.note_sync(7, {"error": "away"})
    assert scrape(settings)["understudy_resync_failing", "7"] == 1
    record, _ = stores.jobs.request_training(7, by="test")
    stores.jobs.update(record["id"], {"status": "running", "started_at": 1234.5})
    assert scrape(settings)["understudy_training_started_timestamp_seconds", "7"] == 1234.5
    stores.jobs.update(record["id"], {"status": "failed"})
    assert ("understudy_training_started_timestamp_seconds", "7") not in scrape(settings)


def test_projects_beyond_the_limit_share_one_series(settings: Settings, stores: Stores, make_record: Any) -> None:
    for project in range(1, PROJECTS_SHOWN + 4):
        stores.projects.mark_dirty(project, "test")
    stores.examples.upsert_many(PROJECTS_SHOWN + 1, [make_record(1), make_record(2)])
    stores.examples.upsert_many(PROJECTS_SHOWN + 3, [make_record(1)])
    seen = scrape(settings)
    names = {key[1] for key in seen if key[0] == "understudy_examples"}
    assert len(names) == PROJECTS_SHOWN + 1 and seen["understudy_examples", "others"] == 3
    assert seen["understudy_dirty", "others"] == 3 and seen["understudy_projects",] == PROJECTS_SHOWN + 3


def test_actions_of_admins_are_counted(settings: Settings, stores: Stores) -> None:
    assert scrape(settings)["understudy_audit_entries",] == 0
    stores.audit.write({"action": "retrain", "status": "202"})
    assert scrape(settings)["understudy_audit_entries",] == 1


def test_redis_tells_whether_it_is_safe(own_redis: RedisServer) -> None:
    settings = own_redis.settings
    seen = scrape(settings)
    assert (seen["understudy_redis_up",], seen["understudy_redis_safe",]) == (1, 1)
    assert seen["understudy_workers", "learn"] == 0 and seen["understudy_scheduler_up",] == 0
    assert seen["understudy_disk_free_bytes",] > 0
    stores = Stores(settings)
    stores._redis.config_set("appendfsync", "everysec")
    assert scrape(settings)["understudy_redis_safe",] == 0
    stores.close()


def test_a_scrape_answers_while_redis_is_away_or_hangs(own_redis: RedisServer) -> None:
    assert own_redis.process is not None
    import signal

    own_redis.process.send_signal(signal.SIGSTOP)
    try:
        assert scrape(own_redis.settings)["understudy_redis_up",] == 0
    finally:
        own_redis.process.send_signal(signal.SIGCONT)
    own_redis.kill()
    seen = scrape(own_redis.settings)
    assert seen["understudy_redis_up",] == 0 and seen["understudy_disk_free_bytes",] > 0
    assert not any(name.startswith("understudy_redis_safe") for name, *_ in seen), "not known is not unsafe"
