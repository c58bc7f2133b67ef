"""From a label to the answers of its duplicates, through Redis, the learner and /predict."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from backend.cli.explain import render
from backend.jobs.learn.duplicates import keep_labelled
from backend.jobs.learn.refit import refit
from backend.labelstudio.records import ExampleRecord
from backend.labelstudio.task_spec import parse_label_config
from backend.rules.consensus import reach_consensus
from backend.store.duplicates.tables import LabelledTables
from model.failpoints import arm
from tests.backend.conftest import PROJECT, Labels
from tests.support.rig import choices_config

ADMIN = {"Authorization": "Bearer admin"}
NEW = "Please send me the new catalogue of garden tools"


def label(context: Any, rows: Sequence[tuple[int, str, str]], first: int = 5000) -> None:
    """(task, text, label) rows, in the order of time."""
    context.stores.examples.upsert_many(
        PROJECT,
        [
            ExampleRecord(task, task, {"text": text}, {"label": [[name]]}, f"2026-02-01T00:{n // 60:02d}:{n % 60:02d}Z")
            for n, (task, text, name) in enumerate(rows, first)
        ],
    )


def ask(client: Any, labels: Labels, text: str, task: int = 9000) -> Any:
    body = {
        "tasks": [{"id": task, "data": {"text": text}}],
        "project": f"{PROJECT}.1",
        "label_config": choices_config(labels.names),
    }
    return client.post("/predict", json=body).get_json()["results"][0]


def chosen(item: Any) -> str:
    return str(item["result"][0]["value"]["choices"][0])


@pytest.fixture
def learned(labels: Labels, once: Callable[..., None]) -> Labels:
    def learn() -> None:
        labels.add(0, 60)
        refit(PROJECT)

    once(learn)
    return labels


def test_an_exact_duplicate_has_its_label_with_a_score_that_says_so(
    context: Any, learned: Labels, services: Any, client: Any
) -> None:
    odd = learned.names[0]
    before = ask(client, learned, NEW)
    label(context, [(700, NEW, odd)])
    assert refit(PROJECT) == "published"
    services.background.labelled.refresh()
    found = ask(client, learned, NEW.upper() + "  ")
    assert chosen(found) == odd and 0.96 < found["score"] < 1.0 and before["score"] < found["score"]
    assert found["carried_over"] == "exact" and "carried_over" not in before
    assert services.metrics.registry.get_sample_value("understudy_carried_over_total") == 1
    label(context, [(701, NEW, learned.names[1]), (702, NEW, learned.names[1])], 5100)
    assert refit(PROJECT) == "published"
    services.background.labelled.refresh()
    several = ask(client, learned, NEW)
    assert chosen(several) == learned.names[1] and several["score"] < 0.75, "their distribution"
    own = ask(client, learned, NEW, task=700)
    assert own["score"] != several["score"], "nothing against the people who labelled this very task"
    context.stores.examples.remove(PROJECT, [701, 702])
    assert refit(PROJECT) == "published"
    services.background.labelled.refresh()
    assert chosen(ask(client, learned, NEW)) == odd


def test_no_version_that_follows_is_needed(context: Any, learned: Labels, services: Any, client: Any) -> None:
    live = context.stores.versions.live(PROJECT)
    context.stores.versions.pin(PROJECT, live)
    label(context, [(700, NEW, learned.names[2])])
    assert refit(PROJECT) == "pinned"
    services.background.labelled.refresh()
    assert chosen(ask(client, learned, NEW)) == learned.names[2]


def serves(services: Any, version: str) -> bool:
    """Whether it does by now; waits for it."""
    deadline = time.monotonic() + 120
    while services.registry.version_of(PROJECT) != version and time.monotonic() < deadline:
        time.sleep(0.01)
    return bool(services.registry.version_of(PROJECT) == version)


def test_the_first_answer_of_a_version_knows_the_duplicates_of_the_newest_label(
    context: Any, learned: Labels, services: Any, client: Any
) -> None:
    """Label Studio keeps it."""
    services.background.stop()  # which would read the table a second later
    for task, name in ((700, learned.names[0]), (701, learned.names[2])):
        label(context, [(task, f"{NEW} {name}", name)], 5000 + task)
        assert refit(PROJECT) == "published"
        version = context.stores.versions.live(PROJECT)
        assert serves(services, version)
        found = ask(client, learned, f"{NEW} {name}")
        assert found["model_version"] == version and chosen(found) == name and found["score"] > 0.96


def test_why_a_duplicate_is_answered_so_names_the_labelled_task(
    context: Any, learned: Labels, services: Any, client: Any
) -> None:
    label(context, [(700, NEW, learned.names[0]), (701, NEW, learned.names[2]), (702, f" {NEW}", learned.names[2])])
    context.stores.projects.add_pool(PROJECT, {9000: {"text": NEW.upper()}, 9001: {"text": "another text"}}, 100)
    refit(PROJECT)
    assert serves(services, context.stores.versions.live(PROJECT))
    path, answer = f"/admin/projects/{PROJECT}/explain?task=", ask(client, learned, NEW.upper())
    found = client.get(f"{path}9000", headers=ADMIN).get_json()
    carried = found["carried_over"]
    assert (carried["task"], carried["labels"], carried["near"]) == (701, [chosen(answer)], False)
    assert carried["labels"] == [learned.names[2]] and carried["score"] == answer["score"]
    assert found["labels"] and found["words"], "what the version says itself"
    first = "".join(str(part) for part in next(render(found)))
    assert f"label: {learned.names[2]} 0." in first and "as people labelled task 701, the same (" in first
    assert "carried_over" not in client.get(f"{path}9001", headers=ADMIN).get_json()
    assert "carried_over" not in client.get(f"{path}700", headers=ADMIN).get_json(), "people who said otherwise"
    assert client.get(f"{path}701", headers=ADMIN).get_json()["carried_over"]["task"] == 701


def test_a_project_that_nobody_asked_for_is_read_when_it_is_asked_for(
    context: Any, learned: Labels, services: Any, client: Any
) -> None:
    label(context, [(700, NEW, learned.names[0])])
    refit(PROJECT)
    services.background.stop()
    assert serves(services, context.stores.versions.live(PROJECT))
    services.background.labelled = LabelledTables(context.stores.labelled_texts)  # as after an hour, among 200 others
    assert chosen(ask(client, learned, NEW)) == learned.names[0]


def test_labels_of_duplicates_that_cannot_be_kept_keep_no_version_from_being_published(
    context: Any, learned: Labels, services: Any
) -> None:
    store, kept = context.stores.labelled_texts, context.stores.labelled_texts.facts(PROJECT)
    label(context, [(700, NEW, learned.names[0])])
    try:
        arm("raise:duplicates.before")
        assert refit(PROJECT) == "published"
    finally:
        arm("")
    assert store.facts(PROJECT) == kept and context.stores.failures.waits(PROJECT, "refit") == 0
    assert refit(PROJECT) == "unchanged"
    assert store.facts(PROJECT).seq == context.stores.examples.seq(PROJECT)
    services.registry._renew_beside = lambda project: 1 / 0  # a web process whose part of it fails
    label(context, [(701, NEW, learned.names[0])], 5100)
    assert refit(PROJECT) == "published"
    assert serves(services, context.stores.versions.live(PROJECT))


def test_what_has_not_changed_is_not_written_again_and_tables_follow(context: Any, learned: Labels) -> None:
    store = context.stores.labelled_texts
    spec = parse_label_config(choices_config(learned.names))
    tables = LabelledTables(store)
    assert tables.find(PROJECT, None, spec, {"text": learned.rows[0][0]}) == {}, "not read yet"
    table = tables.read(PROJECT)
    assert table is not None
    for text, name in learned.rows[:60]:
        assert table.find(None, spec, {"text": text})["label"].answers[0][0] == (name,)
    number = table.state.number
    label(context, [(700, NEW, learned.names[2])])
    refit(PROJECT)
    assert 1 <= len(store.buckets(PROJECT, number)) <= 2, "one for exact duplicates, one for near ones"
    assert tables.read(PROJECT) is table and table.state.number > number
    assert table.find(None, spec, {"text": NEW})["label"].answers == (((learned.names[2],), 1.0),)
    context.stores.client.delete(f"understudy:{{p{PROJECT}}}:duplicates")
    assert tables.read(PROJECT) is None, "lost: nothing is carried over until the next refit"


def test_what_a_redis_that_lost_its_data_has_is_read_as_a_whole(context: Any, learned: Labels) -> None:
    """Also where it was written as often as what was lost before anybody looked."""
    store, spec = context.stores.labelled_texts, parse_label_config(choices_config(learned.names))
    tables = LabelledTables(store)
    label(context, [(700, NEW, learned.names[2])])
    refit(PROJECT)
    table = tables.read(PROJECT)
    assert table is not None and table.state.number > 1 and table.find(None, spec, {"text": NEW})
    for name in ("duplicates", "duplicates:log"):
        context.stores.client.delete(f"understudy:{{p{PROJECT}}}:{name}")
    context.stores.examples.remove(PROJECT, [700])
    for _ in range(table.state.number):
        keep_again(context)
    assert store.states([PROJECT])[0].number == table.state.number
    again = tables.read(PROJECT)
    assert again is not table and again is not None and not again.find(None, spec, {"text": NEW})
    assert again.find(None, spec, {"text": learned.rows[0][0]})


def test_of_very_many_labels_not_each_is_written_at_once_but_the_last_one_is(
    context: Any, learned: Labels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other projects that want the learner ask for no refit of this one."""
    monkeypatch.setattr("backend.jobs.learn.duplicates.MANY_LABELS", 10)
    store, jobs = context.stores.labelled_texts, context.stores.jobs
    label(context, [(700, NEW, learned.names[2])])
    known = store.facts(PROJECT).seq
    assert jobs.enqueue_refit(PROJECT) and jobs.enqueue_refit(PROJECT + 1)
    keep_again(context)
    assert store.facts(PROJECT).seq == known, "the refit that is due does it"
    jobs.begin_refit(PROJECT)
    keep_again(context)
    assert store.facts(PROJECT).seq == known + 1


