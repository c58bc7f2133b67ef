"""Named steps at which a test makes this process die, hang, stop or find the disk full; off unless a test arms one.

`[action:]step[@detail]`: `publish.after`, `hang:refit.begin@7`, `full:version.write`. Detail is what the step works on:
a project, or a training's step number; without one any will do. Disarmed, a step costs one comparison.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import time
from typing import NamedTuple

STEP_NAMES = frozenset(
    {
        *("webhook.before", "webhook.after", "refit.begin", "snapshot.after", "train.begin", "sync.begin"),
        *("training.begin", "checkpoint.before", "checkpoint.after", "checkpoint.saved"),
        *("version.write", "version.before_rename", "version.after_rename"),
        *("artifacts.before_manifest", "artifacts.after_manifest", "artifacts.retire"),
        *("queue.write", "queue.before_switch", "queue.after_switch"),
        *("predict.begin", "predict.before_write", "predict.after_write"),
        *("export.begin", "export.sent", "export.announced", "files.begin", "files.written"),
        *("notify.before", "notify.after", "teach.before", "teach.after"),
        *(
            "duplicates.before",
            "duplicates.after",
            "publish.before",
            "publish.after",
            "announce",
            "swap.before",
            "swap.after",
        ),
    }
)
"""Steps that can be named; of a pair, `before` and `after` stand around the one call that counts."""

ACTIONS = frozenset({"kill", "hang", "full", "raise", "term", "stuck"})
"""`term`: SIGTERM to this process, which goes on; `stuck`: the same, and this step waits for ever, but lets signals
through."""


class Failpoint(NamedTuple):
    """What happens, at which step, working on what ("" for anything)."""

    action: str
    step: str
    detail: str


class _State:
    armed: Failpoint | None = None


def read_failpoint(text: str) -> Failpoint | None:
    """What the setting FAILPOINT says, None for "". Raises ValueError for a step or an action that there is not."""
    if not text:
        return None
    action, _, rest = text.rpartition(":")
    step, _, detail = rest.partition("@")
    if (action or "kill") not in ACTIONS or step not in STEP_NAMES:
        raise ValueError(f"{text!r} is none of {', '.join(sorted(ACTIONS))} : {', '.join(sorted(STEP_NAMES))}")
    return Failpoint(action or "kill", step, detail)


def arm(text: str) -> None:
    """From now on this process fails there; "" disarms. Raises ValueError."""
    _State.armed = read_failpoint(text)


def failpoint(step: str, detail: object = "") -> None:
    """Fails here if this step is armed. Raises OSError (no space left) or RuntimeError when that is what was asked."""
    armed = _State.armed
    if armed is None or armed.step != step or armed.detail not in ("", str(detail)):
        return
    if armed.action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if armed.action == "hang":
        _hang()
    if armed.action in ("term", "stuck"):
        os.kill(os.getpid(), signal.SIGTERM)
        while armed.action == "stuck":
            time.sleep(0.05)
        return
    if armed.action == "full":
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} (failpoint {step})")
    raise RuntimeError(f"failpoint {step}")


def _hang() -> None:
    """As a hung C library: with the interpreter's lock held and deaf to every signal but SIGKILL."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    while True:
        ctypes.PyDLL(None).sleep(3600)
