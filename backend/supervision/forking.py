"""Processes of `understudy up` forked off the supervisor, which has imported what they import: it is in memory once.

PyTorch alone is 140 MB of a process's own memory before it computes anything. A process that is forked afterwards
shares them until it writes to them. What it sees is what a Python that was started anew would see: its own arguments,
signals, open files and environment. Linux only; elsewhere each process is a Python of its own, and after imports that
failed it imports for itself.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import itertools
import os
import runpy
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn, Protocol

MODULE = "backend"
"""The package whose commands are run by fork."""

REDIS = "redis"
"""The command that is no Python for long, and that the others wait for: nothing is imported before it starts."""

SHARED = (
    "backend.cli.main",
    "backend.processes.web",
    "backend.processes.slow_client_worker",
    "backend.processes.worker",
    "backend.processes.scheduler",
    "backend.routes.app",
    "gunicorn.app.base",
    "tokenizers",
    "model.encoder.engine",
    "model.encoder.encoder",
    "model.features.cache",
    "model.head.warm_up",
    "model.versions.live_model",
)
"""With what they import it is what the web process and the learner have imported when they are ready."""

ENDING_SECONDS = 0.1
"""For the thread that has just let the workers start (`delayed_start.py`) to end."""

STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
"""What ends everything. On a slow disk the imports take longer than whoever stops it waits."""

_PR_SET_MM, _PR_SET_MM_ARG_END = 35, 9


class StopAsked(BaseException):
    """Raised amid an import by a signal that ends everything, past whatever takes exceptions for a missing library."""


class Log(Protocol):
    """supervisord's, as far as it is used."""

    def warn(self, message: str) -> None:
        """Write a line."""
        ...


class Options(Protocol):
    """supervisord's, as far as they are used."""

    fork: Callable[[], int]
    execve: Callable[[str, Sequence[str], Mapping[str, str]], object]
    logger: Log


class Startable(Protocol):
    """supervisord's config of a process, as far as it is used."""

    command: str
    autostart: bool


def share(options: Options, processes: Sequence[Startable], modules: Sequence[str] = SHARED) -> Callable[[], bool]:
    """Holds back those of the processes that gain from what is shared; returns what supervisord's loop is to call at
    each look: the first time nothing, so that Redis starts, then it imports and lets them start. It says whether there
    is something to start now."""
    held = [process for process in processes if process.autostart and _gains(shlex.split(process.command))]
    if not held or not sys.platform.startswith("linux"):
        return lambda: False
    for process in held:
        process.autostart = False
    fork_instead(options)
    looks = itertools.count()

    def look() -> bool:
        if not held:
            return False
        if next(looks):
            try:
                with _stopped_by_signals():
                    import_shared(modules)
            except StopAsked:  # supervisord has noted the signal, and nothing more is to start
                held.clear()
                return True
            except Exception as error:  # each process meets it itself, and says so in its own log
                options.logger.warn(f"nothing is shared: {type(error).__name__}: {error}")
            while held:
                held.pop().autostart = True
        return True

    return look


def import_shared(modules: Sequence[str]) -> None:
    """What `modules` import, for all processes that are forked from now on."""
    gc.disable()  # no holes in pages that are to be shared
    try:
        for name in modules:
            importlib.import_module(name)
    finally:
        gc.enable()
    gc.collect()
    gc.freeze()  # a collection writes to every object that it looks at


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """In here a signal that ends everything raises StopAsked, once supervisord's own handler has noted it."""
    handlers = {int(number): signal.getsignal(number) for number in STOPS}
    armed = True

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal armed
        if callable(note := handlers[number]):
            note(number, frame)
        if armed:  # once: a second one may come while the handlers are put back
            armed = False
            raise StopAsked

    try:
        for number in STOPS:
            if callable(handlers[number]):
                signal.signal(number, stop)
        yield
    finally:
        armed = False
        for numbered, handler in handlers.items():
            signal.signal(numbered, handler)


def fork_instead(options: Options) -> None:
    """From now on supervisord's children that are Pythons of ours go on in the fork instead of exec."""
    fork, execve = options.fork, options.execve
    alone = False

    def note_and_fork() -> int:
        nonlocal alone
        for thread in threading.enumerate():
            if thread is not threading.current_thread():
                thread.join(ENDING_SECONDS)
        alone = threading.active_count() == 1  # what another thread holds at this moment is never let go of
        return fork()

    def go_on(path: str, words: Sequence[str], environment: Mapping[str, str]) -> object:
        if alone and _is_ours(words):
            _become(words, environment)
        return execve(path, words, environment)

    options.fork, options.execve = note_and_fork, go_on


def _gains(words: Sequence[str]) -> bool:
    return _is_ours(words) and words[3] != REDIS


def _is_ours(words: Sequence[str]) -> bool:
    return len(words) > 3 and words[0] == sys.executable and tuple(words[1:3]) == ("-m", MODULE)


def _become(words: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """This process, a fork, runs `python -m backend …` and ends."""
    code = 1
    try:
        _forget_signals()
        _close_files()
        _open_streams()
        _take(environment)
        _rename(words)
        sys.argv = [MODULE, *words[3:]]
        code = _run()
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        os._exit(code)


def _take(environment: Mapping[str, str]) -> None:
    from backend.settings.settings import Settings

    own = Settings.environ()
    own.clear()
    own.update(environment)


def _run() -> int:
    """Its exit status, once its threads and what is to be done at the end have ended."""
    code = 0
    try:
        runpy.run_module(MODULE, run_name="__main__", alter_sys=True)
    except SystemExit as stop:
        if isinstance(stop.code, int):
            code = stop.code
        elif stop.code is not None:
            sys.stderr.write(f"{stop.code}\n")
            code = 1
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    return code


def _forget_signals() -> None:
    """What supervisord does on a signal is not done here. As after exec, what is ignored stays so."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _close_files() -> None:
    """Those that exec would have closed: supervisord's log, and its ends of the others' output."""
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # the one that lists them is closed by now
            if int(name) > 2 and not os.get_inheritable(int(name)):
                os.close(int(name))


def _open_streams() -> None:
    """Made for what the supervisor writes to, be it a file or a terminal; here it is a pipe."""
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", errors=sys.stdout.errors, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)


def _rename(words: Sequence[str]) -> None:
    """Lets `ps` show these words. They go where the supervisor's own are, which are longer."""
    with suppress(OSError, ValueError, IndexError):
        fields = Path("/proc/self/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        start, end = int(fields[45]), int(fields[46])  # arg_start and arg_end, fields 48 and 49 of proc(5)
        line = b"".join(os.fsencode(word) + b"\0" for word in words)
        if not 0 < len(line) <= end - start:
            return
        ctypes.memmove(start, line.ljust(end - start, b"\0"), end - start)
        # Needs a right that containers lack; without it blanks are seen behind the words.
        ctypes.CDLL(None).prctl(_PR_SET_MM, _PR_SET_MM_ARG_END, ctypes.c_ulong(start + len(line)), 0, 0)
