"""Real parts for all tests: a Redis server with AOF always, settings on a scratch directory, encoders."""

from __future__ import annotations

import gc
import itertools
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import HTTPServer
from pathlib import Path
from typing import Any, TypeVar

import hypothesis
import pytest

from backend.base_model import languages
from backend.base_model.encoders import Encoders
from backend.embedded_redis.binary import find_redis_server
from backend.embedded_redis.server import answers, write_config
from backend.redaction import process_redactor
from backend.settings.settings import Settings, current_settings
from backend.store.stores import Stores
from tests.support.kept import Beginnings, KeptEncoders, kept_identifier

Server = TypeVar("Server", bound=HTTPServer)

QUIET = ("REDIS_URL", "DATA_DIR", "LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY", "BASE_MODEL", "BASIC_AUTH_USER")


USUAL_LOOKS = gc.get_threshold()


def pytest_configure() -> None:
    """No test of any properties fails because the machine is busy: examples have 200 ms otherwise."""
    hypothesis.settings.register_profile("untimed", deadline=None)
    hypothesis.settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def usual_looks_for_garbage() -> None:
    """What loads an encoder to serve with makes looks for garbage seldom, and exempts whatever there is: one test's
    would be found in another, or never, with the encoders that it holds."""
    gc.set_threshold(*USUAL_LOOKS)
    gc.unfreeze()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test sees the settings of whoever runs it."""
    for name in QUIET:
        monkeypatch.delenv(name, raising=False)
    current_settings.cache_clear()
    process_redactor.cache_clear()  # the secret of one test is an ordinary word in the next
    yield
    current_settings.cache_clear()


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """A little HTTP server that answers while this is open, and ends whatever the test does."""
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class RedisServer:
    """The embedded Redis with the product's own configuration, started and stopped at will."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        config = write_config(self.settings, find_redis_server())
        deadline = time.monotonic() + 120
        while not answers(self.settings.redis_socket):
            if self.process is None or self.process.poll() is not None:  # on a full disk somebody's write ends it
                with (self.settings.data_dir / "redis.log").open("ab") as log:
                    self.process = subprocess.Popen([find_redis_server(), str(config)], stdout=log, stderr=log)
            assert time.monotonic() < deadline, (self.settings.data_dir / "redis.log").read_text()[-2000:]
            time.sleep(0.01)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)


@contextmanager
def running_redis() -> Iterator[RedisServer]:
    """A server on a scratch directory of its own."""
    with tempfile.TemporaryDirectory(prefix="us-") as scratch:
        server = RedisServer(Settings(data_dir=Path(scratch)))
        server.start()
        yield server
        server.stop()


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture
def redis_server(shared_redis: RedisServer) -> RedisServer:
    """The shared server, emptied."""
    stores = Stores(shared_redis.settings)
    stores._redis.flushall()
    stores.close()
    return shared_redis


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A server for one test, which may kill it."""
    with running_redis() as server:
        yield server


@pytest.fixture
def settings(redis_server: RedisServer, tmp_path: Path) -> Settings:
    """A data directory of this test, on the shared Redis."""
    url = redis_server.settings.effective_redis_url
    return Settings(data_dir=tmp_path / "data", redis_url=url, poll_seconds=0.2, admin_token="admin")  # type: ignore[arg-type]


@pytest.fixture
def stores(settings: Settings) -> Iterator[Stores]:
    opened = Stores(settings)
    yield opened
    opened.close()


def tick_later(scheduler: Any, seconds: float = 60.0) -> None:
    """Two ticks with so many seconds in between, as far as the scheduler can tell of what it watches."""
    scheduler.tick()
    still = scheduler.stores.jobs.still
    clock = still.clock
    still.clock = lambda: clock() + seconds
    assert scheduler.tick()


@pytest.fixture
def make_record() -> Callable[..., Any]:
    """Builds records; a second later each time unless `at` says otherwise."""
    from backend.labelstudio.records import ExampleRecord

    seconds = itertools.count()

    def make(
        annotation: int, label: str | None = "A", task: int | None = None, at: int | None = None, **more: Any
    ) -> Any:
        stamp = f"2026-01-01T00:{(at if at is not None else next(seconds)) // 60:02d}:{(at or 0) % 60:02d}Z"
        targets = {} if label is None else {"label": [[label]]}
        fields = {"texts": {"text": f"text {task or annotation}"}, "targets": targets, "updated_at": stamp, **more}
        return ExampleRecord(annotation=annotation, task=task or annotation, **fields)

    return make


@pytest.fixture(scope="session")
def shared_features() -> Iterator[Path]:
    """One feature cache for the tests of a process: no text is encoded twice."""
    with tempfile.TemporaryDirectory(prefix="us-features-") as scratch:
        yield Path(scratch)


@pytest.fixture(scope="session")
def shared_words() -> Iterator[Path]:
    """As `shared_features`, of what spans are read with."""
    with tempfile.TemporaryDirectory(prefix="us-words-") as scratch:
        yield Path(scratch)


@pytest.fixture(scope="session")
def kept_encoders() -> Iterator[KeptEncoders]:
    with tempfile.TemporaryDirectory(prefix="us-timings-") as scratch:
        yield KeptEncoders(Path(scratch))


@pytest.fixture
def read_once(kept_encoders: KeptEncoders, monkeypatch: pytest.MonkeyPatch) -> None:
    """The packaged encoder and the classifier of languages are read from disk once for all tests of a process."""
    monkeypatch.setattr(Encoders, "_read", lambda own, directory: kept_encoders.read(own, directory))
    monkeypatch.setattr(languages, "_open_identifier", kept_identifier)


@pytest.fixture
def context(
    settings: Settings, shared_features: Path, shared_words: Path, read_once: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """What jobs run in: they find it where a worker process would."""
    from backend.jobs import context as module

    settings.data_dir.mkdir(parents=True, exist_ok=True)
    settings.features_dir.symlink_to(shared_features)
    settings.words_dir.symlink_to(shared_words)
    module.context.cache_clear()
    monkeypatch.setattr(module, "current_settings", lambda: settings)
    yield module.context()
    module.context().stores.close()
    module.context.cache_clear()


@pytest.fixture(scope="module")
def beginnings() -> Iterator[Beginnings]:
    with tempfile.TemporaryDirectory(prefix="us-begun-") as scratch:
        yield Beginnings(Path(scratch))


@pytest.fixture
def once(context: Any, beginnings: Beginnings) -> Callable[..., None]:
    """`once(make)`: what several tests of a module begin with is made by the first of them, `once(make, name)` where
    there are several such things. The others have Redis and the data directory as `make` left them; nothing else may
    hang on its having run."""
    return lambda make, name="": beginnings.begin(context.settings, make, name)


@pytest.fixture
def web_seconds() -> float:
    """How long one reply of Redis may take for the web process: longer than in the product, so that no test fails
    because the disk is busy."""
    return 30.0


@pytest.fixture
def services(context: Any, settings: Settings, web_seconds: float, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The web process's services, with models serving."""
    from backend.application.services import build_services

    monkeypatch.setattr("backend.application.services.WEB_SECONDS", web_seconds)
    built = build_services(settings)
    deadline = time.monotonic() + 120
    while built.registry.not_ready:
        assert time.monotonic() < deadline, built.registry.not_ready
        time.sleep(0.02)
    yield built
    built.stop()


@pytest.fixture
def client(services: Any) -> Any:
    """A test client of the web application."""
    from backend.routes.app import create_app

    return create_app(services).test_client()
