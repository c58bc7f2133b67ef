"""Rows 9 to 14: Redis refuses, hangs, dies, is unsafe, has no room, or has lost everything."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from backend.embedded_redis.aof_repair import repair_log
from backend.embedded_redis.binary import find_redis_server
from backend.embedded_redis.server import answers
from backend.errors import StoreUnavailable
from backend.jobs.learn.refit import refit
from backend.jobs.sync.reconcile import resync
from backend.processes.scheduler import Scheduler
from backend.redis_access.connection import WEB_SECONDS
from backend.settings.settings import Settings
from backend.store.stores import Stores
from tests.conftest import RedisServer
from tests.support.events import ask, create, send
from tests.support.label_studio_stub import TOKEN, LabelStudioStub, ReferenceModel
from tests.support.tiny import PROJECT, letters, tiny_base, tiny_settings  # noqa: F401

pytestmark = pytest.mark.redis


@pytest.fixture
def road(own_redis: RedisServer) -> Path:
    """The socket under which the product knows its Redis."""
    return own_redis.settings.redis_socket


@pytest.fixture
def web_seconds() -> float:
    """As in the product."""
    return WEB_SECONDS


@pytest.fixture
def truth() -> ReferenceModel:
    """What Label Studio knows of the project."""
    return ReferenceModel.of_choices([PROJECT], ["a", "e"])


@pytest.fixture
def settings(road: Path, truth: ReferenceModel, tmp_path: Path, tiny_base: Path) -> Iterator[Settings]:
    with LabelStudioStub(truth) as studio:
        api = {"label_studio_url": f"http://127.0.0.1:{studio.port}", "label_studio_api_key": TOKEN}
        yield tiny_settings(tmp_path / "data", f"unix://{road}?db=0", tiny_base, **api)


def eventually(what: Callable[[], Any]) -> Any:
    """Waits for something that another thread does."""
    deadline = time.monotonic() + 120
    while not (found := what()):
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.02)
    return found


def stored(stores: Stores) -> set[int]:
    return {record.annotation for record in stores.examples.snapshot(PROJECT).records}


def test_row_09_redis_away_or_hanging_is_a_503_at_once_and_a_resync_brings_what_was_missed(
    client: Any, services: Any, own_redis: RedisServer, truth: ReferenceModel
) -> None:
    bodies = [truth.create(PROJECT, [(text, "a")]).body for text in ("a b", "b c", "c d")]
    assert client.post("/webhook", json=bodies[0]).status_code == 200
    assert own_redis.process is not None
    own_redis.process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    reply = client.post("/webhook", json=bodies[1])
    assert (reply.status_code, reply.get_json()["error"]) == (503, "store_unavailable")
    assert time.monotonic() - began < 100, "without a limit this waits for ever"
    assert services.stores._redis.connection_pool.connection_kwargs["socket_timeout"] < 1
    assert ask(client).status_code == 200
    own_redis.kill()
    assert client.post("/webhook", json=bodies[2]).status_code == 503
    assert ask(client).status_code == 200
    assert services.metrics.store_errors._value.get() == 2
    own_redis.start()
    assert eventually(lambda: "while Redis was away" in services.stores.projects.dirty(PROJECT))
    assert resync(PROJECT) == "done"
    assert stored(services.stores) == set(truth.annotations(PROJECT))
    assert not services.stores.projects.dirty(PROJECT)


class Road:
    """Passes bytes between a client and Redis. Armed, it kills Redis when it has done what a script asked, and before
    the client hears of it."""

    def __init__(self, path: Path, server: RedisServer) -> None:
        self.path, self.server, self.armed = path, server, False
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as redis:
            try:
                redis.connect(str(self.server.settings.redis_socket))
            except OSError:
                return
            is_script = threading.Event()  # of this connection: others ask for other things meanwhile
            threading.Thread(target=self._carry_back, args=(redis, client, is_script), daemon=True).start()
            with suppress(OSError):  # either end is killed
                while data := client.recv(1 << 16):
                    (is_script.set if b"EVALSHA" in data else is_script.clear)()
                    redis.sendall(data)

    def _carry_back(self, redis: socket.socket, client: socket.socket, is_script: threading.Event) -> None:
        try:
            while data := redis.recv(1 << 16):
                if self.armed and is_script.is_set() and not data.startswith(b"-"):
                    self.armed = False
                    self.server.kill()
                    break
                client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)
        except OSError:
            return


class TestRow10:
    @pytest.fixture
    def own_road(self, own_redis: RedisServer) -> Iterator[Road]:
        road = Road(own_redis.settings.data_dir / "road.sock", own_redis)
        yield road
        road.close()

    @pytest.fixture
    def road(self, own_road: Road) -> Path:
        return own_road.path

    def test_row_10_killed_between_script_and_reply_the_event_sent_again_is_no_duplicate(
        self, client: Any, services: Any, own_redis: RedisServer, own_road: Road
    ) -> None:
        assert create(client, 1).status_code == 200
        own_road.armed = True
        assert create(client, 2).status_code == 503
        own_redis.start()
        assert stored(services.stores) == {1, 2}, "it was on disk, only the reply was lost"
        reply = create(client, 2)
        assert (reply.status_code, reply.get_json()["outcomes"]) == (200, {"duplicate": 1})
        assert stored(services.stores) == {1, 2} and services.stores.examples.pending(PROJECT) == 2


def test_row_11_redis_killed_while_labels_stream_in_keeps_all_that_it_acknowledged(
    client: Any, services: Any, own_redis: RedisServer
) -> None:
    acknowledged: list[int] = []
    refused: list[int] = []

    def label(number: int) -> None:
        if len(refused) > 4:
            return
        reply = create(client.application.test_client(), number)
        (acknowledged if reply.status_code == 200 else refused).append(number)
        if len(acknowledged) == 40:
            own_redis.kill()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(label, range(1, 301)))
    assert len(acknowledged) >= 40 and len(refused) > 4, "it was killed in the middle"
    own_redis.start()
    assert set(acknowledged) <= stored(services.stores)


UNSAFE = {"appendonly": "no", "appendfsync": "everysec", "maxmemory-policy": "allkeys-lru"}


def test_row_12_an_unsafe_redis_is_refused_at_the_start_or_loudly_accepted(
    own_redis: RedisServer, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    from backend.jobs.context import Context
    from backend.processes.worker import wait_for_redis

    stores = Stores(settings)
    for name, value in UNSAFE.items():
        stores._redis.config_set(name, value)
    with (
        closing(Context(settings).stores) as opened,
        pytest.raises(StoreUnavailable, match=r"could lose labels.*CONFIG SET") as refused,
    ):
        wait_for_redis(opened)
    assert all(f"{name} is {value!r}" in refused.value.message for name, value in UNSAFE.items())
    with closing(Context(settings.model_copy(update={"allow_unsafe_redis": True})).stores) as opened:
        wait_for_redis(opened)
    stores.close()
    assert all(name in caplog.text for name in UNSAFE)


def test_row_12_a_redis_that_becomes_unsafe_is_reported_and_not_believed_until_it_is_safe_again(
    client: Any, services: Any, caplog: pytest.LogCaptureFixture
) -> None:
    watch = services.background.watch
    watch._seconds = 0.05
    assert create(client, 1).status_code == 200
    assert client.get("/ready").get_json()["redis"] == []
    services.stores._redis.config_set("appendfsync", "everysec")
    assert eventually(lambda: watch.problems)
    reply = create(client, 2)
    assert reply.status_code == 503 and "appendfsync is 'everysec'" in reply.get_json()["message"]
    assert client.get("/ready").get_json()["redis"] == ["appendfsync is 'everysec', not 'always'"]
    assert "understudy_redis_safe 0.0" in client.get("/metrics").text
    assert "could lose labels from now on" in caplog.text
    assert ask(client).status_code == 200
    services.stores._redis.config_set("appendfsync", "always")
    assert eventually(lambda: not watch.problems and services.stores.projects.dirty(PROJECT))
    assert create(client, 3).status_code == 200


def read_on_a_full_disk(server: RedisServer, stores: Any) -> Any:
    """What is there can be read; a write of the web process in the background may end the server once more."""
    deadline = time.monotonic() + 120
    while True:
        server.start()
        try:
            return stored(stores)
        except StoreUnavailable:
            assert time.monotonic() < deadline


class TestRow13:
    @pytest.fixture
    def own_redis(self) -> Iterator[RedisServer]:
        """On a file system of 8 MiB."""
        with tempfile.TemporaryDirectory(prefix="us-") as scratch:
            server = RedisServer(Settings(data_dir=Path(scratch)))
            folder = Path(scratch) / "redis"
            folder.mkdir()
            command = ["mount", "-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs", str(folder)]
            if subprocess.run(command, capture_output=True, check=False).returncode != 0:
                pytest.skip("needs the right to mount a file system")
            server.start()
            yield server
            server.stop()
            subprocess.run(["umount", "-l", str(folder)], check=True)

    @pytest.fixture
    def settings(self, own_redis: RedisServer, tiny_base: Path) -> Settings:
        return tiny_settings(own_redis.settings.data_dir, "", tiny_base)

    def test_row_13_a_full_disk_is_a_clear_503_predictions_go_on_and_room_is_all_it_needs(
        self, client: Any, services: Any, own_redis: RedisServer
    ) -> None:
        assert create(client, 1).status_code == 200
        path = own_redis.settings.data_dir / "redis" / "filler"
        with path.open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space left"):
            while True:
                filler.write(b"\0" * 4096)
        acknowledged, numbers = {1}, itertools.count(2)
        for _ in range(2):
            while (reply := create(client, number := next(numbers))).status_code == 200:
                acknowledged.add(number)  # the last block of the log had room for it
            assert reply.status_code == 503 and "the disk of DATA_DIR is full" in reply.get_json()["message"]
            assert ask(client).status_code == 200
            assert own_redis.process is not None and own_redis.process.wait(10) == 1, "it would rather end than lie"
            assert read_on_a_full_disk(own_redis, services.stores) == acknowledged
        own_redis.kill()
        # As the supervisor does.
        environment = {**os.environ, "DATA_DIR": str(own_redis.settings.data_dir), "REDIS_URL": ""}
        output = own_redis.settings.data_dir / "output"
        with output.open("wb") as log:
            command = [sys.executable, "-m", "backend", "redis"]
            own_redis.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        eventually(lambda: "Redis waits for room" in output.read_text())
        path.unlink()
        eventually(lambda: answers(own_redis.settings.redis_socket))
        assert create(client, 1000).status_code == 200
        assert stored(services.stores) == acknowledged | {1000}


def test_a_log_damaged_in_the_middle_is_cut_predictions_go_on_and_a_resync_brings_the_rest(
    client: Any, services: Any, context: Any, own_redis: RedisServer, truth: ReferenceModel
) -> None:
    for text in ("a b", "b c", "c d", "d a"):
        client.post("/webhook", json=truth.create(PROJECT, [(text, "a")]).body)
    scheduler = Scheduler(context)
    scheduler._watch._seconds = 0.0
    scheduler.tick()
    context.stores.projects.note_sync(PROJECT, {})
    own_redis.kill()
    folder, server = own_redis.settings.data_dir / "redis", find_redis_server()
    log = next(folder.glob("appendonlydir/*.incr.aof"), folder / "appendonly.aof")
    data = log.read_bytes()
    place = data.index(b"*", data.index(b"c d") - 400)
    log.write_bytes(data[:place] + b"#" + data[place + 1 :])
    assert "cut off" in repair_log(server, folder)
    assert ask(client).status_code == 200
    own_redis.start()
    assert len(stored(context.stores)) < 4
    eventually(scheduler.tick)
    assert context.stores.projects.dirty(PROJECT) == "Redis was restarted or failed over"
    assert resync(PROJECT) == "done"
    assert stored(context.stores) == set(truth.annotations(PROJECT))


def test_row_14_everything_is_flushed_predictions_go_on_and_all_of_it_is_rebuilt(
    client: Any, services: Any, context: Any, truth: ReferenceModel
) -> None:
    rows = [("a b c", "a"), ("e f g", "e"), ("b c d", "a"), ("f g h", "e")]
    client.post("/webhook", json=truth.create(PROJECT, rows).body)
    assert refit(PROJECT) == "published"
    eventually(lambda: services.registry.version_of(PROJECT) == "v0.1")
    services.stores._redis.flushall()
    reply = ask(client).get_json()
    assert reply["model_version"] == "v0.1" and reply["results"][0]
    Scheduler(context).tick()
    assert context.stores.versions.live(PROJECT) == "v0.1", "the pointer, from the manifests"
    assert context.stores.versions.allocate(PROJECT, tuned=0) == "v0.2", "the counters, too: no name is given twice"
    assert "lost" in context.stores.projects.dirty(PROJECT)
    assert resync(PROJECT) == "done"
    assert stored(context.stores) == set(truth.annotations(PROJECT))
    assert refit(PROJECT) == "unchanged", "the restored version knows these labels"
    assert context.stores.examples.pending(PROJECT) == 0
    assert send(client, "START_TRAINING").status_code == 200
