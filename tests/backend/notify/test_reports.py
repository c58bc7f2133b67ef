"""How notifications fare is told by the command, by `doctor`, in `status` and in the metrics."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from backend.cli.main import main
from backend.doctor.notifications import check_notifications
from backend.health.overview import OverviewReader
from backend.notify.report import describe_state, find_trouble, find_troubles
from backend.settings.settings import current_settings
from backend.store.outbox.event import trial
from backend.store.outbox.outbox import read_state
from backend.store.stores import Stores
from backend.web.store_collector import notification_metrics
from tests.backend.notify.conftest import NOBODY, Post
from tests.support.hook_receiver import SECRET, receiving

pytestmark = pytest.mark.redis


@pytest.fixture
def understudy(stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)

    def run(url: str, *arguments: str) -> Result:
        current_settings.cache_clear()
        environment = {"REDIS_URL": stores.settings.redis_url, "DATA_DIR": str(tmp_path / "data")}
        environment |= {"NOTIFY_URL": url, "NOTIFY_SECRET": SECRET}
        return CliRunner().invoke(main, ["notify", *arguments], env=environment)

    return run


def test_a_test_is_sent_to_each_endpoint_and_opens_one_that_was_gone(
    understudy: Callable[..., Result], post: Callable[..., Post]
) -> None:
    with receiving(410, 204) as receiver, receiving(401) as other:
        own = post(receiver.url)
        own.outbox.put(trial())
        own.courier.deliver_due()
        assert "gone (410)" in understudy(receiver.url).output
        result = understudy(f"{receiver.url},{other.url}", "--test")
        assert result.exit_code == 1 and "taken (204)" in result.output and "it answers 401" in result.output
        assert "planted" not in result.output
        assert not own.state().gone and understudy(receiver.url, "--test", "--json").exit_code == 0
        (shown,) = json.loads(understudy(receiver.url, "--json").output)
    assert shown["dropped"] == 0 and shown["given_up"] == 1 and shown["status"] == "204"


def test_without_a_url_nobody_is_told(understudy: Callable[..., Result]) -> None:
    assert "nobody is told" in understudy("").output
    assert understudy("", "--test").exit_code == 1


def test_doctor_says_whether_an_endpoint_is_reached_and_what_it_answered(post: Callable[..., Post]) -> None:
    with receiving(204, 500, 410) as receiver:
        own = post(receiver.url)
        seen = [next(check_notifications(own.outbox))]
        for _ in range(3):
            own.outbox.put(trial())
            own.courier.deliver_due()
            seen.append(next(check_notifications(own.outbox)))
    assert [verdict.state for verdict in seen] == ["ok", "ok", "warn", "fail"]
    assert "notify --test" in seen[0].evidence and "1 delivered" in seen[1].evidence
    assert "it answers 500" in seen[2].evidence and "gone (410)" in seen[3].evidence
    (away,) = check_notifications(post(NOBODY).outbox)
    assert away.state == "fail" and "cannot be reached" in away.evidence and "/hooks" not in str(away)


def test_status_and_metrics_tell_of_an_endpoint_that_takes_nothing(post: Callable[..., Post]) -> None:
    with receiving(503) as receiver:
        own = post(receiver.url)
        own.outbox.put(trial())
        own.courier.deliver_due()
    (name,) = (endpoint.name for endpoint in own.outbox.endpoints)
    assert "it answers 503" in find_troubles(own.outbox, time.time())[f"notifications to {name}"]
    reader = OverviewReader(own.settings)
    families = {family.name: family for family in notification_metrics(reader.read().endpoints)}
    reader.close()
    assert families["understudy_notify_up"].samples[0].value == 0
    assert families["understudy_notify_waiting"].samples[0].labels == {"endpoint": name}
    counted = {one.labels["outcome"]: one.value for one in families["understudy_notify_events"].samples}
    assert counted == {"delivered": 0, "later": 1, "given_up": 0, "dropped": 0}


def test_words_for_every_state() -> None:
    new = read_state([], {})
    assert describe_state(new, 1000.0) == "0 delivered" and find_trouble(new, 1000.0) == ""
    fields = {"at": "9000", "status": "", "said": "no answer", "delivered": "2", "delivered_at": "1000"}
    waiting = read_state([f"evt_{7_000_000_000:014x}aa"], {**fields, "given_up": "1", "dropped": "4"})
    said = "2 delivered, the last 2 h ago; 1 waiting, the first for 34 min; 1 given up; 4 dropped; "
    assert describe_state(waiting, 9010.0) == said + "tried 10 s ago: no answer"
    left = read_state([f"evt_{7_000_000_000:014x}aa"], {**fields, "at": "7000", "status": "204"})
    assert "scheduler" in find_trouble(left, 9000.0)


def test_nothing_is_shown_where_nobody_is_told(stores: Stores) -> None:
    assert find_troubles(stores.outbox, 0.0) == {} and list(check_notifications(stores.outbox)) == []
