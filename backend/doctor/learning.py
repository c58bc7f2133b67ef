"""One project's state on our side: reconciliation, repeated failures, and whether events arrive."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

from backend.base_model.languages import CODE, FEWEST_TEXTS, REMEDY, LanguageReport
from backend.doctor.verdict import Verdict, fail, ok, warn
from backend.record_json import RejectEntry, SyncRecord, Trouble
from backend.rejects.report import describe_rejects
from backend.rules.queue_share import BYPASSED, describe_handed, is_bypassed
from backend.settings.settings import Settings
from backend.store.label_stream import Handed
from backend.store.stores import Stores


def check_learning(settings: Settings, stores: Stores, project: int) -> Iterator[Verdict]:
    """Raises StoreUnavailable."""
    if not stores.projects.knows(project):
        remedy = f"run `understudy connect --project {project}`, and open a task"
        yield warn(f"project {project}: here", "not known: Label Studio has never called for it", remedy)
        return
    if settings.has_label_studio:
        last, dirty = stores.projects.last_sync(project), stores.projects.dirty(project)
        yield judge_sync(project, last, dirty, time.time(), settings.resync_minutes)
    yield from judge_language(project, LanguageReport.from_json(stores.projects.language(project)))
    yield from judge_trouble(project, stores.failures.describe(project))
    yield from judge_rejects(project, stores.rejects.read(project), time.time())
    if project in stores.task_queue.steered():
        yield from judge_handed(project, stores.label_stream.handed(project))


def judge_sync(project: int, last: SyncRecord, dirty: str, now: float, minutes: float) -> Verdict:
    """`last`: the last reconciliation. `dirty`: why another one is due, "" when none is."""
    name = f"project {project}: reconciled"
    again = f"`understudy resync {project}`, and see the log of `sync`"
    if last.get("error"):
        return fail(name, f"failed: {last['error']}", str(last.get("hint") or again))
    if not last:
        return warn(name, "not yet", "wait a minute; then " + again)
    age = now - float(last["at"])
    seen = f"{age / 60:.0f} minutes ago, {last.get('drift', last.get('changed', 0))} annotations had to be mended"
    if age > 3 * 60 * minutes + 60:
        return warn(name, seen, f"RESYNC_MINUTES is {minutes:g}: {again}")
    if dirty:
        return warn(name, f"{seen}; due again: {dirty}", "wait a minute; then " + again)
    return ok(name, seen)


def judge_language(project: int, report: LanguageReport | None) -> Iterator[Verdict]:
    """Whether the encoder knows what the texts are written in; nothing before a reconciliation has looked."""
    if report is None or report.texts < FEWEST_TEXTS:
        return
    name, seen = f"project {project}: language", report.describe()
    yield warn(name, f"{CODE}: {seen}", REMEDY) if report.is_unread else ok(name, seen)


def judge_trouble(project: int, trouble: Mapping[str, Trouble]) -> Iterator[Verdict]:
    """`trouble`: kind -> failures in a row, error, seconds until the next attempt."""
    for kind, entry in trouble.items():
        evidence = f"failed {entry['failures']} times in a row, again in {entry['retry_in']} s: {entry['error']}"
        yield fail(f"project {project}: {kind}", evidence, "see the log; the other projects go on")
    if not trouble:
        yield ok(f"project {project}: work", "nothing keeps failing")


def judge_rejects(project: int, rejects: Sequence[RejectEntry], now: float) -> Iterator[Verdict]:
    """Whether tasks and labels can be read. `now`: epoch seconds."""
    name = f"project {project}: tasks and labels"
    told = list(describe_rejects(rejects, now))
    remedy = "compare the label config with the tasks' data; what is mended is told no more after a reconciliation"
    for line in told:
        yield warn(name, line, remedy)
    if not told:
        yield ok(name, "all that came lately could be read")


def judge_refusals(refused: Sequence[RejectEntry], now: float) -> Iterator[Verdict]:
    """Requests that were refused before it was known which project they are about."""
    remedy = "the log of `web` has them too; for a wrong webhook secret run `understudy connect --project ID`"
    for line in describe_rejects(refused, now):
        yield warn("requests", line, remedy)


def judge_handed(project: int, handed: Handed) -> Iterator[Verdict]:
    """Whether people label what the queue hands out; nothing before the first label."""
    name, seen = f"project {project}: labels of the queue", describe_handed(handed.labels, handed.of_queue)
    if is_bypassed(handed.labels, handed.of_queue):
        yield warn(name, seen, BYPASSED)
    elif handed.labels:
        yield ok(name, seen)
