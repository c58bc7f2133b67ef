"""REDIS_URL: passwords, TLS and Sentinel, with real servers, for the stores and for RQ; and no secret gets out."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from backend.embedded_redis.binary import find_redis_server
from backend.errors import SettingsError, StoreUnavailable
from backend.redis_access.address import check_address, shown_address
from backend.settings.settings import Settings
from backend.store.stores import Stores
from backend.workers.worker import build_worker
from tests.support.redis_with_tls import PASSWORD, QUOTED, Place, fail_over, with_password, with_sentinel, with_tls
from tests.support.rig import choices_config

pytestmark = pytest.mark.redis

PLACES = {"password": with_password, "tls": with_tls, "sentinel": with_sentinel}


def has_tls() -> bool:
    shown = subprocess.run(["ldd", find_redis_server()], capture_output=True, text=True, check=False).stdout
    return "libssl" in shown


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "tls" and not has_tls():
        pytest.skip("this redis-server knows no TLS")
    with PLACES[request.param](tmp_path) as found:
        yield found


@pytest.fixture
def settings(place: Place, tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", redis_url=place.url, **place.more)


def test_stores_announcements_and_jobs_work_there_and_no_secret_gets_out(
    context: Any, settings: Settings, place: Place, make_record: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    stores = context.stores
    assert stores.verify() == []
    stores.examples.upsert_many(7, [make_record(1), make_record(2)])
    assert stores.examples.count(7) == 2
    heard = stores.versions.listen(0.1)
    assert next(heard) is None
    stores.versions.publish(7, "v0.1", expected=None, seq=2, by="test")
    assert any(next(heard) == (7, "v0.1") for _ in range(50))
    assert stores.jobs.enqueue_sync(7)
    build_worker(settings, "sync").work(burst=True, with_scheduler=False)
    assert "LABEL_STUDIO_URL" in stores.projects.last_sync(7)["error"], "the job ran"
    assert PASSWORD not in caplog.text + repr(settings) and QUOTED not in caplog.text + repr(settings)
    other = Settings(redis_url=place.url.replace(QUOTED, "wrong-secret"), **place.more)
    with closing(Stores(other)) as wrong, pytest.raises(StoreUnavailable) as refused:
        wrong.ping()
    assert "wrong-secret" not in refused.value.message


@pytest.mark.parametrize("missing", ["-client", "-ping", "-hset", "-config"])
def test_a_right_that_is_missing_is_named_with_the_remedy(tmp_path: Path, missing: str, make_record: Any) -> None:
    with (
        with_password(tmp_path, missing) as place,
        closing(Stores(Settings(redis_url=place.url))) as stores,
        pytest.raises(StoreUnavailable) as refused,
    ):
        stores.verify()
        stores.projects.save_config(7, choices_config(["A"]))
    said = refused.value.message.lower()
    assert missing[1:] in said and ("docs/operations.md" in said or "allow_unsafe_redis" in said)
    assert ("cannot be verified" in said) == (missing == "-config")


def test_a_failover_is_followed_and_noticed(tmp_path: Path, make_record: Callable[..., Any]) -> None:
    with with_sentinel(tmp_path) as place, closing(Stores(Settings(redis_url=place.url))) as stores:
        watch = stores.watch()
        watch._seconds = 0.0
        assert watch.poll() == set()
        stores.examples.upsert_many(7, [make_record(1)])
        fail_over(place.ports)
        deadline = time.monotonic() + 120
        happened: set[str] = set()
        while not happened:
            assert time.monotonic() < deadline
            time.sleep(0.05)
            with suppress(StoreUnavailable):
                happened = watch.poll()
        assert happened == {"restarted"}, "what the old primary took last may be lost: a reconciliation is due"
        stores.examples.upsert_many(7, [make_record(2)])
        assert stores.examples.ids(7) == {1, 2}


def test_a_server_with_a_strange_certificate_is_refused(tmp_path: Path) -> None:
    if not has_tls():
        pytest.skip("this redis-server knows no TLS")
    with (
        with_tls(tmp_path) as place,
        closing(Stores(Settings(redis_url=place.url))) as stores,
        pytest.raises(StoreUnavailable, match=r"certificate of that server is self-signed.*REDIS_CA_FILE"),
    ):
        stores.ping()


BAD = [
    "http://:secret@host/0",
    "redis://:sec/ret@host:6379/0",
    "redis+sentinel://host:26379",
    "redis+sentinel://:secret@host:x/mine",
    "redis+sentinel://host/mine?other=secret",
    "unix+sentinel://host/mine",
    "redis://host/0?no_such_option=secret",
]


@pytest.mark.parametrize("url", BAD)
def test_what_is_no_address_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^REDIS_URL cannot be used: it is no address") as refused:
        Stores(Settings(redis_url=url)).ping()
    assert "sec" not in refused.value.message


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rediss://me:a@b.c:6380/1?ssl_ca_certs=x", "rediss://b.c:6380/1"),
        ("redis+sentinel://u:p@a:1,b:2/mine/0?sentinel_password=p", "redis+sentinel://a:1,b:2/mine/0"),
        ("unix:///tmp/r.sock?db=0", "unix:///tmp/r.sock"),
    ],
)
def test_an_address_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert shown_address(url) == shown


@pytest.mark.parametrize("scheme", ["rediss://127.0.0.1:1/0", "rediss+sentinel://127.0.0.1:1/mine/0"])
def test_a_file_of_certificates_that_cannot_be_used_is_told_before_anything_starts(tmp_path: Path, scheme: str) -> None:
    (tmp_path / "text").write_text("no certificate")
    for name, what in (("none.pem", "No such file"), ("text", "holds no certificate in PEM form")):
        path = str(tmp_path / name)
        with pytest.raises(SettingsError, match=rf"REDIS_CA_FILE=.*{name}.*{what}"):
            check_address(Settings(_env_file=None, data_dir=tmp_path, redis_url=scheme, redis_ca_file=path))
    with pytest.raises(SettingsError, match="ssl_ca_certs of REDIS_URL=/nowhere"):
        check_address(Settings(_env_file=None, redis_url="rediss://127.0.0.1:1/0?ssl_ca_certs=/nowhere"))


def test_sentinels_that_do_not_answer_are_told_without_the_librarys_objects(tmp_path: Path) -> None:
    stores = Stores(Settings(_env_file=None, data_dir=tmp_path, redis_url="redis+sentinel://127.0.0.1:1/mine/0"))
    with pytest.raises(
        StoreUnavailable, match="No master found for 'mine': no Sentinel of REDIS_URL answers"
    ) as caught:
        stores.verify()
    assert "<redis" not in str(caught.value)
