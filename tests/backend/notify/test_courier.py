"""Events reach a real receiver, signed, once in normal running and at least once after a crash; what it answers decides
what follows."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook

from backend.jobs.export.process import environment_for
from backend.notify.courier import WAITS, wait_after
from backend.notify.sender import Answer, send
from backend.outcomes import JobOutcome, PublishOutcome
from backend.settings.settings import Settings, child_environment, load_settings
from backend.store.outbox.event import trial
from backend.store.stores import Stores
from tests.backend.notify.conftest import NOBODY, Post
from tests.faults.test_trainings import wait_until
from tests.support.hook_receiver import SECRET, Receiver, receiving
from tests.support.rig import free_port

pytestmark = pytest.mark.redis

PROJECT = 7
EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "notifications" / "receiver.py"


def told(receiver: Receiver) -> list[dict[str, Any]]:
    """The bodies, each verified by another implementation of the specification."""
    return [Webhook(SECRET).verify(delivery.body, delivery.headers) for delivery in receiver.seen]


def test_a_published_version_is_told_once_signed_and_with_its_facts(post: Callable[..., Post]) -> None:
    from backend.store.outbox.event import published

    with receiving() as receiver:
        own = post(receiver.url)
        versions = own.stores.versions
        for _ in range(2):
            event = published(PROJECT, "v3", None)
            versions.publish(PROJECT, "v3", expected=None, seq=5, by="trainer", event=event)
        own.courier.deliver_due()
        own.courier.deliver_due()
        (found,) = told(receiver)
    assert found["type"] == "version.published"
    assert found["data"] == {
        "project": 7,
        "version": "v3",
        "previous": None,
        "message": "project 7: v3 has passed the gate and is live",
    }
    assert found["id"] == receiver.seen[0].headers["webhook-id"] and found["timestamp"].endswith("Z")
    assert receiver.seen[0].path == "/hooks?key=planted"
    assert own.state().delivered == 1 and own.state().waiting == 0 and own.state().is_well


def test_what_was_not_published_is_not_told(post: Callable[..., Post]) -> None:
    from backend.store.outbox.event import published

    own = post(NOBODY)
    event = published(PROJECT, "v3", "v2")
    outcome = own.stores.versions.publish(PROJECT, "v3", expected="v2", seq=5, by="trainer", event=event)
    assert outcome == PublishOutcome.SUPERSEDED and own.state().waiting == 0


def test_a_training_that_failed_or_was_refused_is_told_without_what_a_library_said(post: Callable[..., Post]) -> None:
    with receiving() as receiver:
        own = post(receiver.url)
        for status, fields in (
            (JobOutcome.FAILED, {"message": "ValueError: 'the text of a task'"}),
            (JobOutcome.REJECTED, {"message": "label: worse than the champion", "version": "v4"}),
            (JobOutcome.CANCELLED, {"message": "cancelled"}),
        ):
            job = own.stores.jobs.request_training(PROJECT, by="test")[0]["id"]
            number = own.stores.jobs.begin(job, PROJECT)
            for _ in range(2):
                own.stores.jobs.update(job, {"status": status, **fields}, number)
        own.courier.deliver_due()
        failed, refused = told(receiver)
    assert failed["type"] == "training.failed" and "the text" not in json.dumps(failed)
    assert refused["type"] == "version.refused" and refused["data"]["version"] == "v4"
    assert refused["data"]["reason"] == "label: worse than the champion"


def test_refits_that_fail_in_a_row_are_told_once(post: Callable[..., Post]) -> None:
    own = post(NOBODY)
    failures = own.stores.failures
    assert failures.begin(PROJECT, "refit") == 0
    failures.fail(PROJECT, "refit", "no")
    assert own.state().waiting == 0, "one alone is often a worker that was killed"
    for _ in range(3):
        failures.release(PROJECT, "refit")
        failures.begin(PROJECT, "refit")
        failures.fail(PROJECT, "refit", "no")
        failures.fail(PROJECT, "sync", "no")
    assert own.state().waiting == 1
    failures.clear(PROJECT, "refit")
    for _ in range(3):
        failures.release(PROJECT, "refit")
        failures.begin(PROJECT, "refit")  # and dies
    assert own.state().waiting == 3, "and once that one has succeeded"


def test_a_refit_that_works_again_is_told_where_its_failures_were(post: Callable[..., Post]) -> None:
    with receiving() as receiver:
        own = post(receiver.url)
        failures = own.stores.failures
        for times in (1, 2):
            for kind in ("refit", "sync"):
                for _ in range(times):
                    failures.release(PROJECT, kind)
                    failures.begin(PROJECT, kind)
                    failures.fail(PROJECT, kind, "no")
                for _ in range(2):
                    failures.clear(PROJECT, kind)
            assert failures.describe(PROJECT) == {}
        while own.state().waiting:
            own.courier.deliver_due()
        failed, again = told(receiver)
    assert [failed["type"], again["type"]] == ["refit.failed", "refit.recovered"]
    assert again["data"] == {"project": 7, "message": "project 7: a refit has succeeded, new labels are learned again"}


def test_nobody_is_told_anything_without_a_url(stores: Stores) -> None:
    stores.outbox.put(trial())
    assert stores.outbox.keys == [] and stores.client.keys("understudy:outbox*") == []


def test_what_is_not_taken_is_sent_again_with_the_same_id_and_a_new_time(post: Callable[..., Post]) -> None:
    with receiving(500, 429, 204) as receiver:
        own = post(receiver.url)
        own.outbox.put(trial())
        for _ in range(3):
            assert own.courier.deliver_due() == 1
            assert own.courier.deliver_due() == 0, "its wait is not over"
            own.make_due()
        told(receiver)
        assert len({delivery.headers["webhook-id"] for delivery in receiver.seen}) == 1
        assert len({delivery.body for delivery in receiver.seen}) == 1
    found = own.state()
    assert (found.delivered, found.later, found.waiting) == (1, 2, 0)


def test_an_endpoint_that_is_gone_gets_nothing_more_until_a_test_is_taken(post: Callable[..., Post]) -> None:
    with receiving(410, 204) as receiver, receiving() as other:
        own = post(receiver.url, other.url)
        for _ in range(3):
            own.outbox.put(trial())
        own.courier.deliver_due()
        assert len(receiver.seen) == 1 and len(other.seen) == 3
        own.outbox.put(trial())
        own.courier.deliver_due()
        assert len(receiver.seen) == 1 and len(other.seen) == 4
        assert own.state().gone and own.state().dropped == 3 and not own.state().is_well


def test_after_a_day_an_event_is_given_up_and_counted(post: Callable[..., Post]) -> None:
    with receiving(503) as receiver:
        own = post(receiver.url)
        own.outbox.put(trial())
        for _ in range(len(WAITS) + 2):
            own.courier.deliver_due()
            own.make_due()
        assert len(receiver.seen) == len(WAITS) + 1
    assert own.state().given_up == 1 and own.state().waiting == 0


def test_waits_grow_for_a_day_and_a_refusal_begins_with_long_ones() -> None:
    busy, wrong = Answer(503), Answer(401, "it answers 401")
    assert 20 < sum(WAITS) / 3600 < 26
    for tries, wait in enumerate(WAITS, 1):
        assert 0.8 * wait <= (wait_after(tries, busy) or 0) <= 1.2 * wait
    assert wait_after(len(WAITS) + 1, busy) is None
    assert (wait_after(1, wrong) or 0) > 400
    assert wait_after(1, Answer(429, pause=900.0)) == 900.0


def test_an_outbox_that_is_full_loses_the_oldest_and_counts_them(
    post: Callable[..., Post], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.store.outbox.event.OUTBOX_EVENTS", 3)
    own = post(NOBODY)
    events = [trial() for _ in range(5)]
    for event in events:
        own.outbox.put(event)
    due = own.outbox.endpoints[0].keys[0]
    kept = own.stores.client.zrange(due, 0, -1)
    assert kept == [event.id for event in events[2:]] and own.state().dropped == 2


def test_nobody_there_is_no_answer_and_the_endpoint_is_left_alone_for_a_while(post: Callable[..., Post]) -> None:
    own = post(NOBODY)
    for _ in range(6):
        own.outbox.put(trial())
    assert own.courier.deliver_due() == 4, "then the breaker opens"
    assert own.courier.deliver_due() == 0
    assert own.state().said.startswith("no answer") and own.state().status == "" and own.state().waiting == 6


def test_two_schedulers_deliver_each_event_once(post: Callable[..., Post]) -> None:
    with receiving() as receiver:
        own = post(receiver.url)
        for _ in range(20):
            own.outbox.put(trial())
        threads = [threading.Thread(target=post(receiver.url).courier.deliver_due) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        ids = [delivery.headers["webhook-id"] for delivery in receiver.seen]
    assert len(ids) == len(set(ids)) == own.state().delivered == 20 and own.state().waiting == 0


def test_an_endpoint_that_hangs_holds_no_other_up(post: Callable[..., Post], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.notify.sender.ANSWER_SECONDS", 600.0)
    monkeypatch.setattr("backend.notify.courier.send", partial(send, limit=600.0))
    with receiving("hang") as slow, receiving() as other:
        own = post(slow.url, other.url)
        own.outbox.put(trial())
        own.courier.start()
        wait_until(lambda: own.state(1).delivered == 1, "the other one")
        slow.over.set()
        own.courier.leave()


def test_an_export_of_a_server_needs_no_secret_of_webhooks(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is started without the secret, wherever the URL stands."""
    (tmp_path / ".env").write_text("NOTIFY_URL=https://a.example/x\n")
    (tmp_path / "url").write_text("https://a.example/y\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NOTIFY_SECRET", SECRET)
    monkeypatch.setenv("NOTIFY_URL_FILE", str(tmp_path / "url"))
    environment = environment_for(settings)
    for name in ("NOTIFY_SECRET", "NOTIFY_URL_FILE"):
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert load_settings().notify_url == ""


