"""Machines that share a Redis share the secrets that nobody has set, and nothing else has them."""

from __future__ import annotations

import logging
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from backend.backup.backup import make_backup
from backend.client.admin import AdminClient
from backend.doctor.store import judge_secrets
from backend.errors import StoreUnavailable
from backend.redis_access.shared_secrets import admin_token, find_secret, webhook_secret
from backend.settings.settings import Settings
from backend.store.stores import Stores
from tests.conftest import RedisServer

pytestmark = pytest.mark.redis


def machine(server: RedisServer, folder: Path, **more: Any) -> Settings:
    """One with a disk of its own."""
    url = server.settings.effective_redis_url
    return Settings(data_dir=folder, redis_url=url, basic_auth_user="studio", _env_file=None, **more)


def test_machines_that_start_at_once_agree(redis_server: RedisServer, tmp_path: Path) -> None:
    machines = [machine(redis_server, tmp_path / str(number)) for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        (token,) = set(pool.map(admin_token, machines))
        (secret,) = set(pool.map(webhook_secret, machines))
    assert len(token) >= 40 and len(secret) >= 40 and token != secret
    for own in machines:
        path = own.data_dir / "admin_token"
        assert (path.read_text().strip(), path.stat().st_mode & 0o777) == (token, 0o600)


def test_a_machine_goes_on_from_its_copy_while_redis_is_away_and_a_new_one_cannot(
    own_redis: RedisServer, tmp_path: Path
) -> None:
    known, new = machine(own_redis, tmp_path / "known"), machine(own_redis, tmp_path / "new")
    token = admin_token(known)
    own_redis.kill()
    assert admin_token(known) == token == find_secret(known, "admin_token")
    with pytest.raises(StoreUnavailable):
        admin_token(new)
    assert find_secret(new, "admin_token") == ""


def test_a_machine_with_a_value_of_its_own_takes_the_installation_s_and_says_so(
    redis_server: RedisServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = machine(redis_server, tmp_path / "1"), machine(redis_server, tmp_path / "2")
    for own, value in ((first, "the-first-value-of-many"), (second, "the-other-value-of-many")):
        own.data_dir.mkdir()
        (own.data_dir / "admin_token").write_text(value)
    assert admin_token(first) == "the-first-value-of-many", "who was there first keeps what is in use"
    assert list(judge_secrets(first)) == []
    assert [verdict.state for verdict in judge_secrets(second)] == ["warn"]
    with caplog.at_level(logging.WARNING):
        assert admin_token(second) == "the-first-value-of-many"
    assert (second.data_dir / "admin_token.replaced").read_text() == "the-other-value-of-many"
    said = caplog.text + " ".join(f"{v.evidence} {v.remedy}" for v in judge_secrets(second))
    assert "admin_token.replaced" in said and "value-of-many" not in said
    (second.data_dir / "admin_token.replaced").unlink()
    assert list(judge_secrets(second)) == []


def test_what_is_set_goes_first_and_is_not_kept(redis_server: RedisServer, tmp_path: Path, stores: Stores) -> None:
    own = machine(redis_server, tmp_path, admin_token="chosen", webhook_secret="chosen too")
    assert (admin_token(own), webhook_secret(own), find_secret(own, "admin_token")) == (
        "chosen",
        "chosen too",
        "chosen",
    )
    assert not stores._redis.exists("understudy:secrets") and not (tmp_path / "admin_token").exists()


def test_the_command_line_of_a_machine_without_a_copy_asks_redis(redis_server: RedisServer, tmp_path: Path) -> None:
    token = admin_token(machine(redis_server, tmp_path / "web"))
    assert AdminClient(machine(redis_server, tmp_path / "laptop"))._token == token
    assert not (tmp_path / "laptop").exists(), "looking makes nothing"


def test_no_backup_holds_them(redis_server: RedisServer, tmp_path: Path) -> None:
    own = machine(redis_server, tmp_path / "data")
    values = admin_token(own), webhook_secret(own)
    make_backup(own, tmp_path / "all.tar")
    with tarfile.open(tmp_path / "all.tar") as archive:
        files = [archive.extractfile(member) for member in archive.getmembers()]
        text = b"".join(file.read() for file in files if file is not None)
    assert not any(value.encode() in text for value in values)


def test_a_new_value_in_redis_is_everybody_s_at_the_next_start(
    redis_server: RedisServer, tmp_path: Path, stores: Stores
) -> None:
    """As docs/operations.md rotates them."""
    own = machine(redis_server, tmp_path)
    admin_token(own)
    stores._redis.hset("understudy:secrets", "admin_token", "a-new-one")
    assert admin_token(own) == "a-new-one" == (tmp_path / "admin_token").read_text().strip()
