"""Runs the pods of a rendered case on this machine as nearly as they would run on a node: each process in mounts of its
own with a read-only root, as the user and with the environment, volumes, limits of memory and probes of its manifest,
against a real Redis with the chart's own configuration.

`unshare --net --mount .venv/bin/python -m tests.docker.helm.containers MANIFESTS FOLDER` (as root) labels, retrains,
kills nothing, has the doctor look, stops everything, and prints what it saw as JSON. `--measure` labels more, asks with
many clients at once, and trains as long as the settings say.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
import yaml

from tests.docker.helm.pods import Manifest, container_of, environment_of, of_kind, pods

ROOT = Path(__file__).parents[3]
GROUPS = Path("/sys/fs/cgroup/memory")
"""The kernel's accounts of memory; where there are none, limits are not held and peaks are those of the processes."""

PROJECT = 1
SECRETS = {
    "ADMIN_TOKEN": "admin-token",
    "BASIC_AUTH_PASS": "password",
    "BASIC_AUTH_USER": "label-studio",
    "LABEL_STUDIO_API_KEY": "key",
    "WEBHOOK_SECRET": "webhook-secret",
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
}
BUCKET_PORT = 5555
WEB = "http://127.0.0.1:9090"
PATIENCE = 600.0
"""Seconds for anything to happen, on a machine that others use."""

ENTER = """
set -eu
mount -t tmpfs -o mode=755 tmpfs "$NEW"
for pair in $MOUNTED; do
  mkdir -p "$NEW${pair#*=}"
  mount --bind "${pair%%=*}" "$NEW${pair#*=}"
done
for place in $READABLE; do
  if [ -L "$place" ]; then ln -s "$(readlink "$place")" "$NEW$place"; continue; fi
  [ -d "$place" ] && mkdir -p "$NEW$place" || { mkdir -p "$(dirname "$NEW$place")"; touch "$NEW$place"; }
  mount --bind "$place" "$NEW$place"
  mount -o remount,bind,ro "$NEW$place"
done
mkdir -p "$NEW/dev" "$NEW/proc" "$NEW/sys"
mount --rbind /dev "$NEW/dev"; mount -t proc proc "$NEW/proc" 2>/dev/null || mount --rbind /proc "$NEW/proc"
mount --rbind /sys "$NEW/sys"
mount -o remount,ro "$NEW"
hostname "$NAME"
cd /
exec chroot "$NEW" setpriv --reuid "$AS" --regid "$AS" --groups "$AS" --no-new-privs --inh-caps=-all \
  --bounding-set=-all sh -c 'cd "$0" && exec "$@"' "$WORKDIR" "$@"
"""


