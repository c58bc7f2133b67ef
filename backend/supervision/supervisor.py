"""One foreground process that keeps all the others alive: `understudy up` turns into it.

supervisord (the PyPI package) does the work, from a config file written into the data directory: it restarts what
dies, slower each time a start fails, and never gives up. On top of it: what hangs is killed (`watchdog.py`), losing
the terminal stops everything instead of restarting it, and at the end no descendant is left, not even one whose own
parent was killed. The workers start late (`delayed_start.py`).
"""

from __future__ import annotations

import fcntl
import math
import os
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, NoReturn, Protocol
from urllib.parse import quote, unquote_to_bytes

from backend.cpu import bound_shape_caches
from backend.errors import SettingsError
from backend.supervision.delayed_start import http_answers, release
from backend.supervision.forking import share
from backend.supervision.heartbeat import DEADLINES_FOLDER
from backend.supervision.parent_death import adopt_orphans
from backend.supervision.watchdog import Watchdog

if TYPE_CHECKING:
    from backend.settings.settings import Settings  # this process lives long and needs none of pydantic

LOCK_SECONDS = 2.0
"""How long another's lock on the data directory is waited for."""

STOP_MARGIN_SECONDS = 5
"""For what a worker does after STOP_SECONDS: give back its job, and take its leave."""

NEVER_GIVE_UP = 1_000_000
"""supervisord's startretries: each failed start waits one second longer than the one before."""


Ready = tuple[list[int], list[int]]
"""What supervisord's poller says: file descriptors to read, and to write."""


class LogHandler(Protocol):
    """supervisord's, as far as it is used."""

    stream: IO[bytes]

    def reopen(self) -> None:
        """Open the file anew."""
        ...


@dataclass(frozen=True)
class Program:
    """One child. Those of the lowest `priority` start first and stop last; all of one priority stop together.

    `stop_seconds`: how long it may take to stop before it is killed. `once`: it ends by itself, do not restart it.
    `late`: starts when the web process answers."""

    name: str
    command: tuple[str, ...]
    priority: int = 20
    stop_seconds: int = 10
    once: bool = False
    late: bool = False


def programs(settings: Settings, parent: int) -> list[Program]:
    """What `understudy up` runs; `parent` is the supervisor's process id, with which each of them dies."""

    def child(name: str) -> tuple[str, ...]:
        return (sys.executable, "-m", "backend", name, "--supervised", str(parent))

    patience = math.ceil(settings.stop_seconds) + STOP_MARGIN_SECONDS
    workers = [
        Program("web", child("web"), stop_seconds=15),
        Program("learner", child("learner"), stop_seconds=patience, late=True),
        Program("trainer", child("trainer"), stop_seconds=patience, late=True),
        Program("sync", child("sync"), stop_seconds=patience, late=True),
        Program("scheduler", child("scheduler"), late=True),
    ]
    # Redis leaves last: the others still write while they stop.
    redis = [] if settings.redis_url else [Program("redis", child("redis"), priority=10)]
    return redis + workers


def config_text(children: Sequence[Program]) -> str:
    """supervisord's configuration. Paths are relative to the file's own directory, so none needs escaping."""
    blocks = [
        "[supervisord]\nnodaemon=true\nsilent=true\nlogfile=%(here)s/logs/supervisord.log\nlogfile_maxbytes=1MB\n"
        "logfile_backups=1\npidfile=%(here)s/supervisord.pid\nchildlogdir=%(here)s/logs\nnocleanup=true\n"
        # What a machine grants has been looked at (process_limits.py).
        "minfds=1\nminprocs=1"
    ]
    for priority in sorted({child.priority for child in children}):
        members = [child for child in children if child.priority == priority]
        names = ",".join(child.name for child in members)
        # A group stops all its programs at once; ungrouped ones would stop one after the other.
        blocks.append(f"[group:level{priority}]\npriority={priority}\nprograms={names}")
        blocks += [_program_text(child) for child in members]
    return "\n\n".join(blocks) + "\n"


def start(settings: Settings, children: Sequence[Program]) -> NoReturn:
    """Becomes the supervisor of `children`, with the settings in the environment that they inherit."""
    from backend.settings.settings import environment_of

    config = settings.data_dir.absolute() / "supervisord.conf"
    (config.parent / "logs").mkdir(parents=True, exist_ok=True)
    config.write_text(config_text(children), encoding="utf-8")
    sys.stdout.flush()
    arguments = [str(config), settings.host, str(settings.port)]
    environment = environment_of(settings)
    bound_shape_caches(environment)  # read by what the supervisor imports for all of them
    os.execve(sys.executable, [sys.executable, "-m", "backend.supervision.supervisor", *arguments], environment)


