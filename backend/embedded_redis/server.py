"""The Redis that `understudy up` starts when REDIS_URL is unset: a plain server on a unix socket in DATA_DIR.

It never listens on a port, writes every acknowledged change to disk first, and never evicts. Settings go through a
config file: on 6.2 some of them are silently dropped when given as arguments.
"""

from __future__ import annotations

import logging
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from backend.addresses.unix_socket import open_unix_socket
from backend.embedded_redis.aof_repair import repair_log
from backend.embedded_redis.binary import find_redis_server, plain_name
from backend.embedded_redis.data_format import require_readable
from backend.errors import SettingsError
from backend.settings.settings import Settings
from backend.supervision.disk_full import wait_for_room

log = logging.getLogger(__name__)

SOCKET_FILE = "redis.sock"
"""File name of `Settings.redis_socket`."""


def write_config(settings: Settings, server: Path) -> Path:
    """Writes `DATA_DIR/redis/redis.conf` and makes the directories it names; returns its path.

    Raises SettingsError when the data there was written by another server, which `server` cannot read.
    """
    directory = settings.redis_socket.parent
    _make_private(directory)
    require_readable(server, directory, answers)
    path, text = directory / "redis.conf", config_text(directory)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        # Never half a file, and none at all on a full disk, where an old one does: an empty one is an unsafe Redis.
        scratch = path.with_suffix(f".{os.getpid()}")
        scratch.write_text(text, encoding="utf-8")
        scratch.replace(path)
    return path


def config_text(directory: Path) -> str:
    """The server's whole configuration.

    The socket's name is relative to `dir`: Redis shows it in its lists of clients, which blanks would break, and the
    kernel takes none of more than 107 bytes."""
    lines = [
        "port 0",
        f"unixsocket {SOCKET_FILE}",
        "unixsocketperm 700",
        f"dir {_quote(directory)}",
        "appendonly yes",
        "appendfsync always",  # everysec lost acknowledged writes on a mere kill -9
        "maxmemory-policy noeviction",
        'save ""',  # the append-only file holds everything; snapshots would double the writes
        "daemonize no",
        'logfile ""',
        "always-show-logo no",
    ]
    return "\n".join(lines) + "\n"


def run_redis(settings: Settings) -> NoReturn:
    """Becomes the Redis server. Raises SettingsError when there is none or its data does not fit."""
    from backend.telemetry.logs import configure_logs

    configure_logs(settings, "redis")
    wait_for_room(settings)
    command = _prepare(settings)
    os.chdir(settings.redis_socket.parent)
    os.execv(command[0], command)


def _prepare(settings: Settings) -> list[str]:
    """The command, to be run in the socket's directory, once the server's data can be loaded."""
    server = find_redis_server(settings)
    config = write_config(settings, server)
    if done := repair_log(server, config.parent):
        log.critical("%s. A reconciliation with Label Studio brings back what is missing", done)
    return [str(server), plain_name(config)]


@contextmanager
def redis_at_hand(settings: Settings) -> Iterator[None]:
    """For a command that works on the store whether `understudy up` runs or not: starts the embedded server if needed.

    Raises SettingsError when it does not start. Nothing is done about a Redis that REDIS_URL names."""
    if settings.redis_url or answers(settings.redis_socket):
        yield
        return
    from backend.supervision.supervisor import hold_lock

    lock = hold_lock(settings.data_dir)
    process = subprocess.Popen(_prepare(settings), cwd=settings.redis_socket.parent, stdout=subprocess.DEVNULL)
    try:
        while not answers(settings.redis_socket):
            if process.poll() is not None:
                raise SettingsError(f"the embedded Redis does not start on {settings.data_dir / 'redis'}")
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.wait()
        os.close(lock)


def answers(unix_socket: Path, timeout: float = 1.0) -> bool:
    """Whether a Redis that has finished loading its data listens there."""
    try:
        with open_unix_socket(unix_socket, timeout) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False


def _make_private(directory: Path) -> None:
    """Makes `directory` for this user alone."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        directory.chmod(0o700)
    except OSError as error:
        raise SettingsError(f"{directory} cannot be used for the embedded Redis: {error.strerror}") from error


def _quote(path: Path) -> str:
    """`path` as one word of a Redis config file, in ASCII."""
    plain = (chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\x{byte:02x}" for byte in os.fsencode(path))
    return f'"{"".join(plain)}"'
