"""Looks at the product from outside all the time: its store by the straight road, its versions, its processes."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from pathlib import Path
from typing import Any

import redis

from backend.redis_access.connection import connect
from backend.redis_access.keys import project_key
from bench.chaos.check.history import History
from bench.chaos.product import Product

READ_EVERY, LOOK_EVERY = 1.0, 0.25
LARGE = 8 << 20
"""Files from this size on (fine-tuned encoders) are hashed once a version, all others at every look."""

Json = dict[str, Any]


class Observer:
    """Two threads until `stop`: one reads store and versions every second, one looks which processes there are."""

    def __init__(self, product: Product, projects: list[int], history: History) -> None:
        self._product, self._projects, self._history = product, projects, history
        self._stop = threading.Event()
        self._client = connect(product.settings)
        self._seen: dict[int, Json] = {}
        self._hist: dict[int, list[str]] = {}
        self._hashed: set[Path] = set()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._read_on, self._look_on)]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Returns when both have ended, and everything was read once more."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._read_all()

    def read(self, project: int) -> Json | None:
        """The project in Redis at one moment; None when Redis does not answer."""
        began = time.time()
        pipeline = self._client.pipeline(transaction=True)
        names = ("ver", "ex")
        for name in names:
            pipeline.hgetall(project_key(project, name))
        for name in ("seq", "trained", "fitted", "live"):
            pipeline.get(project_key(project, name))
        pipeline.lrange(project_key(project, "hist"), 0, -1)
        pipeline.hmget(project_key(project, "meta"), "sync", "dirty")
        try:
            versions, examples, seq, trained, fitted, live, hist, (sync, dirty) = pipeline.execute()
        except (redis.RedisError, OSError):
            return None
        state = {int(name): [int(version), label_of(examples.get(name))] for name, version in versions.items()}
        extra = [int(name) for name in examples if name not in versions]
        marks = {"seq": int(seq or 0), "trained": int(trained or 0), "fitted": int(fitted or 0), "live": live}
        more = {"hist": hist, "sync": json.loads(sync or "{}"), "dirty": dirty or "", "extra": extra}
        return {"t0": began, "t1": time.time(), "state": state, **marks, **more}

    def _read_on(self) -> None:
        while not self._stop.wait(READ_EVERY):
            self._read_all()

    def _read_all(self) -> None:
        for project in self._projects:
            found = self.read(project)
            if found is not None:
                self._note(project, found)

    def _note(self, project: int, found: Json) -> None:
        """The difference to the last reading, what moved the live pointer since, and whether its version is whole."""
        state, before = found.pop("state"), self._seen.get(project, {})
        hist, known = found.pop("hist"), self._hist.get(project, [])
        self._seen[project], self._hist[project] = state, hist
        sets = {name: facts for name, facts in state.items() if before.get(name) != facts}
        gone = [name for name in before if name not in state]
        fresh = hist[: hist.index(known[0])] if known and known[0] in hist else hist
        for entry in reversed(fresh):
            self._history.note("moved", project=project, **json.loads(entry))
        times = {"t": round(found["t1"], 4), "t0": round(found.pop("t0"), 4), "t1": round(found.pop("t1"), 4)}
        self._history.note("read", project=project, sets=sets, gone=gone, **found, **times)
        if found["live"]:
            problem = self.check_version(project, found["live"])
            self._history.note("version", project=project, version=found["live"], problem=problem)

    def check_version(self, project: int, version: str) -> str:
        """What is wrong with a version's directory; "" for nothing. The product's own code is not asked."""
        folder = self._product.rig.data_dir / "models" / str(project) / version
        try:
            manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
            if manifest["version"] != version or manifest["project"] != project:
                return f"its manifest is that of {manifest['project']} {manifest['version']}"
            wrong = [name for name, facts in manifest["files"].items() if not self._is_whole(folder / name, facts)]
            owner = manifest.get("finetuned")
            if owner and not (folder.parent / owner / "encoder.safetensors").is_file():
                wrong.append(f"the encoder of {owner}")
        except (OSError, ValueError, KeyError) as error:
            return repr(error)
        return f"missing or damaged: {wrong}" if wrong else ""

    def _is_whole(self, path: Path, facts: Json) -> bool:
        if path.stat().st_size != facts["size"]:
            return False
        if path in self._hashed:
            return True
        if facts["size"] >= LARGE:
            self._hashed.add(path)
        return sha256_of(path) == facts["sha256"]

    def _look_on(self) -> None:
        last: dict[str, list[int]] = {}
        while not self._stop.wait(LOOK_EVERY):
            if self._product.restarting.is_set():
                continue
            running = self._product.processes()
            if running != last:
                last = running
                self._history.note("seen", roles=running)


def label_of(value: str | None) -> str:
    """The label in a stored example, "" for none, "damaged" when its digest is wrong."""
    if value is None:
        return ""
    digest, text = value[:16], value[16:]
    if hashlib.sha256(text.encode()).hexdigest()[:16] != digest:
        return "damaged"
    found = json.loads(text)["targets"]["label"]
    return "/".join(found[0])


def sha256_of(path: Path) -> str:
    """Of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