def hold_lock(data_dir: Path) -> int:
    """Takes the data directory for this process and what it execs into; returns the descriptor that holds it.

    Raises SettingsError when another `understudy up` has it. The kernel lets go when the process dies.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        lock = os.open(data_dir / "up.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise SettingsError(f"DATA_DIR={data_dir} cannot be written to: {error.strerror}") from error
    try:
        _wait_for(lock)
    except BlockingIOError:
        owner = os.read(lock, 32).decode("ascii", "replace").strip()
        os.close(lock)
        raise SettingsError(
            f"another `understudy up` (process {owner}) already uses {data_dir}: stop it first, or give this one "
            "a --data-dir and a --port of its own"
        ) from None
    with suppress(OSError):  # a full disk; the number is only for a message
        os.ftruncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())
    os.set_inheritable(lock, True)
    return lock


def _wait_for(lock: int) -> None:
    """Lock the descriptor's file. A child that a killed supervisor was just starting holds its lock for a moment more.

    Raises BlockingIOError when another has it and keeps it."""
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.05)


def _program_text(child: Program) -> str:
    return "\n".join(
        [
            f"[program:{child.name}]",
            f"command={_written(child.command)}",
            f"priority={child.priority}",
            f"autostart={'false' if child.late else 'true'}",
            f"autorestart={'false' if child.once else 'true'}",
            f"startsecs={0 if child.once else 2}",
            f"startretries={NEVER_GIVE_UP}",
            f"stopwaitsecs={child.stop_seconds}",
            "stopasgroup=true",
            "killasgroup=true",
            "redirect_stderr=true",
            "stdout_logfile_maxbytes=10MB",
            "stdout_logfile_backups=2",
        ]
    )


def _written(command: Sequence[str]) -> str:
    """A command as supervisord's file can hold it whatever is in its paths: `%` starts an expansion there, ` ;` a
    comment, and a line end the next setting."""
    return " ".join(quote(os.fsencode(word)).replace("%", "%%") for word in command)


def _read(command: str) -> str:
    """What `_written` wrote, as supervisord splits it into words."""
    return shlex.join(os.fsdecode(unquote_to_bytes(word)) for word in command.split(" "))


def supervise(config: Path, host: str, port: int) -> None:
    """Runs supervisord on `config` until SIGTERM, Ctrl-C or the loss of the terminal; then every descendant is gone.

    `host` and `port` are the web process's, for which late programs wait."""
    from supervisor.medusa import asyncore_25
    from supervisor.options import ServerOptions
    from supervisor.supervisord import Supervisor

    adopt_orphans()
    drop_unwritable_lines()
    options = ServerOptions()
    options.realize(["-c", str(config)])
    options.first = True
    options.test = False
    processes = [process for group in options.process_group_configs for process in group.process_configs]
    for process in processes:
        process.command = _read(process.command)
        # Not in the file: supervisord expands this one path twice, which breaks on a `%` in it.
        process.stdout_logfile = str(config.parent / "logs" / f"{process.name}.log")
    late = [process for process in processes if not process.autostart]
    prepare = share(options, processes)
    received, poll = options.get_signal, options.poller.poll

    def hangup_means_stop() -> int | None:
        signum: int | None = received()
        return signal.SIGTERM if signum == signal.SIGHUP else signum

    options.get_signal = hangup_means_stop
    watchdog = Watchdog(config.parent / DEADLINES_FOLDER, lambda: list(options.pidhistory))

    def watch_and_poll(timeout: float) -> Ready:
        watchdog.kill_late()
        if prepare():
            timeout = 0
        elif late:  # not before: its thread is none that a fork can be made beside
            release(late.copy(), lambda: http_answers(host, port))
            late.clear()
        # Its own second between two looks is felt at every start, restart and stop.
        ready: Ready = poll(min(timeout, 0.2))
        return ready

    options.poller.poll = watch_and_poll
    try:
        Supervisor(options).main()
    except asyncore_25.ExitNow:
        pass
    finally:
        _end_descendants()
        options.close_logger()


def drop_unwritable_lines() -> None:
    """On a full disk lines of the log are lost, nothing else: supervisord reports a failed write to stderr, and ends,
    and everything with it, when that is on the same disk."""
    from supervisor import loggers

    emit, close = loggers.RotatingFileHandler.emit, loggers.Handler.close

    def emit_if_possible(handler: LogHandler, record: object) -> None:
        with suppress(OSError, ValueError):  # ValueError: a rotation has failed halfway, and closed the file
            if handler.stream.closed:
                handler.reopen()
            emit(handler, record)

    def close_all_the_same(handler: LogHandler) -> None:
        with suppress(OSError):  # what was not written until now
            close(handler)

    loggers.Handler.handleError = lambda handler: None
    loggers.Handler.close = close_all_the_same
    loggers.RotatingFileHandler.emit = emit_if_possible


def _end_descendants() -> None:
    """Kills what supervisord did not start itself: grandchildren whose parent died before them."""
    import psutil

    left = psutil.Process().children(recursive=True)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=5)


if __name__ == "__main__":
    supervise(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