@dataclass
class Container:
    """The one container of a pod. `volumes`: name -> folder of this machine."""

    name: str
    pod: Manifest
    environment: Mapping[str, str]
    volumes: Mapping[str, Path]
    base: Path
    seen: dict[str, Any] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """Both streams."""
        return self.base / f"{self.name}.log"

    def start(self) -> None:
        """As the kubelet would."""
        self._process = self._enter(self.command(), self.log.open("wb"))

    def command(self) -> list[str]:
        """The image's entry point where the manifest has no command."""
        container = container_of(self.pod)
        return [*container.get("command", ["understudy"]), *container["args"]]

    def execute(self, command: list[str]) -> tuple[int, str]:
        """A probe, or `kubectl exec`: exit status and what it said."""
        path = self.base / f"{self.name}.exec"
        status = self._enter(command, path.open("wb")).wait(PATIENCE)
        return status, path.read_text(errors="replace")

    def lives(self) -> bool:
        """It has not ended."""
        return self._process is not None and self._process.poll() is None

    def wait(self) -> int:
        """For its end."""
        assert self._process is not None
        return self._process.wait(PATIENCE)

    def stop(self) -> None:
        """SIGTERM, then what the manifest allows."""
        assert self._process is not None
        began = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(self.pod["spec"].get("terminationGracePeriodSeconds", 30))
        except subprocess.TimeoutExpired:
            status = -9
            self._process.kill()
        self.seen |= {"stopped_s": round(time.monotonic() - began, 1), "status": status, **self._memory()}

    def _memory(self) -> dict[str, Any]:
        limit = container_of(self.pod)["resources"]["limits"]["memory"]
        found: dict[str, Any] = {"limit": limit, "request": container_of(self.pod)["resources"]["requests"]["memory"]}
        with suppress(OSError):
            found["killed"] = int((self._group() / "memory.oom_control").read_text().split()[-1])
        return found

    def sample(self) -> None:
        """Memory that cannot be taken back, of all its processes."""
        with suppress(OSError, StopIteration):
            lines = (self._group() / "memory.stat").read_text().splitlines()
            values = {name: int(value) for name, value in (line.split() for line in lines)}
            now = round((values["rss"] + values.get("mapped_file", 0)) / 2**20)
            self.seen["peak_mib"] = max(now, self.seen.get("peak_mib", 0))

    def _group(self) -> Path:
        return GROUPS / f"helm-{zlib.crc32(str(self.base).encode())}-{self.name}"

    def _enter(self, command: list[str], output: Any) -> subprocess.Popen[bytes]:
        container, security = container_of(self.pod), self.pod["spec"]["securityContext"]
        new = self.base / "roots" / self.name
        new.mkdir(parents=True, exist_ok=True)
        pairs = []
        for mount in container["volumeMounts"]:
            place = self.volumes[mount["name"]] / mount.get("subPath", "")
            _own(place, security["runAsUser"])
            pairs.append(f"{place}={mount['mountPath']}")
        given = {
            "NEW": str(new),
            "READABLE": " ".join(map(str, self._readable())),
            "MOUNTED": " ".join(pairs),
            "NAME": f"understudy-{self.name}",
            "AS": str(security["runAsUser"]),
            "WORKDIR": "/data",
            "PATH": os.environ["PATH"],
        }
        inside = ["env", "-i", *(f"{name}={value}" for name, value in self.environment.items()), *command]
        return subprocess.Popen(
            ["unshare", "--mount", "--uts", "--propagation", "private", "sh", "-c", ENTER, "enter", *inside],
            env=given,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=self._join,
        )

    def _join(self) -> None:
        with suppress(OSError):
            self._group().mkdir(exist_ok=True)
            limit = _bytes(container_of(self.pod)["resources"]["limits"]["memory"])
            (self._group() / "memory.limit_in_bytes").write_text(str(limit))
            (self._group() / "cgroup.procs").write_text(str(os.getpid()))

    def _readable(self) -> Iterator[Path]:
        names = ["usr", "lib", "lib64", "bin", "sbin"]
        names += [
            f"etc/{name}"
            for name in ("alternatives", "group", "hosts", "ld.so.cache", "nsswitch.conf", "passwd", "ssl")
        ]
        yield from (Path(f"/{name}") for name in names if Path(f"/{name}").exists())
        places = {ROOT, (ROOT / ".venv").resolve(), Path(sys.base_prefix), self.base / "bin"}
        yield from sorted(it for it in places if not any(other in it.parents for other in {*places, Path("/usr")}))

    def remove(self) -> None:
        """Its account of memory."""
        with suppress(OSError):
            self._group().rmdir()


def _own(folder: Path, user: int) -> None:
    """As fsGroup has it; a folder of secrets stays as it is."""
    if not folder.exists():
        folder.mkdir(parents=True)
    if folder.parent.name != "secrets":
        os.chown(folder, user, user)


def _bytes(quantity: str) -> int:
    return int(quantity[:-2]) * {"Mi": 1 << 20, "Gi": 1 << 30}[quantity[-2:]]


class Node:
    """All pods of a case, on this machine."""

    def __init__(self, manifests: list[Manifest], base: Path) -> None:
        self.manifests, self.base = manifests, base
        self.containers: dict[str, Container] = {}
        (base / "bin").mkdir(parents=True)
        program = base / "bin" / "understudy"
        program.write_text(f'#!/bin/sh\nexec {ROOT}/.venv/bin/python -m backend "$@"\n', encoding="utf-8")
        program.chmod(0o755)
        for name, pod in pods(manifests).items():
            image = {
                "PATH": f"{base / 'bin'}:/usr/local/bin:/usr/bin:/bin",
                "HOME": "/tmp",
                "PYTHONPATH": str(ROOT),
                "PYTHONUNBUFFERED": "1",
                "PYTHONDONTWRITEBYTECODE": "1",
            }
            given = environment_of(manifests, pod, SECRETS)
            self.containers[name] = Container(name, pod, {**image, **given}, self._volumes(name, pod), base)
        self._name_hosts()

    def _volumes(self, name: str, pod: Manifest) -> dict[str, Path]:
        found = {}
        for volume in [*pod["spec"]["volumes"], {"name": "redis"}]:
            kind = next(iter(set(volume) - {"name"}), "claim")
            folder = self.base / ("shared" if kind == "persistentVolumeClaim" else f"pods/{name}/{volume['name']}")
            if kind == "secret":
                folder = self.base / "secrets" / f"{name}-{volume['name']}"
                folder.mkdir(parents=True)
                for item in volume["secret"]["items"]:
                    (folder / item["path"]).write_text(SECRETS[item["key"]], encoding="utf-8")
                    os.chown(folder / item["path"], 0, pod["spec"]["securityContext"]["fsGroup"])
                    (folder / item["path"]).chmod(volume["secret"]["defaultMode"])
            if kind == "configMap":
                folder.mkdir(parents=True)
                for file, text in of_kind(self.manifests, "ConfigMap")[volume["configMap"]["name"]]["data"].items():
                    (folder / file).write_text(text, encoding="utf-8")
            found[volume["name"]] = folder
        return found

    def _name_hosts(self) -> None:
        """Services have names; here all are this machine, in a network of its own."""
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        names = [
            name for service in of_kind(self.manifests, "Service") for name in (service, f"{service}.labelling.svc")
        ]
        hosts = self.base / "hosts"
        hosts.write_text("127.0.0.1 localhost " + " ".join(names) + "\n", encoding="utf-8")
        subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)

    def dead(self) -> list[str]:
        """Pods that were started and have ended."""
        return [
            it.name for it in self.containers.values() if it.name != "doctor" and it.log.exists() and not it.lives()
        ]

    def watch(self, stop: threading.Event) -> None:
        """Memory, several times a second."""
        while not stop.wait(0.2):
            for one in self.containers.values():
                one.sample()


