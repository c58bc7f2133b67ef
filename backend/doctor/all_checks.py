"""All checks in the order in which one builds on the other."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from backend.doctor.connection import check_connection
from backend.doctor.encoders import check_encoders
from backend.doctor.label_studio import check_label_studio, not_configured
from backend.doctor.learning import check_learning, judge_refusals
from backend.doctor.machine import check_machine
from backend.doctor.notifications import check_notifications, check_teacher
from backend.doctor.object_store import check_object_store
from backend.doctor.store import check_store
from backend.doctor.verdict import Verdict
from backend.doctor.web import check_web
from backend.labelstudio.rest.client import LabelStudioClient
from backend.redis_access.shared_secrets import find_secret
from backend.settings.settings import Settings
from backend.store.rejects import OF_NO_PROJECT
from backend.store.stores import Stores

LOOKED_AT = 10
"""Projects examined when none is named: Label Studio calls us for each of them."""


def examine_all(
    settings: Settings, project: int | None = None, *, chosen: Sequence[int] | None = None
) -> Iterator[Verdict]:
    """Every verdict as soon as it is known, of one `project` or the `chosen` ones; else of the first LOOKED_AT that
    Redis knows of."""
    yield from check_machine(settings)
    verdicts, health = check_store(settings)
    yield from verdicts
    yield from check_web(settings)
    known = (health.projects if health else [])[:LOOKED_AT]
    projects = [project] if project is not None else known if chosen is None else list(chosen)
    if settings.has_label_studio:
        yield from _check_label_studio(settings, projects)
    else:
        yield not_configured(settings)
    if health is not None:
        stores = Stores(settings)
        yield from check_object_store(settings, stores.versions.live_of(health.projects))
        yield from check_encoders(settings, stores, projects)
        yield from check_notifications(stores.outbox)
        yield from check_teacher(settings)
        for number in projects:
            yield from check_learning(settings, stores, number)
        yield from judge_refusals(stores.rejects.read(OF_NO_PROJECT), time.time())
        stores.close()


def _check_label_studio(settings: Settings, projects: list[int]) -> Iterator[Verdict]:
    secret = _webhook_secret(settings)
    with LabelStudioClient.of(settings, attempts=2) as client:
        answers = True
        for verdict in check_label_studio(settings, client):
            answers = answers and verdict.state != "fail"
            yield verdict
        for number in projects if answers else ():
            yield from check_connection(settings, client, number, secret)


def _webhook_secret(settings: Settings) -> str:
    """As the web process has it, but nothing is made."""
    if not settings.webhook_secret.get_secret_value() and not settings.basic_auth_user:
        return ""
    return find_secret(settings, "webhook_secret")
