"""The checker of the chaos bench finds what it is there to find, and its parts do to a connection what they say."""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import socket
import threading
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from backend.errors import LabelStudioError
from backend.labelstudio.annotations import to_record
from backend.labelstudio.rest.client import LabelStudioClient
from backend.labelstudio.rest.transport import Transport
from backend.labelstudio.task_spec import parse_label_config
from bench.chaos.checker import Entry, History, find_violations, read_history
from bench.chaos.nemesis import make_schedule
from bench.chaos.report import Leg, count_events, count_kills, write_page
from bench.chaos.traffic import Proxy
from tests.support.label_studio_stub import TOKEN, LabelStudioStub, ReferenceModel
from tests.support.project_kinds import KINDS, SKIPPED, facts_of_record, facts_of_result
from tests.support.reply_rules import find_faults


def change(n: int, t: float, sets: dict[str, Any] | None = None, gone: list[int] | None = None) -> Entry:
    action = "ANNOTATIONS_DELETED" if gone else "ANNOTATION_CREATED"
    return {"kind": "change", "t": t, "n": n, "project": 7, "action": action, "sets": sets or {}, "gone": gone or []}


def event(n: int, t: float, status: int = 200) -> Entry:
    return {"kind": "event", "t": t, "t0": t - 0.1, "n": n, "status": status, "said": ""}


def read(t: float, sets: dict[str, Any] | None = None, gone: list[int] | None = None, **marks: Any) -> Entry:
    found = {"seq": 0, "trained": 0, "fitted": 0, "live": "v0.1", "sync": {}, "dirty": "", "extra": [], **marks}
    return {
        "kind": "read",
        "t": t,
        "t0": t - 0.1,
        "t1": t,
        "project": 7,
        "sets": sets or {},
        "gone": gone or [],
        **found,
    }


def predict(t: float, *versions: str, status: int = 200, **fields: Any) -> Entry:
    named = {"top": versions[0] if versions else "v0.1", "versions": list(versions or ("v0.1",))}
    return {
        "kind": "predict",
        "t": t,
        "t0": t - 0.1,
        "project": 7,
        "status": status,
        "said": "",
        "asked": 4,
        "answered": 4,
        "found": 4,
        "faults": [],
    } | (named | fields)


def moved(t: float, version: str, before: str | None) -> Entry:
    return {"kind": "moved", "t": t, "at": t, "project": 7, "version": version, "from": before, "by": "learner"}


def sound() -> list[Entry]:
    """A run in which every promise was kept: one loss on the way that a reconciliation mended, one kill of web."""
    end = {"pending": 0, "seq": 5, "fitted": 5, "trained": 5, "live": "v0.2", "labels_seen": 2, "snapshot_seq": 5}
    seen = [{"label": 2}, {"label": 2}]
    compared = {"tuned": False, "labels_seen": seen, "asked": 10, "alike": 9, "said": [10, 10]}
    state = {"2": [20, "b"], "4": [40, "a"]}
    return [
        {"kind": "seen", "t": 0.1, "roles": {"web": [11, 12], "redis": [13]}},
        change(1, 1.0, {"1": [10, "a", 100]}),
        event(1, 1.2),
        change(2, 1.3, {"2": [20, "b", 101]}),
        event(2, 1.5),
        event(2, 1.6),
        moved(1.7, "v0.1", None),
        read(2.0, {"1": [10, "a"], "2": [20, "b"]}, seq=2),
        {"kind": "version", "t": 2.1, "project": 7, "version": "v0.1", "problem": ""},
        change(3, 2.2, gone=[1]),
        event(3, 2.4),
        read(3.0, gone=[1], seq=3),
        predict(3.1),
        {"kind": "kill", "t": 4.0, "role": "web", "pid": 12, "had": [11, 12]},
        predict(4.1, status=0, said="ConnectionResetError"),
        change(4, 4.2, {"4": [40, "a", 103]}),
        event(4, 4.3, status=0),
        {"kind": "seen", "t": 4.5, "roles": {"web": [11, 22], "redis": [13]}},
        predict(4.6, status=503, said="not ready"),
        {"kind": "ready", "t": 5.1, "t0": 5.0, "status": 200},
        moved(5.5, "v0.2", "v0.1"),
        predict(5.6, "v0.2"),
        read(6.0, {"4": [40, "a"]}, seq=5, trained=5),
        {"kind": "end", "t": 7.0, "project": 7, "about": "choices", "truth": state, "store": state, "drift": 1, **end},
        {"kind": "compared", "t": 8.0, "project": 7, **compared},
    ]


