"""Patterns from the store to the version that answers: learned at once, kept by versions, rolled back with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from backend.application.projects import rollback_to, unpin
from backend.application.spans.patterns import describe_patterns, put_patterns, remove_patterns
from backend.backup.backup import make_backup
from backend.backup.restore import restore_backup
from backend.jobs.learn.refit import refit
from backend.jobs.train.train import make_request
from backend.processes.scheduler import Scheduler
from backend.settings.settings import Settings
from backend.store.stores import Stores
from model.spans.patterns.lexicon import read_lexicon
from model.versions.directory import read_manifest, version_path
from model.versions.live_model import LiveModel, load_version
from tests.conftest import RedisServer
from tests.support.hook_receiver import tell_versions
from tests.support.marking import PROJECT, Marks, sentences

ASKED = "Then quorvex tamblin came, and nobody saw it."
LISTED = "in your patterns as PER"


def rows(*strings: str, label: str = "PER") -> dict[str, Any]:
    return {"patterns": [{"label": label, "pattern": text} for text in strings]}


def loaded(context: Any, version: str | None = None) -> LiveModel:
    """A version as any other process has it."""
    encoders, name = context.encoders, version or context.stores.versions.live(PROJECT)
    return load_version(context.settings.models_dir, PROJECT, name, encoders.base, encoders.open, encoders.span_tools)


def score(model: LiveModel, text: str = ASKED, part: str = "quorvex tamblin") -> float:
    """How likely the head holds a string for a person."""
    reader = model.tools.reader  # type: ignore[union-attr]
    head: Any = model.span_heads["label"]
    (found,) = head.candidates(reader.read([text]))
    read = reader.read([text])[0]
    for own in found:
        if read.text[read.bounds[own.first][0] : read.bounds[own.last][1]] == part and head.labels[own.label] == "PER":
            return float(own.probability)
    return 0.0


def reasons(model: LiveModel, text: str) -> Sequence[str]:
    (answer,) = model.mark("label", [{"text.page": text}])
    return [one.reason for one in answer.spans]


def test_patterns_are_learned_at_once_and_a_version_keeps_its_own(context: Any) -> None:
    marks, stores = Marks(context), context.stores
    marks.add(sentences(16))
    assert refit(PROJECT) == "published"
    assert not stores.patterns.is_pending(PROJECT)
    plain = score(loaded(context))
    told = put_patterns(stores, PROJECT, rows("quorvex tamblin", "Ann Miller", "Berlin"))
    assert told["message"] == "label: 3 patterns (PER 3); the next version has learned them"
    assert stores.patterns.is_pending(PROJECT) and describe_patterns(stores, PROJECT)["pending"]
    assert refit(PROJECT) == "published" and refit(PROJECT) == "unchanged"
    assert not stores.patterns.is_pending(PROJECT)
    assert score(loaded(context)) > 2 * plain
    assert any(LISTED in reason for reason in reasons(loaded(context), "Ann Miller moved to Oslo."))
    manifest = read_manifest(version_path(context.settings.models_dir, PROJECT, "v0.2"))
    assert manifest.patterns == {"label": stores.patterns.digests(PROJECT)["label"]}
    figures = describe_patterns(stores, PROJECT)["patterns"]["label"]["labels"]["PER"]
    assert figures["patterns"] == 3 and 0 < figures["right"] < figures["tried"] and figures["weight"] > 0

    events = tell_versions(stores)
    rollback_to(context.settings, stores.versions, PROJECT, "v0.1")
    (event,) = events()
    assert event["type"] == "version.withdrawn" and event["data"]["live"] == "v0.1"
    assert score(loaded(context)) == plain and refit(PROJECT) == "pinned"
    told = put_patterns(stores, PROJECT, {**rows("Oslo", label="LOC"), "how": "add"})
    assert "understudy unpin 7" in told["message"] and refit(PROJECT) == "pinned"
    unpin(stores, PROJECT)
    assert refit(PROJECT) == "published"
    assert describe_patterns(stores, PROJECT)["patterns"]["label"]["labels"].keys() == {"PER", "LOC"}

    rollback_to(context.settings, stores.versions, PROJECT, "v0.2")
    again = loaded(context)
    assert again.span_heads["label"].space.lexicon.digest == manifest.patterns["label"]  # type: ignore[union-attr]
    unpin(stores, PROJECT)
    remove_patterns(stores, PROJECT)
    assert refit(PROJECT) == "published"
    assert (
        score(loaded(context)) == plain
        and read_manifest(version_path(context.settings.models_dir, PROJECT, stores.versions.live(PROJECT))).patterns
        == {}
    )
    assert "patterns" not in stores.projects.summary(PROJECT)


def test_they_answer_before_the_first_label(context: Any) -> None:
    Marks(context)
    assert refit(PROJECT) == "unchanged" and context.stores.versions.live(PROJECT) is None
    put_patterns(context.stores, PROJECT, rows("chandra rao"))
    assert refit(PROJECT) == "published"
    assert any(LISTED in reason for reason in reasons(loaded(context), "we met chandra rao at noon."))


def test_the_scheduler_asks_for_a_refit_that_was_lost(context: Any) -> None:
    marks, stores = Marks(context), context.stores
    marks.add(sentences(8))
    refit(PROJECT)
    lexicon = read_lexicon(_text(context))
    stores.patterns.save(PROJECT, "label", lexicon)  # and nobody asks
    Scheduler(context).tick()
    assert stores.jobs.is_learner_wanted()
    assert refit(PROJECT) == "published"


def _text(context: Any) -> str:
    put_patterns(context.stores, PROJECT, rows("Bob"))
    text = context.stores.patterns.text(PROJECT, "label")
    remove_patterns(context.stores, PROJECT)
    context.stores.jobs.begin_refit(PROJECT)
    assert text is not None
    return str(text)


def test_what_is_stored_and_cannot_be_read_stops_no_label(context: Any) -> None:
    marks, stores = Marks(context), context.stores
    marks.add(sentences(8))
    put_patterns(stores, PROJECT, rows("Bob"))
    stores.client.hset(f"understudy:{{p{PROJECT}}}:patterns", "label", '{"format": 99}')
    assert refit(PROJECT) == "published" and not stores.patterns.is_pending(PROJECT)
    put_patterns(stores, PROJECT, {**rows("Oslo", label="LOC"), "how": "add"})
    assert refit(PROJECT) == "published"


def test_a_fine_tune_is_given_the_patterns(context: Any) -> None:
    Marks(context).add(sentences(8))
    put_patterns(context.stores, PROJECT, rows("Bob"))
    request = make_request(context.settings, context.stores, PROJECT)
    assert read_lexicon(request.patterns["label"]).counts() == {"PER": 1}


def test_a_backup_holds_them(context: Any, own_redis: RedisServer, tmp_path: Any) -> None:
    Marks(context).add(sentences(8))
    put_patterns(context.stores, PROJECT, rows("Bob", "Ünïcödé 東京"))
    assert refit(PROJECT) == "published"
    make_backup(context.settings, tmp_path / "backup.tar")
    target = Settings(data_dir=tmp_path / "other", redis_url=own_redis.settings.effective_redis_url)
    restore_backup(target, tmp_path / "backup.tar")
    there = Stores(target)
    assert there.patterns.texts(PROJECT) == context.stores.patterns.texts(PROJECT)
    assert there.patterns.about(PROJECT) == context.stores.patterns.about(PROJECT)
    assert not there.patterns.is_pending(PROJECT)
    there.close()


def test_texts_in_which_nothing_matches_are_answered_as_ever(context: Any) -> None:
    Marks(context).add(sentences(16))
    refit(PROJECT)
    before = loaded(context)
    put_patterns(context.stores, PROJECT, rows("Zzyzx Qwerty"))
    refit(PROJECT)
    after, texts = loaded(context), [{"text.page": document.text} for document in sentences(12, 200)]
    assert before.predict(texts) == after.predict(texts)
    ours, theirs = (one.span_heads["label"].tensors() for one in (before, after))
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
