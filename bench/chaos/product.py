"""The product under ordeal: `understudy up`, its Redis where that is a server of its own, and the disk it writes on."""

from __future__ import annotations

import contextlib
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

from backend.embedded_redis.binary import find_redis_server
from backend.settings.settings import Settings
from bench.chaos.tcp_proxy import Proxy
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
        makes = (["mkfs.ext4", "-q", "-m", "0", str(self._image)], ["mount", "-o", "loop", self._image, self.path])
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
        self.rig: Rig
        self.restarting = threading.Event()

    def __enter__(self) -> Product:
        if self._wants_disk:
            self.disk.__enter__()
        environment = {"LABEL_STUDIO_API_KEY": self._token, "LABEL_STUDIO_URL": f"http://127.0.0.1:{self._api.port}"}
        if self.own_redis and self.redis_road:
            self.own_redis.start()
            threading.Thread(target=self.own_redis.watch, daemon=True).start()
            self.redis_road.__enter__()
            environment["REDIS_URL"] = f"redis://127.0.0.1:{self.redis_road.port}/0"
        folder = self.disk.path if self.disk.exists else self._scratch
        self.rig = Rig(folder / "d", None, **{**environment, **self._environment})
        self.rig.log = self._scratch / "up.log"  # what it says of a full disk is to be read afterwards
        self.rig.start()
        return self

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
