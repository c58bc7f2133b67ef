"""Real supervisord, real signals; only the children are stand-ins that write down their process id and sleep."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from backend.errors import SettingsError
from backend.settings.settings import Settings
from backend.supervision.supervisor import Program, config_text, hold_lock, programs

CHILD = """
import os, subprocess, sys, time
from pathlib import Path
from backend.supervision.parent_death import die_with
die_with(int(sys.argv[1]))
if sys.argv[3] == "forker":  # a grandchild that escapes into a session of its own
    grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    Path(sys.argv[2], "grandchild").write_text(str(grandchild.pid))
Path(sys.argv[2], sys.argv[3] + ".tmp").write_text(str(os.getpid()))
Path(sys.argv[2], sys.argv[3] + ".tmp").rename(Path(sys.argv[2], sys.argv[3]))
time.sleep(600)
"""

UP = """
import os, sys
from pathlib import Path
from backend.settings.settings import Settings
from backend.supervision.supervisor import Program, hold_lock, start
settings = Settings(data_dir=Path(sys.argv[1]), _env_file=None)
hold_lock(settings.data_dir)
child = [sys.executable, sys.argv[2], str(os.getpid()), sys.argv[3]]
start(settings, [Program(name, (*child, name), priority=10 if name == "first" else 20) for name in sys.argv[4:]])
"""


def wait_until(condition: Callable[[], object], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


class Running:
    """A supervisor with three stand-in children in a data directory with an awkward name."""

    def __init__(self, directory: Path, disk_full: bool = False) -> None:
        self.pids = directory / "pids"
        self.pids.mkdir()
        self.data_dir = directory / "data 100% ;here #1\n%(x)s"
        script = directory / "a ;child #100%\n.py"
        script.write_text(CHILD)
        arguments = [str(self.data_dir), str(script), str(self.pids), "first", "second", "forker"]
        if disk_full:
            (self.data_dir / "logs").mkdir(parents=True)
            for name in ("supervisord", "first", "second", "forker"):
                (self.data_dir / "logs" / f"{name}.log").symlink_to("/dev/full")
        with open("/dev/full" if disk_full else "/dev/stderr", "wb") as errors:
            self.process = subprocess.Popen([sys.executable, "-c", UP, *arguments], stderr=errors)
        wait_until(self.all_started)
        self.family = {name: self.pid(name) for name in ("first", "second", "forker", "grandchild")}

    def all_started(self) -> bool:
        assert self.process.poll() is None, "the supervisor did not start"
        return all((self.pids / name).exists() for name in ("first", "second", "forker"))

    def pid(self, name: str) -> int:
        return int((self.pids / name).read_text())

    def left(self) -> list[str]:
        return [name for name, pid in self.family.items() if psutil.pid_exists(pid) and not is_zombie(pid)]


def is_zombie(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    up = Running(tmp_path)
    with up.process:
        yield up
        up.process.kill()
    for pid in up.family.values():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_it_stops_with_every_descendant_and_exits_with_0(running: Running, signum: signal.Signals) -> None:
    running.process.send_signal(signum)
    assert running.process.wait(120) == 0
    assert running.left() == []


def test_a_killed_child_comes_back(running: Running) -> None:
    for name in ("first", "second"):
        os.kill(running.family[name], signal.SIGKILL)
    wait_until(lambda: running.pid("first") != running.family["first"])
    wait_until(lambda: running.pid("second") != running.family["second"])
    assert running.pid("forker") == running.family["forker"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_does_not_end_it(tmp_path: Path) -> None:
    """Its log and its stderr cannot be written: it still starts again what dies."""
    up = Running(tmp_path, disk_full=True)
    with up.process:
        for _ in range(2):
            before = up.pid("second")
            os.kill(before, signal.SIGKILL)
            wait_until(lambda before=before: up.pid("second") != before)
        up.process.send_signal(signal.SIGTERM)
        assert up.process.wait(120) == 0


def test_kill_9_of_the_supervisor_takes_the_children_along(running: Running) -> None:
    running.process.kill()
    running.process.wait()
    # The escaped grandchild did not ask to die with its parent: only an orderly stop finds it.
    wait_until(lambda: running.left() == ["grandchild"], seconds=2)


def test_a_data_directory_serves_one_supervisor_at_a_time(running: Running, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=rf"process {running.process.pid}\) already uses"):
        hold_lock(running.data_dir)
    running.process.kill()
    running.process.wait()
    os.close(hold_lock(running.data_dir))


def test_redis_runs_under_it_only_when_no_other_is_set(tmp_path: Path) -> None:
    own = [child.name for child in programs(Settings(data_dir=tmp_path, redis_url="", _env_file=None), 1)]
    assert own == ["redis", "web", "learner", "trainer", "sync", "scheduler"]
    other = Settings(data_dir=tmp_path, redis_url="redis://elsewhere", _env_file=None)
    assert "redis" not in [child.name for child in programs(other, 1)]


def test_no_secret_reaches_the_configuration(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, admin_token="planted", redis_url="redis://:planted@host", _env_file=None)
    assert "planted" not in config_text(programs(settings, 1))


def test_redis_stops_after_those_who_write_to_it() -> None:
    text = config_text([Program("redis", ("r",), priority=10), Program("web", ("w",)), Program("learner", ("l",))])
    assert text.index("[group:level10]\npriority=10\nprograms=redis") < text.index("programs=web,learner")


SERVER = """
import sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from backend.supervision.parent_death import die_with
die_with(int(sys.argv[1]))
Path(sys.argv[2], "web").touch()
while not Path(sys.argv[2], "go").exists():
    time.sleep(0.01)
HTTPServer(("127.0.0.1", int(sys.argv[3])), BaseHTTPRequestHandler).serve_forever()
"""

UP_LATE = """
import os, sys
from pathlib import Path
from backend.settings.settings import Settings
from backend.supervision.supervisor import Program, start
directory, port = Path(sys.argv[1]), sys.argv[2]
settings = Settings(data_dir=directory / "data", port=int(port), _env_file=None)
web = Program("web", (sys.executable, str(directory / "server.py"), str(os.getpid()), str(directory), port))
late = Program("late", (sys.executable, "-c", "import time; time.sleep(600)"), late=True)
start(settings, [web, late])
"""


def test_a_late_program_starts_when_the_web_process_answers(tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text(SERVER)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    log = tmp_path / "data" / "logs" / "supervisord.log"
    with subprocess.Popen([sys.executable, "-c", UP_LATE, str(tmp_path), port]) as up:
        try:
            wait_until((tmp_path / "web").exists)
            # Programs that are not late are all spawned before the first of them has run a line.
            assert "spawned: 'late'" not in log.read_text()
            (tmp_path / "go").touch()
            wait_until(lambda: "spawned: 'late'" in log.read_text())
        finally:
            up.terminate()


def test_workers_are_late_and_what_serves_is_not(tmp_path: Path) -> None:
    children = programs(Settings(data_dir=tmp_path, redis_url="", _env_file=None), 1)
    assert {child.name for child in children if not child.late} == {"redis", "web"}
