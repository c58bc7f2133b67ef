"""Hosts on one machine: network namespaces on a bridge, each with processes, a name and a disk of its own.

Nothing is shared: every host sees its own folder as `/mnt`, and nothing of the others'. What goes wrong between hosts
is made with what the kernel has: a neighbour's address that leads nowhere (packets vanish, both ways), a cable that is
pulled, a disk of a few megabytes.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from backend.supervision.parent_death import die_with
from tests.support.rig import ROOT

OWN = Path("/mnt")
"""Where each host finds its own disk."""

NOWHERE = "02:00:00:00:de:ad"
"""A network card that nobody has."""

FIRST_HOST = 11
"""Last number of the first host's address; 1 is the outside: this process, Label Studio, the balancer."""

ENTER = """set -e
mount --bind "$HOST_ROOT/$HOST_NAME" /mnt
mount -t tmpfs tmpfs "$HOST_ROOT"
hostname "$HOST_NAME"
exec "$@"
"""
"""What a process of a host does first."""


def why_not() -> str:
    """Why hosts cannot be made here; "" where they can."""
    if os.geteuid() != 0:
        return "hosts are network namespaces, which only root may make"
    if missing := [name for name in ("ip", "unshare") if shutil.which(name) is None]:
        return f"hosts are network namespaces: {' and '.join(missing)} of iproute2 and util-linux are missing"
    probe = f"us{secrets.token_hex(3)}"
    tries = (
        ["ip", "link", "add", probe, "type", "bridge"],
        ["ip", "netns", "add", probe],
        ["ip", "netns", "exec", probe, "unshare", "--mount", "--uts", "--pid", "--fork", "--mount-proc", "true"],
    )
    try:
        for command in tries:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                return f"hosts are network namespaces, which may not be made here: {done.stderr.strip()[:200]}"
    finally:
        subprocess.run(["ip", "netns", "del", probe], capture_output=True, check=False)
        subprocess.run(["ip", "link", "del", probe], capture_output=True, check=False)
    return ""