@pytest.mark.parametrize("answer", ["hang", "trickle"])
def test_a_slow_answer_is_cut_off(settings: Settings, answer: str) -> None:
    with receiving(answer) as receiver:
        given = settings.model_copy(update={"notify_secret": SecretStr(SECRET)})
        found = send(given, receiver.url, "evt_1", "{}", limit=0.3)
    assert found.status is None and "no answer" in found.said


def test_a_redirect_is_not_followed(settings: Settings) -> None:
    given = settings.model_copy(update={"notify_secret": SecretStr(SECRET)})
    with receiving() as there, receiving(307) as receiver:
        receiver.headers["Location"] = there.url
        found = send(given, receiver.url, "evt_1", "{}")
        assert found.is_refusal and "redirects" in found.said and there.seen == []


def test_two_secrets_sign_both(settings: Settings) -> None:
    other = "whsec_" + "A" * 43 + "="
    given = settings.model_copy(update={"notify_secret": SecretStr(f"{SECRET} {other}")})
    with receiving() as receiver:
        assert send(given, receiver.url, "evt_1", '{"a":1}').is_taken
    for secret in (SECRET, other):
        assert Webhook(secret).verify(receiver.seen[0].body, receiver.seen[0].headers) == {"a": 1}


def test_the_receiver_of_the_page_takes_what_is_signed_and_nothing_else(post: Callable[..., Post]) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    command = [sys.executable, str(EXAMPLE), str(port)]
    environment = child_environment(NOTIFY_SECRET=SECRET)
    receiver = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: is_listening(port), "the receiver")
        own, other = post(url), post(f"{url}other", secret="whsec_" + "A" * 43 + "=")
        event = trial()
        for _ in range(2):
            own.outbox.put(event)
            own.courier.deliver_due()
        other.outbox.put(event)
        other.courier.deliver_due()
        assert own.state().delivered == 2 and other.state().status == "401"
    finally:
        receiver.terminate()
        told_people = receiver.communicate(timeout=20)[0]
    assert told_people == f"{event.message}\n"


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