def planted(plant: Callable[[list[Entry]], None]) -> list[str]:
    """Kinds of violations after `plant` has changed the sound history."""
    history = deepcopy(sound())
    plant(history)
    history.sort(key=lambda entry: entry["t"])
    return [violation.kind for violation in find_violations(history)]


def entry_of(history: list[Entry], kind: str, number: int = 0) -> Entry:
    return [entry for entry in history if entry["kind"] == kind][number]


def test_a_sound_run_has_no_violation() -> None:
    assert planted(lambda history: None) == []


PLANTED: list[tuple[str, Callable[[list[Entry]], None]]] = [
    ("lost", lambda h: entry_of(h, "read")["sets"].pop("2")),
    ("lost", lambda h: h.append(read(3.5, gone=[2], seq=3))),
    ("resurrected", lambda h: h.append(read(3.5, {"1": [10, "a"]}, seq=3))),
    ("made up", lambda h: h.append(read(3.5, {"9": [90, "a"]}, seq=3))),
    ("made up", lambda h: h.append(read(3.5, {"2": [20, "damaged"]}, seq=3))),
    ("watermark fell", lambda h: h.append(read(3.5, seq=1))),
    ("not recovered", lambda h: entry_of(h, "end").update(store={"2": [20, "b"]})),
    ("not recovered", lambda h: entry_of(h, "end").update(store={"2": [19, "b"], "4": [40, "a"]})),
    ("not removed", lambda h: entry_of(h, "end").update(store={**entry_of(h, "end")["truth"], "1": [10, "a"]})),
    ("not learned", lambda h: entry_of(h, "end").update(pending=1)),
    ("not learned", lambda h: entry_of(h, "end").update(fitted=4)),
    ("not learned", lambda h: entry_of(h, "end").update(labels_seen=1)),
    ("learned otherwise", lambda h: entry_of(h, "compared").update(labels_seen=[{"label": 2}, {"label": 3}])),
    ("learned otherwise", lambda h: entry_of(h, "compared").update(labels_seen=[None, None])),
    ("learned otherwise", lambda h: entry_of(h, "compared").update(alike=2)),
    ("no end", lambda h: h.remove(entry_of(h, "end"))),
    ("bench", lambda h: entry_of(h, "change", 3).update(sets={})),
    ("mixed versions", lambda h: h.append(predict(5.7, "v0.1", "v0.2"))),
    ("unknown version", lambda h: h.append(predict(5.7, "v0.3"))),
    ("unknown version", lambda h: h.append(predict(5.4, "v0.2"))),
    ("invalid reply", lambda h: h.append(predict(5.7, "v0.2", faults=["a relation without an end"]))),
    ("no answer", lambda h: h.append(predict(5.7, "v0.2", answered=3))),
    ("failed predict", lambda h: h.append(predict(3.2, status=0, said="ConnectionRefusedError"))),
    ("failed predict", lambda h: h.append(predict(4.7, status=500, said="internal"))),
    ("failed predict", lambda h: h.append(predict(5.8, status=503, said="not ready"))),
    ("failed webhook", lambda h: h.append(event(2, 3.2, status=500))),
    ("broken version", lambda h: entry_of(h, "version").update(problem="a file is missing")),
    ("lost move", lambda h: entry_of(h, "moved", 1).update({"from": "v0.0"})),
    ("broken", lambda h: h.append({"kind": "broken", "t": 6.5, "what": "`up` ended by itself"})),
    ("not back", lambda h: h.append({"kind": "kill", "t": 4.6, "role": "redis", "pid": 13, "had": [13]} | late(h))),
]


def late(history: list[Entry]) -> Entry:
    """Nothing more, but the run goes on for minutes."""
    history.append({"kind": "calm", "t": 200.0})
    return {}


@pytest.mark.parametrize(("kind", "plant"), PLANTED, ids=[f"{n}-{kind}" for n, (kind, _) in enumerate(PLANTED)])
def test_a_planted_violation_is_found(kind: str, plant: Callable[[list[Entry]], None]) -> None:
    assert kind in planted(plant)


def test_an_unanswered_event_may_be_stored_or_not() -> None:
    assert planted(lambda h: h.append(read(4.8, {"4": [40, "a"]}, seq=4))) == []


def test_an_acknowledgement_counts_from_the_next_reading_on() -> None:
    """A reading that had begun before need not show it."""
    assert planted(lambda h: entry_of(h, "read").update(t0=1.4, sets={"1": [10, "a"]})) == ["lost"]
    assert planted(lambda h: h.append(read(1.55, {"1": [10, "a"]}, seq=1))) == []