def run(*command: str) -> None:
    """Raises RuntimeError with what it said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")


class Network:
    """A bridge and the hosts on it. Use as a context manager; removes everything on exit. Start hosts from the thread
    that lives longest: its end is theirs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.name = f"us{secrets.token_hex(2)}"
        self.prefix = f"10.{secrets.randbelow(100) + 100}.{secrets.randbelow(250)}"
        self.hosts: dict[str, Host] = {}

    @property
    def outside(self) -> str:
        """The address of whoever is not a host."""
        return f"{self.prefix}.1"

    def __enter__(self) -> Network:
        run("ip", "link", "add", self.name, "type", "bridge")
        run("ip", "addr", "add", f"{self.outside}/24", "dev", self.name)
        run("ip", "link", "set", self.name, "up")
        (self.root / "disks").mkdir(parents=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for host in self.hosts.values():
            host.kill()
            subprocess.run(["ip", "netns", "del", host.space], capture_output=True, check=False)
            if host.disk_mb:
                subprocess.run(["umount", "-l", host.disk], capture_output=True, check=False)
        subprocess.run(["ip", "link", "del", self.name], capture_output=True, check=False)

    def add(self, name: str, disk_mb: int = 0) -> Host:
        """A host that runs nothing yet. `disk_mb`: its disk is that small; 0: a folder of this machine's."""
        host = Host(self, name, FIRST_HOST + len(self.hosts), disk_mb)
        self.hosts[name] = host
        return host


class Host:
    """One machine. Everything that it runs dies with `kill`."""

    def __init__(self, network: Network, name: str, number: int, disk_mb: int) -> None:
        self.name, self.network, self.disk_mb = name, network, disk_mb
        self.address = f"{network.prefix}.{number}"
        self.space, self._cable = f"{network.name}-{name}", f"{network.name}v{number}"
        self.disk = network.root / "disks" / name
        self.log = network.root / f"{name}.log"
        self.processes: list[subprocess.Popen[bytes]] = []
        self._wanted: list[tuple[Sequence[str], Mapping[str, str]]] = []
        self._guard = threading.RLock()
        self.restarts = 0
        self.disk.mkdir()
        if disk_mb:
            run("mount", "-t", "tmpfs", "-o", f"size={disk_mb}m", "tmpfs", str(self.disk))
        run("ip", "netns", "add", self.space)
        run("ip", "link", "add", self._cable, "type", "veth", "peer", "name", "eth0", "netns", self.space)
        run("ip", "link", "set", self._cable, "master", network.name, "up")
        self._inside("ip", "addr", "add", f"{self.address}/24", "dev", "eth0")
        self._inside("ip", "link", "set", "eth0", "up")
        self._inside("ip", "link", "set", "lo", "up")

    @property
    def data(self) -> Path:
        """Its DATA_DIR as the outside sees it."""
        return self.disk / "data"

    @property
    def runs(self) -> bool:
        """Whether all that was started is still there."""
        return bool(self.processes) and all(process.poll() is None for process in self.processes)

    def start(self, *command: str, environment: Mapping[str, str]) -> None:
        """One more process, the first of its own process namespace, as in a container."""
        for folder in ("data", "tmp", "home"):
            (self.disk / folder).mkdir(exist_ok=True)
        with self._guard:
            self._wanted.append((command, environment))
            self.processes.append(self._spawn(command, environment))

    def restart_ended(self) -> None:
        """What has ended by itself is started again, as a container engine does."""
        with self._guard:
            for place, (command, environment) in enumerate(self._wanted):
                if self.processes[place].poll() is not None:
                    self.restarts += 1
                    self.processes[place] = self._spawn(command, environment)

    def _spawn(self, command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        parent = os.getpid()
        own = {
            "HOST_ROOT": str(self.network.root / "disks"),
            "HOST_NAME": self.name,
            "DATA_DIR": str(OWN / "data"),
            "TMPDIR": str(OWN / "tmp"),
            "HOME": str(OWN / "home"),
        }
        spaces = ["--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                ["ip", "netns", "exec", self.space, "unshare", *spaces, "sh", "-c", ENTER, "host", *command],
                cwd=ROOT,
                env={**os.environ, **environment, **own},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=lambda: die_with(parent),
            )

    def kill(self, empty: bool = False) -> None:
        """SIGKILL to all of it, as when the power goes. `empty`: the disk is lost as well."""
        with self._guard:
            for process in self.processes:
                process.kill()
            for process in self.processes:
                process.wait(30)
            self.processes, self._wanted = [], []
        if empty:
            for path in self.disk.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def pause(self, *, go_on: bool = False) -> None:
        """SIGSTOP to all of it, SIGCONT to `go_on`: it is there, and says nothing."""
        for pid in self.pids():
            os.kill(pid, signal.SIGCONT if go_on else signal.SIGSTOP)

    def pids(self) -> list[int]:
        """Of all its processes, as the outside counts them."""
        found = subprocess.run(["ip", "netns", "pids", self.space], capture_output=True, text=True, check=True)
        return [int(line) for line in found.stdout.split()]

    def cut(self, other: Host) -> None:
        """From now on packets between the two vanish, those of open connections too; nobody is told."""
        for one, far in ((self, other), (other, self)):
            one._inside("ip", "neigh", "replace", far.address, "lladdr", NOWHERE, "dev", "eth0", "nud", "permanent")

    def mend(self, other: Host) -> None:
        """Takes `cut` back."""
        for one, far in ((self, other), (other, self)):
            one._inside("ip", "neigh", "del", far.address, "dev", "eth0")

    def unplug(self) -> None:
        """Nobody reaches it, and it reaches nobody."""
        run("ip", "link", "set", self._cable, "down")

    def plug(self) -> None:
        """Takes `unplug` back."""
        run("ip", "link", "set", self._cable, "up")

    def fill_disk(self) -> None:
        """Not one byte is left on its disk, which must be a small one."""
        assert self.disk_mb
        with (self.disk / "filler").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"\0" * 65536)
            except OSError:
                pass

    def free_disk(self) -> None:
        """Room again."""
        (self.disk / "filler").unlink(missing_ok=True)

    def log_tail(self, characters: int = 3000) -> str:
        """The end of what its processes have printed."""
        return self.log.read_text(errors="replace")[-characters:] if self.log.exists() else ""

    def _inside(self, *command: str) -> None:
        run("ip", "netns", "exec", self.space, *command)
