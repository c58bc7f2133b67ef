"""What is noticed after a refit is told once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr

from backend.jobs.learn.notices import tell_news
from backend.settings.settings import Settings
from backend.store.stores import Stores
from tests.backend.rules.notice.test_notice import rows, surveys
from tests.support.hook_receiver import SECRET

pytestmark = pytest.mark.redis

PROJECT = 7


def work_of(settings: Settings, **given: Any) -> Any:
    facts = {"notify_url": "http://127.0.0.1:9/hooks", "notify_secret": SecretStr(SECRET), **given}
    told = settings.model_copy(update=facts)
    return SimpleNamespace(settings=told, stores=Stores(told))


def waiting(work: Any) -> list[str]:
    events = work.stores.client.hvals(work.stores.outbox.endpoints[0].keys[1])
    return sorted(str(event).partition('"type":"')[2].partition('"')[0] for event in events)


def test_drift_is_told_once(settings: Settings) -> None:
    work = work_of(settings)
    work.stores.evidence.append(PROJECT, rows(300, 0.8))
    tell_news(work, PROJECT, surveyed=True)
    assert waiting(work) == []
    work.stores.evidence.append(PROJECT, rows(60, 0.4, start=300))
    for _ in range(2):
        tell_news(work, PROJECT, surveyed=True)
    assert waiting(work) == ["drift.noticed"]
    work.stores.close()


def test_enough_labels_are_told_once_for_each_target(settings: Settings) -> None:
    work = work_of(settings, notify_accuracy=0.8)
    work.stores.evidence.append(PROJECT, rows(300, 0.9, claimed=0.9, labels=400))
    for survey in surveys(0.8, 0.86, 0.9):
        pool = {"n": 500, "mean": survey["controls"]["label"]["mean"]}
        work.stores.evidence.save_survey(PROJECT, {"labels": survey["labels"], "controls": {"label": pool}})
    tell_news(work, PROJECT, surveyed=False)
    assert waiting(work) == []
    for _ in range(2):
        tell_news(work, PROJECT, surveyed=True)
    assert waiting(work) == ["labels.enough"]
    other = work_of(settings, notify_accuracy=0.95)
    tell_news(other, PROJECT, surveyed=True)  # not reached: the former may be told again
    assert waiting(work) == ["labels.enough"] and work.stores.outbox.told(PROJECT) == {}
    other.stores.close()
    work.stores.close()
