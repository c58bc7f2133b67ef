"""Asks a teacher about one text after the other: one call is one stretch. Runs in the worker that talks to others.

Nobody waits for it. An answer is kept before the next question, so that whatever dies costs one answer at most; a
teacher that is away is asked again later, each time later, and given up in the end."""

from __future__ import annotations

import logging
import secrets
import time
from contextlib import suppress
from typing import Literal, get_args

from backend.errors import StoreUnavailable, TeacherAnswerBad, TeacherRefused, TeacherUnavailable
from backend.jobs.context import Context, context
from backend.labelstudio.label_display import spec_of
from backend.outcomes import FINAL_STATES, HELD_BY_ANOTHER, JobOutcome
from backend.store.work.teachings import Teaching, seconds_left
from backend.teacher.answers import read_answer
from backend.teacher.client import WHOLE_SECONDS, TeacherClient
from backend.teacher.prompt import asked_of, build_messages, count_tokens, key_of, questions_key
from model.failpoints import failpoint
from model.spec import Document, TaskSpec

log = logging.getLogger(__name__)

STRETCH_SECONDS = 10.0
"""After so long a call ends, and the rest waits behind whatever else this worker has to do."""

LEARNED_EVERY = (50, 100, 200, 400, 800, 1600, 3200)
"""Answers at which a refit learns them, besides at the end."""

FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, MOST_TRIES = 15.0, 1800.0, 10
"""Of a teacher that is away: three hours in all."""

LEAST_JUDGED = 20
"""Answers after which a teacher whose answers cannot be used for the most part is let alone."""

ENOUGH_LABELS, ENOUGH_A_CLASS = 256, 4
"""Labels with which a teacher brought less than two points of accuracy (`python -m bench.learning --teacher`)."""

Counted = Literal["next", "answered", "bad", "requests", "tokens", "tries", "mark"]
COUNTED: tuple[Counted, ...] = get_args(Counted)
"""What is written after each answer."""


def teach(project: int, run: str) -> str:
    """One stretch; how it ended. (RQ calls this.)"""
    work, project = context(), int(project)
    teachings = work.stores.teachings
    record = teachings.find(project)
    if record is None or record["id"] != run or record["status"] in FINAL_STATES:
        return JobOutcome.OVER
    if record["tasks"] is None or (wait := seconds_left(record)) > 0:
        return JobOutcome.WAITS if record["tasks"] is None else f"{JobOutcome.WAITS} {wait:.0f} s for the teacher"
    owner = secrets.token_hex(8)
    if not teachings.hold(project, owner):
        return HELD_BY_ANOTHER
    try:
        ended = Stretch(work, project, record, owner).run()
    finally:
        with suppress(StoreUnavailable):  # it runs out by itself
            teachings.release(project, owner)
    if ended == JobOutcome.GOES_ON and (record := teachings.find(project)) is not None:
        teachings.send(project, record)
    return ended


