"""The product under fire: `understudy up`, its Redis where that is a server of its own, the disk it writes on; and an
observer who reads its store by the straight road, its versions and its processes all the time."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
import redis

from backend.embedded_redis.binary import find_redis_server
from backend.redis_access.connection import connect
from backend.redis_access.keys import project_key
from backend.settings.settings import Settings
from bench.chaos.checker import History
from bench.chaos.traffic import Proxy
from bench.support.load import Workers
from tests.support.project_kinds import facts_of_record
from tests.support.rig import Rig, free_port, name_of

ROLES = ("web", "learner", "trainer", "sync", "scheduler", "redis")
DISK_MIB = 6000


class SmallDisk:
    """An ext4 of its own in a sparse file, to be filled. Needs the right to mount: `exists` says whether."""

    def __init__(self, folder: Path) -> None:
        self.path, self._image = folder / "disk", folder / "disk.img"
        self.exists = False

    def __enter__(self) -> SmallDisk:
        self.path.mkdir(parents=True)
        with self._image.open("wb") as file:
            file.truncate(DISK_MIB << 20)
        # Without the blocks that are kept for root, who may write when everybody else finds the disk full.
        makes = (
            ["mkfs.ext4", "-q", "-m", "0", str(self._image)],
            ["mount", "-o", "loop", str(self._image), str(self.path)],
        )
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            for command in makes:
                subprocess.run(command, check=True, capture_output=True)
            self.exists = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.exists:
            subprocess.run(["umount", "-l", self.path], check=False, capture_output=True)
        self._image.unlink(missing_ok=True)

    def fill(self) -> None:
        """Not one byte is left."""
        with contextlib.suppress(OSError), (self.path / "filler").open("wb", buffering=0) as file:
            os.posix_fallocate(file.fileno(), 0, max(0, shutil.disk_usage(self.path).free - (1 << 20)))
            file.seek(0, os.SEEK_END)
            while True:
                file.write(b"\0" * 4096)

    def empty(self) -> None:
        """Room again."""
        (self.path / "filler").unlink(missing_ok=True)


class OwnRedis:
    """A Redis on a TCP port, with what the product demands of one: somebody else's server, which somebody restarts."""

    def __init__(self, folder: Path) -> None:
        self.port, self._folder = free_port(), folder
        self.process: subprocess.Popen[bytes] | None = None
        self._wanted = threading.Event()

    def start(self) -> None:
        """Once, after each end."""
        self._folder.mkdir(parents=True, exist_ok=True)
        lines = [f"port {self.port}", "bind 127.0.0.1", "protected-mode no", f'dir "{self._folder}"', "appendonly yes"]
        lines += ["appendfsync always", 'save ""', "maxmemory-policy noeviction"]
        config = self._folder / "redis.conf"
        config.write_text("\n".join(lines) + "\n", encoding="utf-8")
        with (self._folder / "redis.log").open("ab") as log:
            self.process = subprocess.Popen([find_redis_server(), str(config)], stdout=log, stderr=log)
        self._wanted.set()

    def watch(self) -> None:
        """Starts it again, a second after its end, until `stop`. Runs in a thread."""
        while self._wanted.is_set():
            if self.process is not None and self.process.poll() is not None:
                time.sleep(1.0)
                self.start()
            time.sleep(0.1)

    def stop(self) -> None:
        """SIGTERM."""
        self._wanted.clear()
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)


