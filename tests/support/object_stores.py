"""Object stores for tests: a real S3 server (moto) as a process, behind a door that can be shut; and a directory."""

from __future__ import annotations

import hashlib
import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

BUCKET = "understudy-test"

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIATESTTESTTEST",
    "AWS_SECRET_ACCESS_KEY": "s3cr3t-of-the-test-Kx91mPq7",
    "AWS_DEFAULT_REGION": "us-east-1",
}


class Door:
    """A port that leads to another one while it is open; shut, it ends every connection. `seconds`: by which every
    answer comes later, as from a store that is farther away."""

    def __init__(self, port: int, seconds: float = 0.0) -> None:
        self._target, self._seconds = port, seconds
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.is_open = True
        threading.Thread(target=self._listen, daemon=True).start()

    def close(self) -> None:
        self.is_open = False
        self._listener.close()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            if not self.is_open:
                return
            with socket.create_connection(("127.0.0.1", self._target)) as server:
                asks = False
                while self.is_open:
                    for ready in select.select([client, server], [], [], 0.05)[0]:
                        data = ready.recv(1 << 16)
                        if not data:
                            return
                        if asks and ready is server:
                            time.sleep(self._seconds)
                        asks = ready is client
                        (server if ready is client else client).sendall(data)


class S3Server:
    """A real S3 API on this machine. What it holds is in its memory: its door is shut, and it is not restarted."""

    def __init__(self, seconds: float = 0.0) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
        self._inside = f"http://127.0.0.1:{port}"
        self.url = f"s3://{BUCKET}/models"
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(command, stdout=quiet, stderr=quiet, env={**os.environ, **CREDENTIALS})
        self._await()
        self._call("PUT", BUCKET)
        self.door = Door(port, seconds)
        self.endpoint = f"http://127.0.0.1:{self.door.port}"

    @property
    def environment(self) -> Mapping[str, str]:
        """What a process needs to speak to it."""
        return {**CREDENTIALS, "AWS_ENDPOINT_URL": self.endpoint, "NO_PROXY": "127.0.0.1,localhost"}

    def close(self) -> None:
        self.door.close()
        self.process.kill()
        self.process.wait()

    def _await(self) -> None:
        for _ in range(600):
            try:
                self._call("GET", "")
                return
            except OSError:
                time.sleep(0.05)
        raise TimeoutError("moto's server did not start")

    def _call(self, method: str, path: str) -> None:
        request = urllib.request.Request(f"{self._inside}/{path}", method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        opener.open(request, timeout=5).close()


def directory_url(folder: Path) -> str:
    """Of a store in a directory."""
    return f"file://{folder}"


def write_plain_version(
    root: Path, project: int, version: str, bodies: Mapping[str, bytes], *, finetuned: str | None = None, note: str = ""
) -> Path:
    """A version directory of any content, with a manifest as `write_version` leaves it."""
    directory = root / str(project) / version
    directory.mkdir(parents=True)
    files = {}
    for name, data in bodies.items():
        path = directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        files[name] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    manifest = {"version": version, "project": project, "finetuned": finetuned, "reason": note, "files": files}
    (directory / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return directory