class Stretch:
    """Some of the questions of one run."""

    def __init__(self, work: Context, project: int, record: Teaching, owner: str) -> None:
        self.work, self.project, self.record, self.owner = work, project, record, owner
        self.teachings, self.id = work.stores.teachings, record["id"]
        self.tasks = record["tasks"] or []

    def run(self) -> str:
        """How it ended."""
        settings, began = self.work.settings, time.monotonic()
        spec = spec_of(self.work.stores.projects.config(self.project))
        if spec is None or (changed := self.why_changed(spec)):
            return self.end(JobOutcome.CANCELLED, changed if spec else "the label config cannot be read any more")
        if why := self.why_enough(spec):
            return self.end(JobOutcome.DONE, why)
        with TeacherClient(settings) as client:
            while self.record["next"] < len(self.tasks):
                if self.work.stopping:
                    return JobOutcome.STOPPED
                try:
                    self.step(client, spec)
                except TeacherUnavailable as error:
                    return self.wait(error)
                except TeacherRefused as error:
                    return self.end(JobOutcome.FAILED, error.message, error.code)
                if not self.save():
                    return JobOutcome.OVER
                answered, bad = self.record["answered"], self.record["bad"]
                if answered + bad >= LEAST_JUDGED and bad > answered:
                    said = f"{bad} of {answered + bad} answers of the teacher could not be used"
                    return self.end(JobOutcome.FAILED, said, TeacherAnswerBad.code)
                if time.monotonic() - began > STRETCH_SECONDS and self.record["next"] < len(self.tasks):
                    return JobOutcome.GOES_ON
        return self.end(JobOutcome.DONE, f"{self.record['answered']} texts were answered")

    def step(self, client: TeacherClient, spec: TaskSpec) -> None:
        """One text. Raises TeacherUnavailable and TeacherRefused."""
        self.work.keep_alive(2 * WHOLE_SECONDS)
        document = self.work.stores.projects.document(self.project, self.tasks[self.record["next"]])
        if document is not None:  # else it was labelled or deleted meanwhile
            self.ask(client, spec, document)
        self.record["next"] += 1
        self.record["tries"] = 0

    def ask(self, client: TeacherClient, spec: TaskSpec, document: Document) -> None:
        key = key_of(spec, document, client.model)
        if self.teachings.answers(self.project, [key]):
            self.record["answered"] += 1
            return
        messages = build_messages(spec, document)
        failpoint("teach.before", self.project)
        self.record["requests"] += 1
        reply = None
        try:
            reply = client.ask(messages)
            self.record["tokens"] += reply.asked + reply.answered or count_tokens(messages)
            answer = read_answer(spec, document, reply)
        except TeacherAnswerBad as error:
            log.info("teacher project=%s: %s", self.project, error.message)
            self.record["tokens"] += count_tokens(messages) if reply is None else 0
            self.record["bad"] += 1
            return
        failpoint("teach.after", self.project)
        self.teachings.keep(self.project, self.id, key, answer.to_json())
        self.record["answered"] += 1

    def save(self) -> bool:
        """Whether the run is still wanted. Has a refit learn what there is from time to time."""
        self.teachings.hold(self.project, self.owner)
        news = self.record["answered"] in LEARNED_EVERY
        if news:
            self.record["mark"] = f"{self.id}:{self.record['answered']}"
        fields: dict[str, object] = {name: self.record[name] for name in COUNTED}
        wanted = self.teachings.change(self.project, self.id, {**fields, "message": "", "error": ""})
        if wanted and news:
            self.work.stores.jobs.enqueue_refit(self.project)
        return wanted

    def end(self, status: JobOutcome, message: str, error: str = "") -> str:
        """The run is over; a refit learns what there is."""
        if self.record["answered"]:
            self.teachings.change(self.project, self.id, {"mark": f"{self.id}:{self.record['answered']}:end"})
        if self.teachings.finish(self.project, self.id, status, message, error):
            level = logging.WARNING if status == JobOutcome.FAILED else logging.INFO
            log.log(level, "teacher project=%s %s: %s", self.project, status, message)
        if self.record["answered"]:
            self.work.stores.jobs.enqueue_refit(self.project)
        return f"{status}: {message}"

    def wait(self, error: TeacherUnavailable) -> str:
        """The next question comes later, unless this was the last try."""
        tries = self.record["tries"] + 1
        if tries > MOST_TRIES:
            return self.end(JobOutcome.FAILED, error.message, error.code)
        pause = max(
            float(error.evidence.get("pause") or 0), min(FIRST_WAIT_SECONDS * 2 ** (tries - 1), LONGEST_WAIT_SECONDS)
        )
        fields = {"tries": tries, "not_before": time.time() + pause, "message": error.message, "error": error.code}
        fields |= {"requests": self.record["requests"], "pause": pause}
        self.teachings.change(self.project, self.id, fields)
        log.warning("teacher project=%s, again in %.0f s: %s", self.project, pause, error.message)
        return f"{JobOutcome.WAITS} {pause:.0f} s for the teacher"

    def why_changed(self, spec: TaskSpec) -> str:
        """Why the run is not what an admin began; "" for going on."""
        settings = self.work.settings
        if not settings.teacher_url or not asked_of(spec):
            return "TEACHER_URL is not set, or the label config asks nothing any more"
        if self.record["asks"] not in ("", questions_key(spec, settings.teacher_model)):
            return "the labels or TEACHER_MODEL have changed since it began: ask anew"
        return ""

    def why_enough(self, spec: TaskSpec) -> str:
        """Why no more is asked; "" for going on."""
        labels = self.work.stores.examples.count(self.project)
        classes = max(len(control.labels) for control in asked_of(spec))
        if labels >= max(ENOUGH_LABELS, ENOUGH_A_CLASS * classes):
            return f"with {labels} labels a teacher adds next to nothing"
        kept = self.work.stores.projects.summary(self.project).get("teacher")
        if kept and not any(kept.values()):
            return "the labels speak against what the teacher said: it is left out"
        return ""
