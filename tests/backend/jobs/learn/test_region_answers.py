"""Questions about regions through the whole loop: from annotations to answers that the page can show."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backend.application.learning_curve import describe_curve
from backend.backup.backup import make_backup
from backend.backup.restore import restore_backup
from backend.cli.render import render_learning_curve
from backend.jobs.learn.refit import refit, refit_anew
from backend.labelstudio.span_answers import RELATIONS, with_spans
from backend.labelstudio.task_spec import parse_label_config
from backend.settings.settings import Settings
from backend.store.stores import Stores
from model.evidence.row import EvidenceRow
from model.versions.directory import read_manifest, version_path
from model.versions.live_model import LiveModel, load_version
from tests.conftest import RedisServer
from tests.support.region_texts import CONFIG, SPEC, Note, add_notes, notes

PROJECT = 7


@pytest.fixture
def learned(context: Any, once: Callable[..., None]) -> None:
    """40 notes, and the version that was made of them."""

    def learn() -> None:
        add_notes(context.stores, PROJECT, notes(40))
        assert refit(PROJECT) == "published"

    once(learn)


def live(context: Any) -> LiveModel:
    found: LiveModel = context.live_model(PROJECT, context.stores.versions.live(PROJECT))
    return found


def loaded(context: Any) -> LiveModel:
    """The live version as any other process has it."""
    encoders, name = context.encoders, context.stores.versions.live(PROJECT)
    return load_version(context.settings.models_dir, PROJECT, name, encoders.base, encoders.open, encoders.span_tools)


def suggested(model: LiveModel, one: Note) -> list[dict[str, Any]]:
    """The result of a prediction for a note."""
    answers = model.predict([{"text.page": one.text}])[0]
    result, _, dropped = with_spans(SPEC, {"text": one.text}, answers, model.version, [])
    assert not dropped, dropped
    return result


def right(model: LiveModel, asked: list[Note], name: str) -> tuple[float, float]:
    """(share of what is suggested that is right, share of the answers that are suggested) of one question."""
    hits = said = wanted = 0
    for one in asked:
        given, truth = Note(one.text, suggested(model, one)).answers(name), one.answers(name)
        said, wanted = said + len(given), wanted + len(truth)
        hits += sum(truth.get(place) == answer for place, answer in given.items())
    return hits / max(1, said), said / wanted


def test_what_was_answered_about_regions_is_suggested_for_the_regions_that_are(context: Any, learned: None) -> None:
    model, fresh = live(context), notes(40, 500)
    for name in ("state", "tags", "kind", "sure", "code"):
        precision, shown = right(model, fresh, name)
        assert precision > 0.85 and shown > 0.5, (name, precision, shown)
    manifest = read_manifest(version_path(context.settings.models_dir, PROJECT, model.version))
    assert manifest.labels_seen == dict.fromkeys(("label", "state", "tags", "kind", "sure", "code"), 40)
    assert manifest.metrics["state"]["accuracy"] > 0.8
    assert [suggested(loaded(context), one) for one in fresh] == [suggested(model, one) for one in fresh]


def test_answers_come_after_their_region_at_its_place_and_only_where_the_page_asks(context: Any, learned: None) -> None:
    seen: Counter[str] = Counter()
    for one in notes(30, 900):
        regions: dict[str, Any] = {}
        for item in suggested(live(context), one):
            if item["type"] == "labels":
                regions[item["id"]] = item
            if item["type"] in ("labels", "relation"):
                continue
            region = regions[item["id"]]
            assert {name: item["value"][name] for name in ("start", "end")} == {
                name: region["value"][name] for name in ("start", "end")
            }
            assert 0 < item["score"] <= 1 and item["to_name"] == "text"
            assert region["value"]["labels"] == (["PLACE"] if item["from_name"] == "kind" else ["FINDING"])
            seen[item["from_name"]] += 1
    assert set(seen) == {"state", "tags", "kind", "sure", "code"}


def test_few_answers_and_answers_at_random_are_not_repeated(context: Any) -> None:
    add_notes(context.stores, PROJECT, notes(4))
    assert refit(PROJECT) == "published"
    assert all(len(one.answers(name)) == 0 for one in shown(context, 20) for name in ("state", "code"))
    random = [_with_state(one, "present" if turn % 2 else "absent") for turn, one in enumerate(notes(40))]
    add_notes(context.stores, PROJECT, random)
    assert refit(PROJECT) == "published"
    assert sum(len(one.answers("state")) for one in shown(context, 20)) <= 4


def shown(context: Any, count: int) -> list[Note]:
    """What is suggested for fresh notes."""
    return [Note(one.text, suggested(live(context), one)) for one in notes(count, 700)]


def _with_state(one: Note, state: str) -> Note:
    result = [
        {**item, "value": {**item["value"], "choices": [state]}} if item.get("from_name") == "state" else item
        for item in one.result
    ]
    return Note(one.text, result)


def test_a_config_without_questions_answers_none_whatever_was_learned(context: Any, learned: None) -> None:
    bare = CONFIG[: CONFIG.index("<View visibleWhen")] + "</View>"
    context.stores.projects.save_config(PROJECT, bare)
    assert refit_anew(context, PROJECT) == "published"
    model = live(context)
    assert not model.region_heads.questions and model.spec.regions == ()
    assert all(not span.answers for span in model.mark("label", [{"text.page": notes(1)[0].text}])[0].spans)


def ties(result: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    """(text of the source, text of the target, label) of the relations in a result, whose ends are all there."""
    places = {item["id"]: item["value"]["text"] for item in result if item.get("type") == "labels"}
    return {
        (places[item["from_id"]], places[item["to_id"]], *item.get("labels", ["-"]))
        for item in result
        if item.get("type") == "relation"
    }


def test_relations_are_learned_and_suggested_between_suggested_regions(context: Any, learned: None) -> None:
    model = live(context)
    hits = said = wanted = 0
    for one in notes(40, 500):
        found, truth = ties(suggested(model, one)), ties(one.result)
        hits, said, wanted = hits + len(found & truth), said + len(found), wanted + len(truth)
    assert hits / max(1, said) > 0.85 and hits / wanted > 0.6, (hits, said, wanted)
    manifest = read_manifest(version_path(context.settings.models_dir, PROJECT, model.version))
    assert manifest.metrics["<Relations>"]["precision"] > 0.85


def test_a_config_without_relations_suggests_none_and_few_relations_are_kept_to_itself(context: Any) -> None:
    add_notes(context.stores, PROJECT, notes(6))
    refit(PROJECT)
    assert all(not ties(suggested(live(context), one)) for one in notes(20, 700)), "six are too few"
    bare = CONFIG.replace(CONFIG[CONFIG.index("<Relations>") : CONFIG.index("</Relations>") + 12], "")
    add_notes(context.stores, PROJECT, notes(40), config=bare)
    assert refit(PROJECT) == "published" and live(context).region_heads.relations is None
    assert all(
        not answer.relations for one in notes(9) for answer in live(context).predict([{"text.page": one.text}])[0]
    )


def test_how_new_answers_were_said_before_they_were_learned_is_told_by_question_and_label(
    context: Any, learned: None
) -> None:
    first = [row.marked for row in context.stores.evidence.rows(PROJECT)]
    assert first and all(row is not None and not row.about for row in first), "nothing was learned about regions yet"
    add_notes(context.stores, PROJECT, [*notes(40), *notes(30, 500)])
    assert refit(PROJECT) == "published"
    rows = context.stores.evidence.rows(PROJECT)
    assert all(EvidenceRow.from_json(json.loads(json.dumps(row.to_json()))) == row for row in rows)
    told = describe_curve(context.stores.evidence, PROJECT)
    about = told["recent"]["label"]["marked"]["about"]
    assert set(about) == {"state", "tags", "kind", "sure", "code", RELATIONS}
    for name, figures in about.items():
        low, high = figures["interval"]
        assert low <= figures["accuracy"] <= high and figures["n"] > 0 and low < high
        assert figures["accuracy"] > 0.6 and figures["precision"] > 0.8, (name, figures)
    known = {one.text for one in notes(40)}
    unseen = len([one for one in notes(30, 500) if one.text not in known])
    assert about["state"]["n"] == unseen and set(about["state"]["labels"]) == {"present", "absent"}
    assert sum(own["n"] for own in about["state"]["labels"].values()) == unseen
    assert set(about["kind"]["labels"]) <= {"hospital/large", "hospital/small", "town"}
    assert about["code"]["labels"] == {}, "what is free text has no labels"
    assert set(about[RELATIONS]["labels"]) == {"treated_in", "lives_in"} and about[RELATIONS]["n"] == unseen
    shown = "\n".join(render_learning_curve(told["recent"], told["curve"]))
    assert f"state: {about['state']['accuracy']:.2f} (" in shown and "treated_in" in shown


def test_a_rollback_and_an_older_version_answer_about_regions_as_they_did(context: Any) -> None:
    versions, fresh = context.stores.versions, notes(12, 500)
    bare = CONFIG.replace(CONFIG[CONFIG.index("<Relations>") : CONFIG.index("</Relations>") + 12], "")
    add_notes(context.stores, PROJECT, notes(40), config=bare)
    refit(PROJECT)
    without, old = versions.live(PROJECT), live(context)
    before = [suggested(old, one) for one in fresh]
    assert all(not ties(result) for result in before)
    add_notes(context.stores, PROJECT, notes(40))
    assert refit(PROJECT) == "published"
    after = versions.live(PROJECT), [suggested(live(context), one) for one in fresh]
    assert any(ties(result) for result in after[1]) and after[0] != without
    assert [suggested(old, one) for one in fresh] == before, "whoever still has it is told nothing else"
    for name, answers in ((without, before), after):
        versions.publish(PROJECT, name, expected=versions.live(PROJECT), seq=0, by="admin")
        assert [suggested(loaded(context), one) for one in fresh] == answers
        assert [suggested(live(context), one) for one in fresh] == answers


def test_a_config_that_drops_its_relations_is_sent_none_by_a_version_that_knows_them(
    context: Any, learned: None
) -> None:
    bare = parse_label_config(
        CONFIG.replace(CONFIG[CONFIG.index("<Relations>") : CONFIG.index("</Relations>") + 12], "")
    )
    for one in notes(9, 500):
        answers = live(context).predict([{"text.page": one.text}])[0]
        result, _, _ = with_spans(bare, {"text": one.text}, answers, "v1", [])
        assert result and not [item for item in result if item["type"] == "relation"]


@pytest.mark.redis
def test_a_backup_brings_back_answers_relations_and_what_was_learned_of_them(
    context: Any, learned: None, own_redis: RedisServer, tmp_path: Path
) -> None:
    make_backup(context.settings, tmp_path / "backup.tar")
    target = Settings(data_dir=tmp_path / "other", redis_url=own_redis.settings.effective_redis_url)
    restore_backup(target, tmp_path / "backup.tar")
    there = Stores(target)
    try:
        records = there.examples.snapshot(PROJECT).records
        assert records == context.stores.examples.snapshot(PROJECT).records
        assert all(record.answers and record.relations for record in records)
        encoders, name = context.encoders, there.versions.live(PROJECT)
        model = load_version(target.models_dir, PROJECT, name, encoders.base, encoders.open, encoders.span_tools)
    finally:
        there.close()
    fresh = notes(12, 500)
    answers = [suggested(model, one) for one in fresh]
    assert any(ties(result) for result in answers)
    assert answers == [suggested(live(context), one) for one in fresh]