class Product:
    """Everything that may be harmed. `redis`: "embedded" or "tcp". Use as a context manager."""

    def __init__(self, redis: str, *, small_disk: bool, api: Proxy, token: str, **environment: str) -> None:
        self._scratch = Path(tempfile.mkdtemp(prefix="us-"))
        self.disk = SmallDisk(self._scratch)
        self._wants_disk, self._environment = small_disk, environment
        self._api, self._token = api, token
        self.own_redis = OwnRedis(self._scratch / "redis") if redis == "tcp" else None
        self.redis_road = Proxy(self.own_redis.port) if self.own_redis else None
        self.rig = Rig(self._scratch / "d", None)
        self.restarting = threading.Event()

    def __enter__(self) -> Product:
        try:
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _start(self) -> None:
        if self._wants_disk:
            self.disk.__enter__()
        environment = {"LABEL_STUDIO_API_KEY": self._token, "LABEL_STUDIO_URL": f"http://127.0.0.1:{self._api.port}"}
        if self.own_redis and self.redis_road:
            self.own_redis.start()
            threading.Thread(target=self.own_redis.watch, daemon=True).start()
            self.redis_road.__enter__()
            environment["REDIS_URL"] = f"redis://127.0.0.1:{self.redis_road.port}/0"
        folder = self.disk.path if self.disk.exists else self._scratch
        self.rig = Rig(folder / "d", None, timed=False, **{**environment, **self._environment})
        self.rig.log = self._scratch / "up.log"  # what it says of a full disk is to be read afterwards
        self.rig.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pid in (pid for pids in self.processes().values() for pid in pids):
            _signal(pid, signal.SIGCONT)
        self.rig.stop()
        if self.own_redis and self.redis_road:
            self.redis_road.__exit__(None, None, None)
            self.own_redis.stop()
        if self._wants_disk:
            self.disk.__exit__(None, None, None)
        shutil.rmtree(self._scratch, ignore_errors=True)

    @property
    def settings(self) -> Settings:
        """To reach its Redis by the straight road."""
        url = f"redis://127.0.0.1:{self.own_redis.port}/0" if self.own_redis else ""
        return Settings(data_dir=self.rig.data_dir, redis_url=url)

    def processes(self) -> dict[str, list[int]]:
        """Process ids by role, the oldest first."""
        found: dict[str, list[tuple[float, int]]] = {}
        for process in self._children():
            with contextlib.suppress(psutil.Error, IndexError):
                if process.status() != psutil.STATUS_ZOMBIE and (words := process.cmdline()):
                    found.setdefault(name_of(words), []).append((process.create_time(), process.pid))
        if self.own_redis and self.own_redis.process and self.own_redis.process.poll() is None:
            found["redis"] = [(0.0, self.own_redis.process.pid)]
        return {name: [pid for _, pid in sorted(pids)] for name, pids in found.items()}

    def has_ended(self) -> bool:
        """Whether `up` is gone."""
        return self.rig.process is None or self.rig.process.poll() is not None

    def kill(self, pid: int) -> bool:
        """kill -9; whether it was there."""
        return _signal(pid, signal.SIGKILL)

    def pause(self, pids: list[int], go_on: bool = False) -> None:
        """SIGSTOP, or SIGCONT."""
        for pid in pids:
            _signal(pid, signal.SIGCONT if go_on else signal.SIGSTOP)

    def restart(self) -> float:
        """`up` again after its end; seconds until it was ready. Raises RuntimeError when it is not."""
        self.restarting.set()
        try:
            if self.rig.process is not None:
                self.rig.process.wait()
            began = time.monotonic()
            self.rig.start(180)
            # A web worker whose master was killed may have answered: it lives a second longer.
            while not (self.processes().get("web") and self.rig.is_ready()):
                if self.has_ended() or time.monotonic() - began > 180:
                    raise RuntimeError(f"`up` is not ready: {self.rig.log_tail()}")
                time.sleep(0.1)
            return time.monotonic() - began
        finally:
            self.restarting.clear()

    def _children(self) -> list[Any]:
        with contextlib.suppress(psutil.Error):
            if self.rig.process is not None:
                return list(psutil.Process(self.rig.process.pid).children(recursive=True))
        return []


