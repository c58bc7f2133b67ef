"""`understudy up`: checks everything that would stop it first, then becomes the supervisor."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import NoReturn

from backend.embedded_redis import find_redis_server, write_config
from backend.errors import SettingsError
from backend.secrets_store import admin_token, webhook_secret
from backend.settings import Settings, environment_of
from backend.store.address import check_address
from backend.supervisor import Program, hold_lock, programs, start

PORT_PATIENCE = 2.0
"""Seconds to wait for the port: after a kill -9 the old children need a moment to go."""


def run_up(settings: Settings, extra: Sequence[Program] = (), console: Sequence[str] = ("console",)) -> NoReturn:
    """Runs everything on this machine until SIGTERM or Ctrl-C; `extra` are more programs to keep alive.

    `console` is the CLI command that tells the user what is going on. Raises SettingsError, with nothing started, when
    the data directory or the port is taken, or when there is no Redis server.
    """
    hold_lock(settings.data_dir)
    require_free_port(settings.host, settings.port)
    if settings.redis_url:
        check_address(settings)
    else:
        write_config(settings, find_redis_server())
    admin_token(settings)
    webhook_secret(settings)
    children = [*programs(settings, os.getpid()), *extra]
    _start_console(settings, console)
    start(settings, children)


def require_free_port(host: str, port: int, patience: float = PORT_PATIENCE) -> None:
    """Raises SettingsError when nothing can listen on host:port, after waiting `patience` seconds for it."""
    deadline = time.monotonic() + patience
    while (problem := _bind_problem(host, port)) is not None:
        if problem.errno != errno.EADDRINUSE:
            raise SettingsError(f"HOST={host} PORT={port} cannot be listened on: {problem.strerror or problem}")
        if time.monotonic() > deadline:
            raise SettingsError(
                f"port {port} on {host} is already in use: stop what listens there, or choose another one with --port"
            )
        time.sleep(0.1)


def _bind_problem(host: str, port: int) -> OSError | None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return error
    return None


def _start_console(settings: Settings, command: Sequence[str]) -> None:
    """Starts the process that tells the user what is going on; it lives and dies with this one."""
    environment = environment_of(settings)
    arguments = [sys.executable, "-m", "backend", *command, "--supervised", str(os.getpid())]
    subprocess.Popen(arguments, env=environment, stdin=subprocess.DEVNULL)
