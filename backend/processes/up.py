"""`understudy up`: checks everything that would stop it first, then becomes the supervisor."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import NoReturn

from backend.addresses.listening import require_free_port
from backend.embedded_redis.binary import find_redis_server
from backend.embedded_redis.server import write_config
from backend.errors import SettingsError
from backend.redis_access.address import check_address
from backend.redis_access.shared_secrets import admin_token, webhook_secret
from backend.settings.settings import Settings, environment_of
from backend.supervision.process_limits import clear_temporary_folder, prepare_process
from backend.supervision.supervisor import Program, hold_lock, programs, start


def run_up(settings: Settings, extra: Sequence[Program] = (), console: Sequence[str] = ("console",)) -> NoReturn:
    """Runs everything on this machine until SIGTERM or Ctrl-C; `extra` are more programs to keep alive.

    `console` is the CLI command that tells the user what is going on. Raises SettingsError, with nothing started, when
    the data directory or the port is taken, or when there is no Redis server.
    """
    try:
        hold_lock(settings.data_dir)
        clear_temporary_folder(settings.data_dir)
        prepare_process(settings.data_dir)
        require_free_port(settings.host, settings.port)
        if settings.redis_url:
            check_address(settings)
        else:
            write_config(settings, find_redis_server(settings))
        if not settings.redis_url:  # else the web process asks Redis, which may be away now
            admin_token(settings)
            webhook_secret(settings)
        children = [*programs(settings, os.getpid()), *extra]
        _start_console(settings, console)
        start(settings, children)
    except OSError as error:
        place = f"DATA_DIR={settings.data_dir}"
        raise SettingsError(f"cannot start with {place}: {error.strerror} ({error.filename or 'no room'})") from error


def _start_console(settings: Settings, command: Sequence[str]) -> None:
    """Starts the process that tells the user what is going on; it lives and dies with this one."""
    environment = environment_of(settings)
    arguments = [sys.executable, "-m", "backend", *command, "--supervised", str(os.getpid())]
    subprocess.Popen(arguments, env=environment, stdin=subprocess.DEVNULL)
