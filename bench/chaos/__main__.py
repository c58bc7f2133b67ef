"""Chaos: the whole of `understudy up` while its processes, its Redis, its disk and Label Studio fail, and a checker.

    python -m bench.chaos --minutes 30 [--seed 1] [--redis embedded|tcp|both] [--rate 8] [--disk full|whole]
                      [--projects choices,spans,regions,questions,nested] [--history DIR]
                      [--report docs/reliability.md] [--json]

People label, correct, skip and delete in projects of five kinds (choices, spans, regions with answers and relations,
questions about passages, nested spans; `--projects` takes some of them); each change is delivered as Label Studio
delivers it (once, one second of patience, also late, twice or not at all); clients ask for predictions and draw
regions; fine-tunes run. A schedule that depends on the seed alone kills processes with SIGKILL every five seconds and
spoils the rest. Everything is recorded, and the record is checked against the promises (bench/chaos/checker.py): exit
status 1 when one broke.

Label Studio is a stand-in that holds the truth and serves the routes that a reconciliation calls: the real one is too
slow for so many changes. `--redis both` gives half of the time to the embedded server and half to a TCP one behind a
proxy. Filling the disk needs the right to mount an ext4 image; without it that fault is left out, and named as such.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import requests

from bench.chaos.checker import History, find_violations, read_history
from bench.chaos.nemesis import Nemesis, make_schedule
from bench.chaos.product import Observer, Product
from bench.chaos.report import Leg, show_legs, write_page
from bench.chaos.traffic import Annotators, PredictClients, Proxy
from bench.support.report import list_of
from tests.support.label_studio_stub import TOKEN, LabelStudioStub, ReferenceModel
from tests.support.project_kinds import KINDS, facts_of_result
from tests.support.rig import Rig

FIRST_PROJECT = 7
COPIES = 100
"""What a copy's number is above that of its project."""

COMPARED = 60
"""Texts that a project and its copy are asked about at the end."""

UNLABELLED_FROM = 50_000
"""Rows of a kind from here on: no run comes so far."""

NOTHING = facts_of_result([])

SHORT = {
    "SCHEDULER_SECONDS": "1",
    "POLL_SECONDS": "1",
    "RESYNC_MINUTES": "2",
    "FINETUNE_ENABLED": "true",
    "FINETUNE_STEPS": "8",
    "FINETUNE_MINUTES": "2",
}
"""Settings that make things happen more often than in a normal life."""

SETTLE_SECONDS = 240.0
"""For each thing that must come right when all faults are over."""


def run_leg(path: Path, args: argparse.Namespace, redis: str, seconds: float, seed: int) -> dict[str, Any]:
    """One life of the product under fire; facts of the run. The history is in `path`."""
    names = args.projects.split(",")
    truth = ReferenceModel({FIRST_PROJECT + place: KINDS[name]() for place, name in enumerate(names)})
    with contextlib.ExitStack() as stack:
        history = History(path)
        stack.callback(history.close)
        stand_in = stack.enter_context(LabelStudioStub(truth))
        api = stack.enter_context(Proxy(stand_in.port, seed))
        product = stack.enter_context(Product(redis, small_disk=args.disk == "full", api=api, token=TOKEN, **SHORT))
        rig = product.rig
        webhook = stack.enter_context(Proxy(rig.port, seed + 1))
        roads = {"webhook": webhook, "api": api}
        if product.redis_road:
            roads["redis"] = product.redis_road
        clients = PredictClients(truth, history, rig.port, args.predicts / 2, 2)
        annotators = Annotators(truth, history, webhook.port, rig.secret, args.rate, seed)
        observer = Observer(product, list(truth.kinds), history)
        nemesis = Nemesis(product, stand_in, roads, history, seed)
        faults = make_schedule(seed, seconds, redis_road="redis" in roads, disk=product.disk.exists)
        for part in (observer, annotators, clients):
            part.start()
        try:
            nemesis.run(faults)
        finally:
            annotators.stop()
            if not nemesis.failure:
                settle(product, truth, observer, history)
            clients.stop()
            observer.stop()
            if args.history:
                keep_logs(rig, args.history / f"logs-{redis}-{seed}")
        return {"redis": redis, "seed": seed, "seconds": round(seconds), "disk": product.disk.exists}


