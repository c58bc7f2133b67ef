"""What must not be touched: a file with a secret in it, and a server that counts who comes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

CONTENT = "the-content-of-a-file-of-this-machine"


class Traps:
    """`url` and `file` as a hostile body would name them."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "secret.txt"
        self._file.write_text(CONTENT)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.calls = 0
        self._thread = threading.Thread(target=self._count, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        host, port = self._listener.getsockname()
        return f"http://{host}:{port}/data"

    @property
    def file(self) -> str:
        return self._file.as_uri()

    def _count(self) -> None:
        while True:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return
            self.calls += 1
            caller.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)


@pytest.fixture
def traps(tmp_path: Path) -> Iterator[Traps]:
    """Set; nobody may have called when the test is over."""
    found = Traps(tmp_path)
    yield found
    found.close()
    assert found.calls == 0