def test_a_schedule_depends_on_the_seed_alone_and_kills_ten_times_a_minute() -> None:
    first = make_schedule(3, 1800, redis_road=True, disk=True)
    assert (
        first
        == make_schedule(3, 1800, redis_road=True, disk=True)
        != make_schedule(4, 1800, redis_road=True, disk=True)
    )
    assert sum(fault.kind == "kill" for fault in first) > 330
    assert all(fault.at + fault.seconds <= 1800 for fault in first)
    assert not {"redis road", "disk"} & {fault.kind for fault in make_schedule(3, 1800, redis_road=False, disk=False)}


def test_the_numbers_of_a_run(tmp_path: Path) -> None:
    history = sound()
    counted = count_events(history)
    assert list(counted.values())[:3] == [4, 3, 1], "changes, acknowledged, refused"
    (kills,) = count_kills(history)
    assert (kills["kill -9"], kills["times"], kills["after, max s"]) == ("web", 1, 1.0)
    leg = Leg({"redis": "embedded", "seed": 1, "seconds": 60, "disk": True}, history, find_violations(history))
    write_page(tmp_path / "page.md", [leg])
    assert "1 minutes, 1 kills, 0 violations" in (tmp_path / "page.md").read_text(encoding="utf-8")


def test_a_history_is_read_back_in_order(tmp_path: Path) -> None:
    history = History(tmp_path / "history.jsonl")
    history.note("read", t=2.0)
    history.note("change", t=1.0, sets={5: [1, "a", 2]})
    history.close()
    history.note("late")
    assert [(entry["kind"], entry.get("sets")) for entry in read_history(tmp_path / "history.jsonl")] == [
        ("change", {"5": [1, "a", 2]}),
        ("read", None),
    ]


@pytest.fixture
def stand_in() -> Iterator[LabelStudioStub]:
    truth = ReferenceModel.of_choices([7], ["a", "b"])
    with LabelStudioStub(truth) as running:
        yield running


def listing(stand_in: LabelStudioStub) -> dict[int, str]:
    """annotation -> updated_at, as the product's own client lists them."""
    with LabelStudioClient(f"http://127.0.0.1:{stand_in.port}", TOKEN) as client:
        return {
            item["id"]: item["updated_at"] for _, listed in client.tasks.with_annotations(7, size=3) for item in listed
        }


def test_the_product_reads_the_stand_in_as_label_studio(stand_in: LabelStudioStub) -> None:
    made = stand_in.truth.create(7, [(f"text {number}", "a") for number in range(8)])
    tasks = stand_in.truth.annotated(7)
    stand_in.truth.delete(tasks[:1])
    stand_in.truth.delete_tasks(tasks[1:2])
    stand_in.truth.update(tasks[2], "b")
    assert set(listing(stand_in)) == set(stand_in.truth.annotations(7)) == set(list(made.sets)[2:])
    with LabelStudioClient(f"http://127.0.0.1:{stand_in.port}", TOKEN) as client:
        assert client.project(7)["label_config"] == stand_in.truth.kinds[7].config
        assert [task["id"] for task in client.tasks.unanswered(7)] == [tasks[0].number]


@pytest.mark.parametrize("mode", ["short page", "no annotations", "unauthorized"])
def test_the_product_refuses_what_the_stand_in_spoils(stand_in: LabelStudioStub, mode: str) -> None:
    stand_in.truth.create(7, [(f"text {number}", "a") for number in range(8)])
    stand_in.mode = mode
    with pytest.raises(LabelStudioError):
        listing(stand_in)


@pytest.mark.parametrize("mode", ["down", "error", "cut page"])
def test_a_stand_in_that_is_away_gives_no_listing(stand_in: LabelStudioStub, mode: str) -> None:
    stand_in.mode = mode
    transport = Transport(f"http://127.0.0.1:{stand_in.port}", TOKEN, attempts=1)
    with pytest.raises(LabelStudioError):
        transport.call("GET", "api/projects/7/")
    transport.close()


def echo(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(100):
                connection.sendall(data)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=echo, args=(server,), daemon=True).start()
        with Proxy(server.getsockname()[1]) as running:
            yield running
        server.shutdown(socket.SHUT_RDWR)