def keep_logs(rig: Rig, target: Path) -> None:
    """Copies the logs of all processes, to look for causes."""
    target.mkdir(parents=True, exist_ok=True)
    for log in [rig.log, *(rig.data_dir / "logs").glob("*.log*")]:
        if log.is_file():
            (target / log.name).write_bytes(log.read_bytes())


def plan(redis: str, seconds: float, seed: int) -> Iterator[tuple[str, float, int]]:
    """(Redis, seconds, seed) of each leg."""
    kinds = ("embedded", "tcp") if redis == "both" else (redis,)
    for number, kind in enumerate(kinds):
        yield kind, seconds / len(kinds), seed + number


def settle(product: Product, truth: ReferenceModel, observer: Observer, history: History) -> None:
    """All faults are over: one reconciliation of every project, then everything is to be learned. Notes an `end` of
    every project, or what is `broken`, and how its model compares with one that learned everything at once."""
    history.note("calm")
    wait_for(product.rig.is_ready, "/ready says yes after all faults", history)
    projects = list(truth.kinds)
    before = {project: wait_for(partial(observer.read, project), "Redis answers", history) for project in projects}
    asked = time.time()
    for project in projects:
        resync = partial(product.rig.admin, "POST", f"/projects/{project}/resync", {})
        wait_for(resync, "resync accepted", history)
    for project in projects:
        wait_for(partial(_is_synced, observer, project, asked), f"project {project} reconciles", history)
    for project in projects:
        wait_for(partial(_has_learned, observer, project), f"project {project} learns everything", history)
        _note_end(product, truth, project, observer, history, (before[project] or {}).get("state", {}))
    for project in projects:
        _compare(product, truth, project, observer, history)


def _note_end(
    product: Product, truth: ReferenceModel, project: int, observer: Observer, history: History, before: dict[int, Any]
) -> None:
    found = observer.read(project)
    if found is None:
        return history.note("broken", what="Redis does not answer at the end")
    kind, live = truth.kinds[project], found["live"]
    wait_for(lambda: _answers(product, truth, project, 1)[0] == live, f"{live} of project {project} answers", history)
    expected = {number: facts[:2] for number, facts in truth.annotations(project).items()}
    manifest = _manifest(product, project, live)
    # A 503 is an answer that the product may give while the disk is slow.
    state = wait_for(lambda: product.rig.admin("GET", f"/projects/{project}"), "the admin API answers", history)
    history.note(
        "end",
        project=project,
        about=kind.name,
        truth=expected,
        store=found["state"],
        drift=sum(expected.get(number) != before.get(number) for number in {*expected, *before}),
        pending=(state or {}).get("pending"),
        labels_seen=manifest.get("labels_seen", {}).get(kind.control),
        snapshot_seq=manifest.get("snapshot_seq"),
        **{name: found[name] for name in ("seq", "fitted", "trained", "live")},
    )


def _compare(product: Product, truth: ReferenceModel, project: int, observer: Observer, history: History) -> None:
    """A copy of the project, labelled in one go and never disturbed, beside it: what was learned, what is answered."""
    copy = COPIES + project
    body = truth.copy(project, copy).body
    wait_for(lambda: product.rig.webhook(body), f"the copy of project {project} is stored", history)
    # A fine-tune that was begun before may go live meanwhile: the refit on top of it has learned what came since.
    what = f"project {project} and its copy are learned"
    manifests = [wait_for(partial(_whole, product, observer, one), what, history) or {} for one in (project, copy)]
    answers = [_ask(product, truth, one, COMPARED, history) for one in (project, copy)]
    history.note(
        "compared",
        project=project,
        tuned=bool(manifests[0].get("finetuned")),
        labels_seen=[manifest.get("labels_seen") for manifest in manifests],
        asked=COMPARED,
        alike=sum(one == other for one, other in zip(*answers, strict=True)),
        said=[sum(facts != NOTHING for facts in said) for said in answers],
    )


