"""A teacher is asked in the background and learned as no label; what happens on the way costs one answer at most."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

from backend.application.teacher.teach import begin, describe_teacher, estimate, stop
from backend.errors import BadRequest, Conflict
from backend.jobs.learn.refit import refit
from backend.jobs.pool_reader import encode_ahead
from backend.jobs.teach import questions
from backend.jobs.teach.questions import teach
from backend.jobs.teach.quotes import agreed_quotes
from backend.jobs.teach.text_choice import choose_texts
from backend.processes.scheduler import Scheduler
from backend.settings.settings import load_settings
from backend.teacher.prompt import asked_of
from tests.backend.conftest import PROJECT, Labels
from tests.support.rig import choices_config
from tests.support.teacher_server import Maker, TeacherServer, teaching

KEY = "sk-PLANTED-teacher-key-0815"
POOL = range(100, 160)
"""Rows of the sample messages that lie in the pool."""


def say(label: str) -> Any:
    return {"label": {"labels": [label], "confidence": 0.9}}


class School:
    """A project with a pool, and a teacher for it."""

    def __init__(self, context: Any, labels: Labels, monkeypatch: pytest.MonkeyPatch) -> None:
        self.context, self.stores, self.labels, self.monkeypatch = context, context.stores, labels, monkeypatch
        self.truth = dict(labels.rows)
        self.stores.projects.add_pool(PROJECT, {n + 1: {"text": labels.rows[n][0]} for n in POOL}, 1000)

    def right(self, text: str) -> Any:
        return say(self.truth[text])

    def wrong(self, text: str) -> Any:
        names = self.labels.names
        return say(names[(names.index(self.truth[text]) + 1) % len(names)])

    def hire(self, server: TeacherServer, **given: Any) -> None:
        known = {"teacher_url": server.url, "teacher_model": "tiny", "teacher_key": SecretStr(KEY), "teacher_texts": 60}
        self.context.settings = self.context.settings.model_copy(update={**known, **given})

    def begin(self) -> str:
        """A run whose texts are chosen; its id."""
        encode_ahead(self.stores, self.context.encoders.base, PROJECT)
        begin(self.stores, self.context.settings, PROJECT, 0, "test")
        run = self.record["id"]
        assert choose_texts(PROJECT, run) == "planned"
        return str(run)

    def go(self, run: str) -> str:
        """To the end."""
        while (ended := teach(PROJECT, run)) == "goes on":
            pass
        return ended

    @property
    def retry_in(self) -> float:
        run = describe_teacher(self.stores, self.context.settings, PROJECT)["run"]
        assert run is not None
        return run["retry_in"]

    @property
    def record(self) -> Any:
        return self.stores.teachings.find(PROJECT)

    def head(self) -> Any:
        return self.context.live_model(PROJECT, self.stores.versions.live(PROJECT)).heads["label"]

    def log_loss(self) -> float:
        """Over texts that nobody has answered."""
        model = self.context.live_model(PROJECT, self.stores.versions.live(PROJECT))
        rows = [row for place, row in enumerate(self.labels.rows[:400]) if place not in POOL]
        scores = model.scores("label", [(text,) for text, _ in rows])
        names = list(model.labels("label"))
        own = [row[names.index(label)] for row, (_, label) in zip(scores, rows, strict=True)]
        return float(-np.log(np.maximum(own, 1e-9)).mean())


@pytest.fixture
def school(context: Any, labels: Labels, monkeypatch: pytest.MonkeyPatch) -> School:
    return School(context, labels, monkeypatch)


@pytest.fixture
def taught(school: School) -> Iterator[Callable[..., TeacherServer]]:
    """Has a teacher answer so."""
    open_ones = []

    def hire(make: Maker, *plan: Any, **given: Any) -> TeacherServer:
        open_ones.append(teaching(make, *plan))
        server = open_ones[-1].__enter__()
        school.hire(server, **given)
        return server

    yield hire
    for one in open_ones:
        one.__exit__(None, None, None)


def test_answers_make_a_better_start_and_no_label(
    school: School, taught: Callable[..., TeacherServer], caplog: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    encode_ahead(school.stores, school.context.encoders.base, PROJECT)
    assert refit(PROJECT) == "published"
    before = school.log_loss()
    server = taught(school.right)
    assert school.go(school.begin()).startswith("done")
    assert len(server.seen) == len(POOL) == school.record["answered"]
    assert Scheduler(school.context)._has_new_answers(PROJECT)
    assert refit(PROJECT) == "published" and refit(PROJECT) == "unchanged"
    assert not Scheduler(school.context)._has_new_answers(PROJECT)
    assert school.head().reference.is_from_teacher and school.log_loss() < before - 0.003
    assert school.stores.examples.count(PROJECT) == 0 and school.stores.evidence.rows(PROJECT) == []
    manifest = school.context.live_model(PROJECT, school.stores.versions.live(PROJECT)).manifest
    assert manifest.labels_seen == {"label": 0} and manifest.teacher == school.record["mark"]
    assert KEY not in caplog.text and KEY not in str(school.record)


def test_nothing_is_asked_twice(school: School, taught: Callable[..., TeacherServer]) -> None:
    server = taught(school.right)
    school.go(school.begin())
    school.go(school.begin())
    assert len(server.seen) == len(POOL) and school.record["answered"] == len(POOL)


def test_a_wrong_teacher_is_left_out_by_the_labels_and_asked_no_more(
    school: School, taught: Callable[..., TeacherServer]
) -> None:
    server = taught(school.wrong)
    school.go(school.begin())
    school.labels.add(0, 40)
    assert refit(PROJECT) == "published"
    assert not school.head().reference.is_from_teacher
    answer = describe_teacher(school.stores, school.context.settings, PROJECT)
    assert answer["kept"] == {"label": False}
    asked = len(server.seen)
    assert "speak against" in school.go(school.begin()) and len(server.seen) == asked


def test_without_the_setting_nobody_is_asked_and_what_was_taught_goes(
    school: School, taught: Callable[..., TeacherServer]
) -> None:
    server = taught(school.right)
    run = school.begin()
    school.go(run)
    assert refit(PROJECT) == "published"
    school.context.settings = school.context.settings.model_copy(update={"teacher_url": ""})
    assert load_settings().teacher_url == ""
    asked = len(server.seen)
    with pytest.raises(Conflict, match="TEACHER_URL"):
        begin(school.stores, school.context.settings, PROJECT, 0, "test")
    assert refit(PROJECT) == "published" and not school.head().reference.is_from_teacher
    assert len(server.seen) == asked


def test_a_teacher_that_is_away_is_asked_later_and_no_refit_waits(
    school: School, taught: Callable[..., TeacherServer]
) -> None:
    server = taught(school.right, (429, {"Retry-After": "120"}))
    run = school.begin()
    assert teach(PROJECT, run).startswith("waits 120")
    assert school.record["error"] == "teacher_unavailable" and teach(PROJECT, run).startswith("waits")
    assert len(server.seen) == 1, "not before the time that it asked for"
    assert school.stores.teachings.lost(PROJECT) is None
    school.labels.add(0, 8)
    assert refit(PROJECT) == "published"
    school.stores.teachings.change(PROJECT, run, {"not_before": time.time() - 1})
    assert school.go(run).startswith("done") and school.record["tries"] == 0


def test_a_teacher_that_stays_away_is_given_up(school: School, taught: Callable[..., TeacherServer]) -> None:
    taught(school.right, *[500] * 20)
    run = school.begin()
    for _ in range(questions.MOST_TRIES):
        assert teach(PROJECT, run).startswith("waits")
        school.stores.teachings.change(PROJECT, run, {"not_before": 0})
    assert teach(PROJECT, run).startswith("failed") and school.record["status"] == "failed"


@pytest.mark.parametrize(
    ("plan", "make", "error"),
    [
        ([401], None, "teacher_refused"),
        (["redirect"], None, "teacher_refused"),
        ([], lambda _: "I would rather not.", "teacher_answer_bad"),
        ([], lambda _: {"label": {"labels": ["<script>alert(1)</script>"]}}, "teacher_answer_bad"),
    ],
)
def test_what_will_not_get_better_ends_the_run(
    school: School, taught: Callable[..., TeacherServer], plan: Any, make: Any, error: str
) -> None:
    server = taught(make or school.right, *plan)
    assert school.go(school.begin()).startswith("failed")
    assert school.record["error"] == error and KEY not in school.record["message"]
    assert len(server.seen) <= questions.LEAST_JUDGED


def test_a_bad_answer_costs_that_text_alone(school: School, taught: Callable[..., TeacherServer]) -> None:
    taught(school.right, "html", b"", "huge")
    assert school.go(school.begin()).startswith("done")
    assert (school.record["bad"], school.record["answered"]) == (3, len(POOL) - 3)


def test_a_killed_worker_costs_one_answer(school: School, taught: Callable[..., TeacherServer]) -> None:
    server = taught(school.right)
    run, settings = school.begin(), school.context.settings
    code = "from backend.jobs.teach.questions import teach; from model.failpoints import arm; "
    code += f"arm('kill:teach.after'); teach({PROJECT}, {run!r})"
    own = {"REDIS_URL": settings.effective_redis_url, "DATA_DIR": str(settings.data_dir), "TEACHER_URL": server.url}
    own |= {"TEACHER_MODEL": "tiny", "TEACHER_KEY": KEY}
    died = subprocess.run([sys.executable, "-c", code], env={**os.environ, **own}, capture_output=True, timeout=60)
    assert died.returncode == -9 and KEY.encode() not in died.stderr + died.stdout
    assert len(server.seen) == 1 and school.record["answered"] == 0
    assert teach(PROJECT, run) == "held by another worker", "until its lease runs out"
    school.stores.client.delete(f"understudy:{{p{PROJECT}}}:teacher:lease")
    assert school.go(run).startswith("done") and len(server.seen) == len(POOL) + 1


def test_a_run_in_pieces_asks_each_text_once(
    school: School, taught: Callable[..., TeacherServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "STRETCH_SECONDS", 0.0)
    server = taught(school.right)
    run = school.begin()
    assert [teach(PROJECT, run) for _ in range(3)] == ["goes on"] * 3
    assert len(server.seen) == 3 == school.record["next"]
    school.context.stopping = True
    assert teach(PROJECT, run) == "stopped" and len(server.seen) == 3
    school.context.stopping = False
    assert school.go(run).startswith("done")
    assert sorted(one.text for one in server.seen) == sorted(school.labels.rows[n][0] for n in POOL)


@pytest.mark.parametrize("jump", [60.0, 3600.0, 1e9])
def test_a_clock_that_was_set_back_puts_the_next_question_off_no_longer(
    school: School, taught: Callable[..., TeacherServer], monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    taught(school.right, (503, {"Retry-After": "30"}))
    run = school.begin()
    assert teach(PROJECT, run).startswith("waits 30") and teach(PROJECT, run).startswith("waits")
    assert school.retry_in > 0
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() - jump)
    assert school.retry_in == 0
    assert school.go(run).startswith("done")


def test_a_run_that_nobody_works_on_is_sent_again(
    school: School, taught: Callable[..., TeacherServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    taught(school.right)
    run = school.begin()
    school.stores.client.delete(*school.stores.client.keys("rq:*"), f"understudy:{{p{PROJECT}}}:teacher:call")
    store, later = school.stores.teachings, time.monotonic
    assert store.lost(PROJECT) is None, "it may be on its way"
    monkeypatch.setattr(store.still, "clock", lambda: later() + 60)
    assert (found := store.lost(PROJECT)) is not None and found["id"] == run


def test_enough_labels_end_a_run_before_its_first_question(
    school: School, taught: Callable[..., TeacherServer]
) -> None:
    server = taught(school.right)
    run = school.begin()
    school.monkeypatch.setattr(questions, "ENOUGH_LABELS", 30)
    school.labels.add(0, 40)
    assert school.go(run).startswith("done: with 40 labels") and not server.seen


def test_what_it_would_cost_is_told_without_asking(school: School, taught: Callable[..., TeacherServer]) -> None:
    server = taught(school.right, teacher_price=2.0)
    cost = estimate(school.stores, school.context.settings, PROJECT, 0)
    assert cost["requests"] == len(POOL) and cost["questions"] == ["label"] and not server.seen
    assert cost["money"] == pytest.approx(cost["tokens"] / 1e6 * 2.0, abs=1e-4) and cost["tokens"] > 100 * len(POOL)
    assert estimate(school.stores, school.context.settings, PROJECT, 7)["requests"] == 7
    for texts in (-1, 61, True, "x"):
        with pytest.raises(BadRequest):
            estimate(school.stores, school.context.settings, PROJECT, texts)  # type: ignore[arg-type]
    school.go(school.begin())
    assert estimate(school.stores, school.context.settings, PROJECT, 0)["requests"] == 0


def test_an_admin_stops_a_run_and_forgets_its_answers(
    school: School, taught: Callable[..., TeacherServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "STRETCH_SECONDS", 0.0)
    server = taught(school.right)
    run = school.begin()
    with pytest.raises(Conflict, match="already"):
        begin(school.stores, school.context.settings, PROJECT, 0, "test")
    for _ in range(30):
        teach(PROJECT, run)
    assert "stays" in stop(school.stores, PROJECT)["message"]
    assert teach(PROJECT, run) == "over" and len(server.seen) == 30
    school.stores.teachings.forget(PROJECT, run)
    assert school.stores.client.hlen(f"understudy:{{p{PROJECT}}}:teacher:answers") == 0
    assert refit(PROJECT) == "published" and not school.head().reference.is_from_teacher


def test_what_is_answered_while_it_is_forgotten_is_kept_nowhere(
    school: School, taught: Callable[..., TeacherServer]
) -> None:
    def answer(text: str) -> Any:
        stop(school.stores, PROJECT, forget=True)
        return school.right(text)

    server = taught(answer)
    assert school.go(school.begin()) == "over" and len(server.seen) == 1
    answers = f"understudy:{{p{PROJECT}}}:teacher:answers"
    assert school.stores.client.hlen(answers) == 0
    server.make = school.right
    assert school.go(school.begin()).startswith("done")
    assert school.stores.client.hlen(answers) == len(POOL), "a later run's are kept"


def test_labels_that_change_amid_a_run_end_it(
    school: School, taught: Callable[..., TeacherServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "STRETCH_SECONDS", 0.0)
    server = taught(school.right)
    run = school.begin()
    assert teach(PROJECT, run) == "goes on"
    school.stores.projects.save_config(PROJECT, choices_config([*school.labels.names, "another"]))
    assert "have changed" in teach(PROJECT, run) and school.record["status"] == "cancelled"
    assert len(server.seen) == 1, "what is paid for is about the labels of now"


def test_pairwise_and_options_of_the_data_are_not_asked() -> None:
    from backend.labelstudio.task_spec import parse_label_config

    assert [one.name for one in asked_of(parse_label_config(choices_config(["a", "b"])))] == ["label"]
    dynamic = '<View><Text name="t" value="$t"/><Choices name="c" toName="t" value="$options"/></View>'
    assert asked_of(parse_label_config(dynamic)) == ()


def test_quotes_are_learned_like_patterns_and_peoples_go_before(
    context: Any, taught: Callable[..., TeacherServer], school: School
) -> None:
    from backend.application.spans.patterns import put_patterns
    from tests.support.marking import MARKS

    context.stores.projects.save_config(PROJECT, MARKS)
    context.stores.client.delete(f"understudy:{{p{PROJECT}}}:pool")
    texts = [f"Then quorvex tamblin met Zorblat in number {n}." for n in range(40)]
    context.stores.projects.add_pool(PROJECT, {n: {"text.page": text} for n, text in enumerate(texts, 1)}, 1000)
    put_patterns(context.stores, PROJECT, {"patterns": [{"label": "LOC", "pattern": "Zorblat"}]})
    said = [{"quote": "quorvex tamblin", "label": "PER"}, {"quote": "Zorblat", "label": "PER"}]
    taught(lambda _: {"label": {"spans": [*said, {"quote": "not there", "label": "PER"}]}})
    assert school.go(school.begin()).startswith("done")
    assert refit(PROJECT) == "published" and refit(PROJECT) == "unchanged"
    model = context.live_model(PROJECT, context.stores.versions.live(PROJECT))
    learned = {(one.label, one.text) for one in model.span_heads["label"].space.lexicon.patterns}
    assert learned == {("LOC", "Zorblat"), ("PER", "quorvex tamblin")}


def test_a_string_that_is_quoted_under_several_labels_says_nothing() -> None:
    mixed = [("Ada", "LOC"), ("May", "PER"), ("May", "LOC"), ("...", "PER"), ("w " * 50, "PER"), ("x\ud800", "PER")]
    said = [("Ada", "PER")] * 5 + mixed
    assert agreed_quotes(said) == [("Ada", "PER")]