def _signal(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except OSError:
        return False
    return True


READ_EVERY, LOOK_EVERY = 1.0, 0.25
LARGE_FILE_BYTES = 8 << 20
"""Files from this size on (fine-tuned encoders) are hashed once a version, all others at every look."""

Json = dict[str, Any]


class Observer(Workers):
    """Two threads until `stop`: one reads store and versions every second, one looks which processes there are."""

    def __init__(self, product: Product, projects: list[int], history: History) -> None:
        super().__init__(self._read_on, self._look_on)
        self._product, self._projects, self._history = product, projects, history
        self._client = connect(product.settings)
        self._seen: dict[int, Json] = {}
        self._hist: dict[int, list[str]] = {}
        self._hashed: set[Path] = set()

    def stop(self) -> None:
        """Returns when both have ended, and everything was read once more."""
        super().stop()
        self._read_all()

    def read(self, project: int) -> Json | None:
        """The project in Redis at one moment; None when Redis does not answer."""
        began = time.time()
        pipeline = self._client.pipeline(transaction=True)
        names = ("ver", "ex")
        for name in names:
            pipeline.hgetall(project_key(project, name))
        for name in ("seq", "trained", "fitted", "live"):
            pipeline.get(project_key(project, name))
        pipeline.lrange(project_key(project, "hist"), 0, -1)
        pipeline.hmget(project_key(project, "meta"), "sync", "dirty")
        try:
            versions, examples, seq, trained, fitted, live, hist, (sync, dirty) = pipeline.execute()
        except (redis.RedisError, OSError):
            return None
        state = {int(name): [int(version), facts_of(examples.get(name))] for name, version in versions.items()}
        extra = [int(name) for name in examples if name not in versions]
        marks = {"seq": int(seq or 0), "trained": int(trained or 0), "fitted": int(fitted or 0), "live": live}
        more = {"hist": hist, "sync": json.loads(sync or "{}"), "dirty": dirty or "", "extra": extra}
        return {"t0": began, "t1": time.time(), "state": state, **marks, **more}

    def _read_on(self) -> None:
        while not self.stopping.wait(READ_EVERY):
            self._read_all()

    def _read_all(self) -> None:
        for project in self._projects:
            found = self.read(project)
            if found is not None:
                self._note(project, found)

    def _note(self, project: int, found: Json) -> None:
        """The difference to the last reading, what moved the live pointer since, and whether its version is whole."""
        state, before = found.pop("state"), self._seen.get(project, {})
        hist, known = found.pop("hist"), self._hist.get(project, [])
        self._seen[project], self._hist[project] = state, hist
        sets = {name: facts for name, facts in state.items() if before.get(name) != facts}
        gone = [name for name in before if name not in state]
        fresh = hist[: hist.index(known[0])] if known and known[0] in hist else hist
        for entry in reversed(fresh):
            self._history.note("moved", project=project, **json.loads(entry))
        times = {"t": round(found["t1"], 4), "t0": round(found.pop("t0"), 4), "t1": round(found.pop("t1"), 4)}
        self._history.note("read", project=project, sets=sets, gone=gone, **found, **times)
        if found["live"]:
            problem = self.check_version(project, found["live"])
            self._history.note("version", project=project, version=found["live"], problem=problem)

    def check_version(self, project: int, version: str) -> str:
        """What is wrong with a version's directory; "" for nothing. The product's own code is not asked."""
        folder = self._product.rig.data_dir / "models" / str(project) / version
        try:
            manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
            if manifest["version"] != version or manifest["project"] != project:
                return f"its manifest is that of {manifest['project']} {manifest['version']}"
            wrong = [name for name, facts in manifest["files"].items() if not self._is_whole(folder / name, facts)]
            owner = manifest.get("finetuned")
            if owner and not (folder.parent / owner / "encoder.safetensors").is_file():
                wrong.append(f"the encoder of {owner}")
        except (OSError, ValueError, KeyError) as error:
            return repr(error)
        return f"missing or damaged: {wrong}" if wrong else ""

    def _is_whole(self, path: Path, facts: Json) -> bool:
        if path.stat().st_size != facts["size"]:
            return False
        if path in self._hashed:
            return True
        if facts["size"] >= LARGE_FILE_BYTES:
            self._hashed.add(path)
        return sha256_of(path) == facts["sha256"]

    def _look_on(self) -> None:
        last: dict[str, list[int]] = {}
        while not self.stopping.wait(LOOK_EVERY):
            if self._product.restarting.is_set():
                continue
            running = self._product.processes()
            if running != last:
                last = running
                self._history.note("seen", roles=running)


def facts_of(value: str | None) -> str:
    """What is to be known of a stored example, "" for none, "damaged" when its digest is wrong."""
    if value is None:
        return ""
    digest, text = value[:16], value[16:]
    if hashlib.sha256(text.encode()).hexdigest()[:16] != digest:
        return "damaged"
    return facts_of_record(json.loads(text))


def sha256_of(path: Path) -> str:
    """Of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
