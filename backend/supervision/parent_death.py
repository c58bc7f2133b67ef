"""Ties a process to its parent, so that kill -9 of the parent leaves nothing behind (Linux; elsewhere a no-op)."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def die_with(parent: int, signum: int = signal.SIGKILL) -> None:
    """From now on the kernel sends `signum` to this process when its parent, which must be `parent`, dies.

    Survives exec, is not inherited by children. A parent that died before the call counts: the signal comes at once.
    """
    _prctl(_PR_SET_PDEATHSIG, signum)
    if os.getppid() != parent:
        os.kill(os.getpid(), signum)


def adopt_orphans() -> None:
    """Processes whose parent dies become children of this one, instead of init's: none can slip away at the end."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