def _whole(product: Product, observer: Observer, project: int) -> dict[str, Any] | None:
    """The manifest of a live version that has learned all there is."""
    found = observer.read(project)
    if found is None or not _learned(found):
        return None
    manifest = _manifest(product, project, found["live"])
    return manifest if manifest.get("snapshot_seq") == found["seq"] else None


def _ask(product: Product, truth: ReferenceModel, project: int, count: int, history: History) -> list[str]:
    what = f"project {project} answers {count} texts"
    _, said = wait_for(lambda: _answers(product, truth, project, count), what, history) or ("", [""] * count)
    return said


def _answers(product: Product, truth: ReferenceModel, project: int, count: int) -> tuple[str, list[str]]:
    """(the version that answers, the facts of its answers) to texts that nobody has labelled."""
    kind = truth.kinds[project]
    rows = itertools.islice(kind.rows(), UNLABELLED_FROM, UNLABELLED_FROM + count)
    # Without ids: none of them is held back to be labelled blind.
    tasks = [{"data": kind.data(content)} for content, _ in rows]
    found = product.rig.post("/predict", {"tasks": tasks, "project": f"{project}.1", "label_config": kind.config})
    return str(found["model_version"]), [facts_of_result(item["result"]) for item in found["results"]]


def wait_for(condition: Callable[[], Any], what: str, history: History, patience: float = SETTLE_SECONDS) -> Any:
    """What the condition returns once it is true; notes `broken` and returns None when that takes too long."""
    deadline, last = time.monotonic() + patience, ""
    while time.monotonic() < deadline:
        try:
            if found := condition():
                return found
        except (requests.RequestException, OSError, ValueError) as error:
            last = repr(error)
        time.sleep(0.3)
    history.note("broken", what=f"not within {patience:.0f} s: {what} {last[:300]}")
    return None


def _is_synced(observer: Observer, project: int, since: float) -> bool:
    """A reconciliation that began after `since` (it notes its end and how long it took) has succeeded."""
    sync = (observer.read(project) or {}).get("sync") or {}
    return bool(sync) and not sync.get("error") and sync["at"] - sync.get("seconds", 0) > since


def _has_learned(observer: Observer, project: int) -> bool:
    return _learned(observer.read(project))


def _learned(found: dict[str, Any] | None) -> bool:
    return found is not None and found["seq"] == found["fitted"] <= found["trained"]


def _manifest(product: Product, project: int, version: str | None) -> dict[str, Any]:
    path = product.rig.data_dir / "models" / str(project) / str(version) / "manifest.json"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except OSError:
        return {}


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--redis", choices=["embedded", "tcp", "both"], default="embedded")
    parser.add_argument("--disk", choices=["full", "whole"], default="full")
    parser.add_argument("--projects", type=list_of(KINDS), default=",".join(KINDS))
    parser.add_argument("--rate", type=float, default=8.0, help="changes a second")
    parser.add_argument("--predicts", type=float, default=8.0, help="requests a second")
    parser.add_argument("--history", type=Path, help="keep histories and logs in this directory")
    parser.add_argument("--report", type=Path)
    parser.add_argument("--note", default="", help="a sentence for the report")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    # Whoever ends it early must not be left with a mounted disk and half a product.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    legs = []
    with tempfile.TemporaryDirectory(prefix="us-") as scratch:
        folder = args.history or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for redis, seconds, seed in plan(args.redis, 60 * args.minutes, args.seed):
            path = folder / f"history-{redis}-{seed}.jsonl"
            facts = run_leg(path, args, redis, seconds, seed)
            history = read_history(path)
            legs.append(Leg(facts, history, find_violations(history)))
    show_legs(legs, args.json)
    if args.report:
        write_page(args.report, legs, args.note)
    if violations := list(itertools.chain.from_iterable(leg.violations for leg in legs)):
        for violation in violations[:20]:
            print(json.dumps(violation.to_json())[:1500])
        raise SystemExit(f"{len(violations)} violations")


if __name__ == "__main__":
    main()
