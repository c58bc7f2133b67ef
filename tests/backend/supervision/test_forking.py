"""Processes of `up` that are forked off their supervisor."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from backend.supervision.forking import MODULE, Log, share
from tests.support.rig import ROOT, Rig, name_of
from tests.support.tiny import tiny_base  # noqa: F401

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are forked on Linux only"),
]

FORKED = {"web", "learner", "trainer", "sync", "scheduler"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> Iterator[Rig]:  # noqa: F811
    with Rig(tmp_path_factory.mktemp("up"), timed=True, BASE_MODEL=str(tiny_base), OMP_NUM_THREADS="1") as rig:
        log = rig.data_dir / "logs" / "supervisord.log"
        wait_until(lambda: all(f"spawned: '{name}'" in log.read_text() for name in FORKED), "all processes")
        wait_until(lambda: family(rig).keys() >= FORKED, "their names")
        yield rig


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.05)


def family(rig: Rig) -> dict[str, psutil.Process]:
    """The supervisor's children by name."""
    assert rig.process is not None
    children = psutil.Process(rig.process.pid).children()
    return {name_of(words): child for child in children if (words := words_of(child))}


def words_of(process: psutil.Process) -> list[str]:
    """Its command; none of one that has ended."""
    with suppress(psutil.NoSuchProcess):
        return [word for word in process.cmdline() if word]
    return []


def place_of(process: psutil.Process, library: str) -> str:
    """Where the system has put a library in its address space: by chance, but for forks."""
    parts = process.memory_maps(grouped=False)
    return min((part.addr for part in parts if Path(part.path).name == library), default="nowhere")


def test_they_have_torch_where_their_supervisor_has_it(running: Rig) -> None:
    assert running.process is not None
    parent, children = psutil.Process(running.process.pid), family(running)
    own = place_of(parent, "libtorch_cpu.so")
    assert {name for name in FORKED if place_of(children[name], "libtorch_cpu.so") == own} == FORKED


def test_they_hold_none_of_their_supervisors_files(running: Rig) -> None:
    log = running.data_dir / "logs" / "supervisord.log"
    assert running.process is not None and str(log) in {
        file.path for file in psutil.Process(running.process.pid).open_files()
    }
    for name, process in family(running).items():
        assert str(log) not in {file.path for file in process.open_files()}, name


def test_they_are_seen_by_their_own_names(running: Rig) -> None:
    assert running.process is not None
    parent = str(running.process.pid)
    for name, process in family(running).items():
        if name in FORKED:
            assert words_of(process) == [sys.executable, "-m", "backend", name, "--supervised", parent]


def test_one_that_was_killed_comes_back_as_a_fork(running: Rig) -> None:
    assert running.process is not None
    before = family(running)["scheduler"]
    before.kill()
    wait_until(lambda: family(running).get("scheduler", before).pid != before.pid, "another scheduler")
    wait_until(lambda: "scheduler" in family(running), "its name")
    own = place_of(psutil.Process(running.process.pid), "libtorch_cpu.so")
    assert place_of(family(running)["scheduler"], "libtorch_cpu.so") == own


def test_they_stop_when_they_are_asked_to(running: Rig) -> None:
    """The last test: a signal that the supervisor takes care of ends them, and not with an error."""
    running.stop()
    log = (running.data_dir / "logs" / "supervisord.log").read_text()
    stopped = dict(line.split("stopped: ")[1].split(" ", 1) for line in log.splitlines() if "stopped: " in line)
    assert stopped["web"] == "(exit status 0)"


@dataclass
class Process:
    """supervisord's config of one."""

    command: str = f"{sys.executable} -m {MODULE} web"
    autostart: bool = True


class Silent:
    """supervisord's log."""

    def warn(self, message: str) -> None:
        pass


def never(*_: object) -> int:
    raise AssertionError("nothing is started")


class Options:
    """supervisord's, of one that starts nothing."""

    def __init__(self) -> None:
        self.fork: Callable[[], int] = never
        self.execve: Callable[[str, Sequence[str], Mapping[str, str]], object] = never
        self.logger: Log = Silent()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_amid_the_imports_ends_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """Whatever the import that it comes in does with exceptions."""
    imports = f"""
        import os
        try:
            os.kill(os.getpid(), {number.value})
            import after_the_signal
        except Exception:
            import after_the_signal
    """
    (tmp_path / "stopped_here.py").write_text("\n".join(line[8:] for line in imports.splitlines()))
    (tmp_path / "after_the_signal.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    noted: list[int] = []
    before = signal.signal(number, lambda number, frame: noted.append(number))
    try:
        web = Process()
        look = share(Options(), [web], ["stopped_here", "after_the_signal"])
        assert [look(), look(), look()] == [True, True, False]
        assert noted == [number] and not web.autostart
        assert "after_the_signal" not in sys.modules
        signal.raise_signal(number)
        assert noted == [number, number], "the handler is supervisord's again"
    finally:
        signal.signal(number, before)
        gc.unfreeze()


def test_it_stops_while_it_imports(tmp_path: Path) -> None:
    """Redis runs by then, and nothing else is begun."""
    rig = Rig(tmp_path / "data")
    rig.data_dir.mkdir()
    words = [sys.executable, "-m", MODULE, "up", "--port", str(rig.port), "--data-dir", str(rig.data_dir)]
    log = rig.data_dir / "logs" / "supervisord.log"
    with subprocess.Popen(words, cwd=ROOT, env={**os.environ, **rig.environment}, stdout=subprocess.PIPE) as up:
        wait_until(lambda: log.exists() and "spawned: 'redis'" in log.read_text(), "Redis")
        up.send_signal(signal.SIGTERM)
        assert up.wait() == 0
    assert "spawned: 'web'" not in log.read_text()
