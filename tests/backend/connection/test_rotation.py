"""Secrets are changed as docs/operations.md says: the new one counts at once, the old one no more, no label is lost."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from backend.connection.connect import run_connect
from backend.errors import StoreUnavailable
from backend.redis_access.connection import connect
from backend.redis_access.shared_secrets import admin_token, webhook_secret
from backend.routes.app import create_app
from backend.settings.settings import Settings
from backend.store.stores import Stores
from backend.web.store_collector import StoreCollector
from tests.backend.connection.test_connect import Studio
from tests.backend.doctor.test_all_checks import studio  # noqa: F401
from tests.conftest import RedisServer
from tests.support.redis_with_tls import documented_rights
from tests.support.rig import choices_config

pytestmark = pytest.mark.redis


def restarted(services: Any, **changes: Any) -> tuple[Any, Settings]:
    """The web process after a start with other settings: its client, and the settings."""
    settings = services.settings.model_copy(update=changes)
    wired = replace(
        services, settings=settings, admin_token=admin_token(settings), webhook_secret=webhook_secret(settings)
    )
    return create_app(wired).test_client(), settings


def event(client: Any, headers: dict[str, str]) -> int:
    """What the web process answers to an event with the headers of a webhook."""
    body = {"action": "PROJECT_UPDATED", "project": {"id": 1, "label_config": choices_config(["a", "b"])}}
    return int(client.post("/webhook", json=body, headers=headers).status_code)


def test_a_new_webhook_secret_reaches_label_studio_by_connecting_again(
    services: Any,
    studio: Studio,  # noqa: F811
) -> None:
    of_studio = {
        "label_studio_url": f"http://127.0.0.1:{studio.server_port}",
        "label_studio_api_key": SecretStr("0" * 40),
    }
    _, before = restarted(services, webhook_secret=SecretStr("first"), **of_studio)
    list(run_connect(before, 1))
    old = dict(studio.webhooks[0]["headers"])
    client, after = restarted(services, webhook_secret=SecretStr("second"), **of_studio)
    assert event(client, old) == 401
    list(run_connect(after, 1))
    assert event(client, studio.webhooks[0]["headers"]) == 200


def test_without_a_setting_deleting_the_file_and_redis_s_copy_makes_a_new_secret(services: Any) -> None:
    changes = {"basic_auth_user": "u", "basic_auth_pass": SecretStr("p"), "admin_token": SecretStr("")}
    _, settings = restarted(services, **changes)
    files = [settings.data_dir / name for name in ("admin_token", "webhook_secret")]
    token, secret = (path.read_text().strip() for path in files)
    services.stores._redis.delete("understudy:secrets")
    for path in files:
        path.unlink()
    client, _ = restarted(services, **changes)
    assert event(client, {"X-Webhook-Secret": secret}) == 401
    assert event(client, {"X-Webhook-Secret": files[1].read_text().strip()}) == 200
    for given, status in ((token, 401), (files[0].read_text().strip(), 200)):
        assert client.get("/admin/projects", headers={"Authorization": f"Bearer {given}"}).status_code == status


def test_redis_s_password_is_changed_while_both_are_valid(own_redis: RedisServer, make_record: Any) -> None:
    """With the rights of docs/operations.md, which have to suffice for everything."""
    admin = connect(own_redis.settings)
    admin.execute_command("ACL", "SETUSER", "understudy", *documented_rights(), ">old-pass")

    def stores(password: str) -> Stores:
        address = own_redis.settings.effective_redis_url.replace("unix://", f"unix://understudy:{password}@")
        return Stores(own_redis.settings.model_copy(update={"redis_url": address}))

    before = stores("old-pass")
    assert before.verify() == []
    use_everything(before, make_record)
    admin.execute_command("ACL", "SETUSER", "understudy", ">new-pass")
    after = stores("new-pass")
    use_everything(after, make_record)
    before.ping()
    admin.execute_command("ACL", "SETUSER", "understudy", "<old-pass")
    after.ping()
    with closing(stores("old-pass")) as late, pytest.raises(StoreUnavailable):
        late.ping()
    with pytest.raises(StoreUnavailable):
        _flush(after)
    before.close()
    after.close()
    admin.close()


def _flush(stores: Stores) -> None:
    from backend.redis_access.connection import guarded

    guarded(stores._redis.flushall)()


def use_everything(stores: Stores, make_record: Any) -> None:
    """One of each: scripts, pipelines, queue, lease, pub/sub, a whole RQ worker, /metrics."""
    from rq import Queue, SimpleWorker
    from rq.serializers import JSONSerializer

    from backend.redis_access.job_queue import AllowedJob

    stores.projects.save_config(7, choices_config(["A"]))
    stores.examples.upsert_many(7, [make_record(1)])
    stores.examples.snapshot(7)
    stores.versions.publish(7, "v0.1", expected=stores.versions.live(7), seq=1, by="test")
    assert next(stores.versions.listen(0.01)) is None
    assert next(stores.versions.listen(600, lambda: True)) is None, "whoever listens can be told to end"
    stores.jobs.enqueue_sync(7)
    stores.jobs.request_training(7, by="test")
    stores.hold_lease("me", 5)
    redis = stores.queue._redis
    queue = Queue("learn", connection=redis, serializer=JSONSerializer, job_class=AllowedJob)
    queue.enqueue_call("os.getcwd")
    SimpleWorker([queue], connection=redis, serializer=JSONSerializer, job_class=AllowedJob).work(burst=True)
    assert queue.count == 0
    with closing(StoreCollector(stores.settings)) as collector:
        seen = {family.name: family.samples for family in collector.collect()}
    assert seen["understudy_redis_up"][0].value == 1 and seen["understudy_examples"][0].value == 1
