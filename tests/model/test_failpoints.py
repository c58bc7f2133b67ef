"""Steps at which a process can be told to fail: off by default, unknown names refused, and each action as it says."""

from __future__ import annotations

import errno
import multiprocessing
import signal
from collections.abc import Iterator
from multiprocessing.synchronize import Event

import pytest

from backend.errors import SettingsError
from backend.settings.settings import load_settings
from model.failpoints import arm, failpoint


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    arm("")


def test_nothing_happens_unless_the_very_step_is_armed() -> None:
    failpoint("publish.after", 7)
    arm("raise:publish.after@7")
    failpoint("publish.before", 7)
    failpoint("publish.after", 8)
    with pytest.raises(RuntimeError, match=r"publish\.after"):
        failpoint("publish.after", 7)
    arm("full:version.write")
    with pytest.raises(OSError) as caught:
        failpoint("version.write", 1)
    assert caught.value.errno == errno.ENOSPC


@pytest.mark.parametrize("text", ["nowhere", "burn:publish.after", "publish.after:kill", ":"])
def test_a_step_or_action_that_there_is_not_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="FAILPOINT"):
        load_settings(failpoint=text)


def die(action: str, begun: Event) -> None:
    arm(f"{action}:swap.after")
    begun.set()
    failpoint("swap.after")


def test_kill_and_hang_leave_no_way_out() -> None:
    fork = multiprocessing.get_context("forkserver")
    begun = fork.Event()
    killed, hung = (fork.Process(target=die, args=(action, begun)) for action in ("kill", "hang"))
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    begun.clear()
    hung.start()
    assert begun.wait(120)
    hung.join(1)
    hung.terminate()
    hung.join(1)
    assert hung.is_alive(), "deaf to SIGTERM"
    hung.kill()
    hung.join()