def wait_for(what: str, ask: Callable[[], Any], node: Node) -> Any:
    """What `ask` answers when it is something. Raises TimeoutError, with the ends of all logs."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and not node.dead():
        with suppress(requests.RequestException):
            if answer := ask():
                return answer
        time.sleep(0.2)
    logs = {name: it.log.read_text(errors="replace")[-1500:] for name, it in node.containers.items() if it.log.exists()}
    raise TimeoutError(f"{what}: {json.dumps(logs, indent=1)}")


class Studio:
    """Calls as Label Studio does."""

    def __init__(self) -> None:
        with (ROOT / "docs" / "examples" / "support_messages.csv").open(newline="", encoding="utf-8") as file:
            self.rows = [(row["text"], row["label"]) for row in csv.DictReader(file)]
        choices = "".join(f'<Choice value="{label}"/>' for label in sorted({label for _, label in self.rows}))
        self.config = (
            f'<View><Text name="text" value="$text"/><Choices name="label" toName="text">{choices}</Choices></View>'
        )
        self.login = (SECRETS["BASIC_AUTH_USER"], SECRETS["BASIC_AUTH_PASS"])
        self.admin = {"Authorization": f"Bearer {SECRETS['ADMIN_TOKEN']}"}

    def setup(self) -> str:
        """The version that would answer."""
        body = {"project": f"{PROJECT}.1", "schema": self.config}
        reply = requests.post(f"{WEB}/setup", json=body, auth=self.login, timeout=60)
        reply.raise_for_status()
        return str(reply.json()["model_version"])

    def label(self, number: int) -> None:
        """An annotation of the row `number`."""
        text, label = self.rows[number]
        value = {"choices": [label]}
        result = [{"from_name": "label", "to_name": "text", "type": "choices", "value": value}]
        stamp = f"2026-01-01T{number // 3600:02d}:{number // 60 % 60:02d}:{number % 60:02d}Z"
        given = {"id": number + 1, "task": number + 1, "result": result, "updated_at": stamp}
        body = {
            "action": "ANNOTATION_CREATED",
            "project": {"id": PROJECT, "label_config": self.config},
            "annotation": given,
            "task": {"id": number + 1, "data": {"text": text}},
        }
        header = {"X-Webhook-Secret": SECRETS["WEBHOOK_SECRET"]}
        requests.post(f"{WEB}/webhook", json=body, headers=header, timeout=60).raise_for_status()

    def predict(self, start: int, count: int) -> str:
        """The version that answered."""
        tasks = [{"id": n + 1, "data": {"text": self.rows[n % len(self.rows)][0]}} for n in range(start, start + count)]
        body = {"tasks": tasks, "project": f"{PROJECT}.1", "label_config": self.config}
        reply = requests.post(f"{WEB}/predict", json=body, auth=self.login, timeout=100)
        reply.raise_for_status()
        assert all(reply.json()["results"])
        return str(reply.json()["model_version"])

    def admin_post(self, path: str) -> Any:
        """What the admin API says."""
        reply = requests.post(f"{WEB}{path}", json={}, headers=self.admin, timeout=60)
        reply.raise_for_status()
        return reply.json()

    def job(self, job: str) -> str:
        """Its status once it is over."""
        status = requests.get(f"{WEB}/admin/jobs/{job}", headers=self.admin, timeout=60).json()["status"]
        return status if status not in ("queued", "running") else ""


def labels_and_trains(node: Node, studio: Studio, measure: bool) -> dict[str, Any]:
    """The loop: labels, a version, predictions, a fine-tune."""
    first, labels = studio.setup(), 128 if measure else 24
    for number in range(labels):
        studio.label(number)
    version = wait_for("a version", lambda: (now := studio.setup()) != first and now, node)
    answered = studio.predict(labels, 100)
    if measure:
        with ThreadPoolExecutor(24) as pool:
            list(pool.map(lambda n: studio.predict(labels + 20 * n, 100), range(64)))
    job = studio.admin_post(f"/admin/projects/{PROJECT}/retrain")["job"]
    return {
        "labels": labels,
        "version": version,
        "answered": answered,
        "fine_tune": wait_for("a fine-tune", lambda: studio.job(job), node),
    }


def probes(node: Node) -> dict[str, str]:
    """Component -> what its probes said; "" is well."""
    found = {}
    for name, one in node.containers.items():
        for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
            probe = container_of(one.pod).get(kind)
            if probe and "exec" in probe:
                status, said = one.execute(probe["exec"]["command"])
                found[f"{name} {kind}"] = "" if status == 0 else said[-500:]
            elif probe:
                reply = requests.get(f"{WEB}{probe['httpGet']['path']}", timeout=probe["timeoutSeconds"])
                found[f"{name} {kind}"] = "" if reply.ok else reply.text
    return found


def forbidden(one: Container) -> dict[str, bool]:
    """Whether what a pod must not do is refused."""
    tries = {
        "write beside its volumes": "touch /usr/x",
        "write into the root": "touch /x",
        "write its secrets": "touch /run/secrets/understudy/x",
    }
    found = {what: one.execute(["sh", "-c", command])[0] != 0 for what, command in tries.items()}
    found["be root"] = one.execute(["sh", "-c", "id -u"])[1].strip() != "0"
    found["have a capability"] = "CapEff:\t0000000000000000" in one.execute(["cat", "/proc/self/status"])[1]
    return found


def run(manifests: list[Manifest], base: Path, measure: bool) -> dict[str, Any]:
    """Everything, from the first pod to the last."""
    if measure:
        of_kind(manifests, "ConfigMap")["understudy"]["data"].pop("FINETUNE_STEPS")
    node, studio, over = Node(manifests, base), Studio(), threading.Event()
    bucket = _start_bucket(base) if "ARTIFACTS_URL" in node.containers["web"].environment else None
    threading.Thread(target=node.watch, args=(over,), daemon=True).start()
    running = [it for name, it in node.containers.items() if name != "doctor"]
    report: dict[str, Any] = {}
    try:
        began = time.monotonic()
        for one in sorted(running, key=lambda it: it.name != "redis"):
            one.start()
        wait_for("/ready", lambda: requests.get(f"{WEB}/ready", timeout=5).ok, node)
        report["ready_s"] = round(time.monotonic() - began, 1)
        wait_for("probes", lambda: not any(probes(node).values()), node)
        report |= labels_and_trains(node, studio, measure)
        report["probes"] = probes(node)
        report["forbidden"] = {one.name: forbidden(one) for one in running if one.name != "redis"}
        doctor = node.containers["doctor"]
        doctor.start()
        report["doctor"] = {"status": doctor.wait(), "said": doctor.log.read_text(errors="replace")}
        report["ended"] = [it.name for it in running if not it.lives()]
    except TimeoutError as error:
        report["failed"] = str(error)
    finally:
        over.set()
        for one in sorted(running, key=lambda it: it.name == "redis"):
            if one.lives():
                one.stop()
        if bucket is not None:
            bucket.kill()
        report["pods"] = {one.name: one.seen for one in node.containers.values()}
        for one in node.containers.values():
            one.remove()
    return report


def _start_bucket(base: Path) -> subprocess.Popen[bytes]:
    """A real S3 API, with the bucket of the case."""
    command = [ROOT / ".venv" / "bin" / "python", "-m", "moto.server", "-p", str(BUCKET_PORT)]
    process = subprocess.Popen(command, stdout=(base / "bucket.log").open("wb"), stderr=subprocess.STDOUT)
    for _ in range(300):
        with suppress(requests.RequestException):
            if requests.put(f"http://127.0.0.1:{BUCKET_PORT}/models", timeout=5).ok:
                return process
        time.sleep(0.2)
    raise TimeoutError("the object store does not answer")


def main() -> None:
    """See above."""
    path, folder = Path(sys.argv[1]), Path(sys.argv[2])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    manifests = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    print(json.dumps(run(manifests, folder, "--measure" in sys.argv), indent=1))


if __name__ == "__main__":
    main()