def test_a_proxy_passes_on_holds_back_and_resets(proxy: Proxy) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as connection:
        connection.sendall(b"one")
        assert connection.recv(10) == b"one"
        proxy.set("latency", 0.05)
        connection.sendall(b"two")
        assert connection.recv(10) == b"two"
        proxy.set("silence")
        connection.sendall(b"three")
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(10)
        connection.settimeout(10)
        proxy.set("pass")
        assert connection.recv(10) == b"three"
        proxy.set("reset")
        with pytest.raises(ConnectionResetError):
            connection.recv(10)
    with pytest.raises(ValueError, match="none of"):
        proxy.set("gone")


@pytest.mark.parametrize("name", list(KINDS))
def test_what_is_known_of_an_answer_is_the_same_before_and_after_it_is_stored(name: str) -> None:
    """And the answers are such as the config allows."""
    kind, draw = KINDS[name](), random.Random(1)
    spec, texts = parse_label_config(kind.config), set[str]()
    for content, answer in itertools.islice(kind.rows(), 250):
        data = kind.data(content)
        texts.add(json.dumps(data))
        for given in (answer, kind.wrong(draw, content, answer)):
            result = kind.result(content, given)
            assert find_faults(kind.config, data, result) == []
            annotation = {"id": 1, "task": 1, "result": result, "updated_at": "2026-01-01T00:00:00Z"}
            record = to_record(spec, annotation, {"id": 1, "data": data})
            assert facts_of_record(json.loads(json.dumps(record.to_json()))) == facts_of_result(result)
    assert len(texts) == 250


def note_result() -> tuple[str, dict[str, str], list[dict[str, Any]]]:
    """Config, data and result of a note with regions, answers and a relation."""
    kind = KINDS["regions"]()
    content, answer = next(kind.rows())
    return kind.config, kind.data(content), kind.result(content, answer)


def region_at(result: list[dict[str, Any]], label: str) -> dict[str, Any]:
    return next(item for item in result if item.get("type") == "labels" and item["value"]["labels"] == [label])


SPOILT: list[tuple[str, Callable[[list[dict[str, Any]]], Any]]] = [
    ("a relation between", lambda r: r.remove(region_at(r, "PERSON"))),
    ("without its region", lambda r: r.remove(region_at(r, "FINDING"))),
    ("a region from", lambda r: region_at(r, "PERSON")["value"].update(end=10_000)),
    ("a region says", lambda r: region_at(r, "PERSON")["value"].update(text="other")),
    ("a region with the labels", lambda r: region_at(r, "PERSON")["value"].update(labels=["HORSE"])),
    ("a region's id", lambda r: r.append(deepcopy(region_at(r, "PERSON")))),
    ("about ['PERSON']", lambda r: region_at(r, "FINDING")["value"].update(labels=["PERSON"])),
    ("for 'state'", lambda r: next(i for i in r if i["from_name"] == "state")["value"].update(choices=["perhaps"])),
    ("an answer to 'size'", lambda r: r.append({"type": "choices", "from_name": "size", "value": {"choices": ["a"]}})),
    ("a relation called", lambda r: r[-1].update(labels=["owns"])),
    ("a relation to the", lambda r: r[-1].update(direction="up")),
]


@pytest.mark.parametrize(("said", "spoil"), SPOILT, ids=[said for said, _ in SPOILT])
def test_what_a_config_does_not_allow_is_found_in_a_reply(said: str, spoil: Callable[[Any], Any]) -> None:
    config, data, result = note_result()
    spoil(result)
    assert any(said in fault for fault in find_faults(config, data, result))


def test_two_answers_to_one_question_are_found() -> None:
    kind = KINDS["questions"]()
    content, answer = next(kind.rows())
    (region,) = kind.result(content, answer)
    twice = [region, {**region, "id": "a2"}]
    assert find_faults(kind.config, kind.data(content), twice) == ["2 answers to one question"]


def test_a_copy_of_a_project_holds_the_same_answers() -> None:
    kind = KINDS["regions"]()
    truth = ReferenceModel({7: kind})
    truth.create(7, list(itertools.islice(kind.rows(), 6)))
    tasks = truth.annotated(7)
    truth.update(tasks[0], SKIPPED)
    truth.update(tasks[1], kind.wrong(random.Random(3), tasks[1].content, tasks[1].answer))
    truth.delete([tasks[2]])
    copied = truth.copy(7, 107)
    assert [facts for _, facts, _ in copied.sets.values()] == [facts for _, facts, _ in truth.annotations(7).values()]
    assert truth.annotations(107) == copied.sets and not set(copied.sets) & set(truth.annotations(7))