def keep_again(context: Any) -> None:
    spec = parse_label_config(context.stores.projects.config(PROJECT))
    snapshot = context.stores.examples.snapshot(PROJECT)
    keep_labelled(context, PROJECT, spec, reach_consensus(spec, snapshot.records).samples, snapshot)


def test_labels_of_duplicates_that_differ_are_suspects_with_the_other_task(
    context: Any, learned: Labels, client: Any
) -> None:
    right, wrong = learned.names[:2]
    label(context, [(700, NEW, right), (701, NEW.lower(), right), (702, f" {NEW}", wrong)])
    refit(PROJECT)
    path = f"/admin/projects/{PROJECT}"
    found = client.get(f"{path}/suspects?limit=1000", headers=ADMIN).get_json()["suspects"]
    (row,) = [row for row in found if "like" in row]
    assert (row["task"], row["given"], row["suggested"], row["like"]) == (702, wrong, right, 700)
    assert row["annotations"] == [702] and row["flag"] in ("likely wrong", "check")
    assert row["p_given"] < 0.1 < row["p_suggested"]
    status = client.get(path, headers=ADMIN).get_json()["duplicates"]["label"]
    assert (status["exact_groups"], status["disagreeing"]) == (1, 1) and 0.8 < status["exact"] < 0.97
    pushed = client.get(f"{path}/relabel", headers=ADMIN).get_json()["rows"]
    assert 702 in [row["task"] for row in pushed]
    context.stores.examples.remove(PROJECT, [702])
    assert not [row for row in client.get(f"{path}/suspects", headers=ADMIN).get_json()["suspects"] if "like" in row]


def test_duplicates_and_outliers_of_the_pool_are_told(context: Any, learned: Labels, client: Any) -> None:
    path = f"/admin/projects/{PROJECT}/pool"
    assert client.get(path, headers=ADMIN).status_code == 404
    documents = {n: {"text": text} for n, (text, _) in enumerate(learned.rows[60:160], 1000)}
    more = {2000: documents[1000], 2001: {"text": learned.rows[0][0]}, 2002: {"text": "?!"}}
    context.stores.projects.add_pool(PROJECT, {**documents, **more}, 4000)
    context.stores.versions.unpin(PROJECT)
    assert refit(PROJECT) == "unchanged"
    found = client.get(path, headers=ADMIN).get_json()
    assert (found["tasks"], found["counts"]["duplicate"], found["labelled"]) == (103, 1, 1)
    rows = {row["task"]: row for row in found["rows"]}
    assert rows[2000]["like"] == 1000 and rows[2002]["kind"] == "empty"
    assert found["compared"] > 90, "what was encoded ahead"
    assert refit(PROJECT) == "unchanged"
    assert client.get(path, headers=ADMIN).get_json()["at"] == found["at"], "nothing has changed"
